"""Prefect's UI in the system's headless Chromium; Playwright's own browser is not installed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import playwright.sync_api as playwright
from playwright.sync_api import Locator, Page, Route, expect, sync_playwright

from tests.support.prefect_server import Prefect

_FLAGS = (
    "--no-sandbox",  # containers run as root, and have no user namespaces
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
WIDTH = 1280
_FOLLOW = "url => { history.pushState({}, '', url); dispatchEvent(new PopStateEvent('popstate', {state: null})); }"

expect.set_options(timeout=60_000)  # five seconds are too few for the UI on a machine that runs other tests as well


@cache
def chromium() -> str | None:
    """Path of the system's Chromium; None where there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def chromium_started() -> Iterator[playwright.Browser]:
    """The browser itself, for pages of one's own."""
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium(), args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Browser:
    """One page that can reach only Prefect's server, because the UI also makes requests to other hosts."""

    def __init__(self, page: Page, prefect: Prefect) -> None:
        self.page = page
        self.prefect = prefect
        root = prefect.api.removesuffix("/api")
        page.route(lambda url: not url.startswith(f"{root}/"), _refuse)
        settings: dict[str, Any] = page.request.get(f"{root}/ui-settings").json()
        self.root = root + (settings["v2_base_url"] if settings.get("default_ui") == "v2" else "")

    def open(self, path: str, landmark: str) -> None:
        """Go to a page of Prefect's default UI, and wait for the text `landmark`."""
        self.page.goto(f"{self.root}/{path}")
        expect(self.page.get_by_text(landmark).first).to_be_visible()

    def open_run_form(self, deployment: str) -> None:
        """All but a first page are opened as by a link: the UI's megabytes of script are not run anew."""
        path, landmark = f"deployments/deployment/{deployment}/run", "advanced (Optional)"
        if not self.page.url.startswith(self.root):
            self.open(path, landmark)
            return
        self.page.evaluate(_FOLLOW, f"{self.root}/settings")
        expect(self.page.get_by_text(landmark)).to_have_count(0)  # nothing is left of another form
        self.page.evaluate(_FOLLOW, f"{self.root}/{path}")
        expect(self.page.get_by_text(landmark).first).to_be_visible()

    def choose_tables(self, *names: str) -> list[str]:
        """Choose these tables in the run form; gives all names that its list offers."""
        self.field("tables").click()
        options = self.page.get_by_role("listbox").get_by_role("option")
        offered = options.all_inner_texts()
        for name in names:
            options.filter(has_text=re.compile(f"^{name}$")).click()
        self.page.keyboard.press("Escape")
        return offered

    def field(self, parameter: str) -> Locator:
        """The input field that the parameter's label belongs to, found by the label's `for`."""
        label = self.page.get_by_text(f"{parameter} (Optional)", exact=True)
        return self.page.locator(f'[id="{label.get_attribute("for")}"]')


@contextmanager
def browser(prefect: Prefect, height: int = 1000) -> Iterator[Browser]:
    """A browser for the server's UI."""
    with chromium_started() as started:
        page = started.new_page(viewport={"width": WIDTH, "height": height}, locale="en-GB")
        page.set_default_navigation_timeout(120_000)  # for the same reason: the UI's first page is megabytes of script
        yield Browser(page, prefect)


def _refuse(route: Route) -> None:
    route.abort()
