# SPDX-License-Identifier: Apache-2.0
"""Pieces that make one attester's evidence together, and those that do not."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import pytest

from tests.snp_lab import SnpLab
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import MAX_BYTES, Evidence, EvidenceKind, Provider
from verifiers.snp.evidence import SnpEvidence, parse_evidence

if TYPE_CHECKING:
    from collections.abc import Iterable

TPM = (EvidenceKind.TPM_ATTEST, EvidenceKind.TPM_SIGNATURE, EvidenceKind.TPM_PCRS)


def direct(certificates: str | bytes | None = None) -> dict[EvidenceKind, bytes]:
    bench = SnpLab.create()
    bench.certificates = certificates
    return {piece.kind: piece.data for piece in bench.evidence()}


def azure(**hcl: int) -> dict[EvidenceKind, bytes]:
    bench = SnpLab.create()
    bench.azure()
    bench.hcl_options = dict(hcl)
    bench.certificates = "pem"
    return {piece.kind: piece.data for piece in bench.evidence()}


def parse(pieces: dict[EvidenceKind, bytes], leave_out: Iterable[EvidenceKind] = ()) -> SnpEvidence:
    left_out = set(leave_out)
    return parse_evidence([Evidence(k, d) for k, d in pieces.items() if k not in left_out])


def refusal(pieces: dict[EvidenceKind, bytes], leave_out: Iterable[EvidenceKind] = ()) -> Reason:
    with pytest.raises(VerificationError) as caught:
        parse(pieces, leave_out)
    return caught.value.reason


def test_direct() -> None:
    pieces = direct()
    parsed = parse(pieces)
    assert (parsed.provider, parsed.hcl, parsed.tpm) == (Provider.DIRECT, None, None)
    assert (parsed.vek, parsed.authorities) == (None, ())
    assert parsed.raw == parsed.report.raw == pieces[EvidenceKind.SNP_REPORT]
    assert parsed.pieces == (Evidence(EvidenceKind.SNP_REPORT, parsed.raw),)


@pytest.mark.parametrize("form", ["table", "pem", "der"])
def test_certificates(form: str) -> None:
    bench = SnpLab.create()
    parsed = parse(direct(form))
    assert parsed.vek == bench.vek.der
    others = (bench.line.ask.der, bench.line.ark.der)
    assert parsed.authorities == (() if form == "der" else others)
    assert len(parsed.pieces) == 1


def test_azure() -> None:
    pieces = azure()
    parsed = parse(pieces)
    assert parsed.provider is Provider.AZURE
    assert parsed.hcl is not None
    assert parsed.tpm is not None
    assert parsed.raw == pieces[EvidenceKind.HCL_REPORT].rstrip(b"\0")
    assert parsed.report.raw == parsed.hcl.hw_report
    kept = {piece.kind: piece.data for piece in parsed.pieces}
    assert kept == {
        EvidenceKind.HCL_REPORT: parsed.raw,
        **{kind: pieces[kind] for kind in TPM},
    }
    again = parse_evidence(parsed.pieces)
    assert again == parse(pieces, [EvidenceKind.SNP_CERTIFICATES])


def test_azure_without_a_quote_of_the_tpm() -> None:
    parsed = parse(azure(), TPM)
    assert parsed.tpm is None
    assert [piece.kind for piece in parsed.pieces] == [EvidenceKind.HCL_REPORT]


@pytest.mark.parametrize("count", [1, 2])
def test_a_part_of_a_quote_of_the_tpm(count: int) -> None:
    for kinds in combinations(TPM, count):
        assert refusal(azure(), kinds) is Reason.EVIDENCE


def test_a_report_of_the_cpu_has_no_quote_beside_it() -> None:
    whole = azure()
    tpm = {kind: whole[kind] for kind in TPM}
    assert refusal(direct() | tpm) is Reason.EVIDENCE
    for kind in TPM:
        assert refusal(direct() | {kind: whole[kind]}) is Reason.EVIDENCE


@pytest.mark.parametrize(
    "kind", [EvidenceKind.TPM_SIGNATURE, EvidenceKind.TPM_PCRS, EvidenceKind.TPM_ATTEST]
)
def test_pieces_of_the_largest_size(kind: EvidenceKind) -> None:
    pieces = azure()
    assert refusal(pieces | {kind: bytes(MAX_BYTES[kind] + 1)}) is Reason.TOO_LARGE
    if kind is not EvidenceKind.TPM_ATTEST:  # what they hold is for the verification to say
        parse(pieces | {kind: bytes(MAX_BYTES[kind])})


def test_certificates_of_the_largest_size() -> None:
    limit = MAX_BYTES[EvidenceKind.SNP_CERTIFICATES]
    assert parse(direct(bytes(limit))).vek is None
    assert refusal(direct(bytes(limit + 1))) is Reason.TOO_LARGE


def test_a_tdx_report_of_azure() -> None:
    assert refusal(azure(report_type=4)) is Reason.INCOMPLETE


def test_another_length_is_malformed() -> None:
    pieces = direct()
    report = pieces[EvidenceKind.SNP_REPORT]
    assert refusal({EvidenceKind.SNP_REPORT: report + b"\0"}) is Reason.MALFORMED
    assert refusal({EvidenceKind.SNP_REPORT: report[:-1]}) is Reason.MALFORMED
