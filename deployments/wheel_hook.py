"""Build hook of hatchling: what a wheel has beside the package of a checkout. An editable install gets none of it.

Copies in an editable install would be stale at the next edit. There, `intercom.bundled` finds the checkout's own files,
and the launcher's folder is on the path (`dev-mode-dirs` in pyproject.toml).
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_BUNDLED = ("flows", "prefect.yaml", "deployments/automations", "deployments/dbt", "deployments/examples")


class WheelHook(BuildHookInterface[Any]):
    """Adds the files that `intercom.bundled` looks for, and the module that the command starts with."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """`version` is hatchling's word for the kind of wheel: standard or editable."""
        if version == "editable":
            build_data["force_include_editable"] = {}
            return
        build_data["force_include"] |= {
            **{name: f"intercom/bundled/{name}" for name in _BUNDLED},
            "intercom/cli/launcher/intercom_lake.py": "intercom_lake.py",
        }
