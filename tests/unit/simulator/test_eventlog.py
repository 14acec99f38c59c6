# SPDX-License-Identifier: Apache-2.0
"""Simulated boots: the verifiers replay their logs to their registers and draw the claims that are true of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simulator import eventlog
from tests import boot_lab as lab
from verifiers.eventlog.claims import SecureBoot, TextState
from verifiers.eventlog.events import RTMRS, Algorithm, Register
from verifiers.eventlog.judge import judge
from verifiers.evidence import LOG_KINDS, Evidence, EvidenceKind

if TYPE_CHECKING:
    from simulator.eventlog import Boot
    from verifiers.eventlog.judged import Boot as Judged

APPLICATION = eventlog.aael("example.org", "start", '{"image": "a b"}')
FILES = [eventlog.measured_file("/usr/bin/app", b"app"), eventlog.measured_file("/lib/x", b"x")]
BOOTS = {
    "direct": eventlog.direct_boot(),
    "grub": eventlog.grub_boot(),
    "dstack": eventlog.dstack_boot(),
    "aael": eventlog.grub_boot().then(APPLICATION),
    "space": eventlog.direct_boot().then(*eventlog.confidential_space()),
    "ima": eventlog.grub_boot().then(*FILES),
}


def judged(boot: Boot, registers: Boot | None = None) -> Judged:
    values = (registers or boot).registers
    pieces = [Evidence(EvidenceKind(kind), data) for kind, data in boot.logs()]
    return judge(pieces, {one: values[one] for one in RTMRS}, Algorithm.SHA384)


@pytest.mark.parametrize("name", BOOTS)
def test_every_register_replays(name: str) -> None:
    found = judged(BOOTS[name])
    assert all(one.explained for one in found.replayed.values())
    assert sum(one.count for one in found.replayed.values()) == len(BOOTS[name].events)
    assert found.claims.doubts == ()


@pytest.mark.parametrize("name", BOOTS)
def test_a_log_of_another_boot(name: str) -> None:
    other = eventlog.grub_boot(cmdline="init=/bin/sh")
    assert not judged(BOOTS[name], other).replayed[Register.RTMR2].explained


def test_every_kind_of_log_of_a_td_is_written() -> None:
    kinds = {EvidenceKind(kind) for boot in BOOTS.values() for kind, _ in boot.logs()}
    assert kinds == LOG_KINDS - {EvidenceKind.TPM_EVENT_LOG}


def test_claims_of_a_direct_boot() -> None:
    claims = judged(BOOTS["direct"]).claims
    assert claims.secure_boot is SecureBoot.ABSENT
    assert claims.cmdline_digest is not None
    assert claims.cmdline_digest.digest == lab.options("console=hvc0 ro").digest
    assert claims.initrd_digest is not None
    assert len(claims.images) == 1


@pytest.mark.parametrize(("value", "state"), [(b"\1", "enabled"), (b"\0", "disabled")])
def test_claims_of_grub(value: bytes, state: str) -> None:
    claims = judged(eventlog.grub_boot(value)).claims
    assert claims.secure_boot == state
    assert claims.db is not None
    assert claims.db.certificates == (b"\x30simulated certificate of db",)
    line = claims.kernel_cmdline
    assert line is not None
    assert (line.state, line.text) == (TextState.PROVEN, "/vmlinuz root=/dev/vda1 ro")
    assert [one.text for one in claims.grub][-1] == "initrd /initrd.img"
    assert len(claims.images) == 2


def test_claims_of_applications() -> None:
    dstack = judged(BOOTS["dstack"]).claims.dstack
    assert dstack is not None
    assert dstack.app_id is not None
    assert dstack.app_id.value == bytes(range(20))
    entries = judged(BOOTS["aael"]).claims.aael
    assert entries is not None
    assert [(one.domain, one.operation, one.content) for one in entries] == [
        ("example.org", "start", '{"image": "a b"}')
    ]
    space = judged(BOOTS["space"]).claims.confidential_space
    assert space is not None
    assert space.image_digest is not None
    assert space.image_digest.text == "sha256:" + "ab" * 32
    named = [one.name for one in judged(BOOTS["ima"]).claims.events if one.name]
    assert named == ["/usr/bin/app", "/lib/x"]


def test_padding_is_no_event() -> None:
    log = eventlog.ccel(BOOTS["direct"].events, padding=4096)
    found = judge(
        [Evidence(EvidenceKind.CCEL, log)],
        {one: BOOTS["direct"].registers[one] for one in RTMRS},
        Algorithm.SHA384,
    )
    assert all(one.explained for one in found.replayed.values())
