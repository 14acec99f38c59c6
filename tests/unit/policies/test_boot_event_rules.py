# SPDX-License-Identifier: Apache-2.0
"""Rules over single events, and over the files that IMA measured."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from policies.appraise import appraise
from policies.result import RuleResult
from policies.rules import RuleId
from tests import boot_lab as lab
from tests import eventlog_lab
from tests.eventlog_lab import Runtime
from tests.unit.policies.boot_facts import accepting, judge, logged, of_registers, only
from tests.unit.policies.claims_factory import NOW
from verifiers.eventlog import dstack, ima
from verifiers.eventlog.events import Algorithm, EventLog, Register

PASS, FAIL, MISSING = RuleResult.PASS, RuleResult.FAIL, RuleResult.MISSING
BOOT = lab.grub_boot()
FILES = [hashlib.sha384(one).hexdigest() for one in (b"mok", b"cfg", b"kernel", b"initrd")]
HOB = hashlib.sha384(b"hob").hexdigest()
OTHER = "ee" * 48


def event(register: str, **rule: Any) -> dict[str, Any]:  # noqa: ANN401  JSON values
    return {"events": [{"id": "x", "register": register} | rule]}


def verdict(
    section: dict[str, Any], history: list[lab.Step] = BOOT, told: list[lab.Step] | None = None
) -> tuple[RuleResult, str]:
    finding = only(judge(section, history, told), RuleId.BOOT_EVENT)
    assert finding.path == "boot.events.x"
    return finding.result, finding.hint


# by place


def test_an_event_at_its_place() -> None:
    assert verdict(event("rtmr0", at=0, digests=HOB)) == (PASS, "")
    assert verdict(event("rtmr0", at=0, digests=[OTHER, HOB])) == (PASS, "")
    result, hint = verdict(event("rtmr0", at=1, digests=HOB))
    assert result is FAIL
    assert hint.startswith("event 1 of rtmr0 is another: EV_EFI_VARIABLE_DRIVER_CONFIG SecureBoot ")


def test_the_last_event_and_the_one_behind_it() -> None:
    last = sum(step.index == 1 for step in BOOT) - 1
    digest = next(step for step in reversed(BOOT) if step.index == 1).digest.hex()
    assert verdict(event("rtmr0", at=last, digests=digest))[0] is PASS
    result, hint = verdict(event("rtmr0", at=last + 1, digests=digest))
    assert (result, hint) == (MISSING, f"rtmr0 has no event {last + 1}")


def test_an_event_at_its_place_by_its_data() -> None:
    action = "EV_EFI_ACTION"
    assert (
        verdict(event("rtmr1", at=0, type=action, patterns=["Calling EFI Application.*"]))[0]
        is PASS
    )
    assert verdict(event("rtmr1", at=0, type="EV_IPL", patterns=["Calling.*"]))[0] is FAIL
    assert verdict(event("rtmr1", at=0, type=action, patterns=["Calling"]))[0] is FAIL
    both = event("rtmr1", at=2, type=action, patterns=["x"], digests=lab.image().digest.hex())
    assert verdict(both)[0] is PASS
    assert verdict(event("rtmr1", at=2, type=lab.APPLICATION, data=b"MZ shim".hex()))[0] is FAIL


def test_an_event_of_dstack_by_its_name() -> None:
    """The digest covers the name, so that it tells events apart and stands in the finding."""
    events = (Runtime("system-ready"), Runtime("hotkey", b"5F"))
    claims = of_registers(lab.runtime_registers(BOOT, *(one.preimage for one in events)))
    log = dstack.parse(eventlog_lab.log_text(*(one.json() for one in events)))

    def at(place: int, name: str) -> tuple[RuleResult, str]:
        section = event("rtmr3", at=place, name=name, patterns=["5[A-Z]"])
        found = only(judge(section, BOOT, None, log, claims=claims), RuleId.BOOT_EVENT)
        return found.result, found.actual

    assert at(1, "hotkey")[0] is PASS
    assert at(1, "coldkey")[0] is FAIL
    result, actual = at(0, "hotkey")
    assert result is FAIL
    assert actual.startswith("DSTACK_RUNTIME_EVENT system-ready ")


# all digests of a register


def test_every_digest_that_no_data_explain() -> None:
    assert verdict(event("rtmr2", digests=FILES)) == (PASS, "")
    result, hint = verdict(event("rtmr2", digests=FILES[1:]))
    assert result is FAIL
    assert hint == f"1 digests in rtmr2 are not allowed: EV_IPL MokList {FILES[0]}"


def test_a_digest_is_asked_for_whatever_the_log_calls_it() -> None:
    told = [one.told(lab.ACTION, b"nothing") if one.hashed == b"kernel" else one for one in BOOT]
    rest = [one for one in FILES if one != FILES[2]]
    assert verdict(event("rtmr2", digests=rest), told=told)[0] is FAIL


def test_data_that_are_an_image_are_one() -> None:
    """An image small enough to stand in the log as data does not hide behind them."""
    evil = lab.Step(2, lab.ACTION, b"MZ evil", b"MZ evil")
    history = [*BOOT, evil]
    good = [lab.image().digest.hex(), lab.image(b"MZ grub").digest.hex()]
    assert verdict(event("rtmr1", digests=good))[0] is PASS
    assert verdict(event("rtmr1", digests=good), history)[0] is FAIL


# by data


def test_events_with_such_data_are_counted() -> None:
    separators = {"type": "EV_SEPARATOR", "data": "00000000"}
    assert verdict(event("rtmr1", **separators))[0] is PASS
    result, hint = verdict(event("rtmr1", **separators, at_least=2))
    assert (result, hint) == (MISSING, "rtmr1 has 1 such events, which are too few")
    twice = [*BOOT, lab.separator(2)]
    assert verdict(event("rtmr1", **separators, at_least=2), twice)[0] is PASS


@pytest.mark.parametrize(
    ("rule", "result"),
    [
        ({"type": "EV_IPL", "patterns": ["initrd /.*"]}, PASS),
        ({"type": 13, "patterns": ["x", "initrd /.*"]}, PASS),
        ({"type": "EV_IPL", "patterns": ["initrd"]}, MISSING),
        ({"type": "EV_EFI_ACTION", "patterns": ["initrd /.*"]}, MISSING),
        ({"type": "EV_IPL", "data": ["00", b"initrd /initrd".hex()]}, PASS),
        ({"type": "EV_IPL", "data": b"initrd".hex()}, MISSING),  # of the file, no data are covered
        ({"name": "initrd", "data": b"initrd /initrd".hex()}, MISSING),
        ({"type": "EV_IPL", "patterns": ["initrd /.*"], "digests": FILES}, PASS),
        ({"type": "EV_IPL", "patterns": ["initrd /.*"], "digests": FILES[1:]}, FAIL),
        ({"type": "EV_IPL", "patterns": ["no such"], "digests": FILES}, MISSING),
    ],
)
def test_data(rule: dict[str, Any], result: RuleResult) -> None:
    assert verdict(event("rtmr2", **rule))[0] is result


def test_data_that_are_no_text_match_no_pattern() -> None:
    history = [*BOOT, lab.whole(3, lab.ACTION, b"\xff\xfe")]
    found = event("rtmr2", type="EV_EFI_ACTION", patterns=["(?s).*"])
    assert verdict(found, history)[0] is MISSING
    assert verdict(event("rtmr2", type="EV_EFI_ACTION", data="fffe"), history)[0] is PASS


def test_a_register_that_does_not_replay_is_missing() -> None:
    section = event("rtmr3", at=0, digests=OTHER) | {"require_replay": ["rtmr0"]}
    result, hint = verdict(section, [*BOOT, lab.aael()], BOOT)
    assert (result, hint) == (MISSING, "no log explains rtmr3")


def test_a_register_without_events_or_that_nobody_looked_at_is_missing() -> None:
    section = event("rtmr3", at=0, digests=OTHER)
    assert verdict(section) == (MISSING, "rtmr3 has no event 0")
    claims, boot = logged(BOOT)
    states = {one: state for one, state in boot.replayed.items() if one != "rtmr3"}
    unseen = replace(boot, replayed=states)
    result = appraise(claims, accepting(claims, section), NOW, boot=unseen)
    assert only(result, RuleId.BOOT_EVENT).hint == "no log explains rtmr3"


# IMA


def ima_log(*lines: bytes) -> EventLog:
    return ima.parse(b"".join(lines), Register.RTMR2, Algorithm.SHA384)


def measured(history: list[lab.Step], *lines: bytes) -> dict[Register, bytes]:
    """The registers, with the list in RTMR2."""
    values = lab.registers(history)
    for one in ima_log(*lines).events:
        digest = one.digests[Algorithm.SHA384]
        values[Register.RTMR2] = hashlib.sha384(values[Register.RTMR2] + digest).digest()
    return values


def content(path: str) -> str:
    """What `eventlog_lab.ima_line` says a file holds."""
    return hashlib.sha256(path.encode()).hexdigest()


LINES = (eventlog_lab.ima_line("boot_aggregate"), eventlog_lab.ima_line("/usr/bin/sh"))
AGGREGATE = {"path": "boot_aggregate", "any_content": "it follows from the registers"}
SHELL = {"path": "/usr/bin/(sh|ls)", "digests": content("/usr/bin/sh")}


def of_ima(
    allow: list[dict[str, Any]],
    *lines: bytes,
    files: list[str] = FILES,
    history: list[lab.Step] = BOOT,
    told: list[lab.Step] | None = None,
    sent: tuple[bytes, ...] | None = None,
) -> tuple[RuleResult, str]:
    claims = of_registers(measured(history, *lines))
    log = ima_log(*(lines if sent is None else sent))
    result = judge({"ima": {"allow": allow, "files": files}}, history, told, log, claims=claims)
    finding = only(result, RuleId.IMA)
    return finding.result, finding.hint


@pytest.mark.parametrize(
    ("allow", "result"),
    [
        ([AGGREGATE, SHELL], PASS),
        ([AGGREGATE, SHELL | {"path": ".*"}], PASS),
        ([{"path": ".*", "any_content": "everything"}], PASS),
        ([AGGREGATE], FAIL),
        ([SHELL], FAIL),
        ([AGGREGATE, SHELL | {"path": "/usr/bin/ls"}], FAIL),
        ([AGGREGATE, SHELL | {"path": "/usr/bin/s"}], FAIL),
        ([AGGREGATE, SHELL | {"digests": [content("x"), content("y")]}], FAIL),
    ],
)
def test_every_file_fits_a_line(allow: list[dict[str, Any]], result: RuleResult) -> None:
    assert of_ima(allow, *LINES)[0] is result


def test_a_file_that_is_not_allowed_is_named() -> None:
    _, hint = of_ima([AGGREGATE], *LINES)
    assert hint == f"1 of 2 files are not allowed: /usr/bin/sh {content('/usr/bin/sh')}"


def test_a_violation_is_not_allowed() -> None:
    """A line of zeros: nothing covers what it says."""
    zero = b"10 " + b"0" * 96 + b" ima-ng sha256:" + b"0" * 64 + b" /usr/bin/sh\n"
    _, hint = of_ima([{"path": ".*", "any_content": "everything"}], LINES[0], zero)
    assert hint == "1 of 2 files are not allowed: a violation, or a path that is no text"


def test_a_path_that_is_no_text_is_not_allowed() -> None:
    path, digest = b"/usr/\xff", bytes(32)
    parts = (b"sha256:\0" + digest, path + b"\0")
    template = b"".join(len(one).to_bytes(4, "little") + one for one in parts)
    shown = hashlib.sha384(template).hexdigest().encode()
    line = b"10 " + shown + b" ima-ng sha256:" + digest.hex().encode() + b" " + path + b"\n"
    _, hint = of_ima([{"path": "(?s).*", "any_content": "everything"}], LINES[0], line)
    assert hint == "1 of 2 files are not allowed: a violation, or a path that is no text"


def test_no_list_is_missing() -> None:
    finding = only(judge({"ima": {"allow": [SHELL]}}, BOOT), RuleId.IMA)
    assert finding.result is MISSING


def test_digests_beside_the_list_have_to_be_known() -> None:
    result, hint = of_ima([AGGREGATE, SHELL], *LINES, files=FILES[1:])
    assert result is FAIL
    assert hint == f"1 digests beside the list could be files: EV_IPL MokList {FILES[0]}"


@pytest.mark.parametrize(
    ("kind", "covered"), [(lab.IPL, False), (lab.ACTION, True), (lab.TAG, False)]
)
def test_an_evil_file_does_not_hide_in_the_log_of_the_boot(kind: int, *, covered: bool) -> None:
    """Root tells the head of IMA's list as events of the boot loader, an evil file too, with data or without."""
    evil = eventlog_lab.ima_line("/usr/bin/evil")
    lines = (LINES[0], evil, LINES[1])
    head = [ima_log(one).events[0] for one in lines[:2]]
    hidden = [lab.Step(3, kind, one.data, one.data if covered else b"/boot/file\0") for one in head]
    history, files = BOOT, [*FILES, head[0].digests[Algorithm.SHA384].hex()]
    result, hint = of_ima(
        [AGGREGATE, SHELL],
        *lines,
        files=files,
        history=history,
        told=[*history, *hidden],
        sent=(LINES[1],),
    )
    assert result is FAIL
    assert hint.startswith("1 digests beside the list could be files")
