"""The flows as modules that an entrypoint can name: ``intercom.flows.sync.sync``, ``intercom.flows.compact.compact``.

A wheel has their files here; in a checkout they are the files of its folder ``flows``.
"""

from __future__ import annotations

from pathlib import Path

if not (Path(__file__).parent / "sync.py").is_file():
    __path__.append(str(Path(__file__).parents[2] / "flows"))
