# SPDX-License-Identifier: Apache-2.0
"""R-31, at event logs: whatever bytes come, only VerificationError escapes, and what is read keeps its promises."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.eventlog_lab import (
    Attestation,
    Runtime,
    acpi_table,
    action,
    boot_event,
    cbor,
    ima_line,
    log_text,
    msgpack,
    record,
    reply,
    tcg2,
    tlv,
)
from tests.fuzz.test_verifier_parsers import mutated
from verifiers.errors import VerificationError
from verifiers.eventlog import aael, ccel, cel, dstack, dstack_attestation, ima, packed
from verifiers.eventlog.events import PCRS, RTMRS, Algorithm, EventLog, LogFormat, Register
from verifiers.eventlog.replay import replay
from verifiers.eventlog.tcg2 import parse

MODERATE = settings(max_examples=150, deadline=None)
BANKS = (0x04, 0x0B, 0x0C)
CCEL = tcg2(action(1, b"one"), action(4, b"a b c"), end=b"\xff" * 16)
TPM = tcg2(action(0, b"one", BANKS), action(7, b"two", BANKS), algorithms=BANKS)
CEL = record(0, tlv(0, b"image")) + record(1, tlv(8, b""))
DSTACK = log_text(boot_event(), Runtime("app-id", b"\1").json(), Runtime("x", version=2).json())
IMA = ima_line() + ima_line("/lib", template="ima-sig", more=b"\3\2")
MADE = Attestation()


def keep_promises(log: EventLog) -> None:
    """What replay and claims rest on. Replaying the log against what it computes explains every register."""
    assert [event.position for event in log.events] == list(range(len(log.events)))
    assert {event.source for event in log.events} <= {log.format}
    for event in log.events:
        assert all(len(digest) == one.size for one, digest in event.digests.items())
        if event.extends:
            assert event.register in {*RTMRS, *PCRS}
            assert tuple(event.digests) == log.algorithms
    for algorithm in set(log.algorithms) - {Algorithm.SM3}:
        computed = {one: found.computed for one, found in replay([log], {}, algorithm).items()}
        again = replay([log], computed, algorithm)
        assert all(found.explained for found in again.values())
        extending = sum(event.extends for event in log.events)
        assert sum(len(found.proven) for found in again.values()) == extending


@MODERATE
@given(st.binary(max_size=300) | mutated(CCEL))
def test_logs_of_tds(data: bytes) -> None:
    with suppress(VerificationError):
        keep_promises(ccel.parse(data))


@MODERATE
@given(st.binary(max_size=300) | mutated(TPM))
def test_logs_of_tpms(data: bytes) -> None:
    with suppress(VerificationError):
        keep_promises(parse(data, LogFormat.TCG2))


@MODERATE
@given(st.binary(max_size=100) | mutated(acpi_table()))
def test_acpi_tables(data: bytes) -> None:
    with suppress(VerificationError):
        ccel.parse_table(data)


@MODERATE
@given(st.binary(max_size=300) | mutated(CEL))
def test_canonical_logs(data: bytes) -> None:
    with suppress(VerificationError):
        keep_promises(cel.parse(data))


@MODERATE
@given(st.binary(max_size=100) | mutated(tlv(1, b"sha256:")))
def test_contents_of_canonical_logs(data: bytes) -> None:
    with suppress(VerificationError):
        kind, value = cel.parse_cos(data)
        assert tlv(kind, value) == data


@MODERATE
@given(st.binary(max_size=300) | mutated(DSTACK) | mutated(reply()))
def test_dstack_json(data: bytes) -> None:
    with suppress(VerificationError):
        keep_promises(dstack.parse(data))


@MODERATE
@given(
    st.binary(max_size=300)
    | mutated(MADE.scale())
    | mutated(msgpack(MADE.members()))
    | mutated(cbor(MADE.members()))
)
def test_dstack_attestations(data: bytes) -> None:
    with suppress(VerificationError):
        keep_promises(dstack_attestation.parse(data).log)


@MODERATE
@given(st.binary(max_size=300))
def test_packed_values(data: bytes) -> None:
    for read in (packed.parse_msgpack, packed.parse_cbor):
        with suppress(VerificationError):
            read(data)


@MODERATE
@given(st.binary(max_size=300) | mutated(IMA))
def test_ima_lists(data: bytes) -> None:
    with suppress(VerificationError):
        keep_promises(ima.parse(data, Register.RTMR2, Algorithm.SHA384))


@MODERATE
@given(st.binary(max_size=60) | mutated(b"LEAA\5\0\0\0a b c"))
def test_aael_entries(data: bytes) -> None:
    with suppress(VerificationError):
        entry = aael.parse_entry(data)
        assert entry.domain
        assert entry.operation
