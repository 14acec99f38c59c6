# SPDX-License-Identifier: Apache-2.0
"""What files are: by content, in any order, with any names."""

from __future__ import annotations

from itertools import permutations

import pytest

from simulator.pki import pem
from simulator.snp_report import VCEK, certificate_table
from tests.cases.snp import vectors
from tests.snp_lab import SnpLab
from verifiers import registry
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Evidence, EvidenceKind
from verifiers.files import identify
from verifiers.snp.evidence import SnpEvidence

BENCH = SnpLab.create()
REPORT = BENCH.report_bytes()
VEK, ASK, ARK = BENCH.vek.der, BENCH.line.ask.der, BENCH.line.ark.der
CRL = BENCH.line.vcek_crl.der


def parsed(*files: bytes) -> SnpEvidence:
    found = registry.parse(identify(files).evidence)
    assert isinstance(found, SnpEvidence)
    return found


@pytest.mark.parametrize(
    "certificates",
    [
        [VEK],
        [pem(VEK).encode()],
        [pem(VEK, ASK, ARK).encode()],
        [VEK, pem(ASK, ARK).encode()],
        [VEK, ASK, ARK],
        [BENCH.machine.certificate_table()],
    ],
    ids=["der", "pem", "chain", "der and pem", "three of der", "table"],
)
@pytest.mark.parametrize("crl", [CRL, pem(CRL, label="X509 CRL").encode()], ids=["der", "pem"])
def test_files_in_any_order(certificates: list[bytes], crl: bytes) -> None:
    for files in permutations([REPORT, *certificates, crl]):
        identified = identify(files)
        assert identified.collateral == (CRL,)
        found = registry.parse(identified.evidence)
        assert isinstance(found, SnpEvidence)
        assert (found.report.raw, found.vek) == (REPORT, VEK)
        assert set(found.authorities) <= {ASK, ARK}


def test_one_file_of_certificates_stays_as_it_is() -> None:
    for data in (VEK, pem(VEK).encode(), BENCH.machine.certificate_table()):
        piece = Evidence(EvidenceKind.SNP_CERTIFICATES, data)
        assert identify([data]).evidence == (piece,)


def test_a_table_and_certificates_are_too_much() -> None:
    """They are kept apart, and two pieces of a kind are no evidence."""
    pieces = identify([REPORT, certificate_table(((VCEK, VEK),)), VEK]).evidence
    assert [piece.kind for piece in pieces[1:]] == [EvidenceKind.SNP_CERTIFICATES] * 2
    with pytest.raises(VerificationError) as caught:
        registry.parse(pieces)
    assert caught.value.reason is Reason.EVIDENCE


def test_pem_without_an_end_of_line() -> None:
    """Files may be merged whatever they end in."""
    found = parsed(REPORT, pem(VEK).encode().rstrip(b"\n"), pem(ASK).encode().rstrip(b"\n"), ARK)
    assert (found.vek, found.authorities) == (VEK, (ASK, ARK))


@pytest.mark.parametrize("name", vectors.names())
def test_real_files(name: str) -> None:
    vector = vectors.load(name)
    found = parsed(vector.hcl or vector.report, vector.vek, vectors.pem(vector.ica, vector.ark))
    assert found.report.raw == vector.report
    assert found.vek == vector.vek
    assert found.authorities == (vector.ica, vector.ark)
    assert (found.hcl is None) == (vector.hcl is None)


@pytest.mark.parametrize("file", ["genoa_crl_20221031.der", "milan_crl_20220509.der"])
def test_real_lists(file: str) -> None:
    crl = vectors.root_file(file)
    assert identify([crl]).collateral == (crl,)


def test_text_that_says_it_is_a_list() -> None:
    with pytest.raises(VerificationError) as caught:
        identify([b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"])
    assert caught.value.reason is Reason.CRL_INVALID


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"HCLA", EvidenceKind.HCL_REPORT),
        (b"\xffTCG\x80\x18", None),
        (b"", EvidenceKind.TDX_QUOTE),
        (bytes(1184), EvidenceKind.TDX_QUOTE),
        (b"\x0a\0\0\0" + bytes(1180), EvidenceKind.TDX_QUOTE),
        (b"\x04\0\x02\0" + bytes(1180), EvidenceKind.TDX_QUOTE),
        (b"\x04\0\0\0" + bytes(2 * 1184 - 5), EvidenceKind.SNP_REPORT),
        (b"\x04\0\0\0" + bytes(2 * 1184 - 4), EvidenceKind.TDX_QUOTE),
        (b"\x01\0\0\0", EvidenceKind.SNP_REPORT),
        (b"\x09\0\0\0", EvidenceKind.SNP_REPORT),
        (b"\x30\x82\0\0", EvidenceKind.SNP_CERTIFICATES),
    ],
)
def test_beginnings(data: bytes, kind: EvidenceKind | None) -> None:
    if kind is None:  # a TPM's quote is parsed at once
        with pytest.raises(VerificationError):
            identify([data])
        return
    assert identify([data]).evidence == (Evidence(kind, data),)


@pytest.mark.parametrize("report", [b"", b"\x05", bytes(1184), b"\xff" * 9000])
@pytest.mark.parametrize(
    "certificates", [VEK, pem(ASK, ARK).encode(), BENCH.machine.certificate_table()]
)
def test_beside_certificates_what_nothing_else_is_is_meant_as_their_report(
    report: bytes, certificates: bytes
) -> None:
    for files in permutations([report, certificates, CRL]):
        pieces = identify(files).evidence
        assert pieces[0] == Evidence(EvidenceKind.SNP_REPORT, report)
        with pytest.raises(VerificationError) as caught:
            registry.parse(pieces)
        assert caught.value.reason in {Reason.MALFORMED, Reason.UNSUPPORTED_FORMAT}


@pytest.mark.parametrize("files", [[b""], [b"", CRL], [b"", REPORT, VEK]])
def test_without_certificates_alone_it_is_taken_for_a_quote(files: list[bytes]) -> None:
    assert Evidence(EvidenceKind.TDX_QUOTE, b"") in identify(files).evidence


def test_a_tdx_quote_beside_certificates_is_no_report() -> None:
    quote = b"\x04\0\x02\0\x81\0\0\0" + bytes(5000)
    pieces = identify([quote, VEK]).evidence
    assert pieces[0] == Evidence(EvidenceKind.TDX_QUOTE, quote)
    with pytest.raises(VerificationError) as caught:
        registry.parse(pieces)
    assert caught.value.reason is Reason.EVIDENCE
