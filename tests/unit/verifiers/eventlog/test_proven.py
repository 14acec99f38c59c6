# SPDX-License-Identifier: Apache-2.0
"""Events that replay: what may be the content of a file under another label, and what a log tells of."""

from __future__ import annotations

import hashlib

import pytest

from tests import boot_lab as lab
from tests.boot_lab import GPT, IPL, SEPARATOR, Step
from tests.eventlog_lab import NO_ACTION, Runtime, action, event2, ima_line, log_text, tcg2
from verifiers.eventlog import ccel, dstack, ima
from verifiers.eventlog.events import Algorithm, Register
from verifiers.eventlog.proven import TD, gather
from verifiers.eventlog.replay import extend, replay

MAY_BE = {
    "a file": lab.file(b"kernel"),
    "an image": lab.image(),
    "a variable": lab.secure_boot(),
    "a table of partitions": lab.whole(2, GPT, b"EFI PART"),
    "data in a separator's place": lab.whole(3, SEPARATOR, b"070701 an archive"),
    "a text that is none": Step(3, IPL, b"\x1f\x8b", b"grub_cmd: \x1f\x8b\0"),
    "a text that cannot be read": lab.grub("linux\x01"),
}
IS_NONE = {
    "a text": lab.grub("linux /vmlinuz"),
    "a block of a script": lab.grub("if true; then\n\tboot\nfi"),
    "a section's name": lab.section(".cmdline", b"ro")[0],
    "a separator": lab.separator(2),
    "the mark of an error": lab.separator(2, b"\1\0\0\0"),
    "a call of an application": lab.CALLING,
    "the end of boot services": lab.EXIT,
    "an entry of the attestation agent": lab.aael(),
}


@pytest.mark.parametrize("name", [*MAY_BE, *IS_NONE])
def test_what_may_be_a_file(name: str) -> None:
    (found,) = lab.claims([(MAY_BE | IS_NONE)[name]]).events
    assert found.may_be_file is (name in MAY_BE)


def test_entries_of_lists_are_no_files() -> None:
    """Of a list of IMA, and of dstack in either form."""
    line = ima_line()
    hashed = bytes.fromhex(line.split()[1].decode())
    values = lab.registers([])
    values[Register.RTMR2] = extend(Algorithm.SHA384, values[Register.RTMR2], hashed)
    logs = [ima.parse(line, Register.RTMR2, Algorithm.SHA384)]
    for version in (1, 2):
        one = Runtime("app-id", b"\1", version)
        digest = hashlib.sha384(one.preimage).digest()
        values[Register.RTMR3] = extend(Algorithm.SHA384, bytes(48), digest)
        found = lab.of_logs([dstack.parse(log_text(one.json())), *logs], values).events
        assert {event.origin.register: event.may_be_file for event in found} == {
            Register.RTMR2: False,
            Register.RTMR3: False,
        }


@pytest.mark.parametrize("quoted", [True, False])
@pytest.mark.parametrize("index", [1, 9])
def test_what_extends_nothing_is_not_told(
    index: int,
    quoted: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """It has no digests, and no claim looks for them, whether its register is explained or not."""
    log = ccel.parse(tcg2(event2(index, NO_ACTION, [], b"hint"), action(1, b"a")))
    digest = hashlib.sha384(b"a" if quoted else b"b").digest()
    values = {Register.RTMR0: extend(Algorithm.SHA384, bytes(48), digest)}
    replayed = replay([log], values, Algorithm.SHA384)
    assert replayed[Register.RTMR0].explained is quoted
    assert gather([log], replayed, Algorithm.SHA384, TD).told == log.events[1:]
