# SPDX-License-Identifier: Apache-2.0
"""Claims as a whole: any log gives some, in time that grows with its length alone."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import boot_lab as lab
from tests import eventlog_lab
from verifiers.claims import to_json
from verifiers.eventlog import bound, dstack, ima, tcg2
from verifiers.eventlog.boot import boot_claims
from verifiers.eventlog.claims import BootClaims, Kind, Rule, SecureBoot, Subject, TextState
from verifiers.eventlog.events import PCRS, Algorithm, LogFormat, Register
from verifiers.eventlog.labels import MAX_LABELS
from verifiers.eventlog.proven import TPM
from verifiers.eventlog.replay import replay

if TYPE_CHECKING:
    from tests.boot_lab import Step

BOOTS = (lab.grub_boot(), lab.direct_boot(), lab.uki_boot(), [*lab.direct_boot(), lab.aael()])
PIECES = sorted({step for boot in BOOTS for step in boot}, key=repr)


def test_no_logs_prove_nothing() -> None:
    found = boot_claims([], {})
    assert {getattr(found, field.name) for field in fields(BootClaims)} == {None, ()}


@pytest.mark.parametrize("boot", BOOTS)
def test_claims_are_json(boot: list[Step]) -> None:
    shown = to_json(lab.claims(boot))
    assert isinstance(shown, dict)
    assert shown["secure_boot"] == "enabled"
    assert shown["doubts"] == []


def test_subjects_are_fields() -> None:
    assert {one.value for one in Subject} <= {field.name for field in fields(BootClaims)}


@given(st.lists(st.sampled_from(PIECES), max_size=30))
def test_any_order_of_events(told: list[Step]) -> None:
    """Whatever a log tells: Secure Boot is on only where that event is the only one, before the first separator."""
    found = lab.claims(told)
    states = [step for step in told if step == lab.secure_boot()]
    assert (found.secure_boot is None) is (not states)
    if found.secure_boot is SecureBoot.ENABLED:
        firmware = [step for step in told if step.index == 1]
        assert len(states) == 1
        assert firmware.index(lab.secure_boot()) < firmware.index(lab.separator(1))
    cmdline = found.kernel_cmdline
    if cmdline is not None and cmdline.state is TextState.PROVEN:
        assert told.count(lab.cmdline()) == 1
        assert told.index(lab.cmdline()) < told.index(lab.EXIT)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 4),
            st.sampled_from([3, 4, 5, 6, 10, 13, 0x80000001, 0x80000002, 0x80000003, 0x800000E0]),
            st.binary(max_size=40) | st.sampled_from([step.data for step in PIECES]),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_any_log_gives_claims(raw: list[tuple[int, int, bytes, bool]]) -> None:
    told = [lab.Step(at, kind, data if own else b"other", data) for at, kind, data, own in raw]
    values = lab.registers([one for one in told if one.kind != 3])
    found = lab.of_logs([lab.log_of(told)], values)
    assert isinstance(to_json(found), dict)


def in_pcrs(boot: list[lab.Step], places: dict[int, int]) -> BootClaims:
    """Claims of a boot in PCRs, SHA-256. `places`: the PCR of each index of a TD's log."""
    values = dict.fromkeys(PCRS, bytes(32))
    events = []
    for step in boot:
        index = 5 if step in (lab.EXIT, lab.EXITED) else places[step.index]
        digest = hashlib.sha256(step.hashed).digest()
        values[PCRS[index]] = hashlib.sha256(values[PCRS[index]] + digest).digest()
        events.append(eventlog_lab.event2(index, step.kind, [(0x0B, digest)], step.data))
    log = tcg2.parse(eventlog_lab.tcg2(*events, algorithms=(0x0B,)), LogFormat.TCG2)
    replayed = replay([log], values, Algorithm.SHA256)
    return boot_claims([log], replayed, Algorithm.SHA256, TPM)


def test_a_tpms_registers() -> None:
    """The same boot in PCRs: firmware in 7, images in 4, texts in 8."""
    found = in_pcrs(lab.grub_boot(), {1: 7, 2: 4, 3: 8})
    assert found.secure_boot is SecureBoot.ENABLED
    assert found.kernel_cmdline is not None
    assert found.kernel_cmdline.text == lab.CMDLINE
    assert found.kernel_cmdline.origin is not None
    assert found.kernel_cmdline.origin.register is Register.PCR8
    assert len(found.images) == 2
    assert len(found.grub) == 2
    assert found.doubts == ()


def test_a_file_that_is_called_a_text_in_the_tpms_register_of_files() -> None:
    """GRUB measures texts into PCR 8 alone, so what really was the command line would not be looked at."""
    found = in_pcrs(lab.grub_boot(), {1: 7, 2: 4, 3: 9})
    assert found.kernel_cmdline is not None
    assert found.kernel_cmdline.state is TextState.UNDETERMINED
    assert found.grub == ()


def test_labels_of_the_first_hundreds() -> None:
    """All digests are there; labels are for people, who read no more."""
    found = lab.claims([lab.image()] * (MAX_LABELS + 1))
    for digests in (found.images, found.opaque):
        assert {one.digest for one in digests} == {lab.image().digest}
        assert {one.kind for one in digests} == {Kind.IMAGE}
        assert [one.label for one in digests] == ["\\EFI\\shim.efi"] * MAX_LABELS + [""]


def test_events_with_what_their_digests_cover() -> None:
    history = [*lab.direct_boot(), lab.aael()]
    found = lab.claims(history).events
    told = {one.digest: one for one in found}
    assert len(found) == len(history)
    assert [one.origin.register for one in found] == sorted(one.origin.register for one in found)
    assert told[lab.aael().digest].data == lab.aael().data
    assert told[lab.initrd().digest].data is None
    assert told[lab.initrd().digest].origin.rule is Rule.LABEL
    assert {one.name for one in found} == {None}
    unexplained = [one.digest for one in found if one.data is None]
    assert [one.digest for one in lab.claims(history).opaque] == unexplained


def test_names_of_events_that_their_digests_cover() -> None:
    boot = lab.direct_boot()
    runtime = eventlog_lab.Runtime("app-id", b"a" * 20)
    named = eventlog_lab.boot_event(3, event="acpi-loader")
    ima_line = eventlog_lab.ima_line("/bin/sh")
    logs = [
        lab.log_of(boot),
        dstack.parse(eventlog_lab.log_text(runtime.json(), named)),
        ima.parse(ima_line, Register.RTMR2, Algorithm.SHA384),
    ]
    values = lab.runtime_registers(boot, runtime.preimage, b"boot")
    digest = logs[2].events[0].digests[Algorithm.SHA384]
    values[Register.RTMR2] = eventlog_lab.sha384(values[Register.RTMR2] + digest)
    found = lab.of_logs(logs, values)
    names = [(one.origin.register, one.name) for one in found.events if one.name]
    assert names == [(Register.RTMR2, "/bin/sh"), (Register.RTMR3, "app-id")]


def calls(told: list[Step]) -> int:
    """How many hashes of data are made."""
    log = lab.log_of(told)
    replayed = replay([log], lab.registers(told), Algorithm.SHA384)
    made = 0
    real = bound.digest_of

    def counted(data: bytes, algorithm: Algorithm) -> bytes:
        nonlocal made
        made += 1
        return real(data, algorithm)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bound, "digest_of", counted)
        boot_claims([log], replayed)
    return made


def test_work_grows_with_the_log_alone() -> None:
    """Twice the events: as many hashes more, whatever the events are."""
    for one in (lab.grub("x"), lab.cmdline(), lab.aael(), lab.secure_boot(), lab.image()):
        few, more, most = (calls([one] * count) for count in (10, 20, 30))
        assert most - more == more - few <= 10
