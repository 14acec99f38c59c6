# SPDX-License-Identifier: Apache-2.0
"""A certification request (PKCS#10, RFC 2986) gives a public key and proof that its private key is held.

Nothing else of it is used: subject, attributes and requested extensions are neither copied nor compared. Names come
from the policy alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ca.errors import RequestRefused
from ca.issuance import keys

MAX_BYTES = 8 * 1024
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


@dataclass(frozen=True, slots=True)
class CertifiedKey:
    """A key whose holder proved possession. Made by `parse` alone."""

    spki_der: bytes  # canonical DER SubjectPublicKeyInfo

    @property
    def sha256(self) -> bytes:
        """SHA-256 of `spki_der`, 32 bytes: the value of the key's handle."""
        return hashlib.sha256(self.spki_der).digest()


def parse(der: bytes) -> CertifiedKey:
    """The key of a request.

    Args:
        der: DER CertificationRequest, at most 8 KiB, nothing after it.

    Raises:
        RequestRefused: `csr-malformed`; `key-type` (not P-256, P-384 or Ed25519); `csr-signature` (it does not verify,
            or is made over anything but SHA-256, SHA-384 or SHA-512).
    """
    if len(der) > MAX_BYTES:
        raise RequestRefused(f"the request has more than {MAX_BYTES} bytes", code="csr-malformed")
    try:
        request = x509.load_der_x509_csr(der)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise RequestRefused("not a DER PKCS#10 request", code="csr-malformed") from error
    try:
        key = keys.accept(request.public_key())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise RequestRefused("the request's key cannot be read", code="key-type") from error
    if not _proves_possession(request, key):
        raise RequestRefused("the request is not signed by its own key", code="csr-signature")
    return CertifiedKey(keys.encode(key))


def _proves_possession(request: x509.CertificateSigningRequest, key: keys.PublicKey) -> bool:
    try:
        strong = isinstance(request.signature_hash_algorithm, _HASHES)
        # Ed25519 hashes inside and names no hash; the algorithm must go with the key or nothing verifies.
        return request.is_signature_valid and (
            strong or not isinstance(key, ec.EllipticCurvePublicKey)
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False  # a signature algorithm that does not go with the key, or is unknown
