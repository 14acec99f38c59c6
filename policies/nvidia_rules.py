# SPDX-License-Identifier: Apache-2.0
"""Rules over NVIDIA devices: how many, which, in what mode, and what vouches for them.

What the verifier has refused is not here: a report that is not genuine or answers another nonce, measurements that
differ, devices that do not belong together. Hints name a device by its place in the evidence and its kind, never by its
serial number. How old drivers and firmware may be stands in `policies.nvidia_version_rules`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from policies.case import UnverifiedDevices, names_of, passed
from policies.collateral_rules import freshness, missing_part
from policies.nvidia_document import MEASUREMENTS, NvidiaPart
from policies.result import Finding, RuleResult
from policies.rules import RuleId
from verifiers.endorsements import Revocation
from verifiers.nvidia.claims import AppraisedBy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from policies.case import NvidiaCase
    from policies.document import PolicyDocument
    from policies.nvidia_document import Count
    from verifiers.endorsements import PartValidity
    from verifiers.nvidia.claims import NvidiaClaims, NvidiaSetClaims

_SATISFIED_BY = {  # whose word is wanted -> whose appraisals have it
    AppraisedBy.LOCAL: frozenset({AppraisedBy.LOCAL, AppraisedBy.BOTH}),
    AppraisedBy.NRAS: frozenset({AppraisedBy.NRAS, AppraisedBy.BOTH}),
    AppraisedBy.BOTH: frozenset({AppraisedBy.BOTH}),
}


def of_device(  # noqa: PLR0913  the parts of a finding
    rule: RuleId,
    place: int,
    device: NvidiaClaims,
    field: str,
    result: RuleResult,
    *,
    expected: str,
    actual: str,
    hint: str,
) -> Finding:
    """A finding about one device, whose place begins the path and, with its kind, the hint."""
    said = "" if result is RuleResult.PASS else f"device {place} ({device.kind}): {hint}"
    return Finding(rule, f"devices[{place}].{field}", result, expected, actual, said)


def check_unexpected(
    document: PolicyDocument, devices: NvidiaSetClaims | UnverifiedDevices | None
) -> Iterator[Finding]:
    """`device-unexpected`: devices only where the policy wants some, and none that nobody verified."""
    if devices is None:
        return
    unverified = isinstance(devices, UnverifiedDevices)
    number = devices.count if isinstance(devices, UnverifiedDevices) else len(devices.devices)
    if document.nvidia is None:
        result = RuleResult.FAIL
        hint = "the policy is about no devices: ask for a profile that wants them, or send none"
    elif unverified:
        result, hint = RuleResult.MISSING, "nobody has looked at the devices: the CPU comes first"
    else:
        result, hint = RuleResult.PASS, ""
    yield Finding(
        RuleId.DEVICE_UNEXPECTED,
        "devices",
        result,
        expected="no devices" if document.nvidia is None else "verified devices",
        actual=f"{number} {'not verified' if unverified else 'verified'}",
        hint=hint,
    )


def check_collateral(case: NvidiaCase) -> Iterator[Finding]:
    """`collateral-stale`: of each device, nothing is past its time by more than the policy's budget (none by default).

    Of several parts of one kind the first to end counts. Manifests have no budget: the verifier refuses an old one.
    """
    budgets = {part.value: budget for part, budget in case.rules.tolerate_stale.items()}
    for place, device in case.placed:
        owner, instant = f"devices[{place}].", max(case.now, device.verified_at)
        parts = _first_to_end(device)
        for kind, part in parts.items():
            yield freshness(part, budgets.get(kind, timedelta()), instant, owner)
        for kind in _rests_on(device):
            if kind not in parts:
                yield missing_part(kind, owner)


def _first_to_end(device: NvidiaClaims) -> dict[str, PartValidity]:
    """Of each kind of part ("rim", "ocsp", "nras") the one that ends first, under the name of its kind."""
    found: dict[str, PartValidity] = {}
    for part in sorted(device.collateral, key=lambda part: part.next_update):
        kind = part.part.partition("-")[0]
        found.setdefault(kind, replace(part, part=kind))
    return found


def _rests_on(device: NvidiaClaims) -> Iterator[str]:
    """Kinds of parts that there must be. That no answer was at hand is for `device-revocation-unknown` to say."""
    if device.rims:
        yield "rim"
        if device.revocation is not Revocation.NOT_CHECKED:
            yield NvidiaPart.OCSP
    if device.nras is not None:
        yield NvidiaPart.NRAS


def check_count(case: NvidiaCase) -> Iterator[Finding]:
    """`device-count`: as many GPUs and switches as the policy says."""
    gpus = len(case.gpus)
    yield _counted(case, "GPUs", case.rules.gpus, gpus)
    yield _counted(case, "switches", case.rules.switches, len(case.devices) - gpus)


def _counted(case: NvidiaCase, what: str, wanted: Count, number: int) -> Finding:
    short, good = number < wanted.min, wanted.has(number)
    result = RuleResult.MISSING if short and not case.devices else passed(good)
    hint = f"{number} {what}: {'too few' if short else 'too many'} for the policy"
    return Finding(
        RuleId.DEVICE_COUNT,
        f"devices.{what.lower()}",
        result,
        expected=str(wanted),
        actual=str(number),
        hint="" if good else hint,
    )


def check_model(case: NvidiaCase) -> Iterator[Finding]:
    """`device-model`: of a family that the policy lists."""
    for place, device in case.placed:
        yield of_device(
            RuleId.DEVICE_MODEL,
            place,
            device,
            "family",
            passed(device.family in case.rules.models),
            expected=f"one of {names_of(case.rules.models)}",
            actual=f"{device.family} ({device.model})",
            hint=f"devices of the family {device.family} are not allowed",
        )


def check_mode(case: NvidiaCase) -> Iterator[Finding]:
    """`device-mode`: every GPU in a mode that the policy lists. One that does not say its mode is in none."""
    for place, device in case.gpus:
        unknown = "its driver is too old to report a confidential computing mode: update it"
        yield of_device(
            RuleId.DEVICE_MODE,
            place,
            device,
            "mode",
            passed(device.mode in case.rules.modes),
            expected=f"one of {names_of(case.rules.modes)}",
            actual=str(device.mode or "not reported"),
            hint=unknown if device.mode is None else f"the mode {device.mode} is not allowed",
        )


def check_appraisal(case: NvidiaCase) -> Iterator[Finding]:
    """`device-appraisal`: compared with the reference manifests by whom the policy trusts with it."""
    wanted = case.rules.appraisal
    for place, device in case.placed:
        yield of_device(
            RuleId.DEVICE_APPRAISAL,
            place,
            device,
            "appraised_by",
            passed(device.appraised_by in _SATISFIED_BY[wanted]),
            expected=wanted.value,
            actual=device.appraised_by.value,
            hint="not appraised by whom the policy trusts with it",
        )


def check_coverage(case: NvidiaCase) -> Iterator[Finding]:
    """`rim-coverage`: of each device as many measurements were compared with a golden value as the policy asks, if any.

    A switch has fewer than a GPU; where the policy asks for more than that, all of them.
    """
    wanted = case.rules.coverage
    if wanted is None:
        return
    for place, device in case.placed:
        least = min(wanted, MEASUREMENTS[device.kind])
        compared = len(device.coverage.compared)
        open_ = _runs(device.coverage.not_covered)
        yield of_device(
            RuleId.RIM_COVERAGE,
            place,
            device,
            "coverage",
            passed(compared >= least),
            expected=f"at least {least} measurements",
            actual=f"{compared}; not covered: {open_}",
            hint=f"{compared} measurements compared are too few for the policy; not covered: {open_}",
        )


def _runs(indexes: Sequence[int]) -> str:
    """Rising numbers with runs of them drawn together: "13-20, 42"; "none"."""
    runs: list[list[int]] = []
    for index in indexes:
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    texts = (str(first) if first == last else f"{first}-{last}" for first, last in runs)
    return ", ".join(texts) or "none"


def check_fwid(case: NvidiaCase) -> Iterator[Finding]:
    """`fwid-missing`: each GPU's report names the firmware that its key was certified for; the verifier compares it."""
    for place, device in case.gpus:
        yield of_device(
            RuleId.FWID_MISSING,
            place,
            device,
            "fwid",
            passed(device.fwid is not None),
            expected="the firmware id of the certificate",
            actual="not reported" if device.fwid is None else device.fwid.hex(),
            hint="its driver is too old to report the firmware id: update it",
        )


def check_revocation(case: NvidiaCase) -> Iterator[Finding]:
    """`device-revocation-unknown`: NVIDIA says of the device's chain, and of each manifest's, that it is good.

    Where its attestation service was asked, the service's token says so too; claims before 3.0 do not.
    """
    for place, device in case.placed:
        states = {"device": device.revocation}
        states |= {f"signer of the {rim.kind} manifest": rim.revocation for rim in device.rims}
        if device.nras is not None:
            states["token of NVIDIA's service"] = device.nras.revocation
        bad = [name for name, state in states.items() if state is not Revocation.GOOD]
        unknown = bool(bad) and Revocation.REVOKED not in states.values()
        yield of_device(
            RuleId.DEVICE_REVOCATION_UNKNOWN,
            place,
            device,
            "revocation",
            RuleResult.MISSING if unknown else passed(not bad),
            expected="good, of every chain",
            actual="; ".join(f"{name} {state}" for name, state in states.items()),
            hint=f"NVIDIA's word that it is not revoked is wanting: {', '.join(bad)}",
        )


def check_device(case: NvidiaCase) -> Iterator[Finding]:
    """`device-list`: where the policy lists devices, each of these is listed."""
    listed = case.rules.devices
    if listed is None:
        return
    for place, device in case.placed:
        yield of_device(
            RuleId.DEVICE_LIST,
            place,
            device,
            "device_serial",
            passed(device.device_serial in listed),
            expected=f"one of {len(listed)} listed devices",
            actual=device.device_serial,
            hint="this device is not listed",
        )
