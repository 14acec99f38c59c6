# SPDX-License-Identifier: Apache-2.0
"""How an SEV-SNP attestation report and the certificate table beside it become bytes. Nothing is parsed or checked.

Sources: AMD SEV-SNP firmware ABI 56860 (ATTESTATION_REPORT); GHCB specification 56421, 4.1.8.1 (certificate table).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

from simulator.layouts import SNP_REPORT, SNP_SIGNATURE, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from simulator.amd_keys import P384Key
    from simulator.layouts import Value

    Edit: TypeAlias = "bytes | Callable[[bytes], bytes]"

VCEK = UUID("63da758d-e664-4564-adc5-f4b93be8accd")
VLEK = UUID("a8074bc2-a25a-483e-aae6-39c045a0b8a1")
ASK = UUID("4ab7b379-bbac-4fe4-a02f-05aef327c782")  # the ASVK too
ARK = UUID("c0b406a4-a803-4952-9743-3fb6014cd0ae")
ENTRY_BYTES = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """How a report is signed; what is not set is done right.

    Attributes:
        signer: another key. signature: 144 bytes (r, s) in place of the right ones, or an edit of them.
        reserved6: 368 bytes behind the signature. trailing: bytes behind the report.
    """

    signer: P384Key | None = None
    signature: Edit | None = None
    reserved6: bytes = bytes(368)
    trailing: bytes = b""


SEALING_FIELDS = frozenset(field.name for field in fields(Sealing))
FIELDS = frozenset(name for name, _ in SNP_REPORT)


def write(key: P384Key, values: Mapping[str, Value], sealing: Sealing) -> bytes:
    """One report of 1184 bytes. Raises ValueError for bytes of another length than their field."""
    signed = encode(SNP_REPORT, values)
    signature = (sealing.signer or key).sign_report(signed)
    if sealing.signature is not None:
        edit = sealing.signature
        signature = edit(signature) if callable(edit) else edit
    tail = {
        "signature_r": signature[:72],
        "signature_s": signature[72:],
        "reserved6": sealing.reserved6,
    }
    return signed + encode(SNP_SIGNATURE, tail) + sealing.trailing


def certificate_table(certificates: Iterable[tuple[UUID, bytes]], padding: int = 0) -> bytes:
    """A GHCB certificate table: entries of GUID, offset and length, a zero entry, the certificates, `padding` zeros."""
    items = list(certificates)
    offset = ENTRY_BYTES * (len(items) + 1)
    entries = b""
    for guid, data in items:
        entries += table_entry(guid, offset, len(data))
        offset += len(data)
    return entries + bytes(ENTRY_BYTES) + b"".join(data for _, data in items) + bytes(padding)


def table_entry(guid: UUID, offset: int, length: int) -> bytes:
    """One entry, 24 bytes: the GUID in the order it is written, the numbers little-endian."""
    return guid.bytes + offset.to_bytes(4, "little") + length.to_bytes(4, "little")
