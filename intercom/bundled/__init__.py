"""Files that lie beside the package in a checkout, and inside it in a wheel: flows, deployment definitions, examples.

`deployments/wheel_hook.py` puts them below this folder when a wheel is built; an installed checkout reads its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent
_FOLDER: Final = _HERE if (_HERE / "flows").is_dir() else _HERE.parents[1]


def path(name: str) -> Path:
    """Where a file or folder lies, given as in the checkout: ``flows/sync.py``, ``deployments/automations``."""
    return _FOLDER / name
