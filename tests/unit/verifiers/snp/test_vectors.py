# SPDX-License-Identifier: Apache-2.0
"""All real SEV-SNP cases: the verdict their folder expects, at its instant, and every decoded field one by one."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.cases.snp import vectors
from verifiers import registry
from verifiers.anchors import builtin
from verifiers.endorsements import Revocation
from verifiers.errors import Verdict, VerificationError
from verifiers.evidence import Provider
from verifiers.files import identify
from verifiers.snp.claims import CpuModel, SnpClaims
from verifiers.snp.evidence import SnpEvidence
from verifiers.snp.report import parse_report, report_tcb
from verifiers.snp.vek import read_vek

if TYPE_CHECKING:
    from verifiers.snp.claims import TcbVersion

VERIFIED = [
    name for name in vectors.names() if isinstance(name, str) and not name.startswith("neg-")
] or vectors.names()


def judged(vector: vectors.Vector, *, carried: bool) -> SnpClaims:
    """What we make of the files of a folder: its certificates sent along, or the leaf alone from a bundle."""
    files = [vector.hcl or vector.report]
    if carried:
        files.append(vectors.pem(vector.vek, vector.ica, vector.ark))
    parsed = registry.parse(identify(files).evidence)
    assert isinstance(parsed, SnpEvidence)
    members = {"vek": vector.vek.hex(), "crl": vector.crl and vector.crl.hex()}
    if carried:
        del members["vek"]
    endorsements = registry.parse_bundle(parsed, json.dumps(members).encode())
    claims = registry.verify(parsed, endorsements, builtin(), None, vector.at)
    assert isinstance(claims, SnpClaims)
    return claims


@pytest.mark.parametrize("carried", [True, False], ids=["carried", "bundle"])
@pytest.mark.parametrize("name", vectors.names())
def test_the_expected_verdict(name: str, carried: bool) -> None:  # noqa: FBT001 - a parameter of the test
    vector = vectors.load(name)
    expect = vector.expected["expect"]
    if expect["code"] is not None:
        with pytest.raises(VerificationError) as caught:
            judged(vector, carried=carried)
        reason = caught.value.reason
        assert (reason.verdict, reason) == (expect["verdict"], expect["code"])
        assert not caught.value.authentic
        return
    assert expect["verdict"] == Verdict.VERIFIED
    claims = judged(vector, carried=carried)
    checked = Revocation.NOT_CHECKED if vector.crl is None else Revocation.GOOD
    assert claims.revocation is checked
    assert claims.provider is (Provider.DIRECT if vector.hcl is None else Provider.AZURE)
    assert claims.product == vector.expected["product"]
    assert claims.vek.certificate_sha256.hex() == vector.expected["vek"]["sha256"]


@pytest.mark.parametrize("name", vectors.names())
def test_decoded_fields(name: str) -> None:
    vector = vectors.load(name)
    expected, report = vector.expected, parse_report(vector.report)
    body, flags = report.body, expected["signer_flags"]
    assert body.version == expected["report_version"]
    assert report.signing_key == expected["signing_key"].lower()
    assert body.author_key_en == bool(flags["author_key_en"])
    cpu = expected["cpuid"]
    assert report.cpu == (None if cpu is None else CpuModel(**cpu))
    for field in (
        "measurement",
        "host_data",
        "report_data",
        "chip_id",
        "id_key_digest",
        "author_key_digest",
        "report_id",
        "report_id_ma",
        "family_id",
        "image_id",
    ):
        assert getattr(body, field).hex() == expected[field], field
    assert (body.guest_svn, body.vmpl) == (expected["guest_svn"], expected["vmpl"])
    assert str(body.current_version) == expected["current_version"]
    assert str(body.committed_version) == expected["committed_version"]
    for field in ("launch_mit_vector", "current_mit_vector"):
        value = expected[field]
        assert getattr(body, field) == (None if value is None else int(value, 16))
    policy = expected["policy"]
    assert body.policy == int(policy["raw"], 16)
    assert (body.abi_major, body.abi_minor) == (policy["abi_major"], policy["abi_minor"])
    assert body.platform_info == int(expected["platform_info"]["raw"], 16)


@pytest.mark.parametrize("name", vectors.names())
def test_decoded_tcb_versions(name: str) -> None:
    vector = vectors.load(name)
    report, product = parse_report(vector.report), read_vek(vector.vek).issuer_product
    assert product is not None
    for which in ("reported", "committed", "current", "launch"):
        tcb = report_tcb(getattr(report, f"{which}_tcb"), product)
        assert written(tcb) == vector.expected[f"{which}_tcb"]


def written(tcb: TcbVersion) -> dict[str, Any]:
    fmc = {} if tcb.fmc is None else {"fmc": tcb.fmc}
    rest = {"bl": tcb.bootloader, "tee": tcb.tee, "snp": tcb.snp, "ucode": tcb.microcode}
    return {"raw": tcb.raw.hex(), **fmc, **rest}


POLICY = {
    "smt": "smt_allowed",
    "migrate-ma": "migrate_ma",
    "debug": "debug",
    "single-socket": "single_socket",
    "cxl": "cxl_allow",
    "mem-aes-256-xts": "mem_aes_256_xts",
    "rapl-dis": "rapl_dis",
    "ciphertext-hiding": "ciphertext_hiding_dram",
    "page-swap-disable": "page_swap_disable",
}
PLATFORM = {
    "smt": "smt_en",
    "tsme": "tsme_en",
    "ecc": "ecc_en",
    "rapl-dis": "rapl_dis",
    "ciphertext-hiding": "ciphertext_hiding_dram_en",
    "alias-check-complete": "alias_check_complete",
    "bit-6": "bit6",
    "tio": "tio_en",
}


@pytest.mark.parametrize("name", VERIFIED)
def test_named_bits_and_the_certificate(name: str) -> None:
    vector = vectors.load(name)
    claims, expected = judged(vector, carried=True), vector.expected
    assert claims.guest_policy == {
        ours for ours, theirs in POLICY.items() if expected["policy"][theirs]
    }
    assert claims.platform == {
        ours for ours, theirs in PLATFORM.items() if expected["platform_info"][theirs]
    }
    vek, certified = claims.vek, expected["vek"]
    assert vek.tcb == claims.reported_tcb
    assert vek.not_before == datetime.fromisoformat(certified["not_before"])
    assert vek.not_after == datetime.fromisoformat(certified["not_after"])
    spl = certified["spl"]
    assert (vek.tcb.bootloader, vek.tcb.tee, vek.tcb.snp, vek.tcb.microcode) == (
        spl["3.1"],
        spl["3.2"],
        spl["3.3"],
        spl["3.8"],
    )
    assert vek.tcb.fmc == spl.get("3.9")


@pytest.mark.parametrize("name", VERIFIED)
def test_runtime_data_of_azure(name: str) -> None:
    vector = vectors.load(name)
    claims = judged(vector, carried=True)
    expected = vector.expected.get("hcl")
    if expected is None:
        assert (claims.hcl, vector.hcl) == (None, None)
        return
    assert claims.hcl is not None
    assert claims.hcl.version == expected["header_version"]
    assert claims.hcl.runtime_data_sha256.hex() == expected["var_data_sha256"]
