# SPDX-License-Identifier: Apache-2.0
"""What the host chose at launch: rules over it, and explanations of fields that are not as a policy has them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from policies.appraise import appraise
from policies.lint import lint
from policies.result import Decision, RuleResult
from policies.rules import RuleId
from tests import boot_lab as lab
from tests import eventlog_lab
from tests.eventlog_lab import Runtime
from tests.unit.policies.boot_facts import accepting, judged, of_registers
from tests.unit.policies.claims_factory import GOOD, NOW
from tests.unit.policies.documents import entry, faults, policy, snp_entry, snp_policy, snp_text
from tests.unit.policies.snp_claims import AZURE, GOOD_SNP, TPM
from verifiers.eventlog import dstack
from verifiers.vtpm.claims import PcrBank

if TYPE_CHECKING:
    from policies.loader import LoadedPolicy
    from policies.result import AttestationResult, Finding
    from verifiers.tdx.claims import TdxClaims

COMPOSE = b"c" * 32
V1 = (b"\1" + COMPOSE).ljust(48, b"\0")
V2 = (b"\2" + COMPOSE).ljust(48, b"\0")
IN_V2 = f"dstack's version 2, the hash {COMPOSE.hex()} over compose-hash, app-id and key provider"
EVENTS = (Runtime("app-id", b"a" * 20), Runtime("compose-hash", COMPOSE), Runtime("system-ready"))
BOOT = lab.direct_boot()
PCRS = ("pcr4", "pcr8", "pcr9", "pcr11", "pcr12")
PASS, FAIL, MISSING = RuleResult.PASS, RuleResult.FAIL, RuleResult.MISSING


def of(result: AttestationResult, rule: RuleId, path: str) -> Finding:
    (found,) = (one for one in result.findings if (one.rule, one.path) == (rule, path))
    return found


def td(mr_config_id: bytes, *events: Runtime) -> TdxClaims:
    claims = of_registers(lab.runtime_registers(BOOT, *(one.preimage for one in events)))
    return replace(claims, td=replace(claims.td, mr_config_id=mr_config_id))


# dstack


def with_log(mr_config_id: bytes, section: dict[str, Any], *events: Runtime) -> AttestationResult:
    claims = td(mr_config_id, *events)
    log = dstack.parse(eventlog_lab.log_text(*(one.json() for one in events)))
    boot = judged(claims, lab.log_of(list(BOOT)), log)
    return appraise(claims, accepting(claims, {"dstack": section}), NOW, boot=boot)


def test_the_log_agrees_with_the_field() -> None:
    result = with_log(V1, {"compose_hash": [COMPOSE.hex()]}, *EVENTS)
    assert result.decision is Decision.ACCEPTED
    finding = of(result, RuleId.DSTACK, "td.mr_config_id")
    assert (finding.result, finding.hint) == (PASS, "")


def test_a_log_that_contradicts_the_field_is_refused() -> None:
    """Whichever of the two the policy lists."""
    other = Runtime("compose-hash", b"e" * 32)
    for key, said in (("compose_hash", b"e" * 32), ("launch_compose_hash", COMPOSE)):
        result = with_log(V1, {key: [said.hex()]}, EVENTS[0], other, EVENTS[2])
        (finding,) = result.denying
        assert (finding.rule, finding.path) == (RuleId.DSTACK, "td.mr_config_id")
        assert finding.hint == (
            f"MRCONFIGID holds dstack's compose-hash {COMPOSE.hex()},"
            " and the event log names another application"
        )
        assert finding.actual == f"dstack's compose-hash {COMPOSE.hex()}"


@pytest.mark.parametrize("value", [bytes(48), b"x" * 48, V2])
def test_a_field_that_the_log_cannot_be_compared_with(value: bytes) -> None:
    """dstack lets a host leave the field empty. The log of a version 2 would have to name the key provider too."""
    result = with_log(value, {"compose_hash": [COMPOSE.hex()]}, *EVENTS)
    assert result.decision is Decision.ACCEPTED
    assert not [one for one in result.findings if one.path == "td.mr_config_id"]


@pytest.mark.parametrize(
    ("value", "result", "hint"),
    [
        (V1, PASS, ""),
        (
            V1.replace(b"c", b"e"),
            FAIL,
            f"MRCONFIGID holds dstack's compose-hash {'65' * 32}, which is not allowed",
        ),
        (
            bytes(48),
            FAIL,
            "MRCONFIGID is all zero: the host gave none; the policy asks for dstack's compose-hash there",
        ),
        (
            V2,
            FAIL,
            f"MRCONFIGID holds {IN_V2}; the policy asks for dstack's compose-hash there",
        ),
    ],
)
def test_a_compose_hash_without_a_log(value: bytes, result: RuleResult, hint: str) -> None:
    claims = td(value)
    section = {"dstack": {"launch_compose_hash": [(b"f" * 32).hex(), COMPOSE.hex()]}}
    found = appraise(claims, accepting(claims, section), NOW)
    finding = of(found, RuleId.DSTACK, "boot.dstack.launch_compose_hash")
    assert (finding.result, finding.hint) == (result, hint)
    assert found.denying == (() if result is PASS else (finding,))
    assert finding.expected == "one of 2 listed values"


def test_with_a_log_and_without_an_identity() -> None:
    claims = td(V1)
    section = {"dstack": {"launch_compose_hash": [COMPOSE.hex()]}}
    boot = judged(claims, lab.log_of(list(BOOT)))
    assert (
        appraise(claims, accepting(claims, section), NOW, boot=boot).decision is Decision.ACCEPTED
    )


def test_a_compose_hash_at_launch_is_of_a_td() -> None:
    assert policy(boot={"dstack": {"launch_compose_hash": ["ab" * 32]}}).document.boot is not None
    found = faults(snp_text(boot={"dstack": {"launch_compose_hash": ["ab" * 32]}}))
    assert found == {"boot.dstack.launch_compose_hash": "evidence of snp has no mr_config_id"}


def test_a_policy_for_tds_beside_an_snp_guest() -> None:
    document = policy(boot={"dstack": {"launch_compose_hash": ["ab" * 32]}})
    result = appraise(GOOD_SNP, document, NOW)
    assert not [one for one in result.findings if one.rule is RuleId.DSTACK]


# what lint says

REASON = {"rtmr1": "see the image list", "rtmr2": "likewise"}
CHOSEN = {"dstack": {"launch_compose_hash": ["ab" * 32]}, "coco": {"init_data": "cd" * 48}}
DIGESTS = {"images": "ab" * 48, "initrd_digest": "ab" * 48, "cmdline_digest": "ab" * 48}


def remarks(loaded: LoadedPolicy) -> dict[str, str]:
    found = {one.problem.path: one.problem.message for one in lint(loaded, NOW)}
    return {path: said for path, said in found.items() if "who starts the machine" in said}


def partly(**boot: Any) -> LoadedPolicy:  # noqa: ANN401  JSON values
    values = {name: getattr(GOOD.td, name) for name in ("mr_td", "rtmr0")}
    release = {"id": "r1", "values": {name: one.hex() for name, one in values.items()}}
    return policy({"unpinned": REASON}, reference_sets={"release": [release]}, boot=CHOSEN | boot)


def test_a_system_that_nobody_named() -> None:
    """A host can start any system with the words of a good one."""
    assert remarks(policy(boot=CHOSEN)) == {}
    assert remarks(partly(**DIGESTS)) == {}
    found = remarks(partly())
    assert set(found) == {"boot.coco.init_data", "boot.dstack.launch_compose_hash"}
    assert all("pin rtmr1, rtmr2, so that" in one for one in found.values())


def test_a_system_that_nobody_named_of_snp() -> None:
    coco = {"coco": {"init_data": "cd" * 32}}
    direct = {"tee": "snp", "provider": "direct"}
    assert remarks(snp_policy(match=direct, boot=coco)) == {}
    open_ = {"unpinned": {"measurement": "another one every day"}, "measurements": []}
    found = remarks(snp_policy(open_, match=direct, boot=coco))
    assert "pin measurement, so that" in found["boot.coco.init_data"]


def test_a_system_that_nobody_named_in_azure() -> None:
    """PCR 8 has the init data themselves."""
    coco = {"coco": {"init_data": "cd" * 32}}
    reasons = dict.fromkeys(PCRS, "not known yet")
    azure = {"tee": "snp", "provider": "azure"}
    found = remarks(snp_policy({"unpinned": reasons}, match=azure, boot=coco))
    assert "pin pcr9, pcr11, pcr12, pcr4, so that" in found["boot.coco.init_data"]


# init data


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (
            bytes(48),
            "MRCONFIGID is all zero: the host gave none; the machine was started without init data",
        ),
        (V1, f"MRCONFIGID holds dstack's compose-hash {COMPOSE.hex()}, and not of init data"),
        (b"x" * 48, "mr_config_id is not that of init data which are allowed"),
    ],
)
def test_why_init_data_are_refused(value: bytes, hint: str) -> None:
    claims = replace(GOOD, td=replace(GOOD.td, mr_config_id=value))
    result = appraise(claims, policy(boot={"coco": {"init_data": "cd" * 48}}), NOW)
    (finding,) = result.denying
    assert (finding.rule, finding.hint) == (RuleId.INIT_DATA, hint)
    assert "cd" * 48 not in str(result.public_findings())


def test_init_data_of_an_snp_guest_that_has_none() -> None:
    claims = replace(GOOD_SNP, report=replace(GOOD_SNP.report, host_data=bytes(32)))
    result = appraise(claims, snp_policy(boot={"coco": {"init_data": "cd" * 32}}), NOW)
    finding = of(result, RuleId.INIT_DATA, "report.host_data")
    assert finding.hint.startswith("HOST_DATA is all zero: the host gave none; the machine was")


def test_init_data_in_azure_without_their_pcr() -> None:
    pcrs = ((PcrBank.SHA256, 8, bytes(32)),)
    section = {"coco": {"init_data": "cd" * 32}}
    azure = {"tee": "snp", "provider": "azure"}
    reasons = dict.fromkeys(PCRS, "not known yet")
    document = snp_policy({"unpinned": reasons}, match=azure, boot=section)
    result = appraise(replace(AZURE, tpm=replace(TPM, pcrs=pcrs)), document, NOW)
    finding = of(result, RuleId.INIT_DATA, "tpm.pcr8")
    assert finding.hint.startswith("PCR 8 is all zero: nothing was extended into it; the machine")
    result = appraise(replace(AZURE, tpm=replace(TPM, pcrs=())), document, NOW)
    finding = of(result, RuleId.INIT_DATA, "tpm.pcr8")
    assert (finding.result, finding.hint) == (MISSING, "the evidence has no pcr8")


# reference values


def test_a_field_that_is_not_as_its_reference_value() -> None:
    entries = [entry("r1", mr_config_id=V1), entry("r2", mr_config_id=[bytes(48), b"x" * 48])]
    document = policy(reference_sets={"release": entries})
    other = replace(GOOD, td=replace(GOOD.td, mr_config_id=V1.replace(b"c", b"e")))
    result = appraise(other, document, NOW)
    finding = of(result, RuleId.MEASUREMENT, "td.mr_config_id")
    assert finding.result is FAIL
    assert finding.actual == f"dstack's compose-hash {'65' * 32}"
    assert finding.expected == (
        f"r1: dstack's compose-hash {COMPOSE.hex()}; r2: all zero: the host gave none; r2: {'78' * 48}"
    )
    assert finding.hint == (
        f"MRCONFIGID holds dstack's compose-hash {'65' * 32}; the policy lists another"
    )
    assert COMPOSE.hex() not in str(result.public_findings())
    same = replace(GOOD, td=replace(GOOD.td, mr_config_id=V1))
    assert appraise(same, document, NOW).decision is Decision.ACCEPTED


def test_fields_without_a_form() -> None:
    values = {"mr_owner": b"o" * 48, "mr_owner_config": bytes(48)}
    document = policy(reference_sets={"release": [entry("r1", **values)]})
    result = appraise(GOOD, document, NOW)
    for name, vendor_name in (("mr_owner", "MROWNER"), ("mr_owner_config", "MROWNERCONFIG")):
        finding = of(result, RuleId.MEASUREMENT, f"td.{name}")
        assert finding.hint == f"{vendor_name} is not as the policy lists it"
        assert finding.actual == getattr(GOOD.td, name).hex()


def test_registers_that_others_explain() -> None:
    document = policy(reference_sets={"release": [entry("r1", rtmr1=bytes(48))]})
    result = appraise(GOOD, document, NOW)
    assert [one.path for one in result.denying] == ["reference_sets.release"]


def test_a_launch_digest() -> None:
    entries = [snp_entry("r1", measurement=b"m" * 48), snp_entry("r2", measurement=b"n" * 48)]
    result = appraise(GOOD_SNP, snp_policy(reference_sets={"release": entries}), NOW)
    finding = of(result, RuleId.MEASUREMENT, "report.measurement")
    assert (finding.result, finding.expected) == (FAIL, "as in one of r1, r2")
    assert finding.actual == GOOD_SNP.report.measurement.hex()
    for cause in ("OVMF", "virtual CPUs", "guest features", "kernel-hashes", "refvalues compute"):
        assert cause in finding.hint
    assert (b"m" * 48).hex() not in str(result.as_json())


def test_a_host_data_and_a_register_that_is_not_reported() -> None:
    values = {"host_data": b"h" * 32, "author_key_digest": b"k" * 48}
    document = snp_policy(reference_sets={"release": [snp_entry("r1", **values)]})
    result = appraise(GOOD_SNP, document, NOW)
    assert {one.path for one in result.denying} == {"reference_sets.release", "report.host_data"}


def test_the_launch_digest_of_a_paravisor() -> None:
    azure = {"tee": "snp", "provider": "azure"}
    reasons = dict.fromkeys(PCRS, "not known yet")
    entries = [snp_entry("r1", measurement=b"m" * 48)]
    document = snp_policy({"unpinned": reasons}, match=azure, reference_sets={"release": entries})
    finding = of(appraise(AZURE, document, NOW), RuleId.MEASUREMENT, "report.measurement")
    assert finding.hint.endswith("another version of its paravisor")


def test_entries_that_have_expired_are_not_named() -> None:
    entries = [
        snp_entry("r1", measurement=b"m" * 48) | {"expires": "2020-01-01"},
        snp_entry("r2", measurement=b"n" * 48),
    ]
    result = appraise(GOOD_SNP, snp_policy(reference_sets={"release": entries}), NOW)
    assert of(result, RuleId.MEASUREMENT, "report.measurement").expected == "as in one of r2"
    old = appraise(GOOD_SNP, snp_policy(reference_sets={"release": entries[:1]}), NOW)
    assert [one.path for one in old.denying] == ["reference_sets.release"]
