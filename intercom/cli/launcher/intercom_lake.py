"""Starts the command ``intercom-lake``, after a look at who else owns the import package ``intercom``.

Intercom's own SDK, the distribution python-intercom, installs a package of the same name. Where both are in one
environment, modules of each hide modules of the other, so nothing of ours can be relied on. Therefore this module
stands outside the package and imports nothing of it before it has looked at the lists of files that pip keeps.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

_OURS = "intercom-lake"
_THEIRS = "python-intercom"


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
    sources = [file for file in distribution(_OURS).files or [] if str(file).startswith("intercom/")]
    lost = [file for file in sources if file.suffix == ".py" and not Path(str(file.locate())).exists()]
    if lost:
        return (
            f"{_OURS} is damaged: {lost[0]} is gone, as after {_THEIRS} was removed from this environment. Reinstall "
            f"it: pip install --force-reinstall --no-deps {_OURS}."
        )
    return None


def main() -> int:
    """Run the command; exit status 2 and one line where the package cannot be imported."""
    if told := fault():
        print(told, file=sys.stderr)
        return 2
    try:
        from intercom.cli.app import main as run

        return run()
    except KeyboardInterrupt:  # while modules are imported; commands end by themselves
        print("Interrupted.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
