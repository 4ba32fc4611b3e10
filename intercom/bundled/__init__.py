"""Files of the project that a wheel holds as well, such as examples of deployments."""

from __future__ import annotations

from pathlib import Path


def path(name: str) -> Path:
    """A file by its path in the project, such as ``prefect.yaml``: that of the checkout, else that of the wheel."""
    in_checkout = Path(__file__).parents[2] / name
    return in_checkout if in_checkout.exists() else Path(__file__).parent / name
