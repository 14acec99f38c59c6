# SPDX-License-Identifier: Apache-2.0
"""Checkpoints as a relying party reads them: the text is fixed for ever; what was changed is refused."""

from __future__ import annotations

import base64
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from attestca_client.protocol import EMPTY_TREE, crls_digest
from attestca_client.protocol.checkpoint import (
    EMPTY_HEAD,
    Checkpoint,
    Head,
    NoteError,
    Verifier,
    parse_verifier,
    unchecked,
)

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "ca.example.org"
HEAD = Head(7, bytes(range(32)), 2, b"v" * 32, b"c" * 32, 1_772_366_400)
TEXT = (
    "ca.example.org\n"
    "7\n"
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
    "time 1772366400\n"
    "revocations 2 dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnY=\n"
    "crls Y2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2M=\n"
)
KEY = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
VERIFIER = Verifier(NAME, KEY.public_key().public_bytes_raw())
OTHER = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)


def signed(body: str, key: Ed25519PrivateKey = KEY, name: str = NAME) -> bytes:
    verifier = Verifier(name, key.public_key().public_bytes_raw())
    signature = base64.b64encode(verifier.id + key.sign(body.encode())).decode()
    return f"{body}\n— {name} {signature}\n".encode()


def line(note: bytes) -> bytes:
    """The signature of a note."""
    return note.split(b"\n\n")[1]


NOTE = signed(TEXT)
FALSE = line(signed(TEXT.replace("\n7\n", "\n8\n")))


def test_the_text() -> None:
    assert Checkpoint(NAME, HEAD).text == TEXT
    assert VERIFIER.open(NOTE) == unchecked(NOTE) == Checkpoint(NAME, HEAD)


@given(
    st.builds(
        Head,
        size=st.integers(0, 2**63 - 1),
        root=st.binary(min_size=32, max_size=32),
        revocation_count=st.integers(0, 2**63 - 1),
        revocation_root=st.binary(min_size=32, max_size=32),
        crls_digest=st.binary(min_size=32, max_size=32),
        time=st.integers(0, 2**63 - 1),
    )
)
def test_every_head_is_read_back(head: Head) -> None:
    assert VERIFIER.open(signed(Checkpoint(NAME, head).text)).head == head


def test_the_head_of_nothing() -> None:
    assert Head(0, EMPTY_TREE, 0, bytes(32), crls_digest({}), 0) == EMPTY_HEAD


def test_beside_the_signatures_of_others() -> None:
    theirs = line(signed(TEXT, OTHER, "witness.example"))
    assert VERIFIER.open(NOTE + theirs).head == HEAD
    assert VERIFIER.open(NOTE.replace(b"\n\n", b"\n\n" + theirs)).head == HEAD
    with pytest.raises(NoteError, match="no valid signature"):
        VERIFIER.open(signed(TEXT, OTHER, "witness.example"))


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "size": lambda note: note.replace(b"\n7\n", b"\n8\n"),
    "count of revocations": lambda note: note.replace(b"revocations 2", b"revocations 1"),
    "root of revocations": lambda note: note.replace(b"dnZ2", b"dnZ3", 1),
    "lists": lambda note: note.replace(b"Y2Nj", b"Y2Nk", 1),
    "time": lambda note: note.replace(b"time 1772366400", b"time 1772366401"),
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
    assert CHANGES[change](NOTE) != NOTE
    with pytest.raises(NoteError):
        VERIFIER.open(CHANGES[change](NOTE))


LINES = TEXT.splitlines(keepends=True)
BODIES = {
    "size with a zero": TEXT.replace("\n7\n", "\n07\n"),
    "size beyond 63 bits": TEXT.replace("\n7\n", "\n10000000000000000000\n"),
    "root of 31 bytes": TEXT.replace("GxwdHh8=", "GxwdHg=="),
    "root that is not canonical": TEXT.replace("Hh8=", "Hh9="),
    "another log": TEXT.replace(NAME, "another"),
    "no head": "".join(LINES[:3]),
    "no time": TEXT.replace("time 1772366400\n", ""),
    "negative time": TEXT.replace("time 1", "time -1"),
    "no count": TEXT.replace("revocations 2 ", "revocations "),
    "no lists": TEXT[: TEXT.index("crls")],
    "lines in another order": "".join([*LINES[:3], *reversed(LINES[3:])]),
    "one more line": TEXT + "more\n",
    "digits of another script": TEXT.replace("\n7\n", "\n\u0667\n"),
}


@pytest.mark.parametrize("body", BODIES)
def test_signed_text_that_is_no_checkpoint(body: str) -> None:
    assert BODIES[body] != TEXT
    with pytest.raises(NoteError):
        VERIFIER.open(signed(BODIES[body]))


@given(st.binary() | st.text().map(str.encode))
def test_no_bytes_crash_it(data: bytes) -> None:
    with pytest.raises(NoteError):
        VERIFIER.open(data)
    with pytest.raises(NoteError):
        unchecked(data)


def test_what_is_not_checked() -> None:
    """For the log's own notes; a relying party never reads one so."""
    other = replace(HEAD, size=8)
    body = Checkpoint("another", other).text
    assert unchecked(signed(body, OTHER)) == Checkpoint("another", other)


def test_the_verifier_key() -> None:
    assert parse_verifier(VERIFIER.text) == VERIFIER
    assert VERIFIER.text.startswith(f"{NAME}+{VERIFIER.id.hex()}+A")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000+AQ==",
        "name+00000000+" + base64.b64encode(b"\x01" + HEAD.root).decode(),
        "name+x+" + base64.b64encode(b"\x02" + HEAD.root).decode(),
        VERIFIER.text + "=",
        VERIFIER.text.replace(NAME, "\ud800"),
        Verifier("\x1b[2J", VERIFIER.key).text,
    ],
)
def test_what_is_no_verifier_key(text: str) -> None:
    with pytest.raises(NoteError):
        parse_verifier(text)


def test_the_digest_of_lists() -> None:
    """Fixed for ever; a function of which lists there are, not of their order."""
    lists = {"https://a/1.crl": b"\x01" * 32, "https://a/2.crl": b"\x02" * 32}
    said = b"\x00\x00\x00\x0fattestca/1 crls" + b"".join(
        b"\x00\x00\x00\x0f" + url.encode() + b"\x00\x00\x00\x20" + digest
        for url, digest in lists.items()
    )
    assert crls_digest(lists) == sha256(said).digest()
    assert crls_digest(dict(reversed(lists.items()))) == crls_digest(lists)
    for other in ({}, lists | {"https://a/2.crl": b"\x03" * 32}, {"https://a/1.crl": b"\x01" * 32}):
        assert crls_digest(other) != crls_digest(lists)
