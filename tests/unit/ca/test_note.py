# SPDX-License-Identifier: Apache-2.0
"""What signs checkpoints: Go's `sumdb/note` opens ours; names of logs. How they are read: tests/unit/client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from attestca_client.protocol.checkpoint import Checkpoint, Head, NoteError
from ca.note import LogKey, origin, origin_of, path_of
from tests.go_log import RefusedError

if TYPE_CHECKING:
    from tests.go_log import GoLog

NAME = "ca.example.org"
HEAD = Head(7, b"r" * 32, 2, b"v" * 32, b"c" * 32, 1_772_366_400)


def key(seed: int = 1, name: str = NAME) -> LogKey:
    return LogKey(name, Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


def test_signed_and_opened() -> None:
    note = key().sign(HEAD)
    assert key().verifier.open(note) == Checkpoint(NAME, HEAD)
    assert key().sign(HEAD) == note, "Ed25519 signs the same alike"


def test_go_opens_it(go_log: GoLog) -> None:
    """With the lines that only we write, and beside the signature of somebody else."""
    note = key().sign(HEAD)
    opened = go_log.ask("open", key=key().verifier.text, note=note.decode())
    assert opened["text"] == Checkpoint(NAME, HEAD).text
    with pytest.raises(RefusedError):
        go_log.ask("open", key=key(2).verifier.text, note=note.decode())
    theirs = key(2, "witness.example").sign(HEAD).split(b"\n\n")[1]
    assert go_log.ask("open", key=key().verifier.text, note=(note + theirs).decode()) == opened


@pytest.mark.parametrize("name", ["", "two words", "a+b", "a\nb"])
def test_names_that_no_key_has(name: str) -> None:
    with pytest.raises(NoteError):
        key(name=name).sign(HEAD)


@pytest.mark.parametrize(("number", "path"), [(1, "log"), (2, "log/2"), (31, "log/31")])
def test_each_key_has_a_log_of_its_own(number: int, path: str) -> None:
    name = origin(NAME, number)
    assert path_of(name) == path
    assert origin_of(key(name=name).sign(HEAD)) == name
