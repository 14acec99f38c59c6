# SPDX-License-Identifier: Apache-2.0
"""TDX on Azure: the chain from the CPU to PCRs, link by link, and what belongs together."""

from __future__ import annotations

import hashlib
import json
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest

from simulator.amd_keys import SHARED
from simulator.azure import report_data_of
from simulator.vtpm import SHA256
from tests.azure_td_lab import ATTEST, HCL, PCRS, QUOTE, SIGNATURE, TPM, TdLab
from tests.snp_lab import BINDING, SnpLab
from tests.tdx_lab import Lab
from verifiers import registry
from verifiers.endorsements import Revocation
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Binding, Evidence, EvidenceKind, Provider, Tee
from verifiers.files import identify
from verifiers.tdx.azure import AzureTd
from verifiers.tdx.endorsements import PcsSource, TdxEndorsements
from verifiers.vtpm.claims import PcrBank

if TYPE_CHECKING:
    from collections.abc import Callable


def refused(lab: TdLab) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        lab.verify()
    return caught.value


def flipped(at: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_the_chain_from_the_cpu_to_pcrs() -> None:
    lab = TdLab()
    claims = lab.verify()
    assert (claims.provider, claims.bound) == (Provider.AZURE, True)
    assert claims.pck_chain_revocation is Revocation.GOOD
    assert claims.hcl is not None
    assert claims.td.report_data == claims.hcl.runtime_data_sha256 + bytes(32)
    assert {claims.td.rtmr0, claims.td.rtmr1, claims.td.rtmr2, claims.td.rtmr3} == {bytes(48)}
    assert claims.tpm is not None
    assert claims.tpm.extra_data == BINDING.tpm_extra
    assert [claims.tpm.pcr(index) for index in range(24)] == lab.vm.tpm.pcrs
    quote = lab.pieces[0]
    assert len(claims.evidence_sha256) == 32
    parsed = registry.parse([quote, *lab.pieces[1:]])
    assert isinstance(parsed, AzureTd)
    assert registry.pieces_of(parsed)[0].data == parsed.quote.raw


def test_a_record_of_it_gives_the_same_again() -> None:
    for lab in (TdLab(), TdLab(edits=dict.fromkeys(TPM))):
        parsed = registry.parse(lab.pieces)
        assert registry.parse(registry.pieces_of(parsed)) == parsed
        assert registry.tee_of(parsed) is Tee.TDX
        assert registry.signer_came_along(parsed)
        assert registry.no_endorsements(parsed) == TdxEndorsements()


def test_order_and_files() -> None:
    pieces = TdLab().pieces
    want = registry.parse(pieces)
    assert registry.parse(pieces[::-1]) == want
    for shift in range(len(pieces)):
        files = [piece.data for piece in (*pieces[shift:], *pieces[:shift])]
        assert registry.parse(identify(files).evidence) == want


def test_the_collateral_is_that_of_the_quote() -> None:
    lab = TdLab()
    parsed = registry.parse(lab.pieces)
    assert isinstance(parsed, AzureTd)
    exhibit = lab.lab.exhibit()
    sources = registry.Sources(intel=PcsSource(base_url="https://pcs.example"))
    asked, wanted = (
        next(registry.gather(one, sources, exhibit.anchors)) for one in (parsed, parsed.quote)
    )
    assert asked == wanted
    endorsements = exhibit.endorsements
    lines = registry.evaluations(parsed, endorsements, sources, exhibit.anchors)
    assert lines == registry.evaluations(parsed.quote, endorsements, sources, exhibit.anchors)


# What does not belong together


@pytest.mark.parametrize("left_out", [c for n in (1, 2) for c in combinations(TPM, n)], ids=str)
def test_a_part_of_a_tpm_quote(left_out: tuple[EvidenceKind, ...]) -> None:
    assert refused(TdLab(edits=dict.fromkeys(left_out))).reason is Reason.EVIDENCE


@pytest.mark.parametrize(
    "piece",
    [
        Evidence(EvidenceKind.SNP_CERTIFICATES, b"-----BEGIN CERTIFICATE-----"),
        Evidence(EvidenceKind.SNP_REPORT, bytes(1184)),
        Evidence(HCL, b"HCLA"),
        Evidence(QUOTE, b"quote"),
        Evidence(ATTEST, b"\xffTCG"),
    ],
)
def test_a_piece_that_is_none_of_it(piece: Evidence) -> None:
    assert refused(TdLab(more=(piece,))).reason is Reason.EVIDENCE


def test_an_hcl_report_of_the_other_technology() -> None:
    lab = SnpLab.create()
    lab.azure()
    (snp,) = (piece.data for piece in lab.evidence() if piece.kind is HCL)
    assert refused(TdLab(edits={HCL: snp})).reason is Reason.EVIDENCE


def test_without_the_quote_of_the_td() -> None:
    error = refused(TdLab(edits={QUOTE: None}))
    assert (error.reason, "tdx-quote" in error.detail) == (Reason.INCOMPLETE, True)


def test_a_td_quote_and_a_tpm_quote_alone() -> None:
    assert refused(TdLab(edits={HCL: None})).reason is Reason.AK_NOT_BOUND


@pytest.mark.parametrize("kind", [QUOTE, HCL, *TPM])
def test_limits(kind: EvidenceKind) -> None:
    assert refused(TdLab(edits={kind: bytes(65 * 1024 + 1)})).reason is Reason.TOO_LARGE


# The links


def other_runtime_data(lab: TdLab) -> None:
    data = lab.vm.runtime_data()
    data["user-data"] = "FF" * 64
    lab.envelope["runtime_data"] = data


def reserialised(lab: TdLab) -> None:
    text = json.dumps(lab.vm.runtime_data())  # the same members, with spaces
    lab.envelope |= {"runtime_data": text.encode()}


def tailed(lab: TdLab) -> None:
    right = report_data_of(lab.vm.runtime_data())
    lab.quoted["report_data"] = right[:63] + b"\1"


def bound_directly(lab: TdLab) -> None:
    lab.quoted["report_data"] = BINDING.report_data


def another_key(lab: TdLab) -> None:
    lab.tpm["signer"] = SHARED.get("another ak", 2048)


BROKEN: list[tuple[str, Callable[[TdLab], Any], Reason]] = [
    ("other runtime data", other_runtime_data, Reason.SIGNATURE),
    ("a tail in report_data", tailed, Reason.SIGNATURE),
    ("report_data with the binding", bound_directly, Reason.SIGNATURE),
    ("another TPM's key", another_key, Reason.SIGNATURE),
    ("a changed TD quote", lambda lab: lab.edits.update({QUOTE: flipped(184)}), Reason.SIGNATURE),
    ("runtime data written anew", reserialised, Reason.SIGNATURE),
    ("a changed TPM quote", lambda lab: lab.edits.update({ATTEST: flipped(50)}), Reason.SIGNATURE),
    ("a changed PCR", lambda lab: lab.edits.update({PCRS: flipped(4 * 32)}), Reason.SIGNATURE),
    (
        "PCRs in another order",
        lambda lab: lab.edits.update({PCRS: lambda d: d[32:64] + d[:32] + d[64:]}),
        Reason.SIGNATURE,
    ),
    (
        "a changed signature",
        lambda lab: lab.edits.update({SIGNATURE: flipped(9)}),
        Reason.SIGNATURE,
    ),
    ("another nonce", lambda lab: lab.tpm.update(extra_data=bytes(32)), Reason.BINDING_MISMATCH),
    (
        "a longer nonce",
        lambda lab: lab.tpm.update(extra_data=BINDING.tpm_extra + b"\0"),
        Reason.BINDING_MISMATCH,
    ),
    ("no TPM quote", lambda lab: lab.edits.update(dict.fromkeys(TPM)), Reason.INCOMPLETE),
]


@pytest.mark.parametrize(("why", "make", "reason"), BROKEN, ids=[why for why, _, _ in BROKEN])
def test_a_broken_link(why: str, make: Callable[[TdLab], Any], reason: Reason) -> None:
    lab = TdLab()
    make(lab)
    error = refused(lab)
    assert (error.reason, error.authentic) == (reason, False), why


def test_what_intel_says_comes_last() -> None:
    lab = TdLab()
    lab.lab.edit(tcb_info=None)
    assert (refused(lab).reason, refused(lab).authentic) == (Reason.INCOMPLETE, True)
    lab.tpm["extra_data"] = bytes(32)
    assert refused(lab).reason is Reason.BINDING_MISMATCH


def test_a_paravisors_quote_alone_binds_nothing() -> None:
    lab = TdLab(edits=dict.fromkeys((HCL, *TPM)))
    assert refused(lab).reason is Reason.BINDING_MISMATCH
    lab.binding = None
    assert lab.verify().provider is Provider.DIRECT


def test_the_bindings_of_the_two_ways_are_not_exchanged() -> None:
    lab = TdLab()
    lab.binding = Binding(BINDING.tpm_extra + bytes(32), BINDING.report_data[:32], bytes(32))
    assert refused(lab).reason is Reason.BINDING_MISMATCH


def test_offline_nothing_is_bound() -> None:
    lab = TdLab(edits=dict.fromkeys(TPM), binding=None)
    claims = lab.verify()
    assert (claims.bound, claims.tpm, claims.provider) == (False, None, Provider.AZURE)


# What is not read


@pytest.mark.parametrize(
    "report",
    [bytes(1184), b"\xff" * 1184, hashlib.shake_256(b"another TD").digest(1184)],
    ids=["zero", "ones", "noise"],
)
def test_the_tdreport_is_not_evidence(report: bytes) -> None:
    """Whoever sends it can write it: it changes nothing, for better or worse."""
    right = TdLab().verify()
    lab = TdLab(edits={HCL: lambda d: d[:32] + report + d[32 + 1184 :]})
    claims = lab.verify()
    assert claims.hcl == right.hcl
    assert claims.tpm == right.tpm
    assert claims.td == right.td


def test_numbers_of_pcrs_are_those_of_the_quote() -> None:
    wanted = (0, 4, 9, 16, 23)
    claims = TdLab(tpm={"selection": ((SHA256, wanted),)}).verify()
    assert claims.tpm is not None
    assert [(bank, index) for bank, index, _ in claims.tpm.pcrs] == [
        (PcrBank.SHA256, index) for index in wanted
    ]
    assert claims.tpm.pcr(8) is None


def test_the_same_td_by_itself_is_direct() -> None:
    exhibit = Lab.create().exhibit()
    claims = exhibit.verify()
    assert (claims.provider, claims.hcl, claims.tpm) == (Provider.DIRECT, None, None)
