# SPDX-License-Identifier: Apache-2.0
"""NvidiaSetClaims as the verifiers would make them, with any field set, and policies about them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from policies.appraise import appraise_devices
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.documents import policy, snp_policy
from verifiers.endorsements import PartValidity, Revocation
from verifiers.nvidia.claims import (
    Coverage,
    DeviceKind,
    Family,
    Mode,
    NrasClaims,
    NvidiaClaims,
    NvidiaSetClaims,
    RimClaims,
    RimKind,
    Topology,
)

if TYPE_CHECKING:
    from policies.appraise import Devices
    from policies.loader import LoadedPolicy
    from policies.minimums import Minimums
    from policies.result import Finding, RuleResult
    from policies.rules import RuleId

GOOD, NOT_CHECKED, REVOKED = Revocation.GOOD, Revocation.NOT_CHECKED, Revocation.REVOKED
DAY = timedelta(days=1)


def part(name: str, ends: timedelta = DAY) -> PartValidity:
    """A part whose time has begun and ends so long after NOW."""
    return PartValidity(name, NOW - DAY, NOW + ends, NOW + ends if ends < timedelta() else None)


def rim(kind: RimKind, version: str, indexes: tuple[int, ...]) -> RimClaims:
    return RimClaims(
        kind=kind,
        rim_id=f"NV_{kind}_{version}",
        tag_id="tag",
        product="GH100",
        version=version,
        sha256=bytes(32),
        signer_not_after=NOW + 300 * DAY,
        indexes=indexes,
        revocation=GOOD,
    )


VBIOS = rim(RimKind.VBIOS, "96.00.CF.00.01", (*range(7), *range(8, 13)))
DRIVER = rim(RimKind.DRIVER, "580.178.04", (7, *range(21, 41)))
BIOS = rim(RimKind.SWITCH_BIOS, "96.10.73.00.01", tuple(range(31)))
OCSP = (part("ocsp-device"), part("ocsp-rim-driver"), part("ocsp-rim-vbios"))

GPU = NvidiaClaims(
    kind=DeviceKind.GPU,
    family=Family.GH100,
    model="GH100 A01 GSP BROM",
    chip_info=None,
    driver_version="580.178.04",
    vbios_version="96.00.CF.00.01",
    device_serial="411122334455667788",
    ueid=1,
    fwid=b"F" * 48,
    mode=Mode.SPT,
    opaque=(),
    measurements=(bytes(48),) * 64,
    rims=(DRIVER, VBIOS),
    coverage=Coverage((*range(13), *range(21, 41)), (*range(13, 21), *range(41, 64))),
    revocation=GOOD,
    collateral=(part("rim-driver", 300 * DAY), part("rim-vbios", 300 * DAY), *OCSP),
    certificates_expire=NOW + 300 * DAY,
    expires=NOW + DAY,
    nonce=bytes(32),
    bound=True,
    evidence_sha256=bytes(32),
    collateral_sha256=bytes(32),
    verified_at=NOW,
)

SWITCH = replace(
    GPU,
    kind=DeviceKind.SWITCH,
    family=Family.LS10,
    model="LS_10 A01 FSP BROM",
    driver_version=None,
    vbios_version="96.10.73.00.01",
    device_serial="501122334455667788",
    fwid=None,
    mode=None,
    rims=(BIOS,),
    coverage=Coverage(tuple(range(31)), ()),
    collateral=(part("rim-switch-bios", 300 * DAY), part("ocsp-device")),
)

TOKEN = NrasClaims("3.0", bytes(32), NOW - DAY, NOW + DAY / 24, GOOD)
BY_BOTH = replace(GPU, nras=TOKEN, collateral=(*GPU.collateral, part("nras", DAY / 24)))
BY_NRAS = replace(
    GPU,
    rims=(),
    coverage=Coverage((), tuple(range(64))),
    collateral=(part("nras", DAY / 24),),
    nras=TOKEN,
)


def gpu(number: int = 0, **fields: Any) -> NvidiaClaims:  # noqa: ANN401  fields of several types
    """Another board, with other fields."""
    return replace(GPU, device_serial=f"41{number:016X}", **fields)


def together(*devices: NvidiaClaims) -> NvidiaSetClaims:
    """As one set."""
    modes = {one.mode for one in devices if one.kind is DeviceKind.GPU}
    ppcie = Mode.PPCIE in modes
    return NvidiaSetClaims(
        devices=devices,
        mode=next(iter(modes), None),
        topology=Topology.PPCIE if ppcie else Topology.INDEPENDENT,
        nonce=bytes(32),
        bound=True,
    )


def ppcie() -> NvidiaSetClaims:
    """Eight GPUs and four switches."""
    gpus = (gpu(number, mode=Mode.PPCIE) for number in range(8))
    switches = (replace(SWITCH, device_serial=f"50{number:016X}") for number in range(4))
    return together(*gpus, *switches)


SECTION: dict[str, Any] = {
    "gpus": 1,
    "models": ["GH100"],
    "modes": ["spt"],
    "driver": {"advisories": ["nvidia-5861"]},
    "vbios": {"minimum": {"GH100": "96.00.CF.00.01"}},
}
PPCIE: dict[str, Any] = {
    "gpus": 8,
    "switches": 4,
    "models": ["GH100", "LS10"],
    "modes": ["ppcie"],
    "vbios": {"minimum": {"GH100": "96.00.CF.00.01", "LS10": "96.10.73.00.01"}},
}


def section(**keys: Any) -> dict[str, Any]:  # noqa: ANN401  JSON values
    """The section that accepts GPU without a remark of lint, with other keys; None takes one away."""
    return {key: value for key, value in (SECTION | keys).items() if value is not None}


def wanting(**keys: Any) -> LoadedPolicy:  # noqa: ANN401  JSON values
    """A TDX policy with `section`."""
    return policy(nvidia=section(**keys))


def snp_wanting(**keys: Any) -> LoadedPolicy:  # noqa: ANN401  JSON values
    """Likewise for SNP."""
    return snp_policy(nvidia=section(**keys))


def findings(
    rule: RuleId,
    devices: Devices,
    by: LoadedPolicy | None = None,
    minimums: Minimums | None = None,
) -> list[Finding]:
    """The findings of one rule at NOW."""
    found = appraise_devices(devices, (by or wanting()).document, NOW, minimums)
    return [finding for finding in found if finding.rule is rule]


def finding(
    rule: RuleId,
    device: NvidiaClaims,
    by: LoadedPolicy | None = None,
    minimums: Minimums | None = None,
) -> Finding:
    """The one finding of a rule over one device."""
    (only,) = findings(rule, together(device), by, minimums)
    return only


def denying(devices: Devices, by: LoadedPolicy | None = None) -> dict[RuleId, RuleResult]:
    """The rules that deny, with their result."""
    found = appraise_devices(devices, (by or wanting()).document, NOW)
    return {one.rule: one.result for one in found if one.result in ("fail", "missing")}
