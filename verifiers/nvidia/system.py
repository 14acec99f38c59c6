# SPDX-License-Identifier: Apache-2.0
"""Several devices of one system: each verified, none counted twice, one nonce and one mode for all.

In PPCIE mode eight GPUs and four switches belong together, NVLink between them is in clear text, and each signs whom it
is connected to. Those lists must be exactly the identities that are certified for the others, both ways: what devices
claim of each other alone proves nothing. All of this is judged of authentic devices, before any manifest is looked at.
How many devices there must be otherwise is a question for the policy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from verifiers.errors import Reason, Verdict, VerificationError
from verifiers.evidence import MAX_DEVICES
from verifiers.nvidia.claims import DeviceKind, Mode, NvidiaSetClaims, Topology
from verifiers.nvidia.device import authenticate
from verifiers.nvidia.verify import appraise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from verifiers.anchors import Anchors
    from verifiers.nvidia.device import Device
    from verifiers.nvidia.endorsements import NvidiaEndorsements
    from verifiers.nvidia.evidence import NvidiaEvidence

T = TypeVar("T")
R = TypeVar("R")

_PPCIE_GPUS: Final = 8
_PPCIE_SWITCHES: Final = 4


def verify_set(
    evidence: Sequence[NvidiaEvidence],
    endorsements: NvidiaEndorsements,
    anchors: Anchors,
    nonce: bytes | None,
    now: datetime,
) -> NvidiaSetClaims:
    """Verify the devices of one system; arguments as those of `verifiers.nvidia.verify.verify`.

    Raises:
        VerificationError: `evidence` for no device, `too-large` for more than 16, `duplicate-device`,
            `binding-mismatch` for differing nonces, `topology` for differing modes or devices that do not belong
            together; what `verify` raises, the device's place in the list before its detail: of the first device that
            is refused, else of the first whose manifests are missing.
    """
    if not evidence:
        raise VerificationError(Reason.EVIDENCE, "no device")
    if len(evidence) > MAX_DEVICES:
        raise VerificationError(Reason.TOO_LARGE, f"{len(evidence)} devices, at most {MAX_DEVICES}")
    devices = _each(evidence, lambda one: authenticate(one, anchors, nonce, now))
    try:
        mode, topology = check_set(devices)
    except VerificationError as error:
        error.authentic = True
        raise
    return NvidiaSetClaims(
        devices=_each(devices, lambda one: appraise(one, endorsements, anchors, now)),
        mode=mode,
        topology=topology,
        nonce=devices[0].report.nonce,
        bound=nonce is not None,
    )


def check_set(devices: Sequence[Device]) -> tuple[Mode | None, Topology]:
    """What authentic devices are together. Raises VerificationError as `verify_set`."""
    serials = [one.chain.serial for one in devices]
    for serial in serials:
        if serials.count(serial) > 1:
            raise VerificationError(
                Reason.DUPLICATE_DEVICE, f"{serial} stands for {serials.count(serial)} devices"
            )
    if len({one.report.nonce for one in devices}) > 1:
        raise VerificationError(Reason.BINDING_MISMATCH, "the devices answer different nonces")
    gpus = [one for one in devices if one.chain.family.kind is DeviceKind.GPU]
    switches = [one for one in devices if one.chain.family.kind is DeviceKind.SWITCH]
    modes = {one.fields.mode for one in gpus}
    if len(modes) > 1:
        raise VerificationError(
            Reason.TOPOLOGY, f"GPUs in different modes: {', '.join(sorted(map(str, modes)))}"
        )
    mode = next(iter(modes), None)
    if mode is Mode.PPCIE:
        _check_ppcie(gpus, switches)
        return mode, Topology.PPCIE
    if gpus and switches:
        raise VerificationError(Reason.TOPOLOGY, f"switches beside GPUs in mode {mode}, not ppcie")
    return mode, Topology.INDEPENDENT


def _check_ppcie(gpus: Sequence[Device], switches: Sequence[Device]) -> None:
    """Eight and four, and every list is exactly what is certified for the others."""
    if (len(gpus), len(switches)) != (_PPCIE_GPUS, _PPCIE_SWITCHES):
        raise VerificationError(
            Reason.TOPOLOGY,
            f"ppcie mode takes {_PPCIE_GPUS} GPUs and {_PPCIE_SWITCHES} switches,"
            f" not {len(gpus)} and {len(switches)}",
        )
    for ones, others in ((gpus, switches), (switches, gpus)):
        certified = {other.chain.pdi for other in others}
        for one in ones:
            if set(one.fields.listed) != certified:
                raise VerificationError(
                    Reason.TOPOLOGY,
                    f"{one.chain.serial} is connected to others than those that are here",
                )


def _each(items: Sequence[T], judge: Callable[[T], R]) -> tuple[R, ...]:
    """What `judge` says of each; a refusal names the place. One that is `undetermined` waits for those of the rest."""
    said: list[R] = []
    undetermined: list[VerificationError] = []
    for index, item in enumerate(items):
        try:
            said.append(_placed(index, item, judge))
        except VerificationError as error:
            if error.reason.verdict is not Verdict.UNDETERMINED:
                raise
            undetermined.append(error)
    if undetermined:
        raise undetermined[0]
    return tuple(said)


def _placed(index: int, item: T, judge: Callable[[T], R]) -> R:
    try:
        return judge(item)
    except VerificationError as error:
        placed = VerificationError(error.reason, f"device {index}: {error.detail}")
        placed.authentic = error.authentic
        raise placed from error
