"""Vega-Lite -> SVG, by vl-convert: one package that needs no other, no browser and no network.

The result is text of a page: no script is in it, and names are escaped.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from intercom.errors import ConfigurationError

_CURE = "Install it where intercom-lake is installed: it is what the extra [report] adds. Nothing was read."


def check_installed() -> None:
    """Raise ConfigurationError if what a report needs beyond the package itself is not installed."""
    missing = [name for name, module in (("vl-convert-python", "vl_convert"), ("jinja2", "jinja2")) if not _has(module)]
    if missing:
        raise ConfigurationError(f"A report is made with {' and '.join(missing)}, which is not installed. {_CURE}")


def draw(spec: Mapping[str, Any]) -> str:
    """The picture as an ``<svg>`` element that is as wide as there is room."""
    import vl_convert

    return vl_convert.vegalite_to_svg(dict(spec), allowed_base_urls=[])


def _has(module: str) -> bool:
    return find_spec(module) is not None
