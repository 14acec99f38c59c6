# SPDX-License-Identifier: Apache-2.0
"""From a trusted machine's evidence to a policy that accepts it and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from policies import registers
from policies.appraise import appraise
from policies.capture import capture_entries, capture_policy
from policies.document import SourceKind
from policies.errors import PolicyError
from policies.google_document import GoogleRules
from policies.lint import lint
from policies.loader import load_policy
from policies.registers import Register
from policies.result import Decision, RuleResult
from policies.rules import RuleId
from policies.snp_document import Components
from tests.unit.policies.claims_factory import GOOD, NOW, TD, register, with_service_td, with_td
from tests.unit.policies.documents import MUST_PIN
from tests.unit.policies.findings import denying
from tests.unit.policies.google_claims import GCE, GOOGLE_SNP, GOOGLE_TD, INSTANCE, PROJECT
from tests.unit.policies.snp_claims import (
    AZURE,
    GOOD_SNP,
    OLD,
    REPORT,
    tcb,
    with_report,
    with_tcbs,
)
from tests.unit.policies.td_claims import AZURE_TD
from verifiers.evidence import Product, Provider, Tee
from verifiers.snp.claims import CpuModel

if TYPE_CHECKING:
    from verifiers.claims import Claims


def test_a_captured_policy_accepts_its_machine_and_no_other() -> None:
    loaded = load_policy(capture_policy([GOOD], name="first", entry_id="web-1", added=NOW).encode())
    assert appraise(GOOD, loaded, NOW).decision is Decision.ACCEPTED
    assert not any(remark.is_error for remark in lint(loaded, NOW))
    for name in MUST_PIN:
        assert (
            appraise(with_td(**{name.value: register(9)}), loaded, NOW).decision is Decision.DENIED
        )


def test_an_entry_says_where_it_comes_from() -> None:
    text = capture_policy(
        [GOOD], name="first", entry_id="web-1", added=NOW, note='rack "7": top\nof it'
    )
    (entry,) = load_policy(text.encode()).document.reference_sets["release"]
    assert (entry.id, entry.added, entry.note) == ("web-1", NOW, 'rack "7": top\nof it')
    assert entry.source is not None
    assert (entry.source.kind, entry.source.sha256) == (SourceKind.CAPTURE, GOOD.evidence_sha256)


def test_the_date_is_written_in_utc() -> None:
    east = NOW.astimezone(timezone(timedelta(hours=5)))
    text = capture_entries([GOOD], entry_id="x", added=east)
    assert "added: 2026-06-01T12:00:00Z" in text


def test_several_machines_give_one_entry_per_distinct_release() -> None:
    other = replace(with_td(rtmr0=register(1), rtmr2=register(2)), evidence_sha256=bytes(32))
    text = capture_policy([GOOD, other, GOOD], name="first", entry_id="web", added=NOW)
    loaded = load_policy(text.encode())
    assert [entry.id for entry in loaded.document.reference_sets["release"]] == ["web", "web-2"]
    assert appraise(GOOD, loaded, NOW).decision is Decision.ACCEPTED
    assert appraise(other, loaded, NOW).decision is Decision.ACCEPTED
    mixed = replace(GOOD, td=replace(TD, rtmr0=register(1)))
    assert appraise(mixed, loaded, NOW).decision is Decision.DENIED


def test_entries_can_be_pasted_into_a_policy() -> None:
    entries = capture_entries([GOOD], entry_id="new", added=NOW)
    whole = capture_policy([with_td(mr_td=register(1))], name="first", entry_id="old", added=NOW)
    pasted = load_policy(whole.replace("\ntdx:", entries + "\ntdx:").encode())
    assert [entry.id for entry in pasted.document.reference_sets["release"]] == ["old", "new"]


def test_registers_can_be_chosen() -> None:
    chosen = (*MUST_PIN, Register.MR_CONFIG_ID)
    text = capture_entries([GOOD], entry_id="x", added=NOW, registers=chosen)
    assert f'mr_config_id: "{TD.mr_config_id.hex()}"' in text


def test_an_all_zero_register_is_pointed_out() -> None:
    text = capture_entries([with_td(rtmr2=bytes(48))], entry_id="x", added=NOW)
    assert text.count("# all zero: nothing was measured into it") == 1


def test_what_cannot_be_captured_is_said() -> None:
    with pytest.raises(ValueError, match="nothing to capture"):
        capture_entries([], entry_id="x", added=NOW)
    chosen = (*MUST_PIN, Register.MR_SERVICE_TD)
    with pytest.raises(ValueError, match="does not report mr_service_td"):
        capture_entries([GOOD], entry_id="x", added=NOW, registers=chosen)
    bound = with_service_td(register(1))
    assert "mr_service_td" in capture_entries([bound], entry_id="x", added=NOW, registers=chosen)


@pytest.mark.parametrize("bad", ["", "a b", 'x"\n    - id: y', "{x}"])
def test_ids_and_names_cannot_break_out_of_their_place(bad: str) -> None:
    with pytest.raises(PolicyError):
        capture_entries([GOOD], entry_id=bad, added=NOW)
    with pytest.raises(PolicyError):
        capture_policy([GOOD], name=bad, entry_id="x", added=NOW)


# SEV-SNP


def test_a_captured_snp_policy_accepts_its_machine_and_nothing_lower() -> None:
    data = capture_policy([GOOD_SNP], name="first", entry_id="web-1", added=NOW).encode()
    loaded = load_policy(data)
    assert loaded.document.match.provider is Provider.DIRECT
    assert appraise(GOOD_SNP, loaded, NOW).decision is Decision.ACCEPTED
    assert not any(remark.is_error for remark in lint(loaded, NOW))
    assert denying(with_report(measurement=register(9)), loaded) == {
        RuleId.MEASUREMENT: RuleResult.FAIL
    }
    low = tcb(snp=26)
    assert denying(with_tcbs(low, low, low, low), loaded) == {RuleId.TCB_FLOOR: RuleResult.FAIL}
    assert denying(with_tcbs(launch=low), loaded) == {RuleId.TCB_FLOOR: RuleResult.FAIL}


def test_a_captured_floor_is_the_lowest_of_each_model() -> None:
    turin = replace(
        with_tcbs(*[tcb(fmc=1, microcode=81)] * 4),
        product=Product.TURIN,
        cpu=CpuModel(0x1A, 0x02, 1),
    )
    lower = with_tcbs(tcb(snp=26, microcode=99), launch=tcb(tee=0))
    text = capture_policy([GOOD_SNP, lower, turin, OLD], name="f", entry_id="e", added=NOW)
    document = load_policy(text.encode()).document
    assert document.snp is not None
    floors = document.snp.tcb.minimum
    assert list(floors) == ["19-11-1", "1a-02-1"]
    assert floors["19-11-1"].reported == Components(bootloader=10, tee=1, snp=26, microcode=88)
    assert floors["19-11-1"].launch == Components(bootloader=10, tee=0, snp=27, microcode=88)
    assert floors["1a-02-1"].reported == Components(
        fmc=1, bootloader=10, tee=1, snp=27, microcode=81
    )


def test_reports_without_a_cpu_model_give_no_floor() -> None:
    text = capture_policy([OLD], name="first", entry_id="e", added=NOW)
    document = load_policy(text.encode()).document
    assert document.snp is not None
    assert "no CPU model" in (document.snp.tcb.no_floor or "")


def test_a_paravisors_guest_is_captured_with_its_pcrs() -> None:
    loaded = load_policy(capture_policy([AZURE], name="f", entry_id="e", added=NOW).encode())
    (entry,) = loaded.document.reference_sets["release"]
    assert list(entry.values) == list(registers.MUST_PIN[Tee.SNP, Provider.AZURE])
    assert loaded.document.match.provider is Provider.AZURE
    assert appraise(AZURE, loaded, NOW).decision is Decision.ACCEPTED
    assert not any(remark.is_error for remark in lint(loaded, NOW))
    with pytest.raises(ValueError, match="does not report pcr4"):
        capture_entries([replace(AZURE, tpm=None)], entry_id="e", added=NOW)


def test_a_td_under_a_paravisor_is_captured_with_its_pcrs() -> None:
    loaded = load_policy(capture_policy([AZURE_TD], name="f", entry_id="e", added=NOW).encode())
    (entry,) = loaded.document.reference_sets["release"]
    assert list(entry.values) == list(registers.MUST_PIN[Tee.TDX, Provider.AZURE])
    assert loaded.document.match.provider is Provider.AZURE
    assert list(loaded.document.relax) == [RuleId.SEPT_VE_DISABLE_CLEAR]
    assert appraise(AZURE_TD, loaded, NOW).decision is Decision.ACCEPTED
    assert not any(remark.is_error for remark in lint(loaded, NOW))


@pytest.mark.parametrize("claims", [GOOGLE_SNP, GOOGLE_TD], ids=["snp", "tdx"])
def test_a_vm_of_googles_is_captured_with_its_project(claims: Claims) -> None:
    """Whose vTPM it is; what it booted is in PCRs of SEV-SNP, and in RTMRs of TDX."""
    text = capture_policy([claims], name="f", entry_id="e", added=NOW)
    loaded = load_policy(text.encode())
    (entry,) = loaded.document.reference_sets["release"]
    assert list(entry.values) == list(registers.MUST_PIN[claims.tee, Provider.GOOGLE])
    assert loaded.document.match.provider is Provider.GOOGLE
    assert loaded.document.google == GoogleRules(projects=frozenset({PROJECT}))
    assert loaded.document.relax == {}
    assert appraise(claims, loaded, NOW).decision is Decision.ACCEPTED
    assert not any(remark.is_error for remark in lint(loaded, NOW))
    strangers = replace(GCE, project_id="strangers")
    assert denying(replace(claims, gce=strangers), loaded) == {RuleId.GOOGLE_VM: RuleResult.FAIL}
    listed = text.replace("  # instances:", "  instances:")
    document = load_policy(listed.encode()).document
    assert document.google is not None
    assert document.google.instances == frozenset({INSTANCE})
    without: Claims = replace(claims, tpm=None)
    with pytest.raises(ValueError, match="does not report pcr4"):
        capture_entries([without], entry_id="e", added=NOW, registers=[Register.PCR4])


def test_vms_of_several_projects_are_captured_together() -> None:
    other = replace(GOOGLE_TD, gce=replace(GCE, project_id="example.com:db", instance_id=1))
    text = capture_policy([GOOGLE_TD, other], name="f", entry_id="e", added=NOW)
    document = load_policy(text.encode()).document
    assert document.google is not None
    assert document.google.projects == {PROJECT, "example.com:db"}
    assert f"# instances: [1, {INSTANCE}]" in text
    assert len(document.reference_sets["release"]) == 1


def test_other_snp_registers_on_request() -> None:
    chosen = (Register.MEASUREMENT, Register.HOST_DATA)
    text = capture_entries([GOOD_SNP], entry_id="e", added=NOW, registers=chosen)
    assert f'host_data: "{REPORT.host_data.hex()}"' in text


@pytest.mark.parametrize("mixed", [[GOOD, GOOD_SNP], [GOOD_SNP, AZURE], [GOOD, GOOGLE_TD]])
def test_one_capture_is_about_one_kind_of_evidence(mixed: list[Claims]) -> None:
    with pytest.raises(ValueError, match="several technologies or providers"):
        capture_entries(mixed, entry_id="e", added=NOW)
