# SPDX-License-Identifier: Apache-2.0
"""The two extensions that say what was attested: AttestationInfo (ours) and id-pe-cmw. Neither is critical.

AttestationInfo, DER, at `<arc>.1.1`:

    Attestca DEFINITIONS EXPLICIT TAGS ::= BEGIN

    AttestationInfo ::= SEQUENCE {
        version         INTEGER { v1(1) },
        tee             UTF8String (SIZE (1..32)),            -- "tdx" | "snp"
        product         UTF8String (SIZE (1..128)),           -- product line
        assurance       UTF8String (SIZE (1..32)),            -- "verified" | "simulated"
        binding         UTF8String (SIZE (1..32)),            -- "none" | "nonce" | "nonce+cpu-digest"
        registers       SEQUENCE (SIZE (0..64)) OF Named,     -- pinned by the policy: name, value
        tcbStatus       UTF8String (SIZE (1..64)),            -- in the vendor's words, or "NotRated"
        tolerated       SEQUENCE (SIZE (0..64)) OF UTF8String,
        policyName      UTF8String (SIZE (1..128)),
        policyVersion   INTEGER (1..MAX),
        policySha256    OCTET STRING (SIZE (32)),
        devices         SEQUENCE (SIZE (0..16)) OF Device,
        evidenceSha256  OCTET STRING (SIZE (32)),
        verifiedAt      GeneralizedTime,
        handles         SEQUENCE (SIZE (1..128)) OF Named     -- kind, 32-byte handle
    }

    Named ::= SEQUENCE { name UTF8String (SIZE (1..128)), value OCTET STRING (SIZE (1..64)) }

    Device ::= SEQUENCE {
        kind            UTF8String (SIZE (1..32)),            -- "gpu" | "switch"
        model           UTF8String (SIZE (1..64)),            -- common name of its certificate
        reportSha256    OCTET STRING (SIZE (32)),
        handle      [0] OCTET STRING (SIZE (32)) OPTIONAL,    -- one of `handles`, of kind "chip"; unless withheld
        driver      [1] UTF8String (SIZE (1..32)) OPTIONAL,   -- of a GPU
        vbios           UTF8String (SIZE (1..32)),            -- of a switch its BIOS
        mode        [2] UTF8String (SIZE (1..32)) OPTIONAL,   -- of a GPU that says it: "spt" | "mpt" | "ppcie"
        appraisedBy     UTF8String (SIZE (1..32))             -- "local" | "nras" | "both"
    }

    END

`binding` is "none" exactly where `devices` is empty. `assurance`, `binding`, and of a device `kind`, `mode` and
`appraisedBy` have these words and no others.

Evolution: version 1 has exactly these fields, and a decoder refuses anything else. What is new gets an extension of its
own beside this one, so that old decoders go on reading certificates; a field never changes its meaning. `Device` came
before the first release: every certificate until then has an empty list, which is encoded the same.

id-pe-cmw (1.3.6.1.5.5.7.1.35; draft-ietf-rats-msg-wrap): the choice `json UTF8String`, holding a CMW record
[media type, base64url value, 8]; 8 is the bit of attestation results. The value is the EAR claims as an unprotected
claims set (RFC 9711; media type RFC 9782): the certificate's own signature covers it.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from cryptography.hazmat import asn1

from attestca_client.protocol import OID_ATTESTATION_INFO
from ca.errors import RequestRefused
from ca.issuance import listed
from ca.issuance.keys import base64url
from ca.issuance.request import Assurance, BindingLevel, PolicyRef

if TYPE_CHECKING:
    from ca.issuance.listed import ListedDevice
    from ca.issuance.request import LeafRequest

VERSION = 1
EAR_PROFILE = "tag:ietf.org,2026:rats/ear#04"
CMW_MEDIA_TYPE = f'application/eat-ucs+json; eat_profile="{EAR_PROFILE}"'
CMW_RESULTS = 8  # cm-type bit 3

Pairs = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class AttestationInfo:
    """AttestationInfo decoded. Times are UTC; pairs are (name, value)."""

    tee: str
    product: str
    assurance: Assurance
    binding: BindingLevel
    registers: Pairs
    tcb_status: str
    tolerated: tuple[str, ...]
    policy: PolicyRef
    devices: tuple[ListedDevice, ...]
    evidence_sha256: bytes  # 32
    verified_at: datetime
    handles: Pairs


@asn1.sequence
class _Named:
    name: Annotated[str, asn1.Size(min=1, max=128)]
    value: Annotated[bytes, asn1.Size(min=1, max=64)]


@asn1.sequence
class _Info:
    version: int
    tee: Annotated[str, asn1.Size(min=1, max=32)]
    product: Annotated[str, asn1.Size(min=1, max=128)]
    assurance: Annotated[str, asn1.Size(min=1, max=32)]
    binding: Annotated[str, asn1.Size(min=1, max=32)]
    registers: Annotated[list[_Named], asn1.Size(min=0, max=64)]
    tcb_status: Annotated[str, asn1.Size(min=1, max=64)]
    tolerated: Annotated[list[str], asn1.Size(min=0, max=64)]
    policy_name: Annotated[str, asn1.Size(min=1, max=128)]
    policy_version: int
    policy_sha256: Annotated[bytes, asn1.Size(min=32, max=32)]
    devices: Annotated[list[listed.Encoded], asn1.Size(min=0, max=16)]
    evidence_sha256: Annotated[bytes, asn1.Size(min=32, max=32)]
    verified_at: asn1.GeneralizedTime
    handles: Annotated[list[_Named], asn1.Size(min=1, max=128)]


def info_oid(arc: str) -> str:
    """Object identifier of AttestationInfo below `arc`."""
    return f"{arc}.{OID_ATTESTATION_INFO}"


def info(request: LeafRequest, handles: Pairs) -> AttestationInfo:
    """What the certificate of `request` says."""
    platform = request.platform
    return AttestationInfo(
        tee=platform.tee,
        product=platform.product,
        assurance=request.assurance,
        binding=request.binding,
        registers=tuple((register.name, register.value) for register in request.registers),
        tcb_status=platform.tcb_status,
        tolerated=request.stated_tolerated,
        policy=request.policy,
        devices=tuple(listed.of(device) for device in request.devices),
        evidence_sha256=platform.evidence_sha256,
        verified_at=platform.verified_at.astimezone(UTC).replace(microsecond=0),
        handles=handles,
    )


def encode(value: AttestationInfo) -> bytes:
    """DER AttestationInfo. Raises ValueError where a field does not fit the module above."""
    return asn1.encode_der(
        _Info(
            version=VERSION,
            tee=value.tee,
            product=value.product,
            assurance=value.assurance.value,
            binding=value.binding.value,
            registers=_named(value.registers),
            tcb_status=value.tcb_status,
            tolerated=list(value.tolerated),
            policy_name=value.policy.name,
            policy_version=value.policy.version,
            policy_sha256=value.policy.sha256,
            devices=[listed.encoded(device) for device in value.devices],
            evidence_sha256=value.evidence_sha256,
            verified_at=asn1.GeneralizedTime(value.verified_at),
            handles=_named(value.handles),
        )
    )


def decode(der: bytes) -> AttestationInfo:
    """AttestationInfo of version 1 and nothing else.

    Raises:
        RequestRefused: `attestation-info`: not DER, not this module, another version, a word that its list does not
            have, a policy version below 1, a handle or digest that has not 32 bytes, devices that the binding level or
            the handles do not go with.
    """
    try:
        raw = asn1.decode_der(_Info, der)
        assurance, binding = Assurance(raw.assurance), BindingLevel(raw.binding)
    except ValueError as error:
        raise RequestRefused("not an AttestationInfo", code="attestation-info") from error
    devices, handles = tuple(map(listed.decoded, raw.devices)), _pairs(raw.handles)
    faults = {
        "an AttestationInfo of version 1 only": raw.version != VERSION or raw.policy_version < 1,
        "a handle of 32 bytes only": any(len(value) != 32 for _, value in handles),
        "a device that is none": not all(map(listed.is_device, devices)),
        "a binding level without its devices": bool(devices) is (binding is BindingLevel.NONE),
        "a device whose handle is not listed": not listed.chips(devices) <= set(handles),
    }
    for fault in (text for text, found in faults.items() if found):
        raise RequestRefused(fault, code="attestation-info")
    return AttestationInfo(
        tee=raw.tee,
        product=raw.product,
        assurance=assurance,
        binding=binding,
        registers=_pairs(raw.registers),
        tcb_status=raw.tcb_status,
        tolerated=tuple(raw.tolerated),
        policy=PolicyRef(raw.policy_name, raw.policy_version, raw.policy_sha256),
        devices=devices,
        evidence_sha256=raw.evidence_sha256,
        verified_at=raw.verified_at.as_datetime(),
        handles=handles,
    )


def encode_cmw(claims: dict[str, object]) -> bytes:
    """The value of id-pe-cmw: a CMW record with `claims` as an unprotected claims set."""
    value = base64url(json.dumps(claims, separators=(",", ":"), ensure_ascii=False).encode())
    record = json.dumps([CMW_MEDIA_TYPE, value, CMW_RESULTS], separators=(",", ":"))
    return asn1.encode_der(record)


def decode_cmw(der: bytes) -> dict[str, object]:
    """The claims of an id-pe-cmw that `encode_cmw` made.

    Raises:
        RequestRefused: `cmw`: another choice, media type or indicator, or not canonical base64url of a JSON object.
    """
    try:
        media_type, value, indicator = json.loads(asn1.decode_der(str, der))
        data = base64.b64decode(value + "=" * (-len(value) % 4), b"-_", validate=True)
        claims = json.loads(data)
    except (ValueError, TypeError, RecursionError) as error:
        raise RequestRefused("not a CMW record", code="cmw") from error
    known = (media_type, indicator, value) == (CMW_MEDIA_TYPE, CMW_RESULTS, base64url(data))
    if not known or not isinstance(claims, dict):
        raise RequestRefused("not a CMW record of attestation results", code="cmw")
    return claims


def _named(pairs: Pairs) -> list[_Named]:
    return [_Named(name=name, value=value) for name, value in pairs]


def _pairs(named: list[_Named]) -> Pairs:
    return tuple((item.name, item.value) for item in named)
