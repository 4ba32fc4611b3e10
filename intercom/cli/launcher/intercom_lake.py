"""Starts the command ``intercom-lake``, after a look at who else owns the import package ``intercom``.

Intercom's own SDK, the distribution python-intercom, installs a package of the same name. Where both are in one
environment, modules of each hide modules of the other, so nothing of ours can be relied on. Therefore this module
stands outside the package and imports nothing of it before it has looked; pip keeps a list of each distribution's files.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

_OURS = "intercom-lake"
_THEIRS = "python-intercom"
_FIRST_FILE = "intercom/__init__.py"


def fault() -> str | None:
    """Why the package cannot be imported here, and what to do; None where it is whole."""
    try:
        distribution(_THEIRS)
    except PackageNotFoundError:
        pass
    else:
        return (
            f"{_OURS} and {_THEIRS} both install a package named intercom, so they cannot share an environment. "
            f"Remove the other one and reinstall this one: pip uninstall {_THEIRS}; pip install --force-reinstall "
            f"--no-deps {_OURS}. Or install {_OURS} into an environment of its own, for example by pipx."
        )
    files = distribution(_OURS).files or []
    lost = [file for file in files if str(file).startswith("intercom/") and not Path(str(file.locate())).exists()]
    if lost:
        return (
            f"{_OURS} is damaged: {lost[0]} is gone, as after {_THEIRS} was removed from this environment. Reinstall it: "
            f"pip install --force-reinstall --no-deps {_OURS}."
        )
    return None


def main() -> int:
    """Run the command; exit status 2 and one line where the package cannot be imported."""
    if told := fault():
        print(told, file=sys.stderr)
        return 2
    from intercom.cli.app import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
