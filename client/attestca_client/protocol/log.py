# SPDX-License-Identifier: Apache-2.0
"""The entries of the public log that a relying party makes or reads itself: an issuance, a revocation.

The bytes of every kind, and how they may evolve, are defined at `ca.audit`; what is here is the part that both sides
compute. A relying party does not read the entry of its certificate: it makes it, from the certificate and the two
things that the certificate does not say, so that no other entry can be shown to it instead. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from attestca_client.protocol import Label, frame

MAX_ENTRY: Final = 4096  # bytes of an entry that is read here
_TIME: Final = 8
_HANDLE: Final = 32


class EntryError(ValueError):
    """Bytes that are no entry of this kind."""


@dataclass(frozen=True, slots=True)
class RevocationEntry:
    """That a handle is revoked, for ever.

    Attributes:
        time: microseconds since 1970-01-01T00:00:00Z.
        number: rises from revocation to revocation.
        kind: what the handle is of, by its name in `HandleKind`; a later version may have more of them.
        handle: 32 bytes.
        reason: by its name in RFC 5280, section 5.3.1.
    """

    time: int
    number: int
    kind: str
    handle: bytes
    reason: str

    @property
    def encoded(self) -> bytes:
        """The entry."""
        return frame(
            Label.LOG.encode(),
            b"revocation",
            time_field(self.time),
            self.number.to_bytes(8, "big"),
            self.kind.encode(),
            self.handle,
            self.reason.encode(),
        )


def issuance_entry(
    *,
    time: int,
    issuer_key_id: bytes,
    serial: int,
    certificate_sha256: bytes,
    policy_sha256: bytes,
    commitment: bytes,
) -> bytes:
    """The entry that tells of a certificate.

    Args:
        time: of the decision, microseconds since 1970-01-01T00:00:00Z.
        issuer_key_id: 20 bytes, the authority key identifier.
        serial: of the certificate, positive.
        certificate_sha256: of its DER, 32 bytes.
        policy_sha256: of the policy document, 32 bytes, as AttestationInfo says it.
        commitment: to the private record of the decision, 32 bytes.
    """
    number = serial.to_bytes((serial.bit_length() + 7) // 8, "big")
    return frame(
        Label.LOG.encode(),
        b"issuance",
        time_field(time),
        issuer_key_id,
        number,
        certificate_sha256,
        policy_sha256,
        commitment,
    )


def parse_revocation(entry: bytes) -> RevocationEntry:
    """The revocation in these bytes. Raises EntryError for anything else."""
    read = fields(entry)
    if len(read) != 7 or read[:2] != [Label.LOG.encode(), b"revocation"]:
        raise EntryError("not the entry of a revocation")
    time, number, kind, handle, reason = read[2:]
    if (len(time), len(number), len(handle)) != (_TIME, 8, _HANDLE):
        raise EntryError("a field of a revocation has another length")
    try:
        return RevocationEntry(
            int.from_bytes(time, "big", signed=True),
            int.from_bytes(number, "big"),
            kind.decode(),
            handle,
            reason.decode(),
        )
    except UnicodeDecodeError as error:
        raise EntryError("a text is not UTF-8") from error


def time_field(time: int) -> bytes:
    """Microseconds since 1970-01-01T00:00:00Z as i64 big-endian. Raises OverflowError."""
    return time.to_bytes(_TIME, "big", signed=True)


def fields(data: bytes, most: int = MAX_ENTRY) -> list[bytes]:
    """The fields of an entry of any kind, and not a byte more. Raises EntryError for what is longer than `most`."""
    if len(data) > most:
        raise EntryError("an entry is too long")
    found: list[bytes] = []
    at = 0
    while at < len(data):
        start = at + 4
        at = start + int.from_bytes(data[at:start], "big")
        if start > len(data) or at > len(data):
            raise EntryError("a field is cut off")
        found.append(data[start:at])
    return found
