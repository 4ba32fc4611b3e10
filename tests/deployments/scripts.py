"""The scripts of deployments/, which is no package."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]


def script(name: str) -> Any:
    """The module of ``deployments/<name>.py``, loaded anew."""
    spec = spec_from_file_location(f"deployments_{name}", ROOT / "deployments" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
