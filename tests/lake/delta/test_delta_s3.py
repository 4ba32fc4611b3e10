"""Delta tables on S3: the log goes by deltalake's own connection, which is given what s3fs has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from intercom.errors import ConfigurationError, LakeError
from intercom.lake.delta.credentials import storage_options
from intercom.lake.delta.log import DeltaLog
from intercom.lake.layout import TableFormat, TablePaths
from tests.conftest import BUCKET
from tests.support.rig import CONNECTION, Rig
from tests.sync.test_recovery import change

CONTACTS = TablePaths(CONNECTION, "contacts")


@pytest.fixture
def table_format() -> TableFormat:
    return TableFormat.DELTA


@pytest.fixture
def on_s3(make_rig: Callable[..., Rig], s3_storage: dict[str, Any]) -> Rig:
    made = make_rig(
        lake=f"s3://{BUCKET}/some/prefix", contacts=30, companies=5, conversations=0, articles=0, history_days=20
    )
    made.storage = s3_storage
    return made


def test_first_load_and_increment_on_s3_are_exact(on_s3: Rig) -> None:
    tables = ("contacts", "tags")
    on_s3.sync(tables)
    change(on_s3)
    on_s3.workspace.create("tags")
    on_s3.sync(tables)
    on_s3.check(tables)
    log = CONTACTS.delta_log
    assert sorted(on_s3.lake().list(log)) == [f"{log}/{number:020d}.json" for number in (0, 1)]


def test_the_log_is_encrypted_as_the_files_are(on_s3: Rig) -> None:
    on_s3.storage |= {"s3_additional_kwargs": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/lake"}}
    on_s3.sync(["tags"])
    fs = on_s3.lake().filesystem
    for path in on_s3.lake().list("data"):
        head = fs.call_s3("head_object", Bucket=BUCKET, Key=f"some/prefix/{path}")
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "alias/lake"), path


def test_credentials_are_those_that_s3fs_has(on_s3: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(**options: Any) -> tuple[str | None, ...]:
        on_s3.storage = {**endpoint, **options}
        given = storage_options(on_s3.lake())
        return tuple(given.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"))

    endpoint = dict(on_s3.storage)
    assert found() == ("test", "test", None)
    assert found(key="k", secret="s") == ("k", "s", None)
    assert found(key="k", secret="s", token="t") == ("k", "s", "t")
    assert found(anon=True) == (None, None, None)
    (tmp_path / "credentials").write_text(
        "[other]\naws_access_key_id = pk\naws_secret_access_key = ps\naws_session_token = pt\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    assert found(profile="other") == ("pk", "ps", "pt")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of the environment")
    assert found() == ("test", "test", "of the environment")
    with pytest.raises(ConfigurationError, match="Unset it"):
        found(key="k", secret="s")


def test_an_error_does_not_repeat_credentials(on_s3: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    on_s3.sync(["tags"])
    on_s3.storage |= {"key": "the-key", "secret": "the-secret", "token": "the-token"}
    log = DeltaLog(on_s3.lake(), TablePaths(CONNECTION, "tags"))

    def refuse(*_: object, **__: object) -> None:
        raise OSError("<Token-0>the-token</Token-0> of the-key, the-secret")

    monkeypatch.setattr(DeltaLog, "_table", refuse)
    with pytest.raises(LakeError, match="Cannot read") as caught:
        log.newest()
    assert not any(word in str(caught.value) for word in ("the-token", "the-key", "the-secret"))
    assert caught.value.__cause__ is None, "its text would be shown as well"
    assert caught.value.__suppress_context__
