"""The smallest run of Prefect: one flow with one task."""

from __future__ import annotations

from prefect import flow, task


@task
def nothing() -> None:
    """Does nothing."""


@flow
def bare() -> None:
    """One task, no more."""
    nothing()


if __name__ == "__main__":
    bare()
