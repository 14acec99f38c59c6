# SPDX-License-Identifier: Apache-2.0
"""Logs as they are sent come to one `Boot`: every kind, in the order of its writing, or refused."""

from __future__ import annotations

import hashlib

import pytest

from tests import eventlog_lab as lab
from verifiers.errors import Reason, VerificationError
from verifiers.eventlog.events import MAX_EVENTS_TOGETHER, RTMRS, Algorithm, LogFormat, Register
from verifiers.eventlog.judge import judge, parse_logs
from verifiers.eventlog.proven import TPM
from verifiers.eventlog.replay import ReplayState
from verifiers.evidence import LOG_KINDS, Evidence, EvidenceKind

CCEL = lab.tcg2(lab.action(1, b"one"), lab.action(2, b"two"))
DSTACK = lab.log_text(lab.Runtime("app-id", bytes(20)).json())
CEL = lab.record(0, lab.tlv(8, b""))
IMA = lab.ima_line()
SENT = {
    EvidenceKind.CCEL: CCEL,
    EvidenceKind.DSTACK_EVENT_LOG: DSTACK,
    EvidenceKind.CEL: CEL,
    EvidenceKind.IMA_LOG: IMA,
}


def extended(*digests: bytes, name: str = "sha384") -> bytes:
    register = bytes(hashlib.new(name).digest_size)
    for digest in digests:
        register = hashlib.new(name, register + digest).digest()
    return register


def of_text(*texts: bytes) -> bytes:
    return extended(*(hashlib.sha384(text).digest() for text in texts))


def zeros(**values: bytes) -> dict[Register, bytes]:
    return {one: values.get(one.value, bytes(48)) for one in RTMRS}


def pieces(*kinds: EvidenceKind) -> list[Evidence]:
    return [Evidence(kind, SENT[kind]) for kind in kinds]


def refusal(sent: list[Evidence], algorithm: Algorithm = Algorithm.SHA384) -> Reason:
    with pytest.raises(VerificationError) as caught:
        judge(sent, zeros(), algorithm)
    return caught.value.reason


def test_every_log_of_a_td() -> None:
    template = b"\x28\0\0\0sha256:\0" + hashlib.sha256(b"/bin/sh").digest() + b"\x08\0\0\0/bin/sh\0"
    registers = zeros(
        rtmr0=of_text(b"one"),
        rtmr1=of_text(b"two"),
        rtmr2=of_text(template),
        rtmr3=of_text(lab.Runtime("app-id", bytes(20)).preimage),
    )
    boot = judge(pieces(*reversed(SENT)), registers, Algorithm.SHA384)
    assert boot.formats == (LogFormat.CCEL, LogFormat.DSTACK, LogFormat.CEL, LogFormat.IMA)
    assert boot.algorithm is Algorithm.SHA384
    assert {one: boot.replayed[one].state for one in RTMRS} == {
        Register.RTMR0: ReplayState.REPLAYED,
        Register.RTMR1: ReplayState.REPLAYED,
        Register.RTMR2: ReplayState.REPLAYED_WITH_RUNTIME_LOG,
        Register.RTMR3: ReplayState.REPLAYED_WITH_RUNTIME_LOG,
    }
    assert [one.name for one in boot.claims.events] == [None, None, "/bin/sh", "app-id"]


def test_a_log_that_says_something_else_is_a_state() -> None:
    boot = judge(pieces(EvidenceKind.CCEL), zeros(rtmr1=of_text(b"three")), Algorithm.SHA384)
    assert boot.replayed[Register.RTMR1].state is ReplayState.MISMATCH
    assert boot.replayed[Register.RTMR2].state is ReplayState.REPLAYED


def test_the_three_forms_of_dstack() -> None:
    made = lab.Attestation()
    register = of_text(*(one.preimage for one in made.runtime))
    for data in (lab.log_text(*made.events), made.scale(), lab.cbor(made.members())):
        sent = [Evidence(EvidenceKind.DSTACK_EVENT_LOG, data)]
        boot = judge(sent, zeros(rtmr3=register), Algorithm.SHA384)
        assert boot.replayed[Register.RTMR3].state is ReplayState.REPLAYED


def test_logs_of_a_tpm() -> None:
    log = lab.tcg2(lab.action(8, b"grub", (0x0B,)), algorithms=(0x0B,))
    digest = hashlib.sha256(b"grub").digest()
    template = b"\x28\0\0\0sha256:\0" + hashlib.sha256(b"/bin/sh").digest() + b"\x08\0\0\0/bin/sh\0"
    registers = {
        Register.PCR8: extended(digest, name="sha256"),
        Register.PCR10: extended(hashlib.sha256(template).digest(), name="sha256"),
    }
    sent = [*pieces(EvidenceKind.IMA_LOG), Evidence(EvidenceKind.TPM_EVENT_LOG, log)]
    boot = judge(sent, registers, Algorithm.SHA256, TPM)
    assert boot.formats == (LogFormat.TCG2, LogFormat.IMA)
    assert all(boot.replayed[one].explained for one in registers)


def test_events_of_all_logs_together() -> None:
    line = lab.ima_line("/a", algorithm="sha1")
    for more, refused in ((0, False), (1, True)):
        lines = line * (MAX_EVENTS_TOGETHER - 3 + more)
        sent = [*pieces(EvidenceKind.CCEL, EvidenceKind.CEL), Evidence(EvidenceKind.IMA_LOG, lines)]
        if refused:
            assert refusal(sent) is Reason.TOO_LARGE
        else:
            assert len(parse_logs(sent, Algorithm.SHA384)) == 3


def test_a_log_of_another_kind_of_machine() -> None:
    tpm = [Evidence(EvidenceKind.TPM_EVENT_LOG, CCEL)]
    assert refusal(tpm) is Reason.EVIDENCE
    for kind in (EvidenceKind.CCEL, EvidenceKind.DSTACK_EVENT_LOG):
        with pytest.raises(VerificationError) as caught:
            judge(pieces(kind), {}, Algorithm.SHA256, TPM)
        assert caught.value.reason is Reason.EVIDENCE


@pytest.mark.parametrize("kind", sorted(LOG_KINDS - {EvidenceKind.TPM_EVENT_LOG}))
def test_a_log_that_cannot_be_read(kind: EvidenceKind) -> None:
    assert refusal([Evidence(kind, b"\x07 no log")]) in {
        Reason.MALFORMED,
        Reason.UNSUPPORTED_FORMAT,
    }


def test_a_log_without_the_digests_of_the_registers() -> None:
    log = lab.tcg2(lab.action(1, b"one", (0x0B,)), algorithms=(0x0B,))
    assert refusal([Evidence(EvidenceKind.CCEL, log)]) is Reason.NO_SHA384_BANK
