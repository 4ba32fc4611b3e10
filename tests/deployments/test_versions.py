"""Pinned versions: those that are installed, and the lowest ones, agree with what pyproject.toml allows."""

from __future__ import annotations

import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.deployments.scripts import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDED = [Requirement(line) for line in PROJECT["dependencies"]]


def pinned(name: str) -> dict[str, str]:
    """Version by normalised name."""
    lines = (ROOT / "deployments" / name).read_text().splitlines()
    pairs = [line.split(";")[0].split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name.strip()): version.strip() for name, version in pairs}


def test_the_lowest_versions_are_the_lower_bounds() -> None:
    bounds = {
        canonicalize_name(requirement.name): Version(specifier.version)
        for requirement in NEEDED
        for specifier in requirement.specifier
        if specifier.operator == ">="
    }
    assert {name: Version(version) for name, version in pinned("lowest.txt").items()} == bounds


def test_the_versions_that_are_installed_are_allowed() -> None:
    extras = [Requirement(line) for lines in PROJECT["optional-dependencies"].values() for line in lines]
    versions = pinned("constraints.txt")
    for requirement in NEEDED:
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement
    for requirement in extras:
        found = versions.get(canonicalize_name(requirement.name))
        assert found is None or requirement.specifier.contains(found), requirement
