# SPDX-License-Identifier: Apache-2.0
"""Certificates in two parts: the bytes to be signed, and the assembly of exactly these bytes with a signature.

X.509 builders sign at once, but our key may be elsewhere and the bytes are linted and recorded before it is used. So a
builder signs with a key that the whole world knows (private scalar 1), the signature is thrown away, and the
TBSCertificate is what goes on. ECDSA with SHA-256 on P-256, with SHA-384 on P-384 (RFC 5758, section 3.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ca.errors import LintFailed

if TYPE_CHECKING:
    from cryptography.x509 import CertificateBuilder

_P256 = ec.derive_private_key(1, ec.SECP256R1())
_P384 = ec.derive_private_key(1, ec.SECP384R1())


@asn1.sequence
class AlgorithmIdentifier:
    """AlgorithmIdentifier without parameters, as ECDSA has it (RFC 5758, section 3.2)."""

    algorithm: x509.ObjectIdentifier


@asn1.sequence
class _Signed:
    """SIGNED{} of X.509: Certificate and CertificateList alike (RFC 5280, sections 4.1 and 5.1)."""

    tbs: asn1.TLV
    algorithm: AlgorithmIdentifier
    signature: asn1.BitString


_ECDSA_SHA256 = AlgorithmIdentifier(algorithm=x509.SignatureAlgorithmOID.ECDSA_WITH_SHA256)
_ECDSA_SHA384 = AlgorithmIdentifier(algorithm=x509.SignatureAlgorithmOID.ECDSA_WITH_SHA384)


def algorithm(key: ec.EllipticCurvePublicKey) -> AlgorithmIdentifier:
    """The signature algorithm of an issuing key."""
    return _ECDSA_SHA384 if isinstance(key.curve, ec.SECP384R1) else _ECDSA_SHA256


def hash_for(key: ec.EllipticCurvePublicKey) -> hashes.SHA256 | hashes.SHA384:
    """The hash that goes with an issuing key."""
    return hashes.SHA384() if isinstance(key.curve, ec.SECP384R1) else hashes.SHA256()


def to_be_signed(builder: CertificateBuilder, issuer_key: ec.EllipticCurvePublicKey) -> bytes:
    """DER TBSCertificate of `builder` for an issuer with this kind of key."""
    key = _P384 if isinstance(issuer_key.curve, ec.SECP384R1) else _P256
    signed = builder.sign(key, hash_for(issuer_key), ecdsa_deterministic=True)
    return signed.tbs_certificate_bytes


def assemble(tbs: bytes, signature: bytes, issuer_key: ec.EllipticCurvePublicKey) -> bytes:
    """DER Certificate or CertificateList: exactly `tbs`, the algorithm, `signature`."""
    return asn1.encode_der(
        _Signed(
            tbs=asn1.decode_der(asn1.TLV, tbs),
            algorithm=algorithm(issuer_key),
            signature=asn1.BitString(signature, 0),
        )
    )


def view(tbs: bytes, issuer_key: ec.EllipticCurvePublicKey) -> x509.Certificate:
    """`tbs` as a certificate that can be read, with a signature that verifies for nobody."""
    return x509.load_der_x509_certificate(assemble(tbs, b"\0", issuer_key))


def signed(tbs: bytes, signature: bytes, issuer_key: ec.EllipticCurvePublicKey) -> bytes:
    """The DER of `assemble`, after the signature was verified.

    Raises:
        LintFailed: `signature` is not the issuer's over `tbs`.
    """
    try:
        issuer_key.verify(signature, tbs, ec.ECDSA(hash_for(issuer_key)))
    except InvalidSignature as error:
        raise LintFailed("signature: not the issuer's over the bytes that were checked") from error
    return assemble(tbs, signature, issuer_key)


def sign(key: ec.EllipticCurvePrivateKey, tbs: bytes) -> bytes:
    """DER ECDSA-Sig-Value over `tbs` with the hash that goes with the key."""
    return key.sign(tbs, ec.ECDSA(hash_for(key.public_key())))
