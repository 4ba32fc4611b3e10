"""The command `init`: the files that a user edits, written into a folder of the user's own."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from intercom import bundled

CONNECTIONS = """\
# Connections to Intercom. You can commit this file: ${...} is replaced by a variable of the environment.
#   export INTERCOM_ACCESS_TOKEN=...      # from the Developer Hub of your workspace
#   intercom-lake check --connection my_intercom
connections:
  intercom:
    - name: "my_intercom"                  # the name for --connection, and of a folder in the lake
      access_token: ${INTERCOM_ACCESS_TOKEN}
      region: "us"                         # where Intercom keeps the workspace's data: us, eu or au
      # base_url: "http://127.0.0.1:8080"  # instead of Intercom: a proxy (https), or intercom-lake sandbox
      # requests_per_10s: 80               # a limit below Intercom's, to share a quota with other apps
      # requests_in_flight: 8              # 1 to 32
      # deleted: "mark"                    # deleted rows stay in the lake, with a time in _deleted_at
      # hash_key: ${INTERCOM_HASH_KEY}     # the key for hashed columns: openssl rand -hex 32; keep it
      # columns:                           # values that must not reach the lake
      #   contacts:
      #     exclude: [avatar]
      #     hash: [email, phone]
      #     mask: [name]
"""
_HEADER = """\
# Deployments of intercom-lake. Call these commands in this folder, since deployments remember it:
#   intercom-lake bootstrap --connections-file connections.yml
#   prefect --no-prompt deploy --all
#   prefect worker start --pool local-process
# Without a worker: intercom-lake serve
"""
_EXAMPLES = (
    "deployments/automations/*.yaml",
    "deployments/dbt/.gitignore",
    "deployments/dbt/*.yml",
    "deployments/dbt/requirements.txt",
    "deployments/dbt/models/*.sql",
    "deployments/dbt/models/models.yml",
    "deployments/dbt/tests/generic/*.sql",
    "deployments/examples/*.yaml",
)
"""The files that pages of the documentation name, without what dbt has made."""
_NEXT = """\
  export INTERCOM_ACCESS_TOKEN=...
  intercom-lake check --connection my_intercom
  intercom-lake sync --connection my_intercom"""


def init(
    *,
    folder: Annotated[Path, Parameter(help="The folder; created if it does not exist.", metavar="FOLDER")] = Path(),
    examples: Annotated[
        bool,
        Parameter(
            help="Also write deployments/: the dbt project, automations, and examples of deployments.",
            negative=(),
            show_default=False,
        ),
    ] = False,
) -> int:
    """Write connections.yml and prefect.yaml, commented, into a folder. An existing file stays as it is."""
    files = {"connections.yml": CONNECTIONS, "prefect.yaml": prefect_yaml(), **(_examples() if examples else {})}
    written = []
    for name, text in files.items():
        try:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with (folder / name).open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            print(f"{folder / name} exists already and stays as it is")
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


def _examples() -> dict[str, str]:
    """The texts of the example files by their paths, which are those of the project's folder."""
    root = bundled.path("deployments").parent
    found = sorted({file for pattern in _EXAMPLES for file in root.glob(pattern)})
    return {str(file.relative_to(root)): file.read_text(encoding="utf-8") for file in found}


def prefect_yaml() -> str:
    """The project's prefect.yaml for another folder: entrypoints are modules of the installed package."""
    text = bundled.path("prefect.yaml").read_text(encoding="utf-8")
    _, _, rest = text.partition("\nname: ")
    text = re.sub(r"entrypoint: flows/(\w+)\.py:(\w+)", r"entrypoint: intercom.flows.\1.\2", f"name: {rest}")
    return _HEADER + text.replace("connection: default", "connection: my_intercom")
