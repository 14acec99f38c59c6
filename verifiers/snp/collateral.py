# SPDX-License-Identifier: Apache-2.0
"""How recent AMD's judgement of a product line is: the number of its revocation list, which only rises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from verifiers.snp.crl import verify_crl
from verifiers.snp.signer import hierarchy_of

if TYPE_CHECKING:
    from verifiers.anchors import Anchors
    from verifiers.snp.endorsements import SnpEndorsements
    from verifiers.snp.evidence import SnpEvidence


def evaluations(
    evidence: SnpEvidence, endorsements: SnpEndorsements, anchors: Anchors
) -> dict[str, int]:
    """The CRL number in the line of the address that gave the list; nothing without a list.

    Raises:
        VerificationError: as `hierarchy_of` and `verify_crl` do.
    """
    if endorsements.crl is None:
        return {}
    hierarchy = hierarchy_of(evidence.report, endorsements.vek, anchors)
    line = f"snp/crl/{hierarchy.product}/{evidence.report.signing_key}"
    return {line: verify_crl(endorsements.crl, hierarchy.ark).number}
