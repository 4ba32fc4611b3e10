"""Links of the README and of the documentation lead somewhere, on GitHub and on the site."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.support.markdown import DOCS, ROOT, anchors, headings, links, pages, prose, slug, with_readmes


def test_each_link_has_a_file_and_an_anchor() -> None:
    texts = {page: page.read_text(encoding="utf-8") for page in with_readmes()}
    known = {page: anchors(text) for page, text in texts.items()}
    broken = []
    for page, text in texts.items():
        for link in links(text):
            file, _, anchor = link.partition("#")
            target = (page.parent / file).resolve() if file else page
            if not target.exists() or (anchor and anchor not in known[target]):
                broken.append((page, link))
    assert broken == []
    assert len(texts) > 70


def test_a_page_of_the_site_links_to_the_site_only() -> None:
    """Files beside it are named in code font: the site does not have them."""
    for page in pages():
        found = [(page.parent / link.partition("#")[0]).resolve() for link in links(page.read_text(encoding="utf-8"))]
        assert [target for target in found if not target.is_relative_to(DOCS)] == [], page


def test_headings_have_the_same_anchor_on_github_and_on_the_site() -> None:
    for heading in (heading for page in pages() for heading in headings(page.read_text(encoding="utf-8"))):
        of_the_site = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())
        assert slug(heading) == of_the_site


def test_each_page_is_in_the_menu_once() -> None:
    menu = site()["nav"]
    assert sorted(entries(menu)) == sorted(str(page.relative_to(DOCS)) for page in pages())


def site() -> dict[str, Any]:
    """The site's settings, without the environment that says where it is published."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!ENV", lambda loader, node: loader.construct_sequence(node)[-1])
    found: dict[str, Any] = yaml.load((ROOT / "deployments" / "mkdocs.yml").read_text(encoding="utf-8"), Loader)
    return found


def test_the_published_site_links_its_repository() -> None:
    """Whoever comes by the site alone needs a clone; the workflow that publishes it says both addresses."""
    assert (site()["repo_url"], site()["site_url"]) == ("", "")
    steps = yaml.safe_load((ROOT / ".github/workflows/docs.yml").read_text(encoding="utf-8"))["jobs"]["build"]["steps"]
    (told,) = [step["env"] for step in steps if step.get("run") == "make docs"]
    assert set(told) == {"REPOSITORY_URL", "SITE_URL"}


def entries(menu: Any) -> Iterator[str]:
    if isinstance(menu, str):
        yield menu
    else:
        for entry in menu.values() if isinstance(menu, dict) else menu:
            yield from entries(entry)


def test_nothing_of_the_site_comes_from_elsewhere() -> None:
    """Pictures, styles and fonts lie beside the pages; links to other sites are for people to follow."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"!\[[^\]]*\]\(https?:|<(img|script|iframe|link)\b", text), page
    config = site()
    assert config["theme"]["font"] is False
    assert not any("//" in address for key in ("extra_css", "extra_javascript") for address in config.get(key, ()))


def test_what_is_inside_a_list_is_indented_as_the_site_needs_it() -> None:
    """By four blanks, and an empty line before the next item; with less, which GitHub takes, the site ends the list."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        assert re.findall(r"^ {1,3}```", text, re.MULTILINE) == [], page
        assert re.findall(r"^ {1,3}(?:[-*]|\d+\.) .*", prose(text), re.MULTILINE) == [], page
        for paragraph in text.split("\n\n"):
            if re.match(r" {4}(?![-*] )", paragraph):
                assert re.findall(r"^(?:[-*]|\d+\.) .*", paragraph, re.MULTILINE) == [], page
