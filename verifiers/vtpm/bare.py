# SPDX-License-Identifier: Apache-2.0
"""A TPM's quote that no CPU's evidence stands beside: what can be said of it, which is never that it is of a platform.

The quote is verified by the attestation key that came with it. Whoever sends a quote chooses that key, so all that
holds then is that somebody with some key signed these values. A certificate for the key, as Google's cloud gives one,
is read for the key alone: it would say who runs the TPM, and nothing of the CPU's protection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from verifiers.errors import Reason, VerificationError
from verifiers.evidence import EvidenceKind
from verifiers.vtpm.attest import TPM_GENERATED, parse_attest, values_by_hash, verify_quote
from verifiers.vtpm.certified import MAX_CERTIFICATES, key_in, names_google, pem_of
from verifiers.vtpm.evidence import demand_size
from verifiers.vtpm.public import is_public, read_attestation_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verifiers.vtpm.claims import TpmClaims
    from verifiers.vtpm.public import AttestationKey

NOT_BOUND: Final = (
    "the quote verifies with the key that came with it, but nothing ties that key to a platform"
)


@dataclass(frozen=True, slots=True)
class BareQuote:
    """Files of one quote, told apart; None for what is not there."""

    attest: bytes
    signature: bytes | None
    pcrs: bytes | None
    public: bytes | None
    certificates: tuple[bytes, ...] = ()  # Google's, of the key and of who signed it

    @property
    def key(self) -> AttestationKey | None:
        """The key that came along, alone or in its certificate. Raises VerificationError."""
        certified = key_in(pem_of(self.certificates)) if self.certificates else None
        if self.public is None:
            return certified
        key = read_attestation_key(self.public)
        if certified not in (None, key):
            raise VerificationError(
                Reason.EVIDENCE, "the attestation key and a certificate of another key came along"
            )
        return key


def sort_quote(files: Sequence[bytes]) -> BareQuote | None:
    """The one quote that files hold; None if they hold none, several, or more than belongs to one.

    Raises:
        VerificationError: what the parser of the quote raises.
    """
    attests = [data for data in files if data.startswith(TPM_GENERATED)]
    others = [data for data in files if not data.startswith(TPM_GENERATED)]
    certificates = [data for data in others if names_google(data)]
    keys = [data for data in others if is_public(data)]
    rest = [data for data in others if data not in keys and data not in certificates]
    if len(attests) != 1 or len(keys) > 1 or len(certificates) > MAX_CERTIFICATES:
        return None
    values = values_by_hash(parse_attest(attests[0]), rest)
    signatures = [data for data in rest if data not in values]
    if len(values) > 1 or len(signatures) > 1:
        return None
    signature, pcrs, public = (next(iter(found), None) for found in (signatures, values, keys))
    return BareQuote(attests[0], signature, pcrs, public, tuple(certificates))


def verify_bare(quote: BareQuote) -> TpmClaims:
    """Verify a quote by the key that came with it: a statement about that key, and about nothing else.

    Raises:
        VerificationError: `incomplete` where a part is missing; `too-large`; what `read_attestation_key` and
            `verify_quote` raise.
    """
    attest, key = parse_attest(quote.attest), quote.key
    if quote.signature is None or quote.pcrs is None or key is None:
        parts = {"signature": quote.signature, "PCR values": quote.pcrs, "attestation key": key}
        lacking = [name for name, part in parts.items() if part is None]
        raise VerificationError(
            Reason.INCOMPLETE, f"TPM quote without CPU evidence, and without {', '.join(lacking)}"
        )
    demand_size(EvidenceKind.TPM_SIGNATURE, quote.signature)
    demand_size(EvidenceKind.TPM_PCRS, quote.pcrs)
    return verify_quote(attest, quote.signature, quote.pcrs, key)
