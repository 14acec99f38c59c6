# SPDX-License-Identifier: Apache-2.0
"""Is this certificate for our key, from the authority that we pinned, and valid now?

The pin is the root's key, not its certificate: a root re-issued under the same key stays the same authority.
Path validation (signatures, names, validity, CA flags, key usage, path lengths, unknown critical extensions) is that
of `cryptography`, with the pinned root as the only anchor. Revocation is not looked at: what was issued a second ago
is not on a list yet, and renewal brings new evidence.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import ExtensionPolicy, PolicyBuilder, Store, VerificationError

from attestca_client.errors import Unreadable, Untrusted
from attestca_client.protocol import ca_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

UNREADABLE = (
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm,
)
CLOCK_SKEW = timedelta(seconds=60)  # how far our clock may run behind the authority's


def spki(key: CertificatePublicKeyTypes) -> bytes:
    """DER SubjectPublicKeyInfo, in the one encoding that both sides hash."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def load_root(pem: bytes) -> x509.Certificate:
    """The one root certificate of the file given as --ca-root: self-issued, a CA. Raises Unreadable."""
    try:
        (root,) = x509.load_pem_x509_certificates(pem)
        constraints = root.extensions.get_extension_for_class(x509.BasicConstraints).value
        root.verify_directly_issued_by(root)
    except (ValueError, TypeError, *UNREADABLE, x509.ExtensionNotFound, InvalidSignature):
        raise Unreadable(
            "the root certificate must be one self-signed PEM certificate of a CA",
            "take it from the authority's operator over a way you trust",
        ) from None
    if not constraints.ca:
        raise Unreadable("the root certificate is not a CA's")
    return root


def root_id(root: x509.Certificate) -> bytes:
    """The 32-byte ca_id of the authority with this root."""
    return ca_id(spki(root.public_key()))


def check_issued(
    leaf: x509.Certificate,
    chain: Sequence[x509.Certificate],
    *,
    root: x509.Certificate,
    spki_der: bytes,
    now: datetime,
) -> None:
    """Raises Untrusted unless `leaf` certifies `spki_der`, chains to `root` and is valid at `now`.

    Args:
        leaf: the certificate issued.
        chain: the issuing CA first, the authority's root last.
        root: the pinned root.
        spki_der: our own key, DER SubjectPublicKeyInfo.
        now: timezone-aware UTC. A certificate that starts within the next 60 s is taken, for clocks differ.
    """
    if spki(leaf.public_key()) != spki_der:
        raise Untrusted("the certificate is for another key than ours")
    if spki(chain[-1].public_key()) != spki(root.public_key()):
        raise Untrusted("the chain ends in another root than the pinned one")
    if leaf.not_valid_after_utc <= now:
        raise Untrusted(f"the certificate ended at {leaf.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}")
    if leaf.not_valid_before_utc > now + CLOCK_SKEW:
        raise Untrusted(
            f"the certificate starts at {leaf.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}",
            "see that this machine's clock is right",
        )
    check_path(leaf, chain[:-1], root, max(now, leaf.not_valid_before_utc), _NO_CA)


def check_path(
    leaf: x509.Certificate,
    intermediates: Sequence[x509.Certificate],
    root: x509.Certificate,
    at: datetime,
    leaf_policy: ExtensionPolicy,
) -> None:
    """Raises Untrusted unless `leaf` chains to `root` at that time.

    Our leaves carry extensions of their own and may have any name form, so the caller says what is asked of those of
    the end entity. CA certificates are held to the full profile.
    """
    verifier = (
        PolicyBuilder()
        .store(Store([root]))
        .time(at)
        .max_chain_depth(len(intermediates))
        .extension_policies(ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=leaf_policy)
        .build_client_verifier()
    )
    try:
        verifier.verify(leaf, list(intermediates))
    except VerificationError as error:
        raise Untrusted(f"the certificate does not chain to the pinned root: {error}") from error


def _no_ca(
    _policy: object, _certificate: x509.Certificate, constraints: x509.BasicConstraints | None
) -> None:
    if constraints is not None and constraints.ca:
        raise ValueError("the certificate issued is a CA")


_NO_CA = ExtensionPolicy.permit_all().may_be_present(
    x509.BasicConstraints, x509.verification.Criticality.AGNOSTIC, _no_ca
)
