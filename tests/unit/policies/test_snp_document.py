# SPDX-License-Identifier: Apache-2.0
"""The section `snp`: every key, and what it must not say, each fault with its path."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.document import PolicyDocument
from policies.loader import load, load_default, load_policy
from policies.registers import MUST_PIN, PCRS, Register
from policies.rules import BOOT_RULES, DEVICE_RULES, RELAXABLE, RULES, WARNABLE, RuleId
from policies.snp_document import SnpPart, SnpRules, is_cpu_model
from tests.unit.policies.documents import (
    SNP_RELEASE,
    attempt,
    faults,
    snp_policy,
    snp_text,
    text,
)
from verifiers.evidence import Product, Provider, Tee
from verifiers.snp.claims import CpuModel, GuestPolicyBit, PlatformBit

FULL = b"""
name: full
version: 7
match: {tee: snp, provider: azure}
reference_sets:
  release:
    - id: r1
      values:
        measurement: "%s"
        host_data: ["%s", "%s"]
        id_key_digest: "%s"
        pcr4: "%s"
snp:
  measurements: [release]
  unpinned: {pcr9: kernels carry theirs, pcr11: no unified image}
  guest_policy: {required: [page-swap-disable], forbidden: [cxl]}
  allow_smt: false
  vmpl: [0, 1]
  id_block: {guest_svn: 3, family_id: "%s", image_id: "%s"}
  products: {allow: [Genoa, Turin], deny: [Milan], deny_cpus: ["19-a0-2"]}
  platform_info: {required: [ecc], forbidden: [tio]}
  mitigation_vectors: {launch: "000000000000000b", current: "8000000000000000"}
  vlek: {csp_ids: ["CN=a", "CN=b"]}
  tcb:
    advisories: [AMD-SB-3015, AMD-SB-3027]
    minimum:
      "19-11-1": {reported: {snp: 27, microcode: 86}, committed: {snp: 27}}
      Turin: {launch: {fmc: 1, tee: 1}, current: {bootloader: 1}}
  tolerate_stale: {crl: 7d}
  chips: ["%s"]
relax: {reported-below-committed: the oldest host}
warn: {tcb-floor: 2026-12-01}
issue:
  san: {uri: ["spiffe://example.org/{product}/{pcr4_16}/{host_data}"]}
""" % (
    b"ab" * 48,
    b"01" * 32,
    b"02" * 32,
    b"03" * 48,
    b"04" * 32,
    b"05" * 16,
    b"06" * 16,
    b"07" * 64,
)


def rules(document: PolicyDocument) -> SnpRules:
    assert document.snp is not None
    assert document.rules is document.snp
    return document.snp


def test_every_key_is_read() -> None:
    document = load(FULL)
    snp = rules(document)
    (release,) = document.reference_sets["release"]
    assert release.values[Register.HOST_DATA] == (b"\x01" * 32, b"\x02" * 32)
    assert release.values[Register.PCR4] == (b"\x04" * 32,)
    assert snp.guest_policy.required == {GuestPolicyBit.PAGE_SWAP_DISABLE}
    assert snp.platform_info.forbidden == {PlatformBit.TIO}
    assert (snp.allow_smt, snp.vmpl, snp.id_block.guest_svn) == (False, (0, 1), 3)
    assert (snp.id_block.family_id, snp.id_block.image_id) == (b"\x05" * 16, b"\x06" * 16)
    assert snp.products.allow == {Product.GENOA, Product.TURIN}
    assert snp.products.deny == {Product.MILAN}
    assert snp.products.deny_cpus == {"19-a0-2"}
    assert snp.mitigation_vectors.current == b"\x80" + bytes(7)
    assert snp.vlek is not None
    assert snp.vlek.csp_ids == {"CN=a", "CN=b"}
    assert snp.tcb.advisories == ("AMD-SB-3015", "AMD-SB-3027")
    reported = snp.tcb.minimum["19-11-1"].reported
    assert reported is not None
    assert (reported.snp, reported.microcode, reported.tee) == (27, 86, None)
    assert snp.tolerate_stale == {SnpPart.CRL: timedelta(days=7)}
    assert snp.chips == frozenset({b"\x07" * 64})


def test_what_is_not_said_is_strict() -> None:
    snp = rules(snp_policy().document)
    assert (snp.vmpl, snp.vlek, snp.chips, snp.lists_chips) == ((0,), None, None, False)
    assert (snp.unpinned, snp.tolerate_stale) == ({}, {})
    assert rules(snp_policy({"products": {}}).document).products.allow == set(Product)


def test_the_default_says_why_it_has_no_floor() -> None:
    document = load_default(Tee.SNP).document
    assert document.reference_sets == {"release": ()}
    assert (document.relax, document.warn) == ({}, {})
    plain = rules(snp_policy({"tcb": {"no_floor": "x y z"}, "products": {}}).document)
    default = rules(document)
    assert default.tcb.no_floor is not None
    assert default.model_copy(update={"tcb": plain.tcb}) == plain


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (snp_text(match={"tee": "tdx"}), {"tdx", "snp"}),
        (text(match={"tee": "snp"}), {"tdx", "snp"}),
        (snp_text(tdx={}), {"tdx"}),
        (text(snp={"tcb": {"no_floor": "x y z"}}), {"snp"}),
        (snp_text(match={"tee": "sgx"}), {"match.tee"}),
    ],
)
def test_exactly_the_section_of_the_technology_is_there(data: bytes, found: set[str]) -> None:
    assert faults(data).keys() == found


def test_a_section_that_is_missing_is_told_with_other_faults() -> None:
    document = json.loads(snp_text(version=0))
    del document["snp"]
    assert faults(json.dumps(document).encode()) == {
        "snp": "required, but not said",
        "version": "Input should be greater than or equal to 1",
    }
    assert faults(text(snp={"tcb": {"no_floor": "x y z"}}))["snp"] == (
        "the policy is about tdx (match.tee)"
    )


def test_a_document_that_was_not_loaded_has_no_rules_to_fall_back_on() -> None:
    forced = snp_policy().document.model_copy(update={"snp": None})
    with pytest.raises(ValueError, match="without the section of its technology"):
        _ = forced.rules


CPU = "19-11-1"


@pytest.mark.parametrize(
    ("section", "path"),
    [
        ({"vmpl": []}, "vmpl"),
        ({"vmpl": 4}, "vmpl[0]"),
        ({"vmpl": [-1]}, "vmpl[0]"),
        ({"vmpl": ["0"]}, "vmpl[0]"),
        ({"vmpl": True}, "vmpl[0]"),
        ({"allow_smt": "no"}, "allow_smt"),
        ({"guest_policy": {"required": ["SMT"]}}, "guest_policy.required[0]"),
        ({"products": {"allow": []}}, "products.allow"),
        ({"products": {"allow": ["genoa"]}}, "products.allow[0]"),
        ({"products": {"deny": ["Venice"]}}, "products.deny[0]"),
        ({"products": {"deny_cpus": ["Milan"]}}, "products.deny_cpus[0]"),
        ({"mitigation_vectors": {"launch": "0b"}}, "mitigation_vectors.launch"),
        ({"mitigation_vectors": {"current": 11}}, "mitigation_vectors.current"),
        ({"vlek": {}}, "vlek.csp_ids"),
        ({"vlek": {"csp_ids": []}}, "vlek.csp_ids"),
        ({"vlek": {"csp_ids": [""]}}, "vlek.csp_ids[0]"),
        ({"id_block": {"guest_svn": -1}}, "id_block.guest_svn"),
        ({"id_block": {"guest_svn": 2**32}}, "id_block.guest_svn"),
        ({"id_block": {"family_id": "00"}}, "id_block.family_id"),
        ({"chips": []}, "chips"),
        ({"chips": ["00" * 64]}, "chips[0]"),
        ({"chips": ["01" * 63]}, "chips[0]"),
        ({"tolerate_stale": {"crl": "31d"}}, "tolerate_stale.crl"),
        ({"tolerate_stale": {"vek": "1d"}}, "tolerate_stale.vek"),
        ({"unpinned": {"host_data": "why not"}}, "unpinned.host_data"),
        ({"unpinned": {"pcr7": "why not"}}, "unpinned.pcr7"),
        ({"unpinned": {"mr_td": "why not"}}, "unpinned.mr_td"),
        ({"measurements": ["other"]}, "measurements[0]"),
        ({"measurements": ["release"] * 2}, "measurements[1]"),
        ({"tcb": {}}, "tcb"),
        ({"tcb": {"advisories": ["A", "B", "A"]}}, "tcb.advisories[2]"),
        ({"tcb": {"no_floor": ""}}, "tcb.no_floor"),
        ({"tcb": {"no_floor": None}}, "tcb"),
        ({"tcb": {"advisories": [], "minimum": {}}}, "tcb"),
        ({"tcb": {"no_floor": "x y z", "advisories": ["A"]}}, "tcb"),
        ({"tcb": {"no_floor": "x y z", "minimum": {CPU: {"launch": {"snp": 1}}}}}, "tcb"),
        ({"tcb": {"minimum": {"19": {"launch": {"snp": 1}}}}}, "tcb.minimum.19"),
        ({"tcb": {"minimum": {CPU: {}}}}, f"tcb.minimum.{CPU}"),
        ({"tcb": {"minimum": {CPU: {"launch": None}}}}, f"tcb.minimum.{CPU}"),
        ({"tcb": {"minimum": {CPU: {"launch": {}}}}}, f"tcb.minimum.{CPU}.launch"),
        ({"tcb": {"minimum": {CPU: {"launch": {"snp": None}}}}}, f"tcb.minimum.{CPU}.launch"),
        ({"tcb": {"minimum": {CPU: {"launch": {"snp": 256}}}}}, f"tcb.minimum.{CPU}.launch.snp"),
        (
            {"tcb": {"minimum": {CPU: {"launch": {"fmc": 0}}}}},
            f"tcb.minimum.{CPU}.launch.fmc",
        ),
        (
            {"tcb": {"minimum": {"Milan": {"launch": {"fmc": 1}}}}},
            "tcb.minimum.Milan.launch.fmc",
        ),
        (
            {"tcb": {"minimum": {"Turin": {"reported": {"microcode": 81}}}}},
            "tcb.minimum.Turin.reported.microcode",
        ),
    ],
)
def test_a_value_that_it_must_not_have(section: dict[str, Any], path: str) -> None:
    assert list(faults(snp_text(section))) == [f"snp.{path}"]


def test_a_floor_that_is_missing_is_an_error() -> None:
    document = json.loads(snp_text())
    del document["snp"]["tcb"]
    assert faults(json.dumps(document).encode()) == {"snp.tcb": "required, but not said"}
    assert "as no_floor" in faults(snp_text({"tcb": {}}))["snp.tcb"]
    assert (
        "contradicts"
        in faults(snp_text({"tcb": {"no_floor": "x y z", "advisories": ["AMD-SB-3015"]}}))[
            "snp.tcb"
        ]
    )


PROTECTIONS = {"ecc", "rapl-dis", "ciphertext-hiding"}
DEMANDS = {
    "single-socket",
    "mem-aes-256-xts",
    "rapl-dis",
    "ciphertext-hiding",
    "page-swap-disable",
}
ALWAYS = {"debug", "migrate-ma", "alias-check-complete", "bit-6"}


@pytest.mark.parametrize("key", ["guest_policy", "platform_info"])
@pytest.mark.parametrize("bit", sorted({*GuestPolicyBit, *PlatformBit}))
def test_protections_are_required_and_permissions_forbidden(key: str, bit: str) -> None:
    names = set(GuestPolicyBit) if key == "guest_policy" else set(PlatformBit)
    protections = DEMANDS if key == "guest_policy" else PROTECTIONS
    if bit not in names:
        return
    for way in ("required", "forbidden"):
        found = attempt(load, snp_text({key: {way: [bit]}}))
        if (bit in protections) is (way == "required") and bit not in ALWAYS:
            assert isinstance(found, PolicyDocument), (bit, way)
        else:
            assert isinstance(found, tuple)
            (problem,) = found
            assert problem.path == f"snp.{key}.{way}[0]"
            assert bit in ALWAYS or f"{bit} is a " in problem.message


def test_a_bit_with_a_rule_of_its_own_says_which() -> None:
    found = faults(snp_text({"platform_info": {"required": ["alias-check-complete"]}}))
    assert found["snp.platform_info.required[0]"] == (
        "the rule alias-check-missing requires it already"
    )


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_a_cpu_model_is_written_as_it_is_printed(family: int, model: int, stepping: int) -> None:
    name = str(CpuModel(family, model, stepping))
    assert is_cpu_model(name)
    assert not is_cpu_model(name.upper()) or name.upper() == name
    assert not is_cpu_model(f"{name}-0")
    assert not is_cpu_model(f" {name}")
    assert not is_cpu_model(f"{family:02x}-{model:02x}-{stepping:04x}")


@pytest.mark.parametrize("name", ["100-01-1", "19-01-100", "xy-01-1", "19-+1-1", "19--1", "19-01-"])
def test_these_are_no_cpu_models(name: str) -> None:
    assert not is_cpu_model(name)


@given(st.text(alphabet="0123456789abcdefABx-+_ ", max_size=9))
def test_any_other_text_is_no_cpu_model(name: str) -> None:
    parts = name.split("-")
    expected = (
        len(parts) == 3
        and all(parts)
        and set(name) <= set("0123456789abcdef-")
        and [len(part) for part in parts[:2]] == [2, 2]
        and len(parts[2]) <= 2
        and (len(parts[2]) == 1 or parts[2][0] != "0")
    )
    assert is_cpu_model(name) is expected


# registers


def test_registers_know_their_technology_and_length() -> None:
    of_snp = {one for one in Register if one.is_of(Tee.SNP)}
    assert len(PCRS) == 24
    assert of_snp == {
        *PCRS,
        Register.MEASUREMENT,
        Register.HOST_DATA,
        Register.ID_KEY_DIGEST,
        Register.AUTHOR_KEY_DIGEST,
    }
    assert {one for one in Register if one.length == 32} == {*PCRS, Register.HOST_DATA}
    assert {one.length for one in Register} == {32, 48}
    assert (Register.PCR9.path, Register.MEASUREMENT.path, Register.RTMR0.path) == (
        "tpm.pcr9",
        "report.measurement",
        "td.rtmr0",
    )
    assert PCRS[Register.PCR23] == 23


@pytest.mark.parametrize("register", [one for one in Register if one.is_of(Tee.SNP)])
@pytest.mark.parametrize("length", [31, 32, 47, 48, 64])
def test_a_value_has_the_length_of_its_register(register: Register, length: int) -> None:
    values = SNP_RELEASE["values"] | {register.value: ["11" * length]}
    data = snp_text(reference_sets={"release": [{"id": "a", "values": values}]})
    found = attempt(load_policy, data)
    if length == register.length:
        assert not isinstance(found, tuple)
    else:
        assert isinstance(found, tuple)
        (problem,) = found
        assert problem.path == f"reference_sets.release[0].values.{register}[0]"
        assert f"exactly {2 * register.length} hexadecimal digits" in problem.message


def test_a_register_of_another_technology_is_refused_where_it_stands() -> None:
    data = snp_text(
        reference_sets={"unused": [{"id": "a", "values": {"rtmr0": "00" * 48}}], "release": []}
    )
    assert faults(data) == {"reference_sets.unused[0].values.rtmr0": "evidence of snp has no rtmr0"}
    (problem,) = _problems(data)
    assert problem[0] == 1
    assert problem[1] > 1
    sets = {"release": [{"id": "a", "values": {"pcr4": "00" * 32}}]}
    other = text(reference_sets=sets, match={"tee": "tdx", "provider": "direct"})
    assert faults(other) == {
        "reference_sets.release[0].values.pcr4": "evidence of tdx from direct has no pcr4"
    }


def _problems(data: bytes) -> list[tuple[int, int]]:
    found = attempt(load_policy, data)
    assert isinstance(found, tuple)
    return [(problem.line, problem.column) for problem in found]


@pytest.mark.parametrize(("provider", "good"), [(None, True), ("azure", True), ("direct", False)])
def test_pcrs_come_from_a_virtual_tpm_alone(provider: str | None, good: bool) -> None:  # noqa: FBT001  a table
    match = {"tee": "snp"} | ({"provider": provider} if provider else {})
    values = SNP_RELEASE["values"] | {"pcr4": "00" * 32}
    sets = {"release": [{"id": "a", "values": values}]}
    found = attempt(load, snp_text(match=match, reference_sets=sets))
    assert isinstance(found, PolicyDocument) is good
    if not good:
        assert faults(snp_text(match=match, reference_sets=sets)) == {
            "reference_sets.release[0].values.pcr4": "evidence of snp from direct has no pcr4"
        }


@pytest.mark.parametrize(
    ("provider", "open_", "message"),
    [
        (None, "pcr4", ""),
        ("azure", "pcr11", ""),
        ("direct", "measurement", ""),
        ("direct", "pcr4", "only measurement must be pinned"),
        ("azure", "pcr5", "only measurement, pcr4, pcr8, pcr9, pcr11 and pcr12 must be pinned"),
    ],
)
def test_what_can_be_left_open(provider: str | None, open_: str, message: str) -> None:
    match = {"tee": "snp"} | ({"provider": provider} if provider else {})
    data = snp_text({"unpinned": {open_: "it varies"}}, match=match)
    if message:
        assert faults(data) == {f"snp.unpinned.{open_}": message}
    else:
        assert Register(open_) in load(data).rules.unpinned


def test_every_technology_comes_from_every_provider() -> None:
    assert set(MUST_PIN) == {(tee, provider) for tee in Tee for provider in Provider}


# rules


@pytest.mark.parametrize("tee", Tee)
@pytest.mark.parametrize("rule", RuleId)
def test_only_rules_of_the_technology_can_be_softened(tee: Tee, rule: RuleId) -> None:
    make = text if tee is Tee.TDX else snp_text
    for key, allowed, value in (
        ("relax", RELAXABLE, "because"),
        ("warn", WARNABLE, "2030-01-01"),
    ):
        found = attempt(load, make(**{key: {rule.value: value}}))
        if rule in allowed and rule in RULES[tee] - BOOT_RULES - DEVICE_RULES:
            assert isinstance(found, PolicyDocument)
        else:
            assert isinstance(found, tuple)
            (problem,) = found
            assert problem.path == f"{key}.{rule}"
            without = "the policy is about no devices: it has no section nvidia"
            no_logs = "the policy asks nothing of event logs: it has no section boot"
            said = without if rule in DEVICE_RULES else f"{tee} has no such rule"
            said = no_logs if rule in BOOT_RULES else said
            assert rule not in allowed or problem.message == said


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(0, 300)
    | st.sampled_from(["snp", "release", "00" * 48, "24h", "Milan", "19-11-1", "ecc", "smt"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*SnpRules.model_fields, "reported", "minimum", "required", "19-11-1"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*SnpRules.model_fields, "x"]), json_values))
def test_whatever_the_section_holds_only_policy_errors_come_out(section: dict[str, Any]) -> None:
    found = attempt(load, snp_text(section))
    assert isinstance(found, PolicyDocument) or all(problem.line for problem in found)


@given(st.data())
def test_a_damaged_document_loads_or_is_refused(data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(FULL) - 1))
    piece = data.draw(st.binary(max_size=3))
    damaged = FULL[:position] + piece + FULL[position + data.draw(st.integers(0, 3)) :]
    found = attempt(load, damaged)
    assert isinstance(found, PolicyDocument) or len(found) > 0
