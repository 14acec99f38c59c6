# SPDX-License-Identifier: Apache-2.0
"""The recipes over measured boot in docs/policies.md: each accepts the machine that it is about, and denies another.

The machines are real: registers and logs of the vectors. That their quotes are genuine is not asked here.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from policies.appraise import appraise
from policies.lint import lint
from policies.loader import load_policy
from policies.registers import PCRS
from policies.result import Decision
from policies.rules import RuleId
from tests import eventlog_vectors, vtpm_vectors
from tests.docs.documents import TOP, blocks
from tests.unit.policies.boot_facts import judged, of_registers
from tests.unit.policies.claims_factory import GOOD, NOW
from tests.unit.policies.snp_claims import HCL, TPM
from verifiers.evidence import Provider
from verifiers.tdx.claims import TdAttribute
from verifiers.tdx.quote import parse_quote
from verifiers.vtpm.claims import PcrBank

if TYPE_CHECKING:
    from policies.loader import LoadedPolicy
    from policies.result import AttestationResult
    from verifiers.eventlog.judged import Boot
    from verifiers.tdx.claims import TdxClaims

POLICIES = TOP / "docs" / "policies.md"
YAML = [one.text for one in blocks(POLICIES) if one.language == "yaml"]
RECIPES = [one for one in YAML if one.startswith("boot:\n")]
LEFT_OPEN = "boot names what is in it"
INIT_DATA = b'version = "0.1.0"\n'


@dataclass(frozen=True)
class Recipe:
    """What a recipe is about, which machine shows it, which registers it stands beside, and what it denies.

    `denied`: another machine, by the rules that refuse it.
    """

    machine: str
    beside: tuple[str, ...]
    denied: dict[str, set[RuleId]]
    remarks: frozenset[str] = frozenset()  # of lint


DSTACK, LITE = "dstack-gpu-h100-quote-report", "dstack-lite-stripped-log"
SCALE = "dstack-scale-attestation"
COS, SECURE, UBUNTU = "gce-cos-113-grub", "grub-secure-boot-on", "ubuntu-grub-ima"
CONTAINER, AGENT, QEMU = (
    "gce-confidential-space-cel",
    "alibaba-aael-rtmr3",
    "qemu-direct-boot-tdreport",
)
KERNEL = {RuleId.BOOT_IMAGE, RuleId.KERNEL_CMDLINE, RuleId.INITRD}
EVERY = ("mr_td", "rtmr0", "rtmr1", "rtmr2")
TABLE = {
    "pin a kernel": Recipe(DSTACK, ("mr_td", "rtmr0"), {LITE: KERNEL, COS: KERNEL}),
    "pin a kernel of GRUB": Recipe(
        COS,
        ("mr_td", "rtmr0"),
        {
            UBUNTU: {RuleId.BOOT_IMAGE, RuleId.KERNEL_CMDLINE},
            QEMU: {RuleId.BOOT_IMAGE, RuleId.KERNEL_CMDLINE},
        },
    ),
    "two releases": Recipe(DSTACK, ("mr_td", "rtmr0"), {QEMU: KERNEL}),
    "Secure Boot": Recipe(
        SECURE,
        EVERY,
        {COS: {RuleId.SECURE_BOOT, RuleId.DB_CERTIFICATES}, DSTACK: {RuleId.SECURE_BOOT}},
    ),
    "several sizes": Recipe(DSTACK, ("mr_td", "rtmr1", "rtmr2"), {COS: {RuleId.BOOT_EVENT}}),
    "dstack": Recipe(DSTACK, EVERY, {LITE: {RuleId.DSTACK}, COS: {RuleId.DSTACK}}),
    "dstack by the CPU's word": Recipe(
        LITE, EVERY, {DSTACK: {RuleId.DSTACK}, SCALE: {RuleId.DSTACK}, COS: {RuleId.DSTACK}}
    ),
    "init data": Recipe(DSTACK, EVERY, {}),
    "agent": Recipe(AGENT, EVERY, {DSTACK: {RuleId.AAEL}, COS: {RuleId.AAEL}}),
    "container": Recipe(
        CONTAINER, EVERY, {DSTACK: {RuleId.CONFIDENTIAL_SPACE}}, frozenset({"boot.require_replay"})
    ),
    "IMA": Recipe(UBUNTU, EVERY, {COS: {RuleId.IMA}}, frozenset({"boot.ima.allow[0].any_content"})),
}


def machine(name: str) -> tuple[TdxClaims, Boot]:
    """A real machine: claims with its registers and what its host chose, and its logs against them."""
    case = eventlog_vectors.load(name)
    claims = of_registers(case.registers)
    if case.quote is not None:
        config = parse_quote(case.quote).td.mr_config_id
        claims = replace(claims, td=replace(claims.td, mr_config_id=config))
    return claims, judged(claims, *case.logs)


def beside(recipe: str, claims: TdxClaims, registers: tuple[str, ...]) -> LoadedPolicy:
    """A document with the recipe, that pins these registers of the machine and leaves others open."""
    values = "".join(f'        {one}: "{getattr(claims.td, one).hex()}"\n' for one in registers)
    open_ = "".join(f"    {one}: {LEFT_OPEN}\n" for one in EVERY if one not in registers)
    text = "name: web\nversion: 1\nmatch: {tee: tdx, provider: direct}\n"
    text += f"reference_sets:\n  release:\n    - id: r1\n      values:\n{values}"
    text += "tdx:\n  measurements: [release]\n" + (f"  unpinned:\n{open_}" if open_ else "")
    text += f'{recipe}issue:\n  san:\n    uri: ["spiffe://example.org/tdx/{{mr_config_id_32}}"]\n'
    return load_policy(text.encode())


def verdict(recipe: str, name: str, registers: tuple[str, ...]) -> AttestationResult:
    claims, boot = machine(name)
    return appraise(claims, beside(recipe, claims, registers), NOW, boot=boot)


def test_every_recipe_is_here() -> None:
    assert len(RECIPES) == len(TABLE)


@pytest.mark.parametrize(("number", "name"), list(enumerate(TABLE)))
def test_a_recipe_accepts_its_machine_and_denies_others(number: int, name: str) -> None:
    text, recipe = RECIPES[number], TABLE[name]
    claims, boot = machine(recipe.machine)
    if name == "init data":
        claims = replace(
            claims, td=replace(claims.td, mr_config_id=hashlib.sha384(INIT_DATA).digest())
        )
    loaded = beside(text, claims, recipe.beside)
    result = appraise(claims, loaded, NOW, boot=boot)
    assert [(one.rule, one.hint) for one in result.denying] == []
    assert result.decision is Decision.ACCEPTED
    remarks = {
        one.problem.path for one in lint(loaded, NOW) if "left open" not in one.problem.message
    }
    known = {
        f"reference_sets.release[0].values.{one}" for one in EVERY
    }  # what a machine measured nothing into
    assert remarks - known == recipe.remarks
    for other, rules in recipe.denied.items():
        found = verdict(text, other, recipe.beside).denying
        assert {one.rule for one in found} - {RuleId.BOOT_REPLAY} == rules


def test_two_releases_are_both_accepted() -> None:
    number = list(TABLE).index("two releases")
    for name in (DSTACK, LITE):
        assert verdict(RECIPES[number], name, ("mr_td", "rtmr0")).decision is Decision.ACCEPTED


def test_machines_of_several_sizes_differ_in_what_is_left_open() -> None:
    """The same firmware with other ACPI tables."""
    number = list(TABLE).index("several sizes")
    values = {machine(name)[0].td.rtmr0 for name in (DSTACK, LITE)}
    assert len(values) == 2
    for name in (DSTACK, LITE):
        assert (
            verdict(RECIPES[number], name, ("mr_td", "rtmr1", "rtmr2")).decision
            is Decision.ACCEPTED
        )


def test_other_init_data_are_denied() -> None:
    number = list(TABLE).index("init data")
    found = verdict(RECIPES[number], DSTACK, EVERY)
    assert [one.rule for one in found.denying] == [RuleId.INIT_DATA]


def test_a_command_line_with_something_appended_is_denied() -> None:
    text = RECIPES[list(TABLE).index("pin a kernel of GRUB")]
    claims, boot = machine(COS)
    line = boot.claims.kernel_cmdline
    assert line is not None
    assert line.text is not None
    for more in (
        f"{line.text} init=/bin/sh",
        line.text.replace("ro noresume", "rw noresume init=/x'"),
    ):
        changed = replace(
            boot, claims=replace(boot.claims, kernel_cmdline=replace(line, text=more))
        )
        found = appraise(claims, beside(text, claims, ("mr_td", "rtmr0")), NOW, boot=changed)
        assert [one.rule for one in found.denying] == [RuleId.KERNEL_CMDLINE]


def azure() -> TdxClaims:
    """A TD of Azure's with the registers of the vector."""
    vector = vtpm_vectors.load("azure-tdx-v1")
    values = vector.expected["pcrs_sha256"]
    pcrs = tuple((PcrBank.SHA256, number, bytes.fromhex(one)) for number, one in enumerate(values))
    td = vector.hcl[32 + 512 :]  # TDINFO of the TDREPORT behind the header
    zero = dict.fromkeys(("rtmr0", "rtmr1", "rtmr2", "rtmr3"), bytes(48))
    return replace(
        GOOD,
        provider=Provider.AZURE,
        td=replace(GOOD.td, mr_td=td[16:64], **zero),
        attributes=GOOD.attributes - {TdAttribute.SEPT_VE_DISABLE},
        tpm=replace(TPM, pcrs=pcrs),
        hcl=HCL,
    )


def test_azure_by_pcrs() -> None:
    (text,) = [one for one in YAML if re.match(r"name: azure-tdx\n", one)]
    loaded, claims = load_policy(text.encode()), azure()
    assert not [one for one in lint(loaded, NOW) if one.is_error]
    assert appraise(claims, loaded, NOW).decision is Decision.ACCEPTED
    assert claims.tpm is not None
    for register in ("pcr4", "pcr8", "pcr9", "pcr11", "pcr12"):
        number = next(number for one, number in PCRS.items() if one == register)
        pcrs = tuple(
            (bank, one, value if one != number else b"\7" * 32)
            for bank, one, value in claims.tpm.pcrs
        )
        other = replace(claims, tpm=replace(claims.tpm, pcrs=pcrs))
        assert [one.rule for one in appraise(other, loaded, NOW).denying] == [RuleId.MEASUREMENT]
    elsewhere = replace(claims, td=replace(claims.td, mr_td=b"\7" * 48))
    assert appraise(elsewhere, loaded, NOW).decision is Decision.DENIED
