# SPDX-License-Identifier: Apache-2.0
"""What a token of the fake attestation service says of a device that it has appraised, in claims 2.0 and 3.0.

The names are those of real tokens. `secboot` and `dbgstat` follow from `measres`, as they do there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.nvidia.appraisal import Appraisal, CertificateChain, Rim

Json = dict[str, Any]

OEM = "5703"  # NVIDIA's enterprise number


def device_claims(found: Appraisal, version: str, *, arch_matches: bool) -> Json:
    """The claims of one device but iss, eat_nonce and times. `version`: "2.0" or "3.0"."""
    switch = found.device.product.is_switch
    prefix = "x-nvidia-switch" if switch else "x-nvidia-gpu"
    good = found.succeeds and arch_matches
    claims = {
        f"{prefix}-arch-check": arch_matches,
        **_report(f"{prefix}-attestation-report", found, version),
        **_rims(prefix, found, version),
        "x-nvidia-attestation-warning": None,
        "measres": "success" if good else "fail",
        "secboot": True if good else None,
        "dbgstat": "disabled" if good else None,
        "hwmodel": _model(found) if version == "3.0" else found.device.product.family,
        "oemid": None if switch else OEM,
        "ueid": str(found.device.device.parties[0].certificate.serial_number),
    }
    if found.mismatches:
        claims["x-nvidia-mismatch-measurement-records"] = [
            {"index": index, "measurementSource": "RIM"} for index in found.mismatches
        ]
    if switch:
        return claims | {f"{prefix}-bios-version": found.vbios}
    return claims | {
        f"{prefix}-vbios-index-no-conflict": True,
        f"{prefix}-driver-version": found.driver,
        f"{prefix}-vbios-version": found.vbios,
    }


def _model(found: Appraisal) -> str:
    return found.device.device.levels[1].common_name


def _report(prefix: str, found: Appraisal, version: str) -> Json:
    common = {
        f"{prefix}-parsed": True,
        f"{prefix}-nonce-match": True,
        f"{prefix}-signature-verified": True,
    }
    if version == "2.0":
        return common | {f"{prefix}-cert-chain-validated": found.chain.status == "good"}
    return common | {
        f"{prefix}-cert-chain": _chain(found.chain),
        f"{prefix}-cert-chain-fwid-match": found.fwid_matches,
    }


def _rims(prefix: str, found: Appraisal, version: str) -> Json:
    names = ("bios",) if found.device.product.is_switch else ("driver", "vbios")
    claims: Json = {}
    for name, rim in zip(names, found.rims, strict=True):
        claims |= _rim(f"{prefix}-{name}-rim", rim, version)
    return claims


def _rim(prefix: str, rim: Rim, version: str) -> Json:
    there = rim.chain is not None
    common = {
        f"{prefix}-fetched": there,
        f"{prefix}-schema-validated": there,
        f"{prefix}-signature-verified": there,
        f"{prefix}-measurements-available": there,
    }
    if version == "2.0":
        good = rim.chain is not None and rim.chain.status == "good"
        return common | {f"{prefix}-cert-validated": good}
    return common | {
        f"{prefix}-version-match": rim.versions_match,
        f"{prefix}-cert-chain": None if rim.chain is None else _chain(rim.chain),
    }


def _chain(chain: CertificateChain) -> Json:
    good = chain.status == "good"
    return {
        "x-nvidia-cert-status": "valid" if good else chain.status,
        "x-nvidia-cert-ocsp-status": chain.status,
        "x-nvidia-cert-expiration-date": chain.expires,
        "x-nvidia-cert-revocation-reason": chain.reason,
    }
