# SPDX-License-Identifier: Apache-2.0
"""What a cheat can make of Google's vTPM, which no CPU vouches for, and what is left of it under a policy.

Evidence of a simulated machine is verified, captured into a first policy, and judged by it beside what a cheat sends.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from policies.appraise import appraise
from policies.capture import capture_policy
from policies.lint import lint
from policies.loader import load_policy
from policies.result import Decision, RuleResult
from policies.rules import RuleId
from simulator.azure import AzureCvm
from simulator.eventlog import grub_boot
from simulator.google import GoogleCvm
from simulator.vtpm import FakeTpm
from tests.google_lab import GoogleLab
from tests.snp_lab import BINDING, NOW
from verifiers import registry
from verifiers.evidence import Evidence, EvidenceKind, Provider
from verifiers.google import KINDS
from verifiers.logs import booted

if TYPE_CHECKING:
    from policies.loader import LoadedPolicy
    from policies.result import AttestationResult
    from verifiers.claims import Claims
    from verifiers.eventlog.judged import Boot

LABS = {"snp": GoogleLab.snp, "tdx": GoogleLab.td}


@dataclass
class Machine:
    """A good machine that has booted, and the policy that was captured from it. `boot`: what its log comes to."""

    lab: GoogleLab
    claims: Claims
    boot: Boot | None
    policy: LoadedPolicy

    def judge(self, claims: Claims | None = None, boot: Boot | None = None) -> AttestationResult:
        return appraise(claims or self.lab.verify(), self.policy, NOW, boot=boot)

    def denied(self) -> dict[str, RuleResult]:
        """By whom what is sent now is denied, and where."""
        return {f"{one.rule} {one.path}": one.result for one in self.judge().denying}


@pytest.fixture(params=LABS)
def machine(request: pytest.FixtureRequest) -> Machine:
    lab = LABS[request.param]()
    lab.vm.boot(grub_boot())
    claims = lab.verify()
    logs = [Evidence(EvidenceKind(kind), data) for kind, data in lab.vm.logs]
    boot = booted(claims, logs)
    text = capture_policy([claims], name="web", entry_id="r1", added=NOW, boots=[boot])
    return Machine(lab, claims, boot, load_policy(text.encode()))


def test_the_machine_itself_is_accepted(machine: Machine) -> None:
    assert not [one for one in lint(machine.policy, NOW) if one.is_error]
    assert machine.policy.document.match.provider is Provider.GOOGLE
    assert machine.denied() == {}
    result = machine.judge(machine.claims, machine.boot)
    assert ([one.hint for one in result.denying], result.decision) == ([], Decision.ACCEPTED)
    replayed = {one.path for one in result.findings if one.rule is RuleId.BOOT_REPLAY}
    on_snp = machine.claims.tee == "snp"
    assert ("boot.replayed.pcr4" in replayed) is on_snp
    assert ("boot.replayed.rtmr1" in replayed) is not on_snp


def test_the_vtpm_of_a_stranger_who_booted_the_same(machine: Machine) -> None:
    """A cheat's own VM of Google's, with the right PCRs and the right binding: Google names its project."""
    own = replace(machine.lab.vm.instance, project_id="cheats-project")
    machine.lab.vm.ak = machine.lab.google.certify(machine.lab.vm.tpm.ak.spki, own)
    assert machine.denied() == {"google-vm gce.project_id": RuleResult.FAIL}


def test_the_vtpm_of_another_vm_of_the_project(machine: Machine) -> None:
    """It can be lent, which lint says, unless instances are listed."""
    told = {one.problem.path for one in lint(machine.policy, NOW)}
    assert ("google.projects" in told) is (machine.claims.tee == "snp")
    google = machine.policy.document.google
    assert google is not None
    listed = frozenset({machine.lab.vm.instance.instance_id})
    narrow = machine.policy.document.model_copy(
        update={"google": google.model_copy(update={"instances": listed})}
    )
    narrowed = replace(machine, policy=replace(machine.policy, document=narrow))
    assert narrowed.denied() == {}
    lender = replace(machine.lab.vm.instance, instance_id=1)
    machine.lab.vm.ak = machine.lab.google.certify(machine.lab.vm.tpm.ak.spki, lender)
    assert machine.denied() == {}
    assert narrowed.denied() == {"google-vm gce.instance_id": RuleResult.FAIL}
    assert not [one for one in lint(narrowed.policy, NOW) if one.problem.path == "google.projects"]


EVIL = grub_boot(cmdline="/vmlinuz root=/dev/vda1 ro init=/bin/sh")


def test_another_system_under_the_same_firmware(machine: Machine) -> None:
    """On SEV-SNP it is PCRs that tell it: the CPU's report is the same."""
    machine.lab.vm.boot(EVIL)
    assert "measurement reference_sets.release" in machine.denied()


@pytest.mark.parametrize("machine", ["tdx"], indirect=True)
def test_another_td_with_the_vtpm_of_a_good_one(machine: Machine) -> None:
    """RTMRs are the CPU's word, whatever a vTPM says."""
    machine.lab.fields = dict(EVIL.registers)
    assert "measurement reference_sets.release" in machine.denied()


@pytest.mark.parametrize("machine", ["snp"], indirect=True)
def test_another_guest_with_the_vtpm_of_a_good_one(machine: Machine) -> None:
    """Accepted, where who holds that VM lends its vTPM, as the documents say: firmware is all that the CPU tells."""
    machine.lab.fields = {"report_id": b"\7" * 32}
    assert machine.denied() == {}
    machine.lab.fields = {"measurement": bytes(48)}
    assert "measurement reference_sets.release" in machine.denied()


def test_leaving_the_vtpm_out(machine: Machine) -> None:
    for kind in KINDS:
        machine.lab.piece(kind, None)
    machine.lab.listed = False
    assert machine.denied()["match match"] is RuleResult.FAIL


@pytest.mark.parametrize("machine", ["snp"], indirect=True)
def test_a_tpm_of_ones_own_in_azures_form(machine: Machine) -> None:
    """Anybody's guest has Google's firmware, and can pose as a paravisor: a document that takes both is not saved."""
    lab, document = machine.lab, machine.policy.document
    assert isinstance(lab.vm, GoogleCvm)
    cheat = AzureCvm(lab.vm.machine, FakeTpm.create("cheat"))
    cheat.tpm.pcrs = list(lab.vm.tpm.pcrs)
    sent = cheat.evidence(BINDING.tpm_extra)
    parsed = registry.parse([Evidence(EvidenceKind(kind), data) for kind, data in sent])
    endorsements = registry.parse_bundle(parsed, json.dumps(lab.cpu_bundle()).encode())
    claims = registry.verify(parsed, endorsements, lab.anchors(), BINDING, NOW)
    denied = machine.judge(claims).denying
    assert [one.rule for one in denied] == [RuleId.MATCH]
    match = document.match.model_copy(update={"provider": None})
    machine.policy = replace(machine.policy, document=document.model_copy(update={"match": match}))
    assert machine.judge(claims).decision is Decision.ACCEPTED
    errors = [one.problem for one in lint(machine.policy, NOW) if one.is_error]
    assert [one.path for one in errors] == ["google"]
    assert "any guest under this firmware" in errors[0].message


def test_leaving_the_list_out_or_an_old_one(machine: Machine) -> None:
    machine.lab.listed = False
    assert machine.denied() == {"revocation-unknown gce.revocation": RuleResult.MISSING}
    machine.lab.listed = True
    machine.lab.google.crl.alter(next_update=NOW - timedelta(minutes=1))
    assert machine.denied() == {"collateral-stale collateral.google_root_crl": RuleResult.FAIL}


def test_a_document_that_names_nobody(machine: Machine) -> None:
    """Saved before there was the section, about any provider: what was `direct` is no more than it was."""
    document = machine.policy.document
    silent = document.model_copy(
        update={"google": None, "match": document.match.model_copy(update={"provider": None})}
    )
    machine.policy = replace(machine.policy, document=silent)
    assert machine.denied() == {"google-vm gce": RuleResult.MISSING}


def test_what_is_issued_ends_with_what_it_rests_on(machine: Machine) -> None:
    assert machine.judge().valid_until == min(
        part.next_update for part in machine.claims.collateral
    )
    machine.lab.vm.ak.alter(not_after=NOW + timedelta(minutes=5))
    assert machine.judge().valid_until == NOW + timedelta(minutes=5)
