"""What a release is made of: its version, its notes, its metadata, and workflows that do what ``.ci/run`` does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deployments.scripts import ROOT, script
from tests.release import CHANGELOG, notes_of, releases

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
HOOK = script("metadata_hook")


def test_the_version_where_there_is_no_git_is_the_changelogs_latest() -> None:
    latest = next(iter(releases(CHANGELOG.read_text(encoding="utf-8"))))
    assert PROJECT["tool"]["hatch"]["version"]["fallback-version"] == latest
    assert f"ARG VERSION={latest}\n" in (ROOT / "deployments/Dockerfile").read_text(encoding="utf-8")
    examples = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "deployments/examples").glob("*.yaml"))
    assert set(re.findall(r"intercom-lake(?::|==)(\d[\d.]*\d)", examples)) == {latest}


@pytest.mark.parametrize(
    ("tag", "changelog", "said"),
    [
        ("v1.1.0", "## 1.1.0 (2026-01-31)\n\n- New.\n\n## 1.0.0 (2025-12-31)\n\n- Old.\n", "- New."),
        ("v1.0.0", "## 1.1.0 (2026-01-31)\n\n- New.\n\n## 1.0.0 (2025-12-31)\n\n- Old.\n", None),
        ("v1.1.0", "## 1.1.0 (not yet released)\n\n- New.\n", None),
        ("v1.1.0", "", None),
    ],
)
def test_a_release_has_the_changelogs_first_section_as_its_notes(tag: str, changelog: str, said: str | None) -> None:
    if said is None:
        with pytest.raises(ValueError, match=r"changelog\.md (has no section for|says that) v"):
            notes_of(tag, changelog)
    else:
        assert notes_of(tag, changelog) == said


def test_an_index_shows_the_readme_with_the_addresses_of_the_repository_that_builds() -> None:
    readme = (
        "[page](deployments/docs/a.md#part) ![run](deployments/docs/run.png)\n"
        '<img src="./run.svg"> <source srcset="dark.png"> [top](#top) [else](https://example.com/a.md)'
    )
    assert HOOK.with_addresses(readme, "https://git.example.com/me/lake", "abc") == (
        "[page](https://git.example.com/me/lake/blob/abc/deployments/docs/a.md#part) "
        "![run](https://git.example.com/me/lake/raw/abc/deployments/docs/run.png)\n"
        '<img src="https://git.example.com/me/lake/raw/abc/run.svg"> '
        '<source srcset="https://git.example.com/me/lake/raw/abc/dark.png"> [top](#top) [else](https://example.com/a.md)'
    )


def test_metadata_names_the_repository_of_a_workflow_and_none_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_SHA"):
        monkeypatch.delenv(name, raising=False)
    elsewhere: dict[str, Any] = {}
    HOOK.MetadataHook(str(ROOT), {}).update(elsewhere)
    assert "urls" not in elsewhere
    assert elsewhere["readme"]["text"] == (ROOT / "README.md").read_text(encoding="utf-8")
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://git.example.com")
    monkeypatch.setenv("GITHUB_REPOSITORY", "me/lake")
    there: dict[str, Any] = {}
    HOOK.MetadataHook(str(ROOT), {}).update(there)
    assert there["urls"]["Source"] == "https://git.example.com/me/lake"
    assert there["urls"]["Documentation"] == "https://me.github.io/lake"
    assert re.search(r"\]\((?!https?:|#|mailto:)", there["readme"]["text"]) is None


def test_classifiers_name_each_python_that_the_workflow_tests() -> None:
    prefix = "Programming Language :: Python :: 3."
    named = {line.rpartition(" ")[2] for line in PROJECT["project"]["classifiers"] if line.startswith(prefix)}
    assert named == set(workflow("test.yml")["jobs"]["test"]["strategy"]["matrix"]["python"])
    assert min(named) == PROJECT["project"]["requires-python"].removeprefix(">=")


def test_the_workflow_makes_all_that_ci_makes() -> None:
    of_ci = set(re.findall(r"^ *make (\w+)", (ROOT / ".ci/run").read_text(encoding="utf-8"), re.MULTILINE)) - {"clean"}
    made = {
        step["run"].removeprefix("make ") for step in workflow("test.yml")["jobs"]["test"]["steps"] if "run" in step
    }
    assert of_ci <= made


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_write_only_where_a_job_says_so_and_makes_what_there_is(path: Path) -> None:
    found = workflow(path.name)
    assert found["permissions"] == {"contents": "read"}
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for job in found["jobs"].values():
        for step in job.get("steps", ()):
            assert set(re.findall(r"\bmake (\w+)", step.get("run", ""))) <= targets
            assert "secrets." not in str(step)


def workflow(name: str) -> dict[str, Any]:
    """A workflow's definition; YAML takes its member ``on`` for the boolean True."""
    found: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows" / name).read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_the_form_of_an_issue_is_read_with_a_label_for_each_field(name: str) -> None:
    """GitHub shows no form, and says nothing, where the file is no YAML: a colon in a label is enough."""
    form = yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{name}.yml").read_text(encoding="utf-8"))
    assert all(isinstance(form[key], str) for key in ("name", "description"))
    fields = [part for part in form["body"] if part["type"] != "markdown"]
    assert fields
    assert all(isinstance(part["attributes"]["label"], str) for part in fields)
