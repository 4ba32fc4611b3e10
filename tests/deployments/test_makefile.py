"""What `make` removes: nothing that somebody may need."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

MAKEFILE = Path(__file__).parents[2] / "Makefile"


def test_clean_removes_what_was_made_and_no_lake(tmp_path: Path) -> None:
    shutil.copy(MAKEFILE, tmp_path)
    kept = ["lake/data/acme/tags/data.parquet", "lake/demo/_state/lake.json", "connections.yml", "intercom/lake.py"]
    kept += ["flows/sync.py", "deployments/serve.py"]
    made = [".venv/bin/python", ".mypy_cache/x", "intercom/__pycache__/lake.pyc", "tests/unit/__pycache__/x.pyc"]
    made += [f"{cache}/x" for cache in (".ruff_cache", ".pytest_cache", ".import_linter_cache", ".hypothesis")]
    made += ["flows/__pycache__/x.pyc", "deployments/__pycache__/x.pyc"]
    for name in (*kept, *made):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)
    left = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(left) == sorted([*kept, "Makefile"])
