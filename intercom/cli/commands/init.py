"""The command `init`: the two files that a user edits, written into a folder of the user's own."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from intercom import bundled

CONNECTIONS = """\
# Connections to Intercom. Safe to commit: a token stays in the environment, and is filled in where ${...} stands.
#   export INTERCOM_ACCESS_TOKEN=...      # from the Developer Hub of your workspace
#   intercom-lake check --connection my_intercom
connections:
  intercom:
    - name: "my_intercom"                  # what --connection names, and a folder in the lake
      access_token: ${INTERCOM_ACCESS_TOKEN}
      region: "us"                         # where the workspace's data live: us, eu or au
      # requests_per_10s: 80               # a cap below what Intercom allows, for a quota that is shared
      # requests_in_flight: 8              # 1 to 32
      # deleted: "mark"                    # rows that are gone from Intercom stay, with the time in _deleted_at
      # hash_key: ${INTERCOM_HASH_KEY}     # for columns that are hashed: openssl rand -hex 32; keep it
      # columns:                           # what never gets into the lake as it is
      #   contacts:
      #     exclude: [avatar]
      #     hash: [email, phone]
      #     mask: [name]
"""
_HEADER = """\
# Deployments of intercom-lake. From this folder, since deployments remember where it is:
#   intercom-lake bootstrap --connections-file connections.yml
#   prefect --no-prompt deploy --all
#   prefect worker start --pool local-process
# Without a worker: intercom-lake serve
"""
_NEXT = """\
  export INTERCOM_ACCESS_TOKEN=...
  intercom-lake check --connection my_intercom
  intercom-lake sync --connection my_intercom"""


def init(
    *,
    folder: Annotated[Path, Parameter(help="The folder; created if it does not exist.", metavar="FOLDER")] = Path(),
) -> int:
    """Write connections.yml and prefect.yaml, commented, into a folder. A file that is there stays as it is."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"{folder} cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    written = []
    for name, text in (("connections.yml", CONNECTIONS), ("prefect.yaml", prefect_yaml())):
        try:
            with (folder / name).open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            print(f"{folder / name} is there already and stays as it is")
        except OSError as error:
            print(f"{folder / name} cannot be written: {error.strerror}", file=sys.stderr)
            return 1
        else:
            print(f"{folder / name} written")
            written.append(name)
    if written:
        print("\nNext:")
        if folder != Path():
            print(f"  cd {folder}")
        print(_NEXT if "connections.yml" in written else "  intercom-lake check --connection NAME")
    return 0


def prefect_yaml() -> str:
    """The project's prefect.yaml for another folder: entrypoints are modules of the installed package."""
    text = bundled.path("prefect.yaml").read_text(encoding="utf-8")
    _, _, rest = text.partition("\nname: ")
    text = re.sub(r"entrypoint: flows/(\w+)\.py:(\w+)", r"entrypoint: intercom.flows.\1.\2", f"name: {rest}")
    return _HEADER + text.replace("connection: default", "connection: my_intercom")
