# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: Go's `sumdb/note` opens ours; what was changed is refused."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ca.note import Checkpoint, LogKey, NoteError, parse_verifier
from tests.go_log import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.go_log import GoLog

ROOT = bytes(range(32))
NAME = "ca.example.org"


def key(seed: int = 1, name: str = NAME) -> LogKey:
    return LogKey(name, Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


FALSE = key().sign(8, ROOT).split(b"\n\n")[1]


def test_signed_and_opened() -> None:
    note = key().sign(7, ROOT)
    assert note.decode().splitlines()[:4] == [NAME, "7", base64.b64encode(ROOT).decode(), ""]
    verifier = parse_verifier(key().verifier.text)
    assert verifier == key().verifier
    assert verifier.open(note) == Checkpoint(NAME, 7, ROOT)


def test_go_opens_it(go_log: GoLog) -> None:
    note = key().sign(7, ROOT)
    opened = go_log.ask("open", key=key().verifier.text, note=note.decode())
    assert opened["text"] == Checkpoint(NAME, 7, ROOT).text
    with pytest.raises(RefusedError):
        go_log.ask("open", key=key(2).verifier.text, note=note.decode())


def test_beside_the_signatures_of_others(go_log: GoLog) -> None:
    ours, theirs = key().sign(7, ROOT), key(2, "witness.example").sign(7, ROOT)
    witness = theirs.split(b"\n\n")[1].replace(NAME.encode(), b"witness.example")
    assert key().verifier.open(ours + witness).size == 7
    assert key().verifier.open(ours.replace(b"\n\n", b"\n\n" + witness)).size == 7
    assert go_log.ask("open", key=key().verifier.text, note=(ours + witness).decode())


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "size": lambda note: note.replace(b"\n7\n", b"\n8\n"),
    "leading zero": lambda note: note.replace(b"\n7\n", b"\n07\n"),
    "name": lambda note: note.replace(NAME.encode(), b"ca.example.com"),
    "no empty line": lambda note: note.replace(b"\n\n", b"\n"),
    "a line before the signature": lambda note: note.replace(b"\n\n", b"\n\nmore\n"),
    "no last newline": lambda note: note.rstrip(b"\n"),
    "a line behind the signature": lambda note: note + b"more",
    "a second signature of ours that is false": lambda note: note + FALSE,
    "another dash": lambda note: note.replace(b"\xe2\x80\x94", b"-"),
    "not UTF-8": lambda note: b"\xff" + note,
    "too long": lambda note: b"x" * 70_000 + note,
    "nothing": lambda _: b"",
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_is_refused(change: str) -> None:
    with pytest.raises(NoteError):
        key().verifier.open(CHANGES[change](key().sign(7, ROOT)))


@pytest.mark.parametrize(
    "body",
    [
        f"{NAME}\n07\n{base64.b64encode(ROOT).decode()}\n",
        f"{NAME}\n7\n{base64.b64encode(ROOT[1:]).decode()}\n",
        f"{NAME}\n7\nAB==\n",
        f"another\n7\n{base64.b64encode(ROOT).decode()}\n",
        f"{NAME}\n7\n{base64.b64encode(ROOT).decode()}\nmore\n",
    ],
)
def test_signed_text_that_is_no_checkpoint(body: str) -> None:
    signature = base64.b64encode(key().verifier.id + key().key.sign(body.encode())).decode()
    with pytest.raises(NoteError):
        key().verifier.open(f"{body}\n— {NAME} {signature}\n".encode())


@given(st.binary() | st.text().map(str.encode))
def test_no_bytes_crash_it(data: bytes) -> None:
    with pytest.raises(NoteError):
        key().verifier.open(data)


@pytest.mark.parametrize("name", ["", "two words", "a+b", "a\nb"])
def test_names_that_no_key_has(name: str) -> None:
    with pytest.raises(NoteError):
        key(name=name).sign(7, ROOT)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000+AQ==",
        "name+00000000+" + base64.b64encode(b"\x01" + ROOT).decode(),
        "name+x+" + base64.b64encode(b"\x02" + ROOT).decode(),
        key().verifier.text + "=",
    ],
)
def test_what_is_no_verifier_key(text: str) -> None:
    with pytest.raises(NoteError):
        parse_verifier(text)
