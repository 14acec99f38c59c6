# SPDX-License-Identifier: Apache-2.0
"""OCSP answers of a fake NVIDIA, made by the library; every part can be made wrong before it is signed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID

from simulator import der
from simulator.nvidia.certificates import DAY, NOW, RESPONDER, SIGNED_WITH, Party, Terms, issue
from simulator.pki import ECDSA_SHA384

if TYPE_CHECKING:
    from datetime import datetime

HASHES: dict[str, SHA1 | SHA256 | SHA384 | SHA512] = {
    "sha1": SHA1(),  # noqa: S303 - names a certificate
    "sha256": SHA256(),
    "sha384": SHA384(),
    "sha512": SHA512(),
}

_BASIC = "1.3.6.1.5.5.7.48.1.1"


@dataclass(frozen=True)
class Answer:
    """An OCSP answer before it is signed.

    Attributes:
        about, issuer: whom it names. by: the responder. signer: whose key signs, the responder's by default.
        certificates: in the answer, by default the responder's.
    """

    about: Party
    issuer: Party
    by: Party
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD
    reason: x509.ReasonFlags | None = None
    this_update: datetime = NOW - DAY / 2
    next_update: datetime | None = NOW + DAY / 2
    algorithm: str = "sha384"
    signed_with: str = "sha384"
    signer: ec.EllipticCurvePrivateKey | None = None
    certificates: tuple[Party, ...] | None = None
    nonce: bytes | None = None
    critical_nonce: bool = False

    @property
    def der(self) -> bytes:
        """The same bytes each time, though signatures are random."""
        return _made(self)

    def make(self) -> bytes:
        """A new signature."""
        revoked = self.status is ocsp.OCSPCertStatus.REVOKED
        builder = (
            ocsp.OCSPResponseBuilder()
            .add_response(
                self.about.certificate,
                self.issuer.certificate,
                HASHES[self.algorithm],
                self.status,
                self.this_update,
                self.next_update,
                NOW - DAY if revoked else None,
                self.reason,
            )
            .responder_id(ocsp.OCSPResponderEncoding.HASH, self.by.certificate)
        )
        certificates = (self.by,) if self.certificates is None else self.certificates
        if certificates:
            builder = builder.certificates([one.certificate for one in certificates])
        if self.nonce is not None:
            builder = builder.add_extension(
                x509.OCSPNonce(self.nonce), critical=self.critical_nonce
            )
        made = builder.sign(self.by.key, SIGNED_WITH[self.signed_with]).public_bytes(Encoding.DER)
        return made if self.signer is None else resigned(made, self.signer)


@lru_cache(maxsize=1024)
def _made(answer: Answer) -> bytes:
    return answer.make()


def resigned(data: bytes, by: ec.EllipticCurvePrivateKey) -> bytes:
    """The same answer under a new signature of any key."""
    answer = ocsp.load_der_ocsp_response(data)
    return wrapped(answer.tbs_response_bytes, by, answer.certificates)


def wrapped(
    signed: bytes, by: ec.EllipticCurvePrivateKey, certificates: list[x509.Certificate]
) -> bytes:
    """An answer with this signed part (ResponseData, DER), whatever it is."""
    signature = by.sign(signed, ec.ECDSA(SHA384()))
    listed = der.sequence(*(one.public_bytes(Encoding.DER) for one in certificates))
    basic = der.sequence(signed, ECDSA_SHA384, der.bit_string(signature), der.explicit(0, listed))
    return der.sequence(
        der.enumerated(0),
        der.explicit(0, der.sequence(der.oid(_BASIC), der.octet_string(basic))),
    )


def responder(issuer: Party, terms: Terms = RESPONDER) -> Party:
    """Whom an issuer has certified to answer for it."""
    name = issuer.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    return issue(f"Responder of {name!s}", issuer, terms)


def answers(chain: tuple[Party, ...], **changed: object) -> list[Answer]:
    """One GOOD answer about each certificate of a chain but the root."""
    return [
        replace(Answer(about, issuer, responder(issuer)), **changed)  # type: ignore[arg-type]  # by name
        for about, issuer in pairwise(chain)
    ]
