# SPDX-License-Identifier: Apache-2.0
"""What an audit leaves behind is what the next one begins with; anything else in its place is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import typer

from attestca_client.protocol.checkpoint import EMPTY_HEAD
from ca.cli import log_state
from ca.cli.exits import UnreadableError
from ca.cli.log_state import Seen, State
from ca.ledger.events import Told
from ca.replay import Replay
from tests.log_lab import KEY, SECOND

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEAD = replace(EMPTY_HEAD, size=5, root=b"r" * 32, revocation_count=2, time=77)
SAID = Told((HEAD, replace(HEAD, time=78)), {b"h" * 32: b"b" * 20}, 9, b"#" * 32, 12)
STATE = State(
    KEY.verifier,
    Replay(),
    EMPTY_HEAD,
    KEY.sign(EMPTY_HEAD).decode(),
    b"i" * 32,
    Seen(204, b"c" * 20, b"n" * 32, 3, SAID),
)


def test_what_is_kept_is_read(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    log_state.keep(path, STATE)
    assert log_state.read(path, None) == STATE
    assert log_state.read(path, KEY.verifier.text) == STATE
    with pytest.raises(typer.BadParameter, match="of another log"):
        log_state.read(path, SECOND.verifier.text)
    plain = replace(STATE, ca_id=None, chain=None)
    log_state.keep(path, plain)
    assert log_state.read(path, None) == plain


def test_a_state_of_before_there_was_more(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    log_state.keep(path, STATE)
    found = json.loads(path.read_text())
    del found["chain"], found["ca_id"]
    path.write_text(json.dumps(found))
    assert log_state.read(path, None) == replace(STATE, ca_id=None, chain=None)


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.update(chain=[]),
        lambda found: found.update(ca_id="aa"),
        lambda found: found.update(ca_id=1),
        lambda found: found["chain"].update(hash="aa"),
        lambda found: found["chain"].update(block="x"),
        lambda found: found["chain"].update(contract="aa"),
        lambda found: found["chain"].update(tombstones={"aa": "bb" * 20}),
        lambda found: found["chain"]["heads"][0].pop(),
        lambda found: found["chain"].pop("count"),
        lambda found: found.update(checkpoint=SECOND.sign(EMPTY_HEAD).decode()),
    ],
    ids=["chain", "short id", "id", "hash", "block", "contract", "handle", "head", "count", "note"],
)
def test_what_no_audit_left(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = tmp_path / "state.json"
    log_state.keep(path, STATE)
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))
    with pytest.raises(UnreadableError, match="not what an audit left behind"):
        log_state.read(path, None)
