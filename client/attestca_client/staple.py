# SPDX-License-Identifier: Apache-2.0
"""The staple: what the authority says of one certificate, `GET /v1/status/{serial}`, checked offline.

JSON; binary members are base64:

    checkpoint    the log's, a signed note (`protocol.checkpoint`)
    index         of the certificate's entry in the log, from 0
    time          of the decision, microseconds since 1970-01-01T00:00:00Z
    commitment    of the entry to the private record, 32 bytes
    hashes        the entry's inclusion proof in the checkpoint's tree, 32 bytes each
    revocations   the revocation tree, cut back to the certificate's handles (`protocol.revocations`)
    revoked       the log's entries of those handles that are in it

Nothing else is taken from it: the entry is made here, of the certificate, and so are the handles that are looked up.
What is new may come as a member of its own, which this reader passes over. Pure. A staple that cannot be read is a
`StapleError`, and no other exception.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from attestca_client.checks import instant, plain
from attestca_client.protocol import is_included, leaf_hash
from attestca_client.protocol.base64text import decoded
from attestca_client.protocol.checkpoint import MAX_NOTE
from attestca_client.protocol.jsontext import read_object
from attestca_client.protocol.log import (
    MAX_ENTRY,
    EntryError,
    RevocationEntry,
    issuance_entry,
    parse_revocation,
)
from attestca_client.protocol.revocations import MAX_PROOF, ProofError, read_proof

if TYPE_CHECKING:
    from collections.abc import Mapping

    from attestca_client.protocol.checkpoint import Head
    from attestca_client.protocol.revocations import PrunedTree

MAX_STAPLE: Final = 1 << 20  # bytes
_MAX_HASHES: Final = 64
_MAX_REVOKED: Final = 256
_TIMES: Final = 1 << 63
_INDEXES: Final = 1 << 62


class StapleError(ValueError):
    """Not a staple."""


@dataclass(frozen=True, slots=True)
class Staple:
    """One that was read. `revoked`: by the leaf hash that the revocation tree has as its value."""

    checkpoint: bytes
    index: int
    time: int
    commitment: bytes
    hashes: tuple[bytes, ...]
    revocations: PrunedTree
    revoked: Mapping[bytes, RevocationEntry]

    def tells_of(
        self,
        head: Head,
        *,
        issuer_key_id: bytes,
        serial: int,
        certificate_sha256: bytes,
        policy_sha256: bytes,
    ) -> bool:
        """Whether it proves that the log with this head has the entry of this certificate."""
        entry = issuance_entry(
            time=self.time,
            issuer_key_id=issuer_key_id,
            serial=serial,
            certificate_sha256=certificate_sha256,
            policy_sha256=policy_sha256,
            commitment=self.commitment,
        )
        return is_included(leaf_hash(entry), self.index, head.size, self.hashes, head.root)

    def revocation(self, handle: bytes) -> str | None:
        """When and why a handle was revoked, as far as entries came along; None where the tree proves that it is not.

        Raises StapleError where the tree does not show.
        """
        try:
            value = self.revocations.value(handle)
        except ProofError as error:
            raise StapleError(str(error)) from error
        if value is None:
            return None
        entry = self.revoked.get(value)
        if entry is None:
            return "its entry did not come along"
        return f"{instant(entry.time // 1_000_000)}, {plain(entry.reason)}"


def parse_staple(data: bytes) -> Staple:
    """Raises StapleError."""
    if len(data) > MAX_STAPLE:
        raise StapleError(f"larger than {MAX_STAPLE} bytes")
    try:
        value = read_object(data)
    except ValueError as error:
        raise StapleError("not a JSON object") from error
    hashes = _list(value, "hashes", _MAX_HASHES)
    note = _text(value.get("checkpoint"), "checkpoint").encode("utf-8", "surrogatepass")
    if len(note) > MAX_NOTE:
        raise StapleError("the checkpoint is too long")
    return Staple(
        checkpoint=note,
        index=_number(value, "index", _INDEXES),
        time=_number(value, "time", _TIMES),
        commitment=_bytes(value.get("commitment"), "commitment", 32, 32),
        hashes=tuple(_bytes(one, "hashes", 32, 32) for one in hashes),
        revocations=_tree(value.get("revocations")),
        revoked=_revoked(_list(value, "revoked", _MAX_REVOKED)),
    )


def _tree(value: object) -> PrunedTree:
    try:
        return read_proof(_bytes(value, "revocations", 1, MAX_PROOF))
    except ProofError as error:
        raise StapleError(f"revocations: {error}") from error


def _revoked(values: list[object]) -> dict[bytes, RevocationEntry]:
    entries = [_bytes(value, "revoked", 1, MAX_ENTRY) for value in values]
    try:
        return {leaf_hash(entry): parse_revocation(entry) for entry in entries}
    except EntryError as error:
        raise StapleError(f"revoked: {error}") from error


def _list(value: dict[str, Any], name: str, most: int) -> list[object]:
    found = value.get(name)
    if not isinstance(found, list) or len(found) > most:
        raise StapleError(f"{name}: a list of at most {most} is wanted")
    return found


def _number(value: dict[str, Any], name: str, end: int) -> int:
    found = value.get(name)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < end:
        raise StapleError(f"{name}: a whole number is wanted")
    return found


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise StapleError(f"{name}: text is wanted")
    return value


def _bytes(value: object, name: str, least: int, most: int) -> bytes:
    text = _text(value, name)
    try:
        data = decoded(text)
    except ValueError as error:
        raise StapleError(f"{name}: {error}") from error
    if not least <= len(data) <= most:
        raise StapleError(f"{name}: base64 of another length")
    return data
