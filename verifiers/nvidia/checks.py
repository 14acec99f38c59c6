# SPDX-License-Identifier: Apache-2.0
"""What a token of NVIDIA's Remote Attestation Service must say of a device that is good, by kind and by version.

A check that a token does not name did not take place. `secboot` and `dbgstat` are copies of `measres`: a token in which
they contradict it is refused, and nothing else is made of them. Versions (`x-nvidia-ver`) that are not listed here are
unknown. Source: NVIDIA attestation documentation, Claims Guide; tokens of the service.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.claims import DeviceKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from verifiers.jsontext import Json

V2: Final = "2.0"
V3: Final = (
    "3.0"  # says besides whether certificates are revoked, and the firmware is the certified one
)

_PREFIX: Final = {DeviceKind.GPU: "x-nvidia-gpu-", DeviceKind.SWITCH: "x-nvidia-switch-"}
DRIVER_VERSION: Final = {DeviceKind.GPU: "x-nvidia-gpu-driver-version", DeviceKind.SWITCH: None}
VBIOS_VERSION: Final = {
    DeviceKind.GPU: "x-nvidia-gpu-vbios-version",
    DeviceKind.SWITCH: "x-nvidia-switch-bios-version",
}

_EXACTLY: Final[dict[str, bool | str]] = {
    "measres": "success",
    "secboot": True,
    "dbgstat": "disabled",
}

# Behind the prefix; each must be true.
_REPORT: Final = (
    "arch-check",
    "attestation-report-parsed",
    "attestation-report-nonce-match",
    "attestation-report-signature-verified",
)
_GPU: Final = (
    *_REPORT,
    "driver-rim-fetched",
    "driver-rim-schema-validated",
    "driver-rim-signature-verified",
    "driver-rim-measurements-available",
    "vbios-rim-fetched",
    "vbios-rim-schema-validated",
    "vbios-rim-signature-verified",
    "vbios-rim-measurements-available",
    "vbios-index-no-conflict",
)
_SWITCH: Final = (
    *_REPORT,
    "bios-rim-fetched",
    "bios-rim-schema-validated",
    "bios-rim-signature-verified",
    "bios-rim-measurements-available",
)
_TRUE: Final = {
    (DeviceKind.GPU, V2): (
        *_GPU,
        "attestation-report-cert-chain-validated",
        "driver-rim-cert-validated",
        "vbios-rim-cert-validated",
    ),
    (DeviceKind.GPU, V3): (
        *_GPU,
        "attestation-report-cert-chain-fwid-match",
        "driver-rim-version-match",
        "vbios-rim-version-match",
    ),
    (DeviceKind.SWITCH, V2): (
        *_SWITCH,
        "attestation-report-cert-chain-validated",
        "bios-rim-cert-validated",
    ),
    (DeviceKind.SWITCH, V3): (
        *_SWITCH,
        "attestation-report-cert-chain-fwid-match",
        "bios-rim-version-match",
    ),
}

# Behind the prefix; each is an object, whose statuses must be these.
_CHAINS: Final[dict[tuple[DeviceKind, str], tuple[str, ...]]] = {
    (DeviceKind.GPU, V2): (),
    (DeviceKind.GPU, V3): (
        "attestation-report-cert-chain",
        "driver-rim-cert-chain",
        "vbios-rim-cert-chain",
    ),
    (DeviceKind.SWITCH, V2): (),
    (DeviceKind.SWITCH, V3): ("attestation-report-cert-chain", "bios-rim-cert-chain"),
}
_STATUSES: Final = {"x-nvidia-cert-status": "valid", "x-nvidia-cert-ocsp-status": "good"}

_ERROR: Final = "x-nvidia-error-details"
_UNPRINTABLE: Final = re.compile(r"[^ -~]")
_MAX_COMPLAINT: Final = 200


def check_claims(claims: Mapping[str, Json], kind: DeviceKind, version: str) -> None:
    """Demand that every check took place and held.

    Raises:
        VerificationError: `token-invalid`, naming the first claim that is not what it must be.
    """
    checks = _TRUE.get((kind, version))
    if checks is None:
        raise _invalid(f"claims of version {_shown(version)} are unknown")
    prefix = _PREFIX[kind]
    for name, value in _EXACTLY.items():
        _check(claims, name, wanted=value)
    for check in checks:
        _check(claims, prefix + check, wanted=True)
    for chain in _CHAINS[kind, version]:
        statuses = claims.get(prefix + chain)
        if not isinstance(statuses, dict):
            raise _invalid(f"{prefix}{chain} is missing")
        for name, value in _STATUSES.items():
            _check(statuses, name, wanted=value, where=f"{prefix}{chain}: ")


def _check(claims: Mapping[str, Json], name: str, *, wanted: Json, where: str = "") -> None:
    """Demand one value; 1 is not true."""
    found = claims.get(name)
    if type(found) is not type(wanted) or found != wanted:
        raise _invalid(f"{where}{name} is not {str(wanted).lower()}")


def has_error(claims: Mapping[str, Json]) -> bool:
    """Whether the token only says why a device was not appraised."""
    return claims.get(_ERROR) is not None


def complaint(claims: Mapping[str, Json]) -> str:
    """What a refused device's token says is wrong, in at most 200 printable characters."""
    details = claims.get(_ERROR)
    if isinstance(details, dict):
        said = f"{details.get('code')} {details.get('message')}"
    elif details is not None:
        said = str(details)
    else:
        said = ", ".join(
            [f"{name} is false" for name in sorted(claims) if claims[name] is False]
            or [f"measres is {claims.get('measres')}"]
        )
    return _shown(said)


def _shown(text: str) -> str:
    return _UNPRINTABLE.sub("?", text)[:_MAX_COMPLAINT]


def _invalid(detail: str) -> VerificationError:
    return VerificationError(Reason.TOKEN_INVALID, detail)
