"""Wheels of this project, and environments in which only they and their dependencies are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pip
import prefect

from tests.support.prefect_server import AS_INSTALLED, warm_python
from tests.support.warm import INSTALLED

ROOT = Path(__file__).parents[2]
_FROM_A_FILE = ("--no-deps", "--no-index", "--quiet", "--no-compile")
"""Options of pip for a wheel alone. Of its hundreds of modules, processes compile those that they use."""

COMMAND = ("python", "-P", "-c", "import sys; from intercom_lake import main; sys.exit(main())")
"""What the script `intercom-lake` does."""


def built(kind: str, source: Path, into: Path) -> Path:
    """The ``wheel`` or ``sdist`` of a source tree."""
    before = set(into.glob("*"))
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(into)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, text=True)
    (made,) = set(into.glob("*")) - before
    return made


def foreign_wheel(folder: Path) -> Path:
    """A wheel that looks like Intercom's SDK: the distribution python-intercom, which installs a package `intercom`."""
    wheel = folder / "python_intercom-5.0.0-py3-none-any.whl"
    info = "python_intercom-5.0.0.dist-info"
    files = {
        "intercom/__init__.py": "from .client import Intercom\n",
        "intercom/client.py": "class Intercom: ...\n",
        "intercom/errors/__init__.py": "class UnauthorizedError(Exception): ...\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: python-intercom\nVersion: 5.0.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in files) + f"{info}/RECORD,,\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in (files | {f"{info}/RECORD": record}).items():
            archive.writestr(name, text)
    return wheel


@dataclass(frozen=True)
class Environment:
    """A virtual environment that finds this one's packages, all but the project itself, behind its own."""

    folder: Path

    @classmethod
    def made(cls, folder: Path) -> Environment:
        """A new one, without the project."""
        venv.create(folder, symlinks=True, with_pip=False)
        one = cls(folder)
        # As a line of a path file: paths that this environment has by such files, the project's own, do not come along.
        (one.packages / "borrowed.pth").write_text(f"{Path(prefect.__file__).parents[1]}\n", encoding="utf-8")
        shutil.copy(AS_INSTALLED / "numpy.py", one.packages)  # which only the tests have installed
        return one

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def packages(self) -> Path:
        """Where it installs to."""
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.folder / "lib" / version / "site-packages"

    @property
    def forking(self) -> dict[str, str]:
        """Variables with which its Python processes are forks of a warm one that import the project from here.

        Of `bin/`, only ``python`` becomes one: `COMMAND` is the project's command.
        """
        return {
            "WARM_PYTHON": warm_python().address, INSTALLED: str(self.packages), "PYTHONPATH": str(AS_INSTALLED)
        }  # fmt: skip

    def pip(self, *arguments: str) -> None:
        """Run pip in this environment, which has none; nothing is looked for in a registry.

        It runs as ``pip --python`` runs it, which begins two processes of pip for that.
        """
        command = [str(self.python), str(Path(pip.__file__).with_name("__pip-runner__.py")), *arguments]
        subprocess.run(command, check=True, capture_output=True, text=True)

    def install(self, *wheels: Path) -> None:
        """Install wheels, not their dependencies."""
        for wheel in wheels:
            self.pip("install", *_FROM_A_FILE, "--force-reinstall", str(wheel))

    def run(self, *command: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
        """A program of the environment, in a folder that is not the checkout."""
        process = self.start(*command, cwd=cwd, **environ)
        out, err = process.communicate(timeout=280)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def start(self, *command: str, cwd: Path, **environ: str) -> subprocess.Popen[str]:
        """The same, not waited for."""
        program = [str(self.folder / "bin" / command[0]), *command[1:]]
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "PYTHON"))}
        return subprocess.Popen(
            program, cwd=cwd, env=clean | environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
