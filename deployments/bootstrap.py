"""Set up a Prefect server for this package: ``python deployments/bootstrap.py``. Running it again changes nothing."""

from __future__ import annotations

from cyclopts import App, CycloptsError

from intercom.cli.commands.bootstrap import bootstrap


def main() -> int:
    """The exit status of `bootstrap`; 2 also for options that there are not."""
    try:
        status: int = App(name="bootstrap.py", default_command=bootstrap, version_flags=[])(
            exit_on_error=False, result_action="return_value"
        )
    except CycloptsError:  # it was printed
        return 2
    return status or 0


if __name__ == "__main__":
    raise SystemExit(main())
