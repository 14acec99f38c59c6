# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of the log: its size and root hash, as a signed note (C2SP tlog-checkpoint, signed-note; Ed25519).

    <origin>                                            a line of its own each; the origin is the key's name
    <size>                                              decimal
    <root hash>                                         base64
    (empty line)
    — <key name> <base64 of key id (4 bytes) and signature>

The verifier key "<key name>+<key id in hexadecimal>+<base64 of 0x01 and the public key>" is all that a reader needs.
Signatures of others (witnesses) may stand beside ours; a reader passes over those whose key it does not know. Pure.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_ED25519: Final = b"\x01"
_KEY_ID: Final = 4
_MAX_NOTE: Final = 65_536  # bytes, with the signatures of others
_NAME: Final = re.compile(r"[^\s+]+")
_BODY: Final = re.compile(
    r"(?P<origin>[^\n]+)\n(?P<size>0|[1-9][0-9]{0,18})\n(?P<root>[^\n]+)\n", re.ASCII
)
_LATER: Final = re.compile(r"[^/]+/(?P<number>[1-9][0-9]{0,8})", re.ASCII)
_LINE: Final = re.compile(r"— (?P<name>[^\s+]+) (?P<signature>[A-Za-z0-9+/]+=*)\n")


class NoteError(ValueError):
    """Not a checkpoint that this key signed."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree that the log stands by. `root`: 32 bytes."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class Verifier:
    """The log's name and public key: what a reader has beforehand."""

    name: str
    key: bytes  # 32

    @property
    def id(self) -> bytes:
        """The four bytes that stand before a signature."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.key).digest()[:_KEY_ID]

    @property
    def text(self) -> str:
        """The verifier key, as `parse_verifier` reads it."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.key).decode()}"

    def open(self, note: bytes) -> Checkpoint:
        """The checkpoint in a note that this key signed. Raises NoteError."""
        body, signatures = _parts(note)
        ours = [line[_KEY_ID:] for name, line in signatures if self._names(name, line)]
        if not ours or not all(self._signed(body, signature) for signature in ours):
            raise NoteError(f"no valid signature of {self.name}")
        match = _BODY.fullmatch(body)
        if match is None or match["origin"] != self.name:
            raise NoteError("not a checkpoint of this log")
        root = _decoded(match["root"])
        if len(root) != sha256().digest_size:
            raise NoteError("the root hash has not 32 bytes")
        return Checkpoint(match["origin"], int(match["size"]), root)

    def _names(self, name: str, line: bytes) -> bool:
        return (name, line[:_KEY_ID]) == (self.name, self.id)

    def _signed(self, body: str, signature: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, body.encode())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class LogKey:
    """Who signs checkpoints."""

    name: str
    key: Ed25519PrivateKey

    @property
    def verifier(self) -> Verifier:
        """What readers know it by. Raises NoteError for a name that cannot be one."""
        if not _NAME.fullmatch(self.name):
            raise NoteError("the name of a log's key has neither spaces nor +")
        return Verifier(self.name, self.key.public_key().public_bytes_raw())

    def sign(self, size: int, root: bytes) -> bytes:
        """The checkpoint of a tree as a signed note, UTF-8."""
        verifier = self.verifier
        body = Checkpoint(self.name, size, root).text
        signature = base64.b64encode(verifier.id + self.key.sign(body.encode())).decode()
        return f"{body}\n— {self.name} {signature}\n".encode()


def parse_verifier(text: str) -> Verifier:
    """The verifier in `<name>+<id>+<key>`. Raises NoteError."""
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    key = _decoded(encoded)
    if not _NAME.fullmatch(name) or key[:1] != _ED25519 or len(key) != 33:
        raise NoteError("not the verifier key of an Ed25519 key")
    verifier = Verifier(name, key[1:])
    if key_id != verifier.id.hex():
        raise NoteError("the verifier key is damaged: its id is another")
    return verifier


def origin(host: str, number: int) -> str:
    """The name of an authority's log under its key of that number.

    Each key has a log of its own: a later one may not continue what the one before signed, and then no address of
    the former may give bytes of the new.
    """
    return host if number == 1 else f"{host}/{number}"


def path_of(name: str) -> str:
    """Where the log with that name is served, below the authority's URL: `log`; of a later key `log/2`, `log/3`."""
    match = _LATER.fullmatch(name)
    return "log" if match is None else f"log/{match['number']}"


def origin_of(note: bytes) -> str:
    """The name of the log in a note of ours, which is not checked."""
    return note.decode().partition("\n")[0]


def _parts(note: bytes) -> tuple[str, list[tuple[str, bytes]]]:
    """The body, and (name, signature) of every line behind it."""
    if len(note) > _MAX_NOTE:
        raise NoteError("the note is too long")
    try:
        text = note.decode()
    except UnicodeDecodeError as error:
        raise NoteError("the note is not UTF-8") from error
    body, separator, lines = text.rpartition("\n\n")
    signatures = [(match["name"], _decoded(match["signature"])) for match in _LINE.finditer(lines)]
    if not separator or not signatures or _LINE.sub("", lines):
        raise NoteError("not a signed note")
    return f"{body}\n", signatures


def _decoded(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise NoteError("not base64") from error
    if base64.b64encode(data).decode() != text:
        raise NoteError("not canonical base64")
    return data
