# SPDX-License-Identifier: Apache-2.0
"""OCSP from the other side: requests and readers made of asn1crypto, which shares no code with what is tested."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from asn1crypto import algos, core, ocsp, x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ca.issuance.authority import ServiceKind
from ca.issuance.ocsp import Responder
from tests.authority_lab import NOW, Lab

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cryptography.x509 import Certificate

HASHES = ("sha1", "sha256", "sha384")


class _Extension(core.Sequence):  # type: ignore[misc] # asn1crypto has no types
    """Extension with any value; asn1crypto's own looks into those that it knows."""

    _fields: ClassVar = [
        ("oid", core.ObjectIdentifier),
        ("critical", core.Boolean, {"default": False}),
        ("value", core.OctetString),
    ]


class _Extensions(core.SequenceOf):  # type: ignore[misc] # likewise
    _child_spec = _Extension


class _Algorithm(core.Sequence):  # type: ignore[misc] # likewise
    _fields: ClassVar = [
        ("algorithm", algos.DigestAlgorithmId),
        ("parameters", core.Any, {"optional": True}),
    ]


class _CertId(core.Sequence):  # type: ignore[misc] # likewise
    _fields: ClassVar = [
        ("hash_algorithm", _Algorithm),
        ("issuer_name_hash", core.OctetString),
        ("issuer_key_hash", core.OctetString),
        ("serial_number", core.Integer),
    ]


class _Request(core.Sequence):  # type: ignore[misc] # likewise
    _fields: ClassVar = [
        ("certificate", _CertId),
        ("extensions", _Extensions, {"explicit": 0, "optional": True}),
    ]


class _Requests(core.SequenceOf):  # type: ignore[misc] # likewise
    _child_spec = _Request


class _TbsRequest(core.Sequence):  # type: ignore[misc] # likewise
    _fields: ClassVar = [
        ("version", core.Integer, {"explicit": 0, "default": 0}),
        ("requester", x509.GeneralName, {"explicit": 1, "optional": True}),
        ("requests", _Requests),
        ("extensions", _Extensions, {"explicit": 2, "optional": True}),
    ]


class _OcspRequest(core.Sequence):  # type: ignore[misc] # likewise
    _fields: ClassVar = [
        ("content", _TbsRequest),
        ("signature", ocsp.Signature, {"explicit": 0, "optional": True}),
    ]


def responder(lab: Lab, now: datetime = NOW) -> Responder:
    """A responder of the lab's issuing CA with a new key."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = lab.service(ServiceKind.OCSP, key.public_key(), now=now)
    return Responder.of(lab.issuer.certificate, certificate, key)


def cert_id(issuer: Certificate, serial: int, algorithm: str = "sha1", **changes: Any) -> Any:  # noqa: ANN401 - asn1crypto has no types
    """CertID of one certificate of `issuer`; parameters of the hash are NULL, as OpenSSL writes them."""
    read = x509.Certificate.load(issuer.public_bytes(Encoding.DER))
    key = bytes(read.public_key["public_key"])
    values = {
        "hash_algorithm": {"algorithm": algorithm, "parameters": core.Null()},
        "issuer_name_hash": hashlib.new(algorithm, read.subject.dump()).digest(),
        "issuer_key_hash": hashlib.new(algorithm, key).digest(),
        "serial_number": serial,
    }
    return _CertId(values | changes)


def extension(oid: str, value: bytes, *, critical: bool = False) -> dict[str, Any]:
    """Any extension."""
    return {"oid": oid, "critical": critical, "value": value}


def nonce(value: bytes, *, critical: bool = False) -> dict[str, Any]:
    """The nonce in its own OCTET STRING (RFC 9654, section 2.1)."""
    return extension("1.3.6.1.5.5.7.48.1.2", core.OctetString(value).dump(), critical=critical)


def request(
    *ids: Any,  # noqa: ANN401 - of `cert_id`
    extensions: Sequence[dict[str, Any]] = (),
    single: Sequence[dict[str, Any]] = (),
    requester: Any = None,  # noqa: ANN401 - a GeneralName of asn1crypto
    signature: dict[str, Any] | None = None,
    version: int = 0,
) -> bytes:
    """DER OCSPRequest. `single`: extensions of the first certificate alone."""
    requests: list[dict[str, Any]] = [{"certificate": each} for each in ids]
    if single:
        requests[0]["extensions"] = list(single)
    content: dict[str, Any] = {"version": version, "requests": requests}
    if requester is not None:
        content["requester"] = requester
    if extensions:
        content["extensions"] = list(extensions)
    whole = {"content": content} | ({} if signature is None else {"signature": signature})
    der: bytes = _OcspRequest(whole).dump()
    return der


@dataclass(frozen=True)
class Said:
    """What an answer says of one certificate."""

    serial: int
    status: str  # good, revoked, unknown
    revoked_at: datetime | None
    reason: str | None
    this_update: datetime
    next_update: datetime
    cert_id: bytes  # DER


def status_of(der: bytes) -> str:
    """responseStatus, in asn1crypto's words."""
    status: str = ocsp.OCSPResponse.load(der, strict=True)["response_status"].native
    return status


def said(der: bytes) -> list[Said]:
    """What a successful answer says, in order."""
    assert status_of(der) == "successful"
    found = []
    for one in ocsp.OCSPResponse.load(der).response_data["responses"]:
        status = one["cert_status"]
        revoked = status.native if status.name == "revoked" else {}
        found.append(
            Said(
                one["cert_id"]["serial_number"].native,
                status.name,
                revoked.get("revocation_time"),
                revoked.get("revocation_reason"),
                one["this_update"].native,
                one["next_update"].native,
                one["cert_id"].dump(),
            )
        )
    return found


def nonce_of(der: bytes) -> bytes | None:
    """The nonce of an answer."""
    found = ocsp.OCSPResponse.load(der).nonce_value
    return None if found is None else bytes(found.native)
