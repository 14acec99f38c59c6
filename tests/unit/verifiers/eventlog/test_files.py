# SPDX-License-Identifier: Apache-2.0
"""Files of logs, told by their content."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import eventlog_lab as lab
from verifiers.errors import Reason, VerificationError
from verifiers.eventlog.events import MAX_LOG_BYTES
from verifiers.eventlog.files import acpi_table, log_pieces
from verifiers.evidence import LOG_KINDS, Evidence, EvidenceKind

MADE = lab.Attestation()


def kinds(data: bytes) -> list[EvidenceKind]:
    return [piece.kind for piece in log_pieces(data)]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (lab.tcg2(lab.action(1, b"one")), EvidenceKind.CCEL),
        (lab.tcg2(), EvidenceKind.CCEL),
        (lab.tcg2(lab.action(0, b"one")), EvidenceKind.TPM_EVENT_LOG),
        (lab.tcg2(lab.action(7, b"one")), EvidenceKind.TPM_EVENT_LOG),
        (lab.tcg2(lab.action(99, b"one")), EvidenceKind.CCEL),
        (lab.tcg2(lab.action(1, b"one"))[:-1], EvidenceKind.CCEL),
        (lab.record(0, lab.tlv(8, b"")), EvidenceKind.CEL),
        (lab.ima_line(), EvidenceKind.IMA_LOG),
        (b"\n" + lab.log_text(lab.boot_event()), EvidenceKind.DSTACK_EVENT_LOG),
        (lab.reply(quote="no hex"), EvidenceKind.DSTACK_EVENT_LOG),
    ],
)
def test_logs(data: bytes, kind: EvidenceKind) -> None:
    assert log_pieces(data) == (Evidence(kind, data),)


@pytest.mark.parametrize(
    ("data", "quote"),
    [
        (lab.reply(), b"quote"),
        (MADE.scale(), MADE.quote),
        (lab.cbor(MADE.members()), MADE.quote),
        (lab.msgpack(MADE.members()), MADE.quote),
    ],
)
def test_a_quote_and_its_log_in_one(data: bytes, quote: bytes) -> None:
    assert log_pieces(data) == (
        Evidence(EvidenceKind.TDX_QUOTE, quote),
        Evidence(EvidenceKind.DSTACK_EVENT_LOG, data),
    )


@pytest.mark.parametrize(
    "data",
    [b"", b"\4\0\2\0\x81", b"\0\0 no attestation", b"\x81", b"[]", b'{"evidence": []}', b"10 abc"],
)
def test_other_files(data: bytes) -> None:
    assert log_pieces(data) == ()


def test_a_log_that_is_too_long_is_still_one() -> None:
    (piece,) = log_pieces(lab.tcg2(end=bytes(MAX_LOG_BYTES)))
    assert (piece.kind, len(piece.data)) == (EvidenceKind.CCEL, MAX_LOG_BYTES + 1)


def test_the_acpi_table() -> None:
    assert acpi_table(lab.acpi_table())
    assert not acpi_table(lab.acpi_table()[:-1])
    assert not acpi_table(bytes(56))
    with pytest.raises(VerificationError) as caught:
        acpi_table(lab.acpi_table(cc_type=1))
    assert caught.value.reason is Reason.UNSUPPORTED_TEE


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    assert set(kinds(data)) <= LOG_KINDS | {EvidenceKind.TDX_QUOTE}
