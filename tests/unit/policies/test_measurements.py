# SPDX-License-Identifier: Apache-2.0
"""Reference sets: whole groups, all used sets, expiry, and what must be pinned."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from attestca_client.protocol import Label
from policies.appraise import appraise
from policies.measurements import GROUP_LABEL, group_digest
from policies.registers import Register
from policies.result import AttestationResult, Decision, Finding, RuleResult
from policies.rules import RuleId
from tests.unit.policies.claims_factory import GOOD, NOW, TD, register, with_service_td, with_td
from tests.unit.policies.documents import MUST_PIN, RELEASE, entry, policy


def measured(result: AttestationResult) -> list[Finding]:
    return [finding for finding in result.findings if finding.rule is RuleId.MEASUREMENT]


def one(result: AttestationResult) -> Finding:
    (finding,) = measured(result)
    return finding


def iso(days: float) -> str:
    return (NOW + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_release_matches() -> None:
    result = appraise(GOOD, policy(), NOW)
    assert result.decision is Decision.ACCEPTED
    assert one(result) == Finding(
        RuleId.MEASUREMENT, "reference_sets.release", RuleResult.PASS, "one of r1", "r1"
    )
    assert [(m.reference_set, m.entry_id) for m in result.matched] == [("release", "r1")]
    assert result.pinned == tuple((one_, getattr(TD, one_.value)) for one_ in MUST_PIN)
    assert result.unpinned == ()
    assert result.all_pinned


def test_registers_of_two_releases_never_mix() -> None:
    """Firmware of one release with the kernel of another: each value is known, the whole is not."""
    other = entry("r2", mr_td=register(1), rtmr0=register(2), rtmr1=register(3), rtmr2=register(4))
    two = policy(reference_sets={"release": [RELEASE, other]})
    assert appraise(GOOD, two, NOW).decision is Decision.ACCEPTED
    mixed = appraise(with_td(mr_td=register(1)), two, NOW)
    assert mixed.decision is Decision.DENIED
    assert one(mixed).hint == "nearest is r1; differs in mr_td"
    assert one(mixed).expected == "one of r1, r2"


@pytest.mark.parametrize("name", [one_.value for one_ in MUST_PIN])
def test_one_differing_register_denies(name: str) -> None:
    result = appraise(with_td(**{name: register(9)}), policy(), NOW)
    assert result.decision is Decision.DENIED
    assert one(result).result is RuleResult.FAIL
    assert one(result).hint == f"nearest is r1; differs in {name}"
    assert f"{name}={register(9).hex()}" in one(result).actual
    assert (result.matched, result.pinned, result.all_pinned) == ((), (), False)


def test_one_bit_of_difference_denies() -> None:
    flipped = bytes([TD.rtmr2[0], *TD.rtmr2[1:47], TD.rtmr2[47] ^ 1])
    assert appraise(with_td(rtmr2=flipped), policy(), NOW).decision is Decision.DENIED


def test_the_nearest_entry_is_named() -> None:
    far = entry("far", mr_td=register(1), rtmr1=register(2))
    near = entry("near", rtmr2=register(3))
    result = appraise(GOOD, policy(reference_sets={"release": [far, near]}), NOW)
    assert one(result).hint == "nearest is near; differs in rtmr2"


def test_a_register_may_have_several_values() -> None:
    several = policy(reference_sets={"release": [entry("r1", rtmr0=[register(1), TD.rtmr0])]})
    assert appraise(GOOD, several, NOW).decision is Decision.ACCEPTED
    assert appraise(with_td(rtmr0=register(1)), several, NOW).decision is Decision.ACCEPTED
    assert appraise(with_td(rtmr0=register(2)), several, NOW).decision is Decision.DENIED


def test_an_entry_holds_before_its_expiry_only() -> None:
    ends = policy(reference_sets={"release": [RELEASE | {"expires": iso(1)}]})
    at = NOW + timedelta(days=1)
    assert appraise(GOOD, ends, at - timedelta(seconds=1)).decision is Decision.ACCEPTED
    assert appraise(GOOD, ends, NOW).valid_until == at
    expired = appraise(GOOD, ends, at)
    assert expired.decision is Decision.DENIED
    assert one(expired).hint == "matches r1, which has expired"


def test_expired_entries_are_no_neighbours() -> None:
    old = entry("old", rtmr2=register(3)) | {"expires": iso(-1)}
    far = entry("far", mr_td=register(1), rtmr1=register(2))
    result = appraise(GOOD, policy(reference_sets={"release": [old, far]}), NOW)
    assert one(result).hint == "nearest is far; differs in mr_td, rtmr1"
    assert one(result).expected == "one of far"
    alone = appraise(GOOD, policy(reference_sets={"release": [old]}), NOW)
    assert one(alone).hint == "every entry has expired"
    assert alone.decision is Decision.DENIED


def test_an_expired_twin_does_not_hide_one_in_force() -> None:
    twins = [RELEASE | {"expires": iso(-1)}, entry("r2")]
    result = appraise(GOOD, policy(reference_sets={"release": twins}), NOW)
    assert [m.entry_id for m in result.matched] == ["r2"]


def test_every_used_set_must_match() -> None:
    firmware = {"id": "f1", "values": {"mr_td": TD.mr_td.hex(), "rtmr0": TD.rtmr0.hex()}}
    system = {"id": "s1", "values": {"rtmr1": TD.rtmr1.hex(), "rtmr2": TD.rtmr2.hex()}}
    split = policy(
        {"measurements": ["firmware", "system"]},
        reference_sets={"firmware": [firmware], "system": [system]},
    )
    result = appraise(GOOD, split, NOW)
    assert result.decision is Decision.ACCEPTED
    assert [m.entry_id for m in result.matched] == ["f1", "s1"]
    assert result.all_pinned
    half = appraise(with_td(rtmr1=register(9)), split, NOW)
    assert half.decision is Decision.DENIED
    assert [m.entry_id for m in half.matched] == ["f1"]
    assert dict(half.pinned).keys() == {Register.MR_TD, Register.RTMR0}


def test_a_set_that_is_not_used_plays_no_part() -> None:
    unused = policy(reference_sets={"release": [RELEASE], "other": [entry("x", mr_td=register(1))]})
    assert [m.entry_id for m in appraise(GOOD, unused, NOW).matched] == ["r1"]


def test_an_empty_set_is_missing() -> None:
    result = appraise(GOOD, policy(reference_sets={"release": []}), NOW)
    assert [(f.path, f.result) for f in measured(result)] == [
        ("reference_sets.release", RuleResult.MISSING),
        *((f"td.{name}", RuleResult.MISSING) for name in MUST_PIN),
    ]


@pytest.mark.parametrize("left_out", [one_.value for one_ in MUST_PIN])
def test_a_register_that_not_every_entry_pins_is_missing(left_out: str) -> None:
    """Even where the entry that matches names it: what denies must not hang on which one matches."""
    partial = {"id": "p", "values": {k: v for k, v in RELEASE["values"].items() if k != left_out}}
    for entries in ([partial], [RELEASE, partial]):
        result = appraise(GOOD, policy(reference_sets={"release": entries}), NOW)
        assert result.decision is Decision.DENIED
        assert [f.path for f in measured(result) if f.result is RuleResult.MISSING] == [
            f"td.{left_out}"
        ]
        reasoned = policy(
            {"unpinned": {left_out: "it varies"}}, reference_sets={"release": entries}
        )
        assert appraise(GOOD, reasoned, NOW).decision is Decision.ACCEPTED


def test_what_is_exempt_is_said_with_its_reason() -> None:
    partial = {"id": "p", "values": {k: v for k, v in RELEASE["values"].items() if k != "rtmr0"}}
    open_ = policy({"unpinned": {"rtmr0": "it varies"}}, reference_sets={"release": [partial]})
    result = appraise(GOOD, open_, NOW)
    assert result.unpinned == ((Register.RTMR0, "it varies"),)
    assert not result.all_pinned


def test_an_exemption_does_not_stop_a_comparison() -> None:
    both = policy({"unpinned": {"rtmr0": "it varies"}})
    assert appraise(GOOD, both, NOW).unpinned == ()
    assert appraise(with_td(rtmr0=register(9)), both, NOW).decision is Decision.DENIED


def test_all_can_be_left_open_by_name() -> None:
    everything = {name.value: "a research cluster" for name in MUST_PIN}
    result = appraise(GOOD, policy({"measurements": [], "unpinned": everything}), NOW)
    assert result.decision is Decision.ACCEPTED
    assert [register for register, _ in result.unpinned] == list(MUST_PIN)
    assert not result.all_pinned


@pytest.mark.parametrize(
    "name",
    [
        one_.value
        for one_ in Register
        if one_.path.startswith("td.") and one_ is not Register.MR_SERVICE_TD
    ],
)
def test_every_register_can_be_pinned(name: str) -> None:
    value = register(0x77)
    pinned = policy(reference_sets={"release": [entry("r1", **{name: value})]})
    good = with_td(**{name: value})
    assert appraise(good, pinned, NOW).decision is Decision.ACCEPTED
    assert dict(appraise(good, pinned, NOW).pinned)[Register(name)] == value
    assert appraise(with_td(**{name: register(0x78)}), pinned, NOW).decision is Decision.DENIED


def test_a_register_that_the_report_lacks_does_not_match() -> None:
    pinned = policy(reference_sets={"release": [entry("r1", mr_service_td=bytes(48))]})
    absent = appraise(GOOD, pinned, NOW)
    assert one(absent).hint == "nearest is r1; differs in mr_service_td"
    assert "mr_service_td=not reported" in one(absent).actual
    assert appraise(with_service_td(bytes(48)), pinned, NOW).decision is Decision.ACCEPTED


def test_the_group_digest_stands_for_registers_and_values_alone() -> None:
    document = policy(
        reference_sets={
            "release": [
                RELEASE,
                entry("r2") | {"note": "same values", "expires": iso(1)},
                entry("r3", rtmr0=[register(2), register(1)]),
                entry("r4", rtmr0=[register(1), register(2), register(1)]),
                entry("r5", rtmr0=[register(1)]),
            ]
        }
    ).document
    r1, r2, r3, r4, r5 = map(group_digest, document.reference_sets["release"])
    assert r1 == r2
    assert r3 == r4
    assert len({r1, r3, r5}) == 3


def test_the_group_digest_is_the_documented_one() -> None:
    def frame(*fields: bytes) -> bytes:
        return b"".join(len(field).to_bytes(4, "big") + field for field in fields)

    (release,) = policy().document.reference_sets["release"]
    registers = [
        frame(name.encode(), getattr(TD, name)) for name in ("mr_td", "rtmr0", "rtmr1", "rtmr2")
    ]
    assert group_digest(release) == hashlib.sha256(frame(b"attestca/1 group", *registers)).digest()


def test_long_lists_of_ids_are_cut() -> None:
    many = [entry(f"r{i:02}", mr_td=register(i)) for i in range(12)]
    result = appraise(GOOD, policy(reference_sets={"release": many}), NOW)
    assert one(result).expected == f"one of {', '.join(f'r{i:02}' for i in range(10))} and 2 more"


def test_the_label_is_the_protocols() -> None:
    assert Label.GROUP.encode() == GROUP_LABEL
