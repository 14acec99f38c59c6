# SPDX-License-Identifier: Apache-2.0
"""The recipe over Google's vTPM in docs/policies.md: accepts the machine that it is about, and denies others.

Firmware, registers and the log are those of real machines. That their evidence is genuine is not asked here.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from policies.appraise import appraise
from policies.capture import capture_policy
from policies.lint import lint
from policies.loader import load_policy
from policies.registers import MUST_PIN, PCRS, Register
from policies.result import Decision, RuleResult
from policies.rules import RuleId
from tests.docs.documents import TOP, blocks
from tests.tdx_vectors import NOTICE, ROOT
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.google_claims import GCE, GOOGLE_SNP, INSTANCE
from tests.unit.policies.snp_claims import GOOD_SNP, TPM
from verifiers.evidence import Evidence, EvidenceKind, Provider, Tee
from verifiers.logs import booted
from verifiers.vtpm.claims import PcrBank

if TYPE_CHECKING:
    from pathlib import Path

    from policies.loader import LoadedPolicy
    from policies.result import AttestationResult
    from verifiers.eventlog.judged import Boot
    from verifiers.snp.claims import SnpClaims

MUST = MUST_PIN[Tee.SNP, Provider.GOOGLE]


def folder(*names: str) -> Path:
    found = ROOT.joinpath(*names)
    if not found.is_dir():
        pytest.skip(NOTICE)
    return found


@pytest.fixture(scope="module")
def recipe() -> LoadedPolicy:
    shown = blocks(TOP / "docs" / "policies.md")
    (text,) = (one.text for one in shown if one.text.startswith("name: google-snp\n"))
    return load_policy(text.encode())


@pytest.fixture(scope="module")
def claims() -> SnpClaims:
    """The machine: firmware of the one vector, PCRs of the other."""
    firmware = json.loads((folder("snp", "genoa-v2-google") / "expected.json").read_text())
    values = json.loads(
        (folder("vtpm", "gce-ubuntu-2404-sevsnp-log") / "expected.json").read_text()
    )["pcrs_sha256"]
    return replace(
        with_pcrs({index: values.get(str(index), "00" * 32) for index in range(24)}),
        report=replace(GOOGLE_SNP.report, measurement=bytes.fromhex(firmware["measurement"])),
    )


def with_pcrs(values: dict[int, str]) -> SnpClaims:
    pcrs = tuple((PcrBank.SHA256, index, bytes.fromhex(one)) for index, one in values.items())
    return replace(GOOGLE_SNP, tpm=replace(TPM, pcrs=pcrs))


def its_log(claims: SnpClaims) -> Boot | None:
    data = (folder("vtpm", "gce-ubuntu-2404-sevsnp-log") / "event_log.bin").read_bytes()
    return booted(claims, [Evidence(EvidenceKind.TPM_EVENT_LOG, data)])


def denied(result: AttestationResult) -> dict[str, RuleId]:
    return {one.path: one.rule for one in result.denying}


def test_it_accepts_its_machine_with_and_without_a_log(
    recipe: LoadedPolicy, claims: SnpClaims
) -> None:
    assert lint(recipe, NOW) == ()
    assert appraise(claims, recipe, NOW).decision is Decision.ACCEPTED
    result = appraise(claims, recipe, NOW, boot=its_log(claims))
    assert (denied(result), result.decision) == ({}, Decision.ACCEPTED)
    replayed = {one.path: one.result for one in result.findings if one.rule is RuleId.BOOT_REPLAY}
    assert replayed == dict.fromkeys(
        (f"boot.replayed.pcr{one}" for one in (4, 8, 9)), RuleResult.PASS
    )


@pytest.mark.parametrize("register", MUST)
def test_it_denies_another_system(
    recipe: LoadedPolicy, claims: SnpClaims, register: Register
) -> None:
    assert claims.tpm is not None
    if register is Register.MEASUREMENT:
        other = replace(claims, report=replace(claims.report, measurement=bytes(48)))
    else:
        pcrs = tuple(
            (bank, index, b"\7" * 32 if index == PCRS[register] else value)
            for bank, index, value in claims.tpm.pcrs
        )
        other = replace(claims, tpm=replace(claims.tpm, pcrs=pcrs))
    assert set(denied(appraise(other, recipe, NOW)).values()) == {RuleId.MEASUREMENT}


def test_it_denies_the_vtpm_of_another_vm(recipe: LoadedPolicy, claims: SnpClaims) -> None:
    """What a relayed vTPM shows: the right registers, of a VM that is not listed."""
    strangers = replace(claims, gce=replace(GCE, project_id="strangers"))
    another = replace(claims, gce=replace(GCE, instance_id=INSTANCE + 1))
    assert denied(appraise(strangers, recipe, NOW)) == {"gce.project_id": RuleId.GOOGLE_VM}
    assert denied(appraise(another, recipe, NOW)) == {"gce.instance_id": RuleId.GOOGLE_VM}


def test_it_denies_the_machine_without_its_vtpm(recipe: LoadedPolicy) -> None:
    assert denied(appraise(GOOD_SNP, recipe, NOW))["match"] is RuleId.MATCH


def test_capture_writes_the_same(recipe: LoadedPolicy, claims: SnpClaims) -> None:
    text = capture_policy([claims], name="google-snp", entry_id="web-2026-11", added=NOW)
    captured = load_policy(text.encode()).document
    said = {
        register: values
        for entries in recipe.document.reference_sets.values()
        for entry in entries
        for register, values in entry.values.items()
    }
    (entry,) = captured.reference_sets["release"]
    assert entry.values == said
    assert captured.match == recipe.document.match
    assert captured.google is not None
    assert recipe.document.google is not None
    assert captured.google.projects == recipe.document.google.projects
