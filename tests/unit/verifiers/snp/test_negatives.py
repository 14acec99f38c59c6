# SPDX-License-Identifier: Apache-2.0
"""Every listed change of a real case gives the listed result, and the reason that we name for it."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.cases.snp import vectors
from verifiers import registry
from verifiers.anchors import builtin
from verifiers.endorsements import Revocation
from verifiers.errors import Reason, Verdict, VerificationError
from verifiers.evidence import Evidence, EvidenceKind
from verifiers.files import identify
from verifiers.snp.claims import SnpClaims
from verifiers.snp.endorsements import SnpEndorsements
from verifiers.snp.evidence import SnpEvidence

REASONS: Final = {
    "measurement-bit": Reason.SIGNATURE,
    "report-data-bit": Reason.SIGNATURE,
    "host-data-bit": Reason.SIGNATURE,
    "chip-id-bit": Reason.ENDORSEMENT_MISMATCH,
    "chip-id-zero": Reason.ENDORSEMENT_MISMATCH,
    "debug-cleared": Reason.SIGNATURE,
    "version-1": Reason.UNSUPPORTED_FORMAT,
    "version-6": Reason.UNSUPPORTED_FORMAT,
    "version-downgrade-3-to-2": Reason.MALFORMED,
    "sig-algo-0": Reason.UNSUPPORTED_FORMAT,
    "sig-algo-2": Reason.UNSUPPORTED_FORMAT,
    "signing-key-none": Reason.SIGNATURE,
    "signing-key-reserved": Reason.MALFORMED,
    "signing-key-vlek-with-vcek": Reason.ENDORSEMENT_MISMATCH,
    "signing-key-vcek-with-vlek": Reason.ENDORSEMENT_MISMATCH,
    "signature-zero": Reason.SIGNATURE,
    "signature-r-zero": Reason.SIGNATURE,
    "signature-r-high-byte": Reason.MALFORMED,
    "signature-s-bit": Reason.SIGNATURE,
    "signature-tail": Reason.MALFORMED,
    "signature-last-byte": Reason.MALFORMED,
    "signature-s-plus-n": Reason.MALFORMED,
    "reported-tcb-raised": Reason.ENDORSEMENT_MISMATCH,
    "turin-tcb-fmc": Reason.ENDORSEMENT_MISMATCH,
    "turin-chip-id-tail": Reason.ENDORSEMENT_MISMATCH,
    "cpuid-to-genoa": Reason.ENDORSEMENT_MISMATCH,
    "cpuid-to-unknown": Reason.PRODUCT_UNKNOWN,
    "mit-vector-in-v3": Reason.MALFORMED,
    "reserved-policy-bit17": Reason.MALFORMED,
    "reserved-policy-high": Reason.MALFORMED,
    "short-1183": Reason.MALFORMED,
    "long-1185": Reason.MALFORMED,
    "empty": Reason.MALFORMED,
    "vek-before-validity": Reason.CERTIFICATE_NOT_YET_VALID,
    "vek-after-validity": Reason.CERTIFICATE_EXPIRED,
    "ask-of-other-product": Reason.CHAIN,
    "ask-is-asvk": Reason.CHAIN,
    "asvk-is-ask": Reason.CHAIN,
    "ark-of-other-product": Reason.UNTRUSTED_ROOT,
    "ask-as-root": Reason.CHAIN,
    "revoked-ask-genoa": Reason.CERTIFICATE_REVOKED,
    "crl-of-other-issuer": Reason.CRL_INVALID,
    "vlek-for-vcek": Reason.ENDORSEMENT_MISMATCH,
    "signature-s-negated": None,
}


def outcome(vector: vectors.Vector, *, chain: bool) -> Reason | None:
    """The reason of the refusal, None if verified; with the certificates sent along, or the leaf alone."""
    certificates = vectors.pem(vector.vek, vector.ica, vector.ark) if chain else vector.vek
    pieces = (
        Evidence(EvidenceKind.SNP_REPORT, vector.report),
        Evidence(EvidenceKind.SNP_CERTIFICATES, certificates),
    )
    try:
        parsed = registry.parse(pieces)
        assert isinstance(parsed, SnpEvidence)
        endorsements = SnpEndorsements(parsed.vek, vector.crl)
        registry.verify(parsed, endorsements, builtin(), None, vector.at)
    except VerificationError as error:
        return error.reason
    return None


@pytest.mark.parametrize("negative", vectors.negatives())
def test_the_listed_result(negative: dict[str, Any]) -> None:
    found = outcome(vectors.changed(negative), chain=True)
    verdict = Verdict.VERIFIED if found is None else found.verdict
    assert verdict == {"accept": "verified", "reject": "rejected"}[negative["expect"]]
    assert found == REASONS[negative["name"]]


AUTHORITIES = {"ask-of-other-product", "ask-is-asvk", "asvk-is-ask", "ark-of-other-product"} | {
    "ask-as-root",
    "revoked-ask-genoa",
}


@pytest.mark.parametrize("negative", vectors.negatives())
def test_without_authorities_beside_the_leaf(negative: dict[str, Any]) -> None:
    """Nothing of the verdict hangs on them; where they were the change, what is left is the genuine case."""
    vector = vectors.changed(negative)
    found = outcome(vector, chain=False)
    if negative["name"] in AUTHORITIES:
        assert found is None
    else:
        assert found == REASONS[negative["name"]]


def test_every_listed_change_has_its_reason() -> None:
    listed = {param.id for param in vectors.negatives()}
    assert listed in ({"absent"}, REASONS.keys())


def test_the_revoked_ask_without_a_list() -> None:
    """Refused all the same, for the pinned one is another."""
    vector = vectors.load("genoa-v2-google")
    revoked = vectors.root_file("genoa_ask_revoked_020001.pem")
    pem = vectors.pem(vector.vek) + revoked + vectors.pem(vector.ark)
    parsed = registry.parse(identify([vector.report, pem]).evidence)
    for crl, reason in (
        (None, Reason.CHAIN),
        (vectors.root_file("milan_crl_20220509.der"), Reason.CHAIN),
        (vectors.root_file("genoa_crl_20221031.der"), Reason.CERTIFICATE_REVOKED),
    ):
        endorsements = SnpEndorsements(vector.vek, crl)
        with pytest.raises(VerificationError) as caught:
            registry.verify(parsed, endorsements, builtin(), None, vector.at)
        assert caught.value.reason is reason


def test_the_real_list_is_good_for_the_real_ask() -> None:
    vector = vectors.load("genoa-v2-google")
    parsed = registry.parse(identify([vector.report, vector.vek]).evidence)
    crl = vectors.root_file("genoa_crl_20221031.der")
    claims = registry.verify(parsed, SnpEndorsements(vector.vek, crl), builtin(), None, vector.at)
    assert isinstance(claims, SnpClaims)
    assert claims.revocation is Revocation.GOOD
    assert [part.part for part in claims.expired_parts] == ["crl"]
