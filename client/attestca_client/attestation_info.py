# SPDX-License-Identifier: Apache-2.0
"""AttestationInfo, version 1, as a relying party reads it: the certificate extension that says what was attested.

The ASN.1 module stands in docs/relying-parties.md; the arc is the authority's. A reader of version 1 takes exactly its
fields, words and sizes, and refuses everything else: `InfoError`, and no other exception. Written without the
authority's encoder, so that one checks the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from cryptography.hazmat import asn1

from attestca_client.protocol import HandleKind

if TYPE_CHECKING:
    from datetime import datetime

MAX_BYTES: Final = 16_384
_ASSURANCE: Final = {"verified", "simulated"}
_BINDING: Final = {"none", "nonce", "nonce+cpu-digest"}
_KINDS: Final = {"gpu", "switch"}
_MODES: Final = {None, "spt", "mpt", "ppcie"}
_APPRAISERS: Final = {"local", "nras", "both"}


class InfoError(ValueError):
    """Not an AttestationInfo of version 1."""


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU or switch. `report_sha256` and `handle` have 32 bytes; `handle` is None where it is withheld."""

    kind: str
    model: str
    report_sha256: bytes
    handle: bytes | None
    driver: str | None
    vbios: str
    mode: str | None
    appraised_by: str


@dataclass(frozen=True, slots=True)
class AttestationInfo:
    """What the certificate says. Pairs are (name, value); handles (kind, 32 bytes); digests have 32 bytes."""

    tee: str
    product: str
    assurance: str
    binding: str
    registers: tuple[tuple[str, bytes], ...]
    tcb_status: str
    tolerated: tuple[str, ...]
    policy_name: str
    policy_version: int
    policy_sha256: bytes
    devices: tuple[Device, ...]
    evidence_sha256: bytes
    verified_at: datetime
    handles: tuple[tuple[str, bytes], ...]

    @property
    def policy(self) -> str:
        """Name and version, as people write them."""
        return f"{self.policy_name}@{self.policy_version}"


@asn1.sequence
class _Named:
    name: Annotated[str, asn1.Size(min=1, max=128)]
    value: Annotated[bytes, asn1.Size(min=1, max=64)]


@asn1.sequence
class _Device:
    kind: Annotated[str, asn1.Size(min=1, max=32)]
    model: Annotated[str, asn1.Size(min=1, max=64)]
    report_sha256: Annotated[bytes, asn1.Size(min=32, max=32)]
    handle: Annotated[bytes | None, asn1.Explicit(0)]
    driver: Annotated[str | None, asn1.Explicit(1)]
    vbios: Annotated[str, asn1.Size(min=1, max=32)]
    mode: Annotated[str | None, asn1.Explicit(2)]
    appraised_by: Annotated[str, asn1.Size(min=1, max=32)]


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
    devices: Annotated[list[_Device], asn1.Size(min=0, max=16)]
    evidence_sha256: Annotated[bytes, asn1.Size(min=32, max=32)]
    verified_at: asn1.GeneralizedTime
    handles: Annotated[list[_Named], asn1.Size(min=1, max=128)]


def decode(der: bytes) -> AttestationInfo:
    """The AttestationInfo in the extension's value. Raises InfoError."""
    if len(der) > MAX_BYTES:
        raise InfoError(f"larger than {MAX_BYTES} bytes")
    try:
        raw = asn1.decode_der(_Info, der)
    except ValueError as error:
        raise InfoError("not an AttestationInfo") from error
    if raw.version != 1 or raw.policy_version < 1:
        raise InfoError("not of version 1, or under a policy without a version")
    info = AttestationInfo(
        tee=raw.tee,
        product=raw.product,
        assurance=raw.assurance,
        binding=raw.binding,
        registers=_pairs(raw.registers),
        tcb_status=raw.tcb_status,
        tolerated=tuple(raw.tolerated),
        policy_name=raw.policy_name,
        policy_version=raw.policy_version,
        policy_sha256=raw.policy_sha256,
        devices=tuple(map(_device, raw.devices)),
        evidence_sha256=raw.evidence_sha256,
        verified_at=raw.verified_at.as_datetime(),
        handles=_pairs(raw.handles),
    )
    _check(info)
    return info


def _check(info: AttestationInfo) -> None:
    """What the module's types do not say."""
    chips = {value for kind, value in info.handles if kind == HandleKind.CHIP}
    named = {one.handle for one in info.devices if one.handle is not None}
    faults = {
        "a word that version 1 does not have": info.assurance not in _ASSURANCE
        or info.binding not in _BINDING,
        "a handle that has not 32 bytes": any(len(value) != 32 for _, value in info.handles),
        "a device that is none": not all(map(_is_device, info.devices)),
        "a binding level without its devices": bool(info.devices) is (info.binding == "none"),
        "a device whose handle is not listed": not named <= chips,
    }
    for fault in (text for text, found in faults.items() if found):
        raise InfoError(fault)


def _is_device(device: Device) -> bool:
    gpu = device.kind == "gpu"
    texts = (text for text in (device.driver, device.mode) if text is not None)
    return (
        device.kind in _KINDS
        and device.mode in _MODES
        and device.appraised_by in _APPRAISERS
        and all(1 <= len(text) <= 32 for text in texts)
        and (device.driver is not None) is gpu
        and (gpu or device.mode is None)
    )


def _device(raw: _Device) -> Device:
    return Device(
        kind=raw.kind,
        model=raw.model,
        report_sha256=raw.report_sha256,
        handle=raw.handle,
        driver=raw.driver,
        vbios=raw.vbios,
        mode=raw.mode,
        appraised_by=raw.appraised_by,
    )


def _pairs(named: list[_Named]) -> tuple[tuple[str, bytes], ...]:
    return tuple((item.name, item.value) for item in named)
