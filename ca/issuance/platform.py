# SPDX-License-Identifier: Apache-2.0
"""Verified claims in the words that all technologies share. One function per technology; the table is closed.

    technology   product             chip id               TCB vector (handle "tcb")
    tdx          fmspc:<12 digits>   "ppid", 16 bytes      16 SGX component SVNs ‖ PCESVN, 2 bytes big-endian ‖
                                                           TEE_TCB_SVN (34 bytes: the SVNs that the vendor's TCB
                                                           levels were matched with)
    snp          product line        "chip_id", 64 bytes   product line, UTF-8 ‖ one zero byte ‖ CPUID family, model,
                                                           stepping (3 bytes, zero in a report of version 2) ‖
                                                           REPORTED_TCB (8 bytes, as reported)

Devices beside the CPU (`devices_of`), all from signed data:

    technology   product           chip id                    firmware identifiers
    nvidia       nvidia:<family>   "nvidia", serial number    nvidia-driver:<version> (of a GPU)
                                   of the device certificate  nvidia-vbios:<version> (of a switch its BIOS)
                                   (L4), 18 ASCII characters  nvidia-rim:<id at NVIDIA's service>:<SHA-256, hexadecimal>

An identifier of a manifest (RIM) names the very document: NVIDIA has issued differing ones under one id. Where NVIDIA's
attestation service alone has compared, no manifest is named, for it does not say which it used.

A vector never changes its layout: revocations of a TCB outlive releases. An all-zero hardware id identifies nothing and
gives no handle: a chip that hides itself. Nor does one that nobody certified: of every machine whose report a cloud
provider's VLEK signed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from attestca_client.protocol import chip_id
from ca.issuance.request import Device, Platform
from verifiers.snp.claims import SigningKey, SnpClaims
from verifiers.tcb import TcbStatus
from verifiers.tdx.claims import TdxClaims

if TYPE_CHECKING:
    from verifiers.claims import Claims
    from verifiers.nvidia.claims import NvidiaClaims, NvidiaSetClaims


def describe(claims: Claims, chip_key: bytes | None, *, floors_hold: bool) -> Platform:
    """The platform of verified claims.

    Args:
        claims: of any technology.
        chip_key: this authority's key for hardware handles (32 bytes); None where the policy leaves them out.
        floors_hold: whether the TCB is above floors that somebody keeps; counts where the vendor rates no TCBs.
    """
    match claims:
        case TdxClaims():
            return _tdx(claims, chip_key)
        case SnpClaims():
            return _snp(claims, chip_key, floors_hold=floors_hold)
        case _:
            assert_never(claims)


def devices_of(
    claims: NvidiaSetClaims, chip_key: bytes | None, *, minimums_hold: bool
) -> tuple[Device, ...]:
    """The devices of verified claims, in the order of the evidence.

    Args:
        claims: of the devices that stand beside one CPU.
        chip_key: this authority's key for hardware handles (32 bytes); None where the policy leaves them out.
        minimums_hold: whether every driver and VBIOS is at or above minimums that somebody keeps.
    """
    return tuple(_nvidia(one, chip_key, current=minimums_hold) for one in claims.devices)


def chip_ids(claims: Claims, devices: NvidiaSetClaims | None, chip_key: bytes) -> tuple[bytes, ...]:
    """The keyed ids (32 bytes each) of the CPU and of the devices beside it, whatever a certificate says of them."""
    of_cpu = describe(claims, chip_key, floors_hold=False).chip_ids
    beside = () if devices is None else devices_of(devices, chip_key, minimums_hold=False)
    return (*of_cpu, *(one.chip_id for one in beside if one.chip_id is not None))


def _tdx(claims: TdxClaims, chip_key: bytes | None) -> Platform:
    pck = claims.pck
    status = claims.tcb.status or TcbStatus.UNKNOWN
    return Platform(
        tee=claims.tee.value,
        product=f"fmspc:{pck.fmspc.hex()}",
        tcb_status=status.value,
        tcb_current=status is TcbStatus.UP_TO_DATE,
        tcb_vector=bytes(pck.sgx_tcb_components)
        + pck.pcesvn.to_bytes(2, "big")
        + claims.td.tee_tcb_svn,
        chip_ids=_chip(chip_key, "ppid", pck.ppid),
        evidence_sha256=claims.evidence_sha256,
        verified_at=claims.verified_at,
        certificates_expire=claims.certificates_expire,
    )


def _snp(claims: SnpClaims, chip_key: bytes | None, *, floors_hold: bool) -> Platform:
    cpu = claims.cpu
    model = bytes(3) if cpu is None else bytes((cpu.family, cpu.model, cpu.stepping))
    certified = (
        claims.vek.kind is SigningKey.VCEK
    )  # under a VLEK any machine of the provider can name any chip
    return Platform(
        tee=claims.tee.value,
        product=claims.product.value,
        tcb_status=claims.tcb_status,
        tcb_current=floors_hold,
        tcb_vector=claims.product.encode() + b"\0" + model + claims.reported_tcb.raw,
        chip_ids=_chip(chip_key, "chip_id", claims.report.chip_id if certified else b""),
        evidence_sha256=claims.evidence_sha256,
        verified_at=claims.verified_at,
        certificates_expire=claims.certificates_expire,
    )


def _nvidia(claims: NvidiaClaims, chip_key: bytes | None, *, current: bool) -> Device:
    serial = claims.device_serial.encode("ascii")
    return Device(
        kind=claims.kind.value,
        product=f"nvidia:{claims.family.value}",
        model=claims.model,
        evidence_sha256=claims.evidence_sha256,
        chip_id=None if chip_key is None else chip_id(chip_key, "nvidia", serial),
        driver=claims.driver_version,
        vbios=claims.vbios_version,
        mode=None if claims.mode is None else claims.mode.value,
        appraised_by=claims.appraised_by.value,
        current=current,
        firmware=(
            *(() if claims.driver_version is None else (f"nvidia-driver:{claims.driver_version}",)),
            f"nvidia-vbios:{claims.vbios_version}",
            *(f"nvidia-rim:{rim.rim_id}:{rim.sha256.hex()}" for rim in claims.rims),
        ),
        certificates_expire=claims.certificates_expire,
    )


def _chip(chip_key: bytes | None, kind: str, value: bytes) -> tuple[bytes, ...]:
    """The keyed id of one chip; none where the policy leaves it out or the hardware does."""
    return (chip_id(chip_key, kind, value),) if chip_key is not None and any(value) else ()
