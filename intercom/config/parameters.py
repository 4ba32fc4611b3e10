"""Types of the flows' parameters. Prefect builds the form of a run from them, and refuses a run that does not fit.

The shell reads names, types, defaults and descriptions of the groups from the source of this file
(`intercom.cli.options`), so a field's default and its description are literals.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from intercom.config.column_rules import parse_columns
from intercom.config.lookback import LOOKBACK_PATTERN
from intercom.config.redaction import WITHOUT_PASSWORD, WITHOUT_SECRETS, options_without_secrets
from intercom.config.storage_options import parse_options
from intercom.tables.catalogue import TABLES
from intercom.tables.selection import GROUPS

ConnectionName = Annotated[str, Field(min_length=1)]
LakeURL = Annotated[str, Field(min_length=1, json_schema_extra=WITHOUT_PASSWORD)]
TableName = Annotated[str, WithJsonSchema({"type": "string", "enum": [*GROUPS, *TABLES]})]
"""Name of a table or of a group of tables, with the list to choose from in the form.

`intercom.tables.selection.select_tables` checks it in calls from Python."""
_LEAP_YEAR = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"
_DAY_OF_ANY_YEAR = "(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31"
_A_DAY = f"^([0-9]{{4}}-({_DAY_OF_ANY_YEAR})|{_LEAP_YEAR}-02-29)$"
Day = Annotated[date, Field(json_schema_extra={"pattern": _A_DAY})]
"""Date, with a pattern of its text: Prefect's server does not check a schema's formats when a run is created."""
StartDate = Day | Annotated[Literal["all"], Field(title="all")]
"""The first day to copy, or the word for no limit; without either a table's history begins where it began."""
LookbackText = Annotated[str, Field(json_schema_extra={"pattern": LOOKBACK_PATTERN})]
"""``26h``, or ``1h,contacts=6h``. `intercom.config.lookback.parse_lookback` checks it in calls from Python."""
FilePath = Annotated[str, Field(title="path", min_length=1)]
StoreText = Annotated[str, Field(title="text", min_length=1, json_schema_extra=WITHOUT_SECRETS)]
StoreObject = Annotated[dict[str, Any], Field(title="object (in YAML)", json_schema_extra=options_without_secrets())]
"""Storage options as an object. Prefect's form has no field for an object of any keys: there it is typed as text."""

SampleSize = Annotated[int, Field(ge=0, le=1_000)]
RequestCount = Annotated[int, Field(ge=1, le=100_000)]
RulesText = Annotated[str, Field(title="text", min_length=1)]
RulesObject = Annotated[dict[str, Any], Field(title="object (in YAML)")]
"""Rules that protect columns, by table."""


class StoreOptions(BaseModel):
    """How a lake is reached."""

    # Descriptions as docstrings would cost each run 0.1 s: Pydantic looks for the source of each class.
    model_config = ConfigDict(extra="forbid", frozen=True, field_title_generator=lambda name, _: name)

    storage_options: StoreText | StoreObject | None = Field(
        default=None,
        description="How to reach the lake's store: fsspec's options as JSON, without secrets, or a Prefect block, "
        "such as secret/lake.",
    )

    def store(self) -> dict[str, Any] | str | None:
        """The storage options: an object, also if it was given as text, or the name of a block; None without any.

        Raises ConfigurationError for text that is a broken object.
        """
        given = self.storage_options
        return parse_options(given) if isinstance(given, str) else given


class LakeOptions(StoreOptions):
    """How a lake is reached and kept."""

    table_format: Literal["parquet", "delta"] = Field(
        default="parquet",
        description="parquet (plain files, one for each month) or delta (Delta Lake: a read is a snapshot; needs "
        "the extra delta).",
    )


class ReadOptions(LakeOptions):
    """Options of runs that read a workspace, which few of them need."""

    connections_file: FilePath | None = Field(
        default=None,
        description="YAML file with connections, on the machine of the run; connections.yml in the current "
        "folder if it exists.",
    )
    columns: RulesText | RulesObject | None = Field(
        default=None,
        description="Columns to protect, beside the connection's: by table, what to exclude, hash or mask.",
    )
    refill_lists: bool = Field(
        default=False,
        description="Ask for all tags and companies of contacts with more than ten; one request for each list.",
    )
    plain_text: bool = Field(
        default=False,
        description="Ask for the bodies of conversation parts without HTML. Stored parts change when their "
        "conversation changes.",
    )
    allow_mass_removal: bool = Field(
        default=False,
        description="Allow a full refresh or a reconcile to remove more than a fifth of a table of over 100 rows, if "
        "two answers agree; without it, the table fails.",
    )

    def more_rules(self) -> Any:
        """The columns as an object, also if it was given as text. Raises ConfigurationError for broken text."""
        return parse_columns(self.columns) if isinstance(self.columns, str) else self.columns


class SyncOptions(ReadOptions):
    """Options that few syncs need."""

    compact: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="When staged rows are merged: auto (after each run; above a million rows when one in a hundred "
        "waits, or after six hours), always, or never (the flow intercom-compact does it).",
    )


class VerifyOptions(StoreOptions):
    """Options that few verifications need."""

    connections_file: FilePath | None = Field(
        default=None,
        description="YAML file with connections, on the machine of the run; connections.yml in the current "
        "folder if it exists.",
    )
    sample: SampleSize = Field(
        default=50,
        description="Records of each table that are compared field by field: this many at random, of the newest, and "
        "of the oldest; more of the last changed ones.",
    )
    most_requests: RequestCount = Field(
        default=200,
        description="The largest number of requests to Intercom for each table.",
    )
    lookback: LookbackText = Field(
        default="1h",
        description="The lookback of your syncs. Changes that the next sync reads again count as no difference.",
    )
