# SPDX-License-Identifier: Apache-2.0
"""The table of technologies leads to the functions of each, and adds nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from simulator.pki import crl_number
from tests.snp_lab import BINDING, SnpLab
from tests.tdx_lab import Lab
from verifiers import registry
from verifiers.endorsements import Response
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import MAX_DEVICES, MAX_LOG_BYTES, Evidence, EvidenceKind, Tee
from verifiers.files import identify
from verifiers.nvidia.evidence import NvidiaEvidence, piece
from verifiers.snp.claims import SnpClaims
from verifiers.snp.endorsements import KdsSource, SnpEndorsements
from verifiers.snp.evidence import SnpEvidence
from verifiers.tdx.endorsements import PcsSource, TdxEndorsements


def test_a_quote_from_end_to_end() -> None:
    exhibit = Lab.create().exhibit()
    evidence = identify([exhibit.quote]).evidence
    assert evidence == (Evidence(EvidenceKind.TDX_QUOTE, exhibit.quote),)
    parsed = registry.parse(evidence)
    endorsements = registry.parse_bundle(parsed, json.dumps(exhibit.bundle).encode())
    assert endorsements == exhibit.endorsements
    claims = registry.verify(parsed, endorsements, exhibit.anchors, None, exhibit.at)
    assert claims == exhibit.verify()


def test_devices_stand_apart_from_the_cpus_own_pieces() -> None:
    quote = Evidence(EvidenceKind.TDX_QUOTE, b"quote")
    devices = [NvidiaEvidence(b"report %d" % n, b"chain") for n in range(MAX_DEVICES + 1)]
    pieces = [Evidence(EvidenceKind.NVIDIA_DEVICE, piece(device)) for device in devices]
    assert registry.split([*pieces[:2], quote, *pieces[2:-1]]) == (
        (quote,),
        tuple(devices[:-1]),
        (),
    )
    with pytest.raises(VerificationError) as caught:
        registry.split([quote, *pieces])
    assert caught.value.reason is Reason.EVIDENCE


def test_no_endorsements() -> None:
    exhibit = Lab.create().exhibit()
    parsed = registry.parse(identify([exhibit.quote]).evidence)
    assert registry.no_endorsements(parsed) == TdxEndorsements()
    with pytest.raises(VerificationError) as caught:
        registry.verify(parsed, registry.no_endorsements(parsed), exhibit.anchors, None, exhibit.at)
    assert caught.value.reason is Reason.INCOMPLETE


def test_gather_asks_the_configured_source() -> None:
    exhibit = Lab.create().exhibit()
    parsed = registry.parse(identify([exhibit.quote]).evidence)
    source = PcsSource.pccs("https://pccs.example")
    fetches = next(registry.gather(parsed, registry.Sources(source), exhibit.anchors))
    assert all(fetch.url.startswith("https://pccs.example/") for fetch in fetches)
    assert registry.Sources().intel == PcsSource()


def test_a_record_is_parsed_to_the_same() -> None:
    exhibit = Lab.create().exhibit()
    parsed = registry.parse(identify([exhibit.quote]).evidence)
    assert registry.tee_of(parsed) is Tee.TDX
    assert registry.parse(registry.pieces_of(parsed)) == parsed


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("size", [1183, 1184, 1185])
def test_an_snp_report_is_named_for_what_it_is(version: int, size: int) -> None:
    data = version.to_bytes(4, "little") + bytes(size - 4)
    assert identify([data]).evidence == (Evidence(EvidenceKind.SNP_REPORT, data),)


# SEV-SNP


def test_a_report_from_end_to_end() -> None:
    bench = SnpLab.create()
    files = [bench.report_bytes(), bench.vek.der, bench.line.vcek_crl.der]
    identified = identify(files)
    parsed = registry.parse(identified.evidence)
    assert registry.tee_of(parsed) is Tee.SNP
    assert registry.no_endorsements(parsed) == SnpEndorsements(bench.vek.der)
    (crl,) = identified.collateral
    endorsements = registry.parse_bundle(parsed, crl)
    assert endorsements == SnpEndorsements(bench.vek.der, crl)
    claims = registry.verify(parsed, endorsements, bench.anchors(), BINDING, bench.at)
    assert claims == bench.exhibit().verify()
    assert isinstance(claims, SnpClaims)
    assert claims.bound


@pytest.mark.parametrize("azure", [False, True])
def test_a_record_of_a_report_is_judged_the_same_again(azure: bool) -> None:  # noqa: FBT001 - a parameter of the test
    bench = SnpLab.create()
    if azure:
        bench.azure()
    bench.certificates = "table"
    first = registry.parse(bench.evidence())
    asking = registry.gather(first, registry.Sources(), bench.anchors())
    next(asking)
    with pytest.raises(StopIteration) as stop:
        asking.send((Response(200, bench.line.vcek_crl.der, {}),))
    endorsements = stop.value.value
    claims = registry.verify(first, endorsements, bench.anchors(), bench.binding, bench.at)
    again = registry.parse(registry.pieces_of(first))
    assert isinstance(again, SnpEvidence)
    assert (again.vek, again.authorities) == (None, ())
    stored = registry.parse_bundle(again, json.dumps(endorsements.to_bundle()).encode())
    assert stored == endorsements
    assert registry.verify(again, stored, bench.anchors(), bench.binding, bench.at) == claims


def test_gather_asks_the_configured_service_of_amd() -> None:
    bench = SnpLab.create()
    parsed = registry.parse(bench.evidence())
    sources = registry.Sources(amd=KdsSource("https://kds.example"))
    fetches = next(registry.gather(parsed, sources, bench.anchors()))
    assert [fetch.part for fetch in fetches] == ["vcek", "crl"]
    assert all(fetch.url.startswith("https://kds.example/vcek/v1/Genoa/") for fetch in fetches)
    assert registry.Sources().amd == KdsSource()


def test_the_numbers_of_intels_statements_rise_in_their_lines() -> None:
    exhibit = Lab.create().exhibit()
    parsed = registry.parse(identify([exhibit.quote]).evidence)
    sources = registry.Sources(PcsSource(update="early"))
    found = registry.evaluations(parsed, exhibit.endorsements, sources, exhibit.anchors)
    assert {line.split("/")[2] for line in found} == {"tcb_info", "qe_identity"}
    assert all(line.startswith("tdx/early/") for line in found)


def test_whether_the_signer_came_along() -> None:
    bench = SnpLab.create()
    assert not registry.signer_came_along(registry.parse(bench.evidence()))
    bench.certificates = "der"
    assert registry.signer_came_along(registry.parse(bench.evidence()))
    quote = Lab.create().exhibit().quote
    assert registry.signer_came_along(registry.parse(identify([quote]).evidence))


@pytest.mark.parametrize("kind", ["vcek", "vlek"])
@pytest.mark.parametrize("version", [2, 5])
def test_the_number_of_a_list_rises_in_its_line(kind: str, version: int) -> None:
    bench = SnpLab.create("Milan")
    bench.report(signing_key=kind, version=version)
    bench.line.crl(kind).put(crl_number(41))
    parsed = registry.parse(bench.evidence())
    anchors, sources = bench.anchors(), registry.Sources()
    whole = registry.parse_bundle(parsed, bench.bundle())
    found = registry.evaluations(parsed, whole, sources, anchors)
    assert found == {f"snp/crl/Milan/{kind}": 41}
    bench.edit(crl=None)
    without = registry.parse_bundle(parsed, bench.bundle())
    assert registry.evaluations(parsed, without, sources, anchors) == {}


def test_a_list_that_is_not_authentic_has_no_number() -> None:
    bench = SnpLab.create()
    parsed = registry.parse(bench.evidence())
    endorsements = SnpEndorsements(bench.vek.der, bench.amd.line("Milan").vcek_crl.der)
    with pytest.raises(VerificationError) as caught:
        registry.evaluations(parsed, endorsements, registry.Sources(), bench.anchors())
    assert caught.value.reason is Reason.CRL_INVALID


def test_endorsements_of_another_technology_are_a_fault_of_the_caller() -> None:
    bench, exhibit = SnpLab.create(), Lab.create().exhibit()
    report = registry.parse(bench.evidence())
    quote = registry.parse(identify([exhibit.quote]).evidence)
    pairs = ((report, exhibit.endorsements), (quote, SnpEndorsements()))
    for parsed, endorsements in pairs:
        with pytest.raises(TypeError, match="are not for"):
            registry.verify(parsed, endorsements, exhibit.anchors, None, exhibit.at)
        with pytest.raises(TypeError, match="are not for"):
            registry.evaluations(parsed, endorsements, registry.Sources(), exhibit.anchors)


QUOTE = Evidence(EvidenceKind.TDX_QUOTE, b"quote")
REPORT = Evidence(EvidenceKind.SNP_REPORT, b"report")
HCL = Evidence(EvidenceKind.HCL_REPORT, b"HCLA")
CERTIFICATES = Evidence(EvidenceKind.SNP_CERTIFICATES, bytes(24))
ATTEST = Evidence(EvidenceKind.TPM_ATTEST, b"quote of a TPM")


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (CERTIFICATES,),
        (ATTEST, CERTIFICATES),
        (QUOTE, QUOTE),
        (QUOTE, REPORT),
        (REPORT, HCL),
        (REPORT, REPORT),
        (REPORT, CERTIFICATES, CERTIFICATES),
        (QUOTE, CERTIFICATES),
        (QUOTE, ATTEST),
        (REPORT, ATTEST),
        (HCL, ATTEST),
    ],
    ids=lambda pieces: " ".join(piece.kind for piece in pieces) or "nothing",
)
def test_pieces_that_make_no_evidence(pieces: tuple[Evidence, ...]) -> None:
    with pytest.raises(VerificationError) as caught:
        registry.parse(pieces)
    assert caught.value.reason is Reason.EVIDENCE


# event logs


def test_logs_stand_apart_and_have_limits() -> None:
    quote, log = Evidence(EvidenceKind.TDX_QUOTE, b"quote"), Evidence(EvidenceKind.CCEL, b"log")
    cel = Evidence(EvidenceKind.CEL, bytes(MAX_LOG_BYTES - 3))
    assert registry.split([log, quote, cel]) == ((quote,), (), (log, cel))
    for wrong, reason in (
        ([log, quote, log], Reason.EVIDENCE),
        ([quote, log, replace(cel, data=cel.data + b"1")], Reason.TOO_LARGE),
    ):
        with pytest.raises(VerificationError) as caught:
            registry.split(wrong)
        assert caught.value.reason is reason
