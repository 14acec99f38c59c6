# SPDX-License-Identifier: Apache-2.0
"""Attestation results in the common form: EAR claims (draft-ietf-rats-ear-04, profile "…rats/ear#04").

They leave in two shapes: unsigned inside id-pe-cmw, covered by the certificate's signature, and as a JWT signed with
ES256 by a key of its own, for those who speak tokens and not certificates. The token is bound to the certified key by
`cnf` (`jkt`, RFC 7638 and RFC 9449, section 6.1), to the certificate by `jti` (its serial), and ends with it.

Submodules: "cpu" is the CPU TEE. The trustworthiness vector (draft-ietf-rats-ar4si, section 2.3.4) says:

    hardware        2 genuine · 32 genuine, and its TCB is below the vendor's best, or where the vendor rates none (AMD)
                    not held above floors · 97 simulated, recognised by no vendor
    executables     3 approved at boot · 33 a register that a policy must pin is not pinned
    configuration   2 approved · 32 something was tolerated by name
    runtime-opaque  2 inside a TEE (absent if simulated) · instance-identity 2 key bound to this instance (likewise)

`ear_status` is the tier of the worst. The token does not replace verification of the certificate's revocation.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from attestca_client.protocol import OID_EKU_EAR
from ca.errors import LintFailed
from ca.issuance import keys
from ca.issuance.extension import EAR_PROFILE
from ca.issuance.request import Assurance

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric import ec

    from ca.issuance.prepare import IssuedCertificate, PreparedCertificate
    from ca.issuance.request import LeafRequest, PolicyRef

DEVELOPER = "attestca"


@dataclass(frozen=True, slots=True)
class EarKey:
    """The key that signs results, with its certificate and what chains it to the root."""

    private_key: ec.EllipticCurvePrivateKey  # P-256
    certificate: x509.Certificate
    issuer_der: bytes  # DER of the issuing CA certificate that signed it


def claims(request: LeafRequest, build: str) -> dict[str, object]:
    """The claims that the certificate carries. Deterministic; `build` names the verifier's software."""
    appraisal = _appraisal(request)
    return {
        "eat_profile": EAR_PROFILE,
        "iat": int(request.platform.verified_at.timestamp()),
        "ear_status": appraisal["ear_status"],
        "ear_verifier_id": {"developer": DEVELOPER, "build": build},
        "submods": {"cpu": appraisal},
    }


def check_key(prepared: PreparedCertificate, key: EarKey) -> None:
    """Whether `key` may sign the result of this certificate: asked before the intent, so that no signature is wasted.

    Raises:
        LintFailed: its certificate is for another use, or ends before the result does.
    """
    usage = key.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    if list(usage) != [x509.ObjectIdentifier(f"{prepared.issuer.oid_arc}.{OID_EKU_EAR}")]:
        raise LintFailed("ear-key: its certificate is for another use")
    if key.certificate.not_valid_after_utc < prepared.not_after:
        raise LintFailed("ear-key: its certificate ends before the result does")


def token(issued: IssuedCertificate, key: EarKey) -> str:
    """The signed result of one certificate: a JWT, ES256, `exp` = notAfter.

    Raises:
        LintFailed: the signing key's certificate is for another use, or ends before the token would.
    """
    prepared = issued.prepared
    request, issuer = prepared.request, prepared.issuer
    check_key(prepared, key)
    body = claims(request, issuer.build) | {
        "iss": issuer.public_url,
        "jti": f"{prepared.serial:x}",
        "exp": int(prepared.not_after.timestamp()),
        "cnf": {"jkt": keys.thumbprint(keys.load(request.key.spki_der))},
        "submods": {"cpu": _appraisal(request) | _detail(request)},
    }
    chain = (key.certificate.public_bytes(Encoding.DER), key.issuer_der)
    header = {"typ": "eat+jwt", "kid": kid(key.certificate), "x5c": [_base64(der) for der in chain]}
    return jwt.encode(body, key.private_key, algorithm="ES256", headers=header)


def jwks(certificates: Sequence[x509.Certificate], now: datetime) -> dict[str, object]:
    """The JWK Set (RFC 7517) of the signing keys whose certificates have not ended.

    A token never outlives its key's certificate, so a key that is in no certificate in force signs nothing in force.
    """
    current = [each for each in certificates if each.not_valid_after_utc >= now]
    return {"keys": [_jwk(each) for each in current]}


def kid(certificate: x509.Certificate) -> str:
    """Key id of a signing key: its RFC 7638 thumbprint."""
    return keys.thumbprint(keys.accept(certificate.public_key()))


def policy_id(policy: PolicyRef) -> str:
    """How results name a policy: name, version and digest of the document."""
    return f"{policy.name}@{policy.version}#sha256:{policy.sha256.hex()}"


def _appraisal(request: LeafRequest) -> dict[str, object]:
    vector = _vector(request)
    return {
        "ear_status": _tier(max(vector.values())),
        "ear_trustworthiness_vector": vector,
        "ear_appraisal_policy_ids": [policy_id(request.policy)],
    }


def _detail(request: LeafRequest) -> dict[str, object]:
    """What a token has room for; the certificate says it in AttestationInfo."""
    platform = request.platform
    return {
        "ear_attester_claims": {
            "tee": platform.tee,
            "registers": {register.name: register.value.hex() for register in request.registers},
            "evidence_sha256": platform.evidence_sha256.hex(),
        },
        "ear_verifier_claims": {
            "assurance": request.assurance.value,
            "binding": request.binding.value,
            "product": platform.product,
            "tcb_status": platform.tcb_status,
            "tolerated": list(request.tolerated),
        },
    }


def _vector(request: LeafRequest) -> dict[str, int]:
    real = request.assurance is Assurance.VERIFIED
    vector = {
        "configuration": 32 if request.tolerated else 2,
        "executables": 3 if request.all_pinned else 33,
        "hardware": (2 if request.platform.tcb_current else 32) if real else 97,
    }
    return vector | {"instance-identity": 2, "runtime-opaque": 2} if real else vector


def _tier(worst: int) -> str:
    if worst >= 96:
        return "contraindicated"
    return "warning" if worst >= 32 else "affirming"


def _jwk(certificate: x509.Certificate) -> dict[str, object]:
    key = keys.accept(certificate.public_key())
    der = certificate.public_bytes(Encoding.DER)
    return {
        **keys.jwk(key),
        "use": "sig",
        "alg": "ES256",
        "kid": kid(certificate),
        "x5c": [_base64(der)],
    }


def _base64(der: bytes) -> str:
    return base64.b64encode(der).decode()
