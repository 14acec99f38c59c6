# SPDX-License-Identifier: Apache-2.0
"""Attestation results in the common form: EAR claims (draft-ietf-rats-ear-04, profile "…rats/ear#04").

They leave in two shapes: unsigned inside id-pe-cmw, covered by the certificate's signature, and as a JWT signed with
ES256 by a key of its own, for those who speak tokens and not certificates. The token is bound to the certified key by
`cnf` (`jkt`, RFC 7638 and RFC 9449, section 6.1), to the certificate by `jti` (its serial), and ends with it.

Submodules: "cpu" is the CPU TEE; "devices", where there are any, all that stand beside it. The trustworthiness vector
(draft-ietf-rats-ar4si, section 2.3.4) says of the CPU:

    hardware        2 genuine · 32 genuine, and its TCB is below the vendor's best, or where the vendor rates none (AMD)
                    not held above floors · 97 simulated, recognised by no vendor
    executables     3 approved at boot · 33 a register that a policy must pin is not pinned
    configuration   2 approved · 32 something was tolerated by name, of the CPU or of devices
    runtime-opaque  2 inside a TEE (absent if simulated) · instance-identity 2 key bound to this instance (likewise)

and of the devices:

    hardware        2 genuine, each of them · 32 genuine, and drivers and firmware are not held at or above minimums ·
                    97 simulated
    executables     3 every measurement that the vendor has reference values for equals one of them
    configuration   as of the CPU

No more, for the binding level carries no more: a genuine device elsewhere, asked live, answers too, so none is known to
be this machine's; and whether others can look into one depends on its mode, which the token states.

`ear_status` of a submodule is the tier of its worst value, that of the whole the tier of the worst of all. The token
does not replace verification of the certificate's revocation.
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
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric import ec

    from ca.issuance.prepare import IssuedCertificate, PreparedCertificate
    from ca.issuance.request import Device, LeafRequest, PolicyRef

DEVELOPER = "attestca"
CPU, DEVICES = "cpu", "devices"  # submodules


@dataclass(frozen=True, slots=True)
class EarKey:
    """The key that signs results, with its certificate and what chains it to the root."""

    private_key: ec.EllipticCurvePrivateKey  # P-256
    certificate: x509.Certificate
    issuer_der: bytes  # DER of the issuing CA certificate that signed it


def claims(request: LeafRequest, build: str) -> dict[str, object]:
    """The claims that the certificate carries. Deterministic; `build` names the verifier's software."""
    return {
        "eat_profile": EAR_PROFILE,
        "iat": int(request.platform.verified_at.timestamp()),
        "ear_status": _tier(
            worst for vector in _vectors(request).values() for worst in vector.values()
        ),
        "ear_verifier_id": {"developer": DEVELOPER, "build": build},
        "submods": _submodules(request),
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
        "submods": {
            name: appraisal | _detail(name, request)
            for name, appraisal in _submodules(request).items()
        },
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


def _submodules(request: LeafRequest) -> dict[str, dict[str, object]]:
    return {
        name: {
            "ear_status": _tier(vector.values()),
            "ear_trustworthiness_vector": vector,
            "ear_appraisal_policy_ids": [policy_id(request.policy)],
        }
        for name, vector in _vectors(request).items()
    }


def _vectors(request: LeafRequest) -> dict[str, dict[str, int]]:
    return {CPU: _vector(request)} | ({DEVICES: _of_devices(request)} if request.devices else {})


def _vector(request: LeafRequest) -> dict[str, int]:
    vector = {
        "configuration": _configuration(request),
        "executables": 3 if request.all_pinned else 33,
        "hardware": _hardware(request, current=request.platform.tcb_current),
    }
    if request.assurance is Assurance.SIMULATED:
        return vector
    return vector | {"instance-identity": 2, "runtime-opaque": 2}


def _of_devices(request: LeafRequest) -> dict[str, int]:
    return {
        "configuration": _configuration(request),
        "executables": 3,
        "hardware": _hardware(request, current=all(one.current for one in request.devices)),
    }


def _configuration(request: LeafRequest) -> int:
    return 32 if request.tolerated else 2


def _hardware(request: LeafRequest, *, current: bool) -> int:
    if request.assurance is Assurance.SIMULATED:
        return 97
    return 2 if current else 32


def _tier(values: Iterable[int]) -> str:
    worst = max(values)
    if worst >= 96:
        return "contraindicated"
    return "warning" if worst >= 32 else "affirming"


def _detail(submodule: str, request: LeafRequest) -> dict[str, object]:
    """What a token has room for; the certificate says it in AttestationInfo."""
    said = {"assurance": request.assurance.value, "binding": request.binding.value}
    if submodule == DEVICES:
        return {
            "ear_attester_claims": {"devices": [_device(one) for one in request.devices]},
            "ear_verifier_claims": {
                **said,
                "appraised_by": [one.appraised_by for one in request.devices],
            },
        }
    platform = request.platform
    return {
        "ear_attester_claims": {
            "tee": platform.tee,
            "registers": {register.name: register.value.hex() for register in request.registers},
            "evidence_sha256": platform.evidence_sha256.hex(),
        },
        "ear_verifier_claims": {
            **said,
            "product": platform.product,
            "tcb_status": platform.tcb_status,
            "tolerated": list(request.stated_tolerated),
            **_of_logs(request),
        },
    }


def _of_logs(request: LeafRequest) -> dict[str, object]:
    """What event logs came to; nothing where none came."""
    if not request.event_logs:
        return {}
    return {"event_logs": list(request.event_logs), "replayed": dict(request.replayed)}


def _device(device: Device) -> dict[str, object]:
    """What one device's report and certificate say; without what it does not say."""
    said = {
        "kind": device.kind,
        "model": device.model,
        "driver": device.driver,
        "vbios": device.vbios,
        "mode": device.mode,
        "report_sha256": device.evidence_sha256.hex(),
    }
    return {name: value for name, value in said.items() if value is not None}


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
