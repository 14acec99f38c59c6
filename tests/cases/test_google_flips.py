# SPDX-License-Identifier: Apache-2.0
"""A bit of every byte turned over in what stands beside the CPU's evidence of Google: each is refused, and why.

The TPM's quote, its signature and its values: all of it is covered by the signature. The certificates of the key and of
its authority: all of each is covered by the signature above it. The CPU's own evidence is turned over elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simulator.pki import pem
from tests.google_lab import CERTIFICATE, GoogleLab
from tests.snp_lab import BINDING, NOW, flipped
from verifiers import google, registry
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Evidence, EvidenceKind
from verifiers.google import GoogleCvm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from verifiers.anchors import Anchors

MALFORMED, FORMAT, SIGNATURE = Reason.MALFORMED, Reason.UNSUPPORTED_FORMAT, Reason.SIGNATURE
CHAIN, ROOT = Reason.CHAIN, Reason.UNTRUSTED_ROOT
EXPECTED = {
    EvidenceKind.TPM_ATTEST: {MALFORMED, FORMAT, SIGNATURE},
    EvidenceKind.TPM_SIGNATURE: {SIGNATURE},
    EvidenceKind.TPM_PCRS: {SIGNATURE},
    CERTIFICATE: {CHAIN},
}


def refusal(anchors: Anchors, pieces: Iterable[Evidence]) -> Reason:
    """By what the part beside the CPU's is refused."""
    with pytest.raises(VerificationError) as caught:
        google.verify_beside(parsed(pieces), anchors, BINDING, NOW)
    return caught.value.reason


def parsed(pieces: Iterable[Evidence]) -> GoogleCvm:
    found = registry.parse(list(pieces))
    assert isinstance(found, GoogleCvm)
    return found


@pytest.mark.parametrize("kind", EXPECTED)
def test_every_byte_of_a_piece(kind: EvidenceKind) -> None:
    lab = GoogleLab.td()
    anchors, right = lab.anchors(), {piece.kind: piece for piece in lab.pieces()}
    assert google.verify_beside(parsed(right.values()), anchors, BINDING, NOW)
    seen = set()
    for at in range(len(right[kind].data)):
        changed = Evidence(kind, flipped(right[kind].data, at, 1 << at % 8))
        seen.add(refusal(anchors, (right | {kind: changed}).values()))
    assert seen == EXPECTED[kind]


def test_every_byte_of_the_authority_that_came_along() -> None:
    lab = GoogleLab.td()
    lab.knowing = False
    anchors, authority = lab.anchors(), lab.google.intermediate().der
    right = {piece.kind: piece for piece in lab.pieces()}
    seen = set()
    for at in range(len(authority)):
        text = pem(lab.vm.ak.der, flipped(authority, at, 1 << at % 8)).encode()
        seen.add(refusal(anchors, (right | {CERTIFICATE: Evidence(CERTIFICATE, text)}).values()))
    assert seen == {CHAIN, ROOT}
