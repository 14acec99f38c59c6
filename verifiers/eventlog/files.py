# SPDX-License-Identifier: Apache-2.0
"""Which files are event logs, by their content; nothing is believed for it, every parser looks again.

A TPM's log and a TD's are the same container: one that has an event for a register which a TD has not, or for PCR 0,
is a TPM's. Files that hold a quote and its log in one (dstack's reply and attestation) are both.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from verifiers.errors import VerificationError
from verifiers.eventlog import ccel, dstack, dstack_attestation, tcg2
from verifiers.eventlog.events import MAX_LOG_BYTES, LogFormat
from verifiers.evidence import Evidence, EvidenceKind

if TYPE_CHECKING:
    from verifiers.eventlog.dstack import DstackEvidence

_NO_ACTION: Final = b"\x03\0\0\0" + bytes(20)  # behind the index: type, SHA-1
_SPEC_ID: Final = b"Spec ID Event"  # behind those and a size
_CEL: Final = b"\0\0\0\0\x08" + bytes(8)  # the record number 0 as TLV
_JSON: Final = re.compile(rb"\s*[\[{]")
_IMA: Final = re.compile(rb" ?[0-9]{1,2} [0-9a-f]{40,128} ima-")
_MAPS: Final = frozenset(  # MessagePack, CBOR
    bytes([first]) for first in (*range(0x80, 0x90), *range(0xA0, 0xB8))
)
_SCALE: Final = b"\0\0"


def acpi_table(data: bytes) -> bool:
    """Whether it is the ACPI table CCEL, which says where a log is and holds none.

    Raises:
        VerificationError: `unsupported-tee` for that of another technology; what `ccel.parse_table` raises.
    """
    if len(data) != ccel.CCEL_TABLE_BYTES or not data.startswith(b"CCEL"):
        return False
    ccel.demand_tdx(data)
    return True


def log_pieces(data: bytes) -> tuple[Evidence, ...]:
    """The log that a file is, behind the quote where it holds one; nothing if it is no log."""
    if len(data) > MAX_LOG_BYTES:
        data = data[: MAX_LOG_BYTES + 1]  # of what is longer, enough to be refused for it
    if data[4:28] == _NO_ACTION and data[32:].startswith(_SPEC_ID):
        return (Evidence(_container(data), data),)
    if data.startswith(_CEL):
        return (Evidence(EvidenceKind.CEL, data),)
    if _IMA.match(data):
        return (Evidence(EvidenceKind.IMA_LOG, data),)
    if _JSON.match(data):
        return _json(data)
    if data.startswith(_SCALE) or data[:1] in _MAPS:
        return _with_quote(data, _attestation(data))
    return ()


def _container(data: bytes) -> EvidenceKind:
    """Whose log it is; a broken one is taken for a TD's."""
    try:
        ccel.parse(data)
    except VerificationError:
        try:
            tcg2.parse(data, LogFormat.TCG2)
        except VerificationError:
            return EvidenceKind.CCEL
        return EvidenceKind.TPM_EVENT_LOG
    return EvidenceKind.CCEL


def _json(data: bytes) -> tuple[Evidence, ...]:
    """An array of dstack's events, or a reply with a quote; other JSON is none of ours."""
    if b'"imr"' in data and b'"event_log"' not in data:
        return (Evidence(EvidenceKind.DSTACK_EVENT_LOG, data),)
    if b'"event_log"' not in data or b'"quote"' not in data:
        return ()
    try:
        return _with_quote(data, dstack.parse_reply(data))
    except VerificationError:
        return (Evidence(EvidenceKind.DSTACK_EVENT_LOG, data),)


def _attestation(data: bytes) -> DstackEvidence | None:
    try:
        return dstack_attestation.parse(data)
    except VerificationError:
        return None


def _with_quote(data: bytes, found: DstackEvidence | None) -> tuple[Evidence, ...]:
    if found is None:
        return ()
    quote = Evidence(EvidenceKind.TDX_QUOTE, found.quote)
    return (quote, Evidence(EvidenceKind.DSTACK_EVENT_LOG, data))
