"""Files of the project that a wheel holds as well, such as examples of deployments."""

from __future__ import annotations

from pathlib import Path


def path(name: str) -> Path:
    """A file of the checkout, else of the wheel, by its path in the project: ``deployments/automations/failed.yaml``."""
    in_checkout = Path(__file__).parents[2] / name
    return in_checkout if in_checkout.exists() else Path(__file__).parent / name
