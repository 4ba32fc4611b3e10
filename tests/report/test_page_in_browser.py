"""The page as people see it: in a browser that may load nothing, wide and narrow, light and dark, and on paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from intercom.report.blocks import count, shown_name
from intercom.report.facts import LakeFacts
from intercom.report.page import as_html, sections
from tests.support.browser import chromium_started
from tests.support.reported import HOSTILE, SCRIPT

PHONE = 390
A4 = 702
"""Pixels between the margins of a sheet."""


class Opened:
    """The page, and what the browser said and asked for meanwhile."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("dialog", lambda dialog: self.said.append(dialog.message))
        page.on("request", lambda request: self.asked.append(request.url))

    def color(self, name: str) -> str:
        return str(self.page.evaluate(f"getComputedStyle(document.body).{name}"))


@pytest.fixture(scope="module")
def file(facts: LakeFacts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(as_html(facts), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def opened(file: Path) -> Iterator[Opened]:
    with chromium_started() as browser:
        opened = Opened(browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light"))
        opened.page.goto(file.as_uri())
        yield opened


@pytest.fixture(autouse=True)
def as_before(opened: Opened) -> None:
    opened.page.set_viewport_size({"width": 1280, "height": 900})
    opened.page.emulate_media(media="screen", color_scheme="light")


def test_nothing_is_loaded_run_or_complained_of(opened: Opened, file: Path) -> None:
    assert opened.said == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [file.as_uri()]
    counts = opened.page.evaluate(
        "['script', 'img', 'iframe', 'object', 'foreignObject', 'a', 'image', 'use'].map("
        "name => document.querySelectorAll(name).length)"
    )
    assert counts == [0] * 8
    handlers = opened.page.evaluate(
        "[...document.querySelectorAll('*')].flatMap(one => [...one.attributes])"
        ".filter(one => one.name.startsWith('on') || /(https?:|javascript:)/.test(one.value))"
        ".map(one => one.name)"
    )
    assert set(handlers) <= {"xmlns", "xmlns:xlink"}
    assert "default-src 'none'" in opened.page.locator("meta[http-equiv]").get_attribute("content")  # type: ignore[operator]


def test_hostile_names_stand_there_as_they_are(opened: Opened) -> None:
    tags = opened.page.locator("figure", has_text="Tags used most")
    shown = tags.locator("tbody td:first-child").all_text_contents()
    assert SCRIPT in shown
    assert {shown_name(name) for name in HOSTILE if name} & set(shown) >= {"{{ 7 * 7 }} {% raw %}", "datum.value"}
    drawn = tags.locator(".wide svg text").all_text_contents()
    assert any(text.startswith("<script>alert(") for text in drawn)
    teams = opened.page.locator("figure", has_text="Open conversations by team")
    assert SCRIPT in teams.locator("tbody td:first-child").all_text_contents()
    assert "\u202e" not in opened.page.content()


def test_every_figure_has_a_picture_and_its_numbers(opened: Opened, facts: LakeFacts) -> None:
    figures = [figure for section in sections(facts) for figure in section.figures]
    shown = opened.page.locator("figure")
    assert shown.locator("h3").all_text_contents() == [figure.title for figure in figures]
    for place, figure in enumerate(figures):
        one = shown.nth(place)
        assert one.locator(".panel").count() == len(figure.panels) > 0
        assert one.locator("svg").count() >= len(figure.panels)
        assert one.locator("details tbody tr").count() == len(figure.numbers.rows)
        cells = one.locator("details tbody tr").first.locator("td").all_text_contents()
        assert tuple(cells) == figure.numbers.rows[0]
    contacts = opened.page.locator("section", has_text="newest change").locator("tbody tr").first
    assert contacts.locator("td").all_text_contents()[:2] == ["contacts", count(facts.tables["contacts"].scan.rows)]


@pytest.mark.parametrize("width", [1280, 820, PHONE, 320])
def test_nothing_is_wider_than_the_window(opened: Opened, width: int) -> None:
    opened.page.set_viewport_size({"width": width, "height": 800})
    opened.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert opened.page.evaluate("document.documentElement.scrollWidth") == width
    visible = opened.page.locator(".picture:visible")
    smallest = visible.evaluate_all(
        "all => Math.min(...all.map(one => one.getBoundingClientRect().width / one.firstChild.viewBox.baseVal.width))"
    )
    assert smallest > 0.75, "letters of 12 pixels would be smaller than 9"
    opened.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = false })")


def test_texts_in_pictures_are_inside_of_them_and_apart(opened: Opened) -> None:
    """By boxes: labels of an axis do not overlap, and none is cut at the edge by more than a letter's part."""
    problems = opened.page.evaluate(
        """() => [...document.querySelectorAll('.picture')].filter(one => one.offsetWidth).flatMap(picture => {
            const frame = picture.firstChild.getBoundingClientRect();
            const texts = [...picture.querySelectorAll('text')];
            const boxes = texts.map(one => [one.textContent, one.getBoundingClientRect()]);
            const cut = boxes.filter(([_, box]) => box.left < frame.left - 1 || box.right > frame.right + 1 ||
                box.bottom > frame.bottom + 2 || box.top < frame.top - 2);
            const over = boxes.filter(([_, a], i) => boxes.some(([_, b], j) => i < j && a.left < b.right - 1 &&
                b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3));
            return [...cut, ...over].map(([text]) => text);
        })"""
    )
    assert problems == []


def test_colors_follow_the_reader_and_paper_is_light(opened: Opened) -> None:
    light = opened.color("color"), opened.color("backgroundColor")
    opened.page.emulate_media(color_scheme="dark")
    dark = opened.color("color"), opened.color("backgroundColor")
    assert _brightness(light[0]) < 60 < 200 < _brightness(light[1])
    assert _brightness(dark[1]) < 60 < 200 < _brightness(dark[0])
    opened.page.emulate_media(media="print", color_scheme="dark")
    assert opened.color("color") == light[0]
    bars = opened.page.locator(".picture:visible .mark-rect path").first
    assert bars.evaluate("one => getComputedStyle(one).fill") == "rgb(53, 99, 201)"
    assert opened.page.locator("summary:visible").count() == 0
    opened.page.set_viewport_size({"width": A4, "height": 1000})
    assert opened.page.evaluate("document.documentElement.scrollWidth") == A4


def _brightness(color: str) -> float:
    return sum(map(float, color.removeprefix("rgb(").removesuffix(")").split(","))) / 3
