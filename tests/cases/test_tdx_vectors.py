# SPDX-License-Identifier: Apache-2.0
"""Every real quote of the vectors at its instant: verdict, code, status, advisories, and every field that is listed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from tests import tdx_vectors
from tests.tdx_lab import SECOND, Lab
from verifiers.anchors import builtin
from verifiers.certificate import parse_certificate
from verifiers.chain import split_pem
from verifiers.claims import to_json
from verifiers.errors import Reason, VerificationError
from verifiers.signatures import p256_point, p256_verifies
from verifiers.tcb import converge
from verifiers.tdx.claims import TdAttribute
from verifiers.tdx.pck import verify_pck_chain
from verifiers.tdx.quote import parse_quote

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tdx_lab import Exhibit
    from verifiers.anchors import Anchor
    from verifiers.tdx.claims import TdxClaims

# Name in expected.json -> what the claims say, as JSON. Names of the report's fields are below.
FIELDS: dict[str, Callable[[TdxClaims], Any]] = {
    "quote_version": lambda claims: claims.header.version,
    "tee": lambda claims: claims.tee,
    "body_type": lambda claims: claims.body_type,
    "fmspc": lambda claims: claims.pck.fmspc,
    "pck_ca": lambda claims: claims.pck.ca,
    "pce_svn": lambda claims: claims.pck.pcesvn,
    "cpu_svn": lambda claims: claims.pck.cpusvn,
    "qe_isvsvn": lambda claims: claims.qe.isvsvn,
}
REPORT = {
    "mrtd": "mr_td",
    "mrseam": "mr_seam",
    "mrsigner_seam": "mrsigner_seam",
    "seam_attributes": "seam_attributes",
    "td_attributes": "td_attributes",
    "xfam": "xfam",
    "tee_tcb_svn": "tee_tcb_svn",
    "mrconfigid": "mr_config_id",
    "mrowner": "mr_owner",
    "mrownerconfig": "mr_owner_config",
    "rtmr0": "rtmr0",
    "rtmr1": "rtmr1",
    "rtmr2": "rtmr2",
    "rtmr3": "rtmr3",
    "report_data": "report_data",
}
REPORT_15 = {"tee_tcb_svn2": "tee_tcb_svn2", "mrservicetd": "mr_service_td"}
REPORT_15_EX = {
    "vmid": "vm_id",
    "td_id": "td_id",
    "dev_info": "dev_info",
    "init_service_td_hash": "init_service_td_hash",
    "init_service_td_attributes": "init_service_td_attributes",
    "init_cpu_svn": "init_cpu_svn",
    "init_tee_tcb_svn": "init_tee_tcb_svn",
    "init_tee_fmspc": "init_tee_fmspc",
    "cur_service_td_hash": "cur_service_td_hash",
    "cur_service_td_attributes": "cur_service_td_attributes",
}


def shown(name: str) -> Exhibit:
    lab = Lab.create()
    lab.real(name)
    return lab.exhibit()


def verdict(exhibit: Exhibit) -> tuple[str, str | None, str | None]:
    """(verdict, code, status) in the words of the field `expect`."""
    try:
        claims = exhibit.verify()
    except VerificationError as error:
        return str(error.reason.verdict), str(error.reason), None
    return "verified", None, str(claims.tcb.status)


@pytest.mark.parametrize("name", tdx_vectors.names())
def test_verdict(name: str) -> None:
    expect = tdx_vectors.load(name).expected["expect"]
    assert verdict(shown(name)) == (expect["verdict"], expect["code"], expect["tcb_status"])


@pytest.mark.parametrize("name", tdx_vectors.names())
def test_policy_facts(name: str) -> None:
    """What a strict policy must refuse is there to be seen, and nothing else."""
    expect = tdx_vectors.load(name).expected["expect"]
    if expect["verdict"] != "verified":
        assert not expect["policy_findings"]
        return
    claims = shown(name).verify()
    facts = {
        "debug": TdAttribute.DEBUG in claims.attributes,
        "sept-ve-disable-clear": TdAttribute.SEPT_VE_DISABLE not in claims.attributes,
        "service-td-bound": claims.td15 is not None and any(claims.td15.mr_service_td),
        "tcb-out-of-date": claims.tcb.status != "UpToDate",
    }
    assert sorted(expect["policy_findings"]) == [name for name in sorted(facts) if facts[name]]
    assert not claims.expired_parts
    assert not claims.reserved_attributes


@pytest.mark.parametrize("name", tdx_vectors.names())
def test_every_listed_field(name: str) -> None:
    expected = tdx_vectors.load(name).expected
    if expected["expect"]["verdict"] != "verified":
        check_parsed(name, expected)
        return
    claims = shown(name).verify()
    for field, of in FIELDS.items():
        if field in expected:
            assert to_json(of(claims)) == expected[field], field
    for names, report in (
        (REPORT, claims.td),
        (REPORT_15, claims.td15),
        (REPORT_15_EX, claims.td15_ex),
    ):
        for field, attribute in names.items():
            if field in expected:
                assert getattr(report, attribute).hex() == expected[field], field
    trimmed = exact(tdx_vectors.load(name).quote)
    assert claims.evidence_sha256 == sha256(trimmed).digest()
    if trimmed == tdx_vectors.load(name).quote:
        assert claims.evidence_sha256.hex() == expected["quote_sha256"]
    if expected["pck_ca"] == "platform":
        assert claims.pck.platform_instance_id is not None


@pytest.mark.parametrize("name", tdx_vectors.names())
def test_the_oracles_words(name: str) -> None:
    """Advisories, statuses of the parts, numbers and dates as the first oracle gave them."""
    expected = tdx_vectors.load(name).expected
    if expected["verdict"] != "accept" or expected["expect"]["verdict"] != "verified":
        return
    claims = shown(name).verify()
    tcb, oracle = claims.tcb, expected["oracle_claims"]
    assert sorted(expected["advisory_ids"]) == list(tcb.advisory_ids)
    assert tcb.platform_status is not None
    module = () if tcb.module_status is None else (tcb.module_status,)
    assert converge(tcb.platform_status, *module) == expected["platform_status"]["status"]
    assert tcb.qe_status == expected["qe_status"]["status"] == oracle["qe_tcb_status"]
    numbers = (
        expected["tcb_evaluation_data_number"],
        expected["qe_identity_tcb_evaluation_data_number"],
    )
    assert tcb.evaluation_data_number == min(numbers) == oracle["eval_data_number"]
    assert tcb.tcb_date is not None
    assert int(tcb.tcb_date.timestamp()) == oracle["tcb_date_tag"]
    assert int(claims.expires.timestamp()) == oracle["earliest_expiration_date"]
    assert claims.pck.sgx_type == oracle["sgx_type"]
    flags = (claims.pck.dynamic_platform, claims.pck.cached_keys, claims.pck.smt_enabled)
    words = (oracle["dynamic_platform"], oracle["cached_keys"], oracle["smt_enabled"])
    assert [flag_word(flag) for flag in flags] == list(words)
    assert claims.pck.not_after == datetime.fromisoformat(expected["pck_not_after"])


@pytest.mark.parametrize("name", tdx_vectors.names())
def test_its_window(name: str) -> None:
    """The stated window of all parts together is exactly the one in which nothing is early or expired."""
    expected = tdx_vectors.load(name).expected
    if expected["expect"]["verdict"] != "verified":
        return
    exhibit = shown(name)
    start, end = (datetime.fromisoformat(expected[key]) for key in ("valid_from", "valid_until"))
    for at in (start, end):
        assert not replace(exhibit, at=at).verify().expired_parts
    with pytest.raises(VerificationError, match="not-yet-valid"):
        replace(exhibit, at=start - SECOND).verify()
    later = replace(exhibit, at=end + SECOND)
    assert later.outcome() is Reason.CERTIFICATE_EXPIRED or later.verify().expired_parts


@pytest.mark.parametrize("name", tdx_vectors.names("tdx"))
def test_each_signature_by_itself(name: str) -> None:
    """What holds of a quote whatever its collateral: also of those that are refused, or have none."""
    expected = tdx_vectors.load(name).expected["signature_chain"]
    exhibit = shown(name)
    quote = parse_quote(exhibit.quote)
    key = p256_point(quote.attestation_key)
    assert key is not None
    assert p256_verifies(key, quote.signature, quote.signed) is expected["quote_signature"]
    named = sha256(quote.attestation_key + quote.qe_auth_data).digest() + bytes(32)
    assert (quote.qe_report.report_data == named) is expected["qe_report_binding"]
    leaf = parse_certificate(split_pem(quote.pck_chain_pem, 3, "chain")[0])
    signed = p256_verifies(leaf.public_key, quote.qe_report_signature, quote.qe_report.raw)
    assert signed is expected["qe_report_signature"]
    root = exhibit.anchors.intel_sgx_root
    assert chain_holds(quote.pck_chain_pem, root) is expected["pck_chain_to_intel_root"]


def chain_holds(pem: bytes, anchor: Anchor) -> bool:
    try:
        return bool(verify_pck_chain(pem, anchor))
    except VerificationError as error:
        return error.reason is not Reason.UNTRUSTED_ROOT


def test_the_pre_production_root_vouches_for_its_own() -> None:
    """Only what the anchors are makes the difference, and such anchors are not the built-in ones."""
    name = "tdx4-preprod-root-10806f07"
    expected = tdx_vectors.load(name).expected["under_alternate_root"]
    pem = (tdx_vectors.ROOT / "tdx" / name / "alternate_root.pem").read_bytes()
    (root_der,) = split_pem(pem, 1, "root")
    assert sha256(root_der).hexdigest() == expected["root_der_sha256"]
    exhibit = replace(shown(name), root_der=root_der)
    assert exhibit.outcome() == expected["tcb_status"]
    assert exhibit.anchors.simulated
    assert exhibit.anchors.sha256 != builtin().sha256


def flag_word(flag: bool | None) -> str:  # noqa: FBT001 - a value, not an option
    return "Undefined" if flag is None else str(flag)


def exact(quote: bytes) -> bytes:
    """The quote as long as it says it is."""
    signed = parse_quote(quote).signed
    length = int.from_bytes(quote[len(signed) : len(signed) + 4], "little")
    return quote[: len(signed) + 4 + length]


def check_parsed(name: str, expected: dict[str, Any]) -> None:
    """A quote that is not verified still reads as it stands, where it is a TDX quote."""
    if expected["tee"] != "tdx":
        return
    quote = parse_quote(tdx_vectors.load(name).quote)
    for field, attribute in REPORT.items():
        if field in expected:
            assert getattr(quote.td, attribute).hex() == expected[field], field
