# SPDX-License-Identifier: Apache-2.0
"""What a CPU's report vouches for where a paravisor owns report_data (Azure): runtime data, and by its key a vTPM.

The chain: report_data, which the CPU signed -> SHA-256 of the runtime data, as sent -> the attestation key in them ->
the quote of the vTPM -> PCRs, and extraData, which carries the binding. Whether the code that wrote the runtime data is
Microsoft's paravisor at all is not asked here: anybody's guest can vouch for a TPM of its own. Policies pin that code.
"""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING

from verifiers.errors import Reason, VerificationError
from verifiers.vtpm.attest import verify_quote
from verifiers.vtpm.hcl import read_runtime_data

if TYPE_CHECKING:
    from verifiers.vtpm.claims import HclClaims, TpmClaims
    from verifiers.vtpm.evidence import TpmQuote
    from verifiers.vtpm.hcl import HclReport


def vouched_for(
    report_data: bytes, hcl: HclReport, quote: TpmQuote | None
) -> tuple[HclClaims, TpmClaims | None]:
    """What the paravisor says and, if there is a quote of its vTPM, what that says.

    Args:
        report_data: 64 bytes, of a report or TD quote that was verified.
        hcl: the envelope.
        quote: None where nothing is to be bound (offline inspection).

    Raises:
        VerificationError: `signature` where report_data is not the hash of the runtime data and 32 zero bytes; what
            `read_runtime_data` and `verify_quote` raise.
    """
    vouched = sha256(hcl.runtime_data).digest() + bytes(32)
    if not compare_digest(report_data, vouched):
        raise VerificationError(
            Reason.SIGNATURE, "report_data is not the hash of the HCL report's runtime data"
        )
    claims, key = read_runtime_data(hcl)
    if quote is None:
        return claims, None
    return claims, verify_quote(quote.attest, quote.signature, quote.pcrs, key)


def check_bound(tpm: TpmClaims | None, extra: bytes) -> None:
    """Demand that the vTPM's quote carries the binding.

    Args:
        tpm: None where no quote came.
        extra: what extraData must be, whole (32 bytes).

    Raises:
        VerificationError: `incomplete` without a quote, `binding-mismatch`.
    """
    if tpm is None:
        raise VerificationError(
            Reason.INCOMPLETE,
            "the quote of the vTPM is missing (tpm-attest, tpm-signature, tpm-pcrs)",
        )
    if not compare_digest(tpm.extra_data, extra):
        raise VerificationError(
            Reason.BINDING_MISMATCH,
            "extraData of the vTPM quote is not the binding of this nonce, key and profile",
        )
