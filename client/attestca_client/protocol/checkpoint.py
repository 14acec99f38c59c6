# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: the head of the log and of what it revoked, as a signed note.

C2SP tlog-checkpoint and signed-note, with Ed25519:

    <origin>                                            a line of its own each; the origin is the key's name
    <size>                                              decimal
    <root hash>                                         base64
    time <seconds since 1970-01-01T00:00:00Z>           decimal
    revocations <count> <root>                          of the tree in `protocol.revocations`; base64
    crls <digest>                                       `protocol.crls_digest` of the lists served at that time; base64
    (empty line)
    — <key name> <base64 of key id (4 bytes) and signature>

The last three lines are what the format calls extension lines: a reader of tlog-checkpoint passes over them. One head
is said in two places, here and by an anchor on the chain, each with a key of its own.

The verifier key "<key name>+<key id in hexadecimal>+<base64 of 0x01 and the public key>" is all that a reader needs.
Signatures of others (witnesses) may stand beside ours; a reader passes over those whose key it does not know. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from attestca_client.protocol import EMPTY_TREE, crls_digest
from attestca_client.protocol.base64text import decoded, encoded
from attestca_client.protocol.revocations import EMPTY_ROOT

ED25519: Final = b"\x01"
KEY_ID: Final = 4
MAX_NOTE: Final = 65_536  # bytes, with the signatures of others
_NAME: Final = re.compile(r"[^\s+]+")
_NUMBER: Final = "0|[1-9][0-9]{0,18}"
_HASH: Final = "[A-Za-z0-9+/]{43}="
_BODY: Final = re.compile(
    rf"(?P<origin>[^\n]+)\n(?P<size>{_NUMBER})\n(?P<root>{_HASH})\ntime (?P<time>{_NUMBER})\n"
    rf"revocations (?P<count>{_NUMBER}) (?P<revocations>{_HASH})\ncrls (?P<crls>{_HASH})\n",
    re.ASCII,
)
_LINE: Final = re.compile(r"— (?P<name>[^\s+]+) (?P<signature>[A-Za-z0-9+/]+=*)\n")


class NoteError(ValueError):
    """Not a checkpoint that this key signed."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the authority stands by at one time.

    Attributes:
        size: entries of the log.
        root: of their tree (RFC 9162, section 2.1), 32 bytes.
        revocation_count: handles that these entries revoke.
        revocation_root: of the tree of those (`protocol.revocations`), 32 bytes.
        crls_digest: of the revocation lists that were served, 32 bytes.
        time: seconds since 1970-01-01T00:00:00Z.
    """

    size: int
    root: bytes
    revocation_count: int
    revocation_root: bytes
    crls_digest: bytes
    time: int


EMPTY_HEAD: Final = Head(0, EMPTY_TREE, 0, EMPTY_ROOT, crls_digest({}), 0)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A head that the log stands by."""

    origin: str
    head: Head

    @property
    def text(self) -> str:
        """What is signed."""
        head = self.head
        return (
            f"{self.origin}\n{head.size}\n{encoded(head.root)}\ntime {head.time}\n"
            f"revocations {head.revocation_count} {encoded(head.revocation_root)}\n"
            f"crls {encoded(head.crls_digest)}\n"
        )


@dataclass(frozen=True, slots=True)
class Verifier:
    """The log's name and public key: what a reader has beforehand."""

    name: str
    key: bytes  # 32

    @property
    def id(self) -> bytes:
        """The four bytes that stand before a signature."""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.key).digest()[:KEY_ID]

    @property
    def text(self) -> str:
        """The verifier key, as `parse_verifier` reads it."""
        return f"{self.name}+{self.id.hex()}+{encoded(ED25519 + self.key)}"

    def open(self, note: bytes) -> Checkpoint:
        """The checkpoint in a note that this key signed. Raises NoteError."""
        body, signatures = _parts(note)
        ours = [line[KEY_ID:] for name, line in signatures if self._names(name, line)]
        if not ours or not all(self._signed(body, signature) for signature in ours):
            raise NoteError(f"no valid signature of {self.name}")
        checkpoint = _read(body)
        if checkpoint.origin != self.name:
            raise NoteError("a checkpoint of another log")
        return checkpoint

    def _names(self, name: str, line: bytes) -> bool:
        return (name, line[:KEY_ID]) == (self.name, self.id)

    def _signed(self, body: str, signature: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, body.encode())
        except InvalidSignature:
            return False
        return True


def is_name(text: str) -> bool:
    """Whether a key may have this name: it has neither spaces nor +, and nothing that cannot be shown."""
    return _NAME.fullmatch(text) is not None and text.isprintable()


def parse_verifier(text: str) -> Verifier:
    """The verifier in `<name>+<id>+<key>`. Raises NoteError."""
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    key = _decoded(encoded)
    if not is_name(name) or key[:1] != ED25519 or len(key) != 33:
        raise NoteError("not the verifier key of an Ed25519 key")
    verifier = Verifier(name, key[1:])
    if key_id != verifier.id.hex():
        raise NoteError("the verifier key is damaged: its id is another")
    return verifier


def unchecked(note: bytes) -> Checkpoint:
    """What a note says, whoever signed it: for the log itself, which keeps its own. Raises NoteError."""
    return _read(_parts(note)[0])


def _read(body: str) -> Checkpoint:
    match = _BODY.fullmatch(body)
    if match is None:
        raise NoteError("not a checkpoint")
    head = Head(
        size=int(match["size"]),
        root=_decoded(match["root"]),
        revocation_count=int(match["count"]),
        revocation_root=_decoded(match["revocations"]),
        crls_digest=_decoded(match["crls"]),
        time=int(match["time"]),
    )
    return Checkpoint(match["origin"], head)


def _parts(note: bytes) -> tuple[str, list[tuple[str, bytes]]]:
    """The body, and (name, signature) of every line behind it."""
    if len(note) > MAX_NOTE:
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
        return decoded(text)
    except ValueError as error:
        raise NoteError(str(error)) from error
