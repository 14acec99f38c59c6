# SPDX-License-Identifier: Apache-2.0
"""Every real report of the vectors at its instant: verdict, code, facts for the policy, every listed field; and every
listed change of one, with the reason it is refused for."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.cases.snp import vectors
from tests.snp_lab import SnpExhibit
from tests.tdx_vectors import NOTICE
from verifiers.anchors import builtin
from verifiers.claims import to_json
from verifiers.endorsements import Revocation
from verifiers.errors import Reason, Verdict, VerificationError
from verifiers.evidence import Evidence, EvidenceKind, Provider
from verifiers.snp.claims import GuestPolicyBit, PlatformBit, SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cases.snp.vectors import Vector
    from verifiers.snp.claims import SnpClaims, TcbVersion

# Listed changes -> reason; the whole list, so that none is refused for another reason than the one it is there for.
REASONS: dict[Reason | Verdict, tuple[str, ...]] = {
    Reason.SIGNATURE: (
        "measurement-bit",
        "report-data-bit",
        "host-data-bit",
        "debug-cleared",
        "signing-key-none",
        "signature-zero",
        "signature-r-zero",
        "signature-s-bit",
    ),
    Reason.ENDORSEMENT_MISMATCH: (
        "chip-id-bit",
        "chip-id-zero",
        "signing-key-vlek-with-vcek",
        "signing-key-vcek-with-vlek",
        "reported-tcb-raised",
        "turin-tcb-fmc",
        "turin-chip-id-tail",
        "cpuid-to-genoa",
        "vlek-for-vcek",
    ),
    Reason.UNSUPPORTED_FORMAT: ("version-1", "version-6", "sig-algo-0", "sig-algo-2"),
    Reason.MALFORMED: (
        "version-downgrade-3-to-2",
        "signing-key-reserved",
        "signature-r-high-byte",
        "signature-tail",
        "signature-last-byte",
        "signature-s-plus-n",
        "mit-vector-in-v3",
        "reserved-policy-bit17",
        "reserved-policy-high",
        "short-1183",
        "long-1185",
        "empty",
    ),
    Reason.PRODUCT_UNKNOWN: ("cpuid-to-unknown",),
    Reason.CERTIFICATE_NOT_YET_VALID: ("vek-before-validity",),
    Reason.CERTIFICATE_EXPIRED: ("vek-after-validity",),
    Reason.CHAIN: ("ask-of-other-product", "ask-is-asvk", "asvk-is-ask", "ask-as-root"),
    Reason.UNTRUSTED_ROOT: ("ark-of-other-product",),
    Reason.CERTIFICATE_REVOKED: ("revoked-ask-genoa",),
    Reason.CRL_INVALID: ("crl-of-other-issuer",),
    Verdict.VERIFIED: ("signature-s-negated",),
}
EXPECTED = {name: outcome for outcome, names in REASONS.items() for name in names}

# Name in expected.json -> what the claims say, as JSON.
FIELDS: dict[str, Callable[[SnpClaims], Any]] = {
    "product": lambda c: c.product,
    "product_name_ext": lambda c: c.vek.product_name,
    "report_version": lambda c: c.report.version,
    "measurement": lambda c: c.report.measurement,
    "host_data": lambda c: c.report.host_data,
    "report_data": lambda c: c.report.report_data,
    "chip_id": lambda c: c.report.chip_id,
    "id_key_digest": lambda c: c.report.id_key_digest,
    "author_key_digest": lambda c: c.report.author_key_digest,
    "report_id": lambda c: c.report.report_id,
    "report_id_ma": lambda c: c.report.report_id_ma,
    "family_id": lambda c: c.report.family_id,
    "image_id": lambda c: c.report.image_id,
    "guest_svn": lambda c: c.report.guest_svn,
    "vmpl": lambda c: c.report.vmpl,
    "current_version": lambda c: str(c.report.current_version),
    "committed_version": lambda c: str(c.report.committed_version),
    "launch_mit_vector": lambda c: hexadecimal(c.report.launch_mit_vector),
    "current_mit_vector": lambda c: hexadecimal(c.report.current_mit_vector),
}
TCBS = ("reported_tcb", "committed_tcb", "current_tcb", "launch_tcb")
POLICY = {
    "smt_allowed": GuestPolicyBit.SMT,
    "migrate_ma": GuestPolicyBit.MIGRATE_MA,
    "debug": GuestPolicyBit.DEBUG,
    "single_socket": GuestPolicyBit.SINGLE_SOCKET,
    "cxl_allow": GuestPolicyBit.CXL,
    "mem_aes_256_xts": GuestPolicyBit.MEM_AES_256_XTS,
    "rapl_dis": GuestPolicyBit.RAPL_DIS,
    "ciphertext_hiding_dram": GuestPolicyBit.CIPHERTEXT_HIDING,
    "page_swap_disable": GuestPolicyBit.PAGE_SWAP_DISABLE,
}
PLATFORM = {
    "smt_en": PlatformBit.SMT,
    "tsme_en": PlatformBit.TSME,
    "ecc_en": PlatformBit.ECC,
    "rapl_dis": PlatformBit.RAPL_DIS,
    "ciphertext_hiding_dram_en": PlatformBit.CIPHERTEXT_HIDING,
    "alias_check_complete": PlatformBit.ALIAS_CHECK_COMPLETE,
    "bit6": PlatformBit.BIT_6,
    "tio_en": PlatformBit.TIO,
}


def hexadecimal(vector: int | None) -> str | None:
    return None if vector is None else f"{vector:016x}"


def shown(vector: Vector, *, with_chain: bool = True) -> SnpExhibit:
    """Report or HCL report, and beside it as PEM the certificates of the folder."""
    chain = (vector.ica, vector.ark) if with_chain else ()
    cpu = Evidence(EvidenceKind.SNP_REPORT, vector.report)
    if vector.hcl is not None:
        cpu = Evidence(EvidenceKind.HCL_REPORT, vector.hcl)
    pem = Evidence(EvidenceKind.SNP_CERTIFICATES, vectors.pem(vector.vek, *chain))
    bundle = {} if vector.crl is None else {"crl": vector.crl.hex()}
    return SnpExhibit((cpu, pem), json.dumps(bundle).encode(), builtin(), vector.at)


def verdict(exhibit: SnpExhibit) -> tuple[str, str | None]:
    """(verdict, code) in the words of the field `expect`."""
    try:
        exhibit.verify()
    except VerificationError as error:
        return str(error.reason.verdict), str(error.reason)
    return "verified", None


@pytest.mark.parametrize("name", vectors.names())
@pytest.mark.parametrize("with_chain", [True, False])
def test_verdict(name: str, with_chain: bool) -> None:  # noqa: FBT001 - a parameter of the test
    vector = vectors.load(name)
    expect = vector.expected["expect"]
    assert verdict(shown(vector, with_chain=with_chain)) == (expect["verdict"], expect["code"])


@pytest.mark.parametrize("name", vectors.names())
def test_policy_facts(name: str) -> None:
    """What a strict policy must refuse is there to be seen, and nothing else."""
    vector = vectors.load(name)
    expect = vector.expected["expect"]
    if expect["verdict"] != "verified":
        assert not expect["policy_findings"]
        return
    claims = shown(vector).verify()
    facts = {
        "debug": GuestPolicyBit.DEBUG in claims.guest_policy,
        "report-version-below-3": claims.report.version < 3,
        "alias-check-missing": PlatformBit.ALIAS_CHECK_COMPLETE not in claims.platform,
        "committed-below-current": not claims.committed_tcb.covers(claims.current_tcb),
        "reported-below-committed": not claims.reported_tcb.covers(claims.committed_tcb),
        "vlek": claims.vek.kind is SigningKey.VLEK,
        "vmpl-not-zero": claims.report.vmpl != 0,
    }
    assert sorted(expect["policy_findings"]) == [name for name in sorted(facts) if facts[name]]
    has_list = vector.crl is not None
    assert claims.revocation is (Revocation.GOOD if has_list else Revocation.NOT_CHECKED)


def levels(tcb: TcbVersion) -> dict[str, int]:
    """A TCB version in the words of the vectors."""
    fmc = {} if tcb.fmc is None else {"fmc": tcb.fmc}
    named = {"bl": tcb.bootloader, "tee": tcb.tee, "snp": tcb.snp, "ucode": tcb.microcode}
    return {**fmc, **named}


@pytest.mark.parametrize("name", vectors.names())
def test_every_listed_field(name: str) -> None:
    vector = vectors.load(name)
    expected = vector.expected
    if expected["expect"]["verdict"] != "verified":
        return
    claims = shown(vector).verify()
    for field, of in FIELDS.items():
        assert to_json(of(claims)) == expected[field], field
    for field in TCBS:
        tcb = getattr(claims, field)
        assert {"raw": tcb.raw.hex(), **levels(tcb)} == expected[field], field
    assert claims.report.policy == int(expected["policy"]["raw"], 16)
    assert (claims.report.abi_major, claims.report.abi_minor) == (
        expected["policy"]["abi_major"],
        expected["policy"]["abi_minor"],
    )
    assert claims.guest_policy == {bit for key, bit in POLICY.items() if expected["policy"][key]}
    assert claims.report.platform_info == int(expected["platform_info"]["raw"], 16)
    assert claims.platform == {
        bit for key, bit in PLATFORM.items() if expected["platform_info"][key]
    }
    assert claims.report.author_key_en == bool(expected["signer_flags"]["author_key_en"])
    assert claims.provider is (Provider.DIRECT if vector.hcl is None else Provider.AZURE)


@pytest.mark.parametrize("name", vectors.names())
def test_its_certificate(name: str) -> None:
    vector = vectors.load(name)
    expected = vector.expected["vek"]
    if vector.expected["expect"]["verdict"] != "verified":
        return
    vek = shown(vector).verify().vek
    assert vek.kind.upper() == vector.expected["signing_key"]
    assert vek.certificate_sha256.hex() == expected["sha256"]
    assert vek.struct_version == expected["struct_version"]
    assert (vek.hwid.hex() if vek.hwid else None) == expected["hwid"]
    assert vek.csp_id == expected["csp_id"]
    for found, key in ((vek.not_before, "not_before"), (vek.not_after, "not_after")):
        assert found == datetime.fromisoformat(expected[key])


@pytest.mark.parametrize("negative", vectors.negatives())
def test_listed_change(negative: dict[str, Any]) -> None:
    vector = vectors.changed(negative)
    exhibit = shown(vector, with_chain="ica" in negative or "ark" in negative)
    assert exhibit.outcome() == EXPECTED[negative["name"]], negative["why"]
    accepted = exhibit.outcome() is Verdict.VERIFIED
    assert accepted == (negative["expect"] == "accept")


def test_every_listed_change_has_its_reason() -> None:
    listed = {param.id for param in vectors.negatives()} - {"absent"}
    if not listed:
        pytest.skip(NOTICE)
    assert listed == set(EXPECTED)


def test_the_twin_of_a_signature_is_the_same_statement() -> None:
    """(r, n-s) is verified, and nothing but the digest of the bytes is another."""
    twin = next((p for p in vectors.negatives() if p.id == "signature-s-negated"), None)
    if twin is None:
        pytest.skip(NOTICE)
    (negative,) = twin.values
    ours = shown(vectors.load(negative["base"])).verify()
    other = shown(vectors.changed(negative)).verify()
    differing = {
        name for name in ours.__dataclass_fields__ if getattr(ours, name) != getattr(other, name)
    }
    assert differing == {"evidence_sha256"}
