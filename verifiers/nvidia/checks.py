# SPDX-License-Identifier: Apache-2.0
"""What a token of NVIDIA's Remote Attestation Service must say of a device that is good, by kind and by version.

A check that a token does not name did not take place, so that it is no token to rely on (`token-invalid`); one that it
names and says did not hold is the service's word against the device (`nras-refused`), whatever the overall result is.
`secboot` and `dbgstat` are copies of `measres`: a token in which they contradict it is refused, and nothing else is
made of them. So is one that lists measurements which differ, or a reason of a revocation, though all else is well.

`x-nvidia-attestation-warning` may say anything: it is text for people about a device that the service accepts, without
a list of what it can be, and no check of the service is told there alone. Versions (`x-nvidia-ver`) that are not listed
here are unknown. Source: NVIDIA attestation documentation, Claims Guide; tokens of the service.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.claims import DeviceKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
_REVOKED_FOR: Final = "x-nvidia-cert-revocation-reason"
_MISMATCHES: Final = "x-nvidia-mismatch-measurement-records"

_ERROR: Final = "x-nvidia-error-details"
_UNPRINTABLE: Final = re.compile(r"[^ -~]")
_MAX_COMPLAINT: Final = 200


def check_claims(what: str, claims: Mapping[str, Json], kind: DeviceKind, version: str) -> None:
    """Demand that every check took place: its claim is there, and of its type (1 is not true).

    `what` names the token in the refusal.

    Raises:
        VerificationError: `token-invalid`, naming the first claim that is not.
    """
    for name, found, wanted in _needed(claims, kind, version):
        if type(found) is not type(wanted):
            form = "boolean" if isinstance(wanted, bool) else "text"
            raise _invalid(f"{what}: {name} is missing, or no {form}")


def refusals(claims: Mapping[str, Json], kind: DeviceKind, version: str) -> list[str]:
    """What the service says against a device, each in a few words; nothing of one that is good.

    Raises:
        VerificationError: `token-invalid` for a version that is unknown.
    """
    said = [
        f"{name} is {_plain(found)}"
        for name, found, wanted in _needed(claims, kind, version)
        if type(found) is type(wanted) and found != wanted
    ]
    if claims.get(_MISMATCHES) not in (None, []):
        said.append(f"{_MISMATCHES} is not empty")
    said += [
        f"{name}: {_REVOKED_FOR} is {_plain(statuses[_REVOKED_FOR])}"
        for name, statuses in _chains(claims, kind, version)
        if statuses.get(_REVOKED_FOR) is not None
    ]
    return said


def _needed(
    claims: Mapping[str, Json], kind: DeviceKind, version: str
) -> Iterator[tuple[str, Json, Json]]:
    """Each claim that must be there: its name, what it is (None where it is absent), what it must be."""
    checks = _TRUE.get((kind, version))
    if checks is None:
        raise _invalid(f"claims of version {_shown(version)} are unknown")
    for name, value in _EXACTLY.items():
        yield name, claims.get(name), value
    for check in checks:
        yield _PREFIX[kind] + check, claims.get(_PREFIX[kind] + check), True
    for chain, statuses in _chains(claims, kind, version):
        for name, value in _STATUSES.items():
            yield f"{chain}: {name}", statuses.get(name), value


def _chains(
    claims: Mapping[str, Json], kind: DeviceKind, version: str
) -> Iterator[tuple[str, Mapping[str, Json]]]:
    """The statuses of each chain of certificates; none of one that the token does not name."""
    for chain in _CHAINS[kind, version]:
        statuses = claims.get(_PREFIX[kind] + chain)
        yield _PREFIX[kind] + chain, statuses if isinstance(statuses, dict) else {}


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


def _plain(value: Json) -> str:
    return _shown(str(value).lower() if isinstance(value, bool) else str(value))


def _shown(text: str) -> str:
    return _UNPRINTABLE.sub("?", text)[:_MAX_COMPLAINT]


def _invalid(detail: str) -> VerificationError:
    return VerificationError(Reason.TOKEN_INVALID, detail)
