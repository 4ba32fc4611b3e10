"""A connections file that nobody means to write: refused in a sentence, soon, and without reading all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from intercom.config.lookup import read_connections_file
from intercom.errors import ConfigurationError

ENTRY = "connections:\n  intercom:\n    - name: acme\n      access_token: abcdefgh\n      "
ALIASES = "[&a0 [x, x], " + ", ".join(f"&a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)) + "]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(f"{ENTRY}region: {ALIASES}\n", "key 'region': YAML reads a list", id="aliases of 9^11 elements"),
        pytest.param(f"{ENTRY}{ALIASES}: x\n", "is not YAML", id="aliases as a key"),
        pytest.param("\n".join(f"k{n}: 1" for n in range(20_000)), "'connections'", id="twenty thousand keys"),
        pytest.param("[" * 5_000, "cannot be read as YAML", id="five thousand brackets"),
        pytest.param(f"{ENTRY}requests_per_10s: {'9' * 4_000}\n", "YAML reads a int", id="a number of 4,000 digits"),
        pytest.param(f"{ENTRY}requests_per_10s: {'1:' * 9_999}1\n", "YAML reads a int", id="a number in base 60"),
        pytest.param("? [a, b]\n: 1\n", "is not YAML", id="a list as a key"),
    ],
)
def test_a_hostile_file_is_refused_in_a_sentence(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "connections.yml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        read_connections_file(path, {})
    assert said in str(refused.value)
    assert len(str(refused.value)) < 500


def test_a_file_of_any_size_is_read_up_to_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "connections.yml"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # no machine has room for it: so it is not read
    with pytest.raises(ConfigurationError, match="larger than 1 MiB"):
        read_connections_file(path, {})
