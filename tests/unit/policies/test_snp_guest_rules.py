# SPDX-License-Identifier: Apache-2.0
"""The guest's own policy, level, migration agent and ID block."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from policies.result import RuleResult
from policies.rules import RuleId
from tests.unit.policies.documents import faults, snp_entry, snp_policy, snp_text
from tests.unit.policies.findings import denying, finding, findings
from tests.unit.policies.snp_claims import (
    GOOD_SNP,
    REPORT,
    with_guest_policy,
    with_platform,
    with_report,
)
from verifiers.snp.claims import GuestPolicyBit, PlatformBit, SnpClaims

FAIL, PASS, WARNED = RuleResult.FAIL, RuleResult.PASS, RuleResult.WARNED
Bit, Platform = GuestPolicyBit, PlatformBit

BY_DEFAULT: dict[GuestPolicyBit, set[RuleId]] = {
    Bit.DEBUG: {RuleId.DEBUG},
    Bit.MIGRATE_MA: {RuleId.MIGRATION_AGENT},
    Bit.RAPL_DIS: {RuleId.GUEST_POLICY_UNMET},
    Bit.CIPHERTEXT_HIDING: {RuleId.GUEST_POLICY_UNMET},
}


@pytest.mark.parametrize("bit", GuestPolicyBit)
def test_each_bit_alone(bit: GuestPolicyBit) -> None:
    """Two are refused; two demand something that this platform does not have; the others are the guest's business."""
    assert denying(with_guest_policy(bit)) == dict.fromkeys(BY_DEFAULT.get(bit, ()), FAIL)


def test_debug_can_be_relaxed() -> None:
    found = finding(
        with_guest_policy(Bit.DEBUG), RuleId.DEBUG, snp_policy(relax={"debug": "a test cluster"})
    )
    assert (found.result, found.path, found.actual) == (WARNED, "report.policy", "debug, smt")
    assert "without DEBUG" in finding(with_guest_policy(Bit.DEBUG), RuleId.DEBUG).hint


@pytest.mark.parametrize("agent", [bytes(32), b"\xff" * 31 + b"\xfe"])
def test_a_bound_migration_agent(agent: bytes) -> None:
    bound = with_report(report_id_ma=agent)
    assert denying(bound) == {RuleId.MIGRATION_AGENT: FAIL}
    found = finding(bound, RuleId.MIGRATION_AGENT)
    assert agent.hex() in found.actual
    assert found.hint == "a migration agent is bound to the guest"
    relaxed = snp_policy(relax={"migration-agent": "ours"})
    assert denying(bound, relaxed) == {}


def test_an_allowed_migration_agent() -> None:
    found = finding(with_guest_policy(Bit.MIGRATE_MA), RuleId.MIGRATION_AGENT)
    assert found.hint == "the guest policy allows a migration agent"
    assert found.actual == "none; guest policy migrate-ma, smt"


@pytest.mark.parametrize(
    ("levels", "vmpl", "result", "actual"),
    [
        (None, 0, PASS, "0"),
        (None, 1, FAIL, "1"),
        (None, 0xFFFFFFFF, FAIL, "asked for by the host"),
        ([1, 2], 0, FAIL, "0"),
        ([1, 2], 2, WARNED, "2"),
        (1, 1, WARNED, "1"),
        ([0, 1], 0, PASS, "0"),
        ([0, 1, 2, 3], 0xFFFFFFFF, FAIL, "asked for by the host"),
    ],
)
def test_levels(levels: Any, vmpl: int, result: RuleResult, actual: str) -> None:  # noqa: ANN401  JSON
    by = snp_policy({} if levels is None else {"vmpl": levels})
    found = finding(with_report(vmpl=vmpl), RuleId.VMPL_NOT_ZERO, by)
    assert (found.result, found.actual) == (result, actual)
    assert bool(found.hint) is (result is not PASS)


@pytest.mark.parametrize(
    ("lists", "bits", "hint"),
    [
        ({}, set(), ""),
        ({"required": ["single-socket"]}, {Bit.SINGLE_SOCKET}, ""),
        (
            {"required": ["single-socket", "page-swap-disable"]},
            {Bit.SINGLE_SOCKET},
            "the guest policy lacks a bit that is required",
        ),
        ({"forbidden": ["cxl"]}, set(), ""),
        ({"forbidden": ["cxl"]}, {Bit.CXL}, "the guest policy allows cxl"),
        (
            {"required": ["mem-aes-256-xts"], "forbidden": ["cxl", "smt"]},
            {Bit.CXL},
            "the guest policy lacks a bit that is required; the guest policy allows cxl, smt",
        ),
    ],
)
def test_the_policys_own_lists(
    lists: dict[str, list[str]], bits: set[GuestPolicyBit], hint: str
) -> None:
    by = snp_policy({"guest_policy": lists})
    found = finding(with_guest_policy(*bits), RuleId.GUEST_POLICY, by)
    assert (found.result, found.hint) == (FAIL if hint else PASS, hint)
    until = snp_policy({"guest_policy": lists}, warn={"guest-policy": "2027-01-01"})
    assert finding(with_guest_policy(*bits), RuleId.GUEST_POLICY, until).result is (
        WARNED if hint else PASS
    )


@pytest.mark.parametrize(
    ("guest", "platform", "hint"),
    [
        ({Bit.SMT}, {Platform.SMT}, ""),
        ({Bit.SMT}, set(), ""),
        (set(), set(), ""),
        (set(), {Platform.SMT}, "against the guest policy, smt is on"),
        ({Bit.RAPL_DIS}, {Platform.RAPL_DIS}, ""),
        ({Bit.RAPL_DIS}, set(), "against the guest policy, rapl-dis is not on"),
        ({Bit.CIPHERTEXT_HIDING}, {Platform.CIPHERTEXT_HIDING}, ""),
        (
            {Bit.RAPL_DIS, Bit.CIPHERTEXT_HIDING},
            {Platform.SMT},
            "against the guest policy, rapl-dis is not on, ciphertext-hiding is not on, smt is on",
        ),
        ({Bit.SINGLE_SOCKET, Bit.MEM_AES_256_XTS, Bit.PAGE_SWAP_DISABLE}, set(), ""),
    ],
)
def test_the_platform_is_as_the_guest_demands(
    guest: set[GuestPolicyBit], platform: set[PlatformBit], hint: str
) -> None:
    claims = replace(with_platform(platform), guest_policy=frozenset(guest))
    found = finding(claims, RuleId.GUEST_POLICY_UNMET)
    assert (found.result, found.hint) == (FAIL if hint else PASS, hint)
    relaxed = snp_policy(relax={"guest-policy-unmet": "old firmware does not report it"})
    assert finding(claims, RuleId.GUEST_POLICY_UNMET, relaxed).result is (WARNED if hint else PASS)


def test_smt_is_no_matter_by_default() -> None:
    assert findings(GOOD_SNP, RuleId.SMT) == []


@pytest.mark.parametrize("guest", [True, False])
@pytest.mark.parametrize("platform", [True, False])
def test_smt_is_forbidden_in_both_places(guest: bool, platform: bool) -> None:  # noqa: FBT001  a table
    claims = replace(
        with_platform({Platform.SMT} if platform else set()),
        guest_policy=frozenset({Bit.SMT} if guest else ()),
    )
    by = snp_policy({"allow_smt": False})
    found = {one.path: one.result for one in findings(claims, RuleId.SMT, by)}
    assert found == {
        "report.policy": FAIL if guest else PASS,
        "report.platform_info": FAIL if platform else PASS,
    }
    warned = snp_policy({"allow_smt": False}, warn={"smt": "2027-01-01"})
    assert {one.result for one in findings(claims, RuleId.SMT, warned)} <= {WARNED, PASS}


def signed(id_block: dict[str, Any], **values: bytes) -> Any:  # noqa: ANN401  keyword for `snp_policy`
    values = values or {"id_key_digest": REPORT.id_key_digest}
    return snp_policy(
        {"id_block": id_block}, reference_sets={"release": [snp_entry("s1", **values)]}
    )


@pytest.mark.parametrize(
    ("id_block", "claims", "path", "result"),
    [
        ({"guest_svn": 4}, GOOD_SNP, "report.guest_svn", PASS),
        ({"guest_svn": 5}, GOOD_SNP, "report.guest_svn", FAIL),
        ({"guest_svn": 0}, with_report(guest_svn=0), "report.guest_svn", PASS),
        ({"family_id": REPORT.family_id.hex()}, GOOD_SNP, "report.family_id", PASS),
        ({"family_id": "00" * 16}, GOOD_SNP, "report.family_id", FAIL),
        ({"image_id": REPORT.image_id.hex()}, GOOD_SNP, "report.image_id", PASS),
        ({"image_id": REPORT.family_id.hex()}, GOOD_SNP, "report.image_id", FAIL),
    ],
)
def test_the_id_block(
    id_block: dict[str, Any], claims: SnpClaims, path: str, result: RuleResult
) -> None:
    found = finding(claims, RuleId.ID_BLOCK, signed(id_block))
    assert (found.path, found.result) == (path, result)
    assert bool(found.hint) is (result is FAIL)


def test_the_id_block_is_no_matter_by_default() -> None:
    assert findings(GOOD_SNP, RuleId.ID_BLOCK) == []


ZERO = bytes(48)


@pytest.mark.parametrize(
    "entries",
    [
        [snp_entry()],
        [snp_entry("a", id_key_digest=REPORT.id_key_digest), snp_entry("b")],
        [snp_entry("a", id_key_digest=ZERO)],
        [
            snp_entry("a", id_key_digest=REPORT.id_key_digest),
            snp_entry("b", author_key_digest=REPORT.author_key_digest),
        ],
        [snp_entry("a", host_data=REPORT.host_data)],
        [],
    ],
    ids=["none", "not every entry", "zero", "one or the other", "another register", "empty"],
)
def test_an_id_block_without_its_signer_is_refused(entries: list[dict[str, Any]]) -> None:
    found = faults(snp_text({"id_block": {"guest_svn": 1}}, reference_sets={"release": entries}))
    assert "anyone can write an ID block" in found["snp.id_block"]


def test_either_signer_will_do() -> None:
    enabled = with_report(author_key_en=True)
    by = signed({"guest_svn": 1}, author_key_digest=REPORT.author_key_digest)
    assert denying(enabled, by) == {}
    assert denying(GOOD_SNP, by) == {RuleId.MEASUREMENT: FAIL}  # AUTHOR_KEY_EN is off
