# SPDX-License-Identifier: Apache-2.0
"""Several devices of one system: each verified, none counted twice, one nonce and one mode for all.

In PPCIE mode eight GPUs and four switches belong together, NVLink between them is in clear text, and each signs whom it
is connected to. Those lists must be exactly the identities that are certified for the others, both ways: what devices
claim of each other alone proves nothing. All of this is judged of authentic devices, before any manifest is looked at.
How many devices there must be otherwise is a question for the policy.

Between the two halves, `authenticate_set` and `appraise_set`, whoever fetches learns from authentic devices what to ask
for (`verifiers.nvidia.gather`). The measurements are compared here, by NVIDIA's Remote Attestation Service (NRAS), or
by both; then each says a word, and two words that differ refuse under a reason of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar, assert_never

from verifiers.errors import Reason, Verdict, VerificationError
from verifiers.evidence import MAX_DEVICES
from verifiers.nvidia.claims import AppraisedBy, DeviceKind, Mode, NvidiaSetClaims, Topology
from verifiers.nvidia.device import Device, authenticate, nvidia_roots
from verifiers.nvidia.nras import verify_tokens
from verifiers.nvidia.tokens import TokenIssuer
from verifiers.nvidia.verify import accepted, appraise, confirmed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from verifiers.anchors import Anchors
    from verifiers.nvidia.claims import NrasClaims, NvidiaClaims
    from verifiers.nvidia.endorsements import NvidiaEndorsements
    from verifiers.nvidia.evidence import NvidiaEvidence

T = TypeVar("T")
R = TypeVar("R")

_PPCIE_GPUS: Final = 8
_PPCIE_SWITCHES: Final = 4
# Of a device, by us or by the service; any other reason is about collateral. None is ever hidden by one of those.
_REFUSALS: Final = {
    Reason.MEASUREMENT_MISMATCH,
    Reason.CERTIFICATE_REVOKED,
    Reason.CERTIFICATE_STATUS_UNKNOWN,
    Reason.NRAS_REFUSED,
    Reason.VERIFIERS_DISAGREE,  # the service says something else than the device's own report
}
# Of a key of the service they say nothing of the devices; of a manifest's signer they are NVIDIA's word on them.
_OUT_OF_DATE: Final = {Reason.CERTIFICATE_EXPIRED, Reason.CERTIFICATE_NOT_YET_VALID}


@dataclass(frozen=True, slots=True)
class DeviceSet:
    """Genuine devices that belong together and answer one nonce. Made by `authenticate_set` alone.

    Attributes:
        devices: at least one, in the order of the evidence.
        mode: of every GPU; None where there is no GPU, or none that says it.
        topology: what they prove of each other.
    """

    devices: tuple[Device, ...]
    mode: Mode | None
    topology: Topology

    @property
    def nonce(self) -> bytes:
        """The 32 bytes that every report answers."""
        return self.devices[0].report.nonce

    @property
    def bound(self) -> bool:
        """Whether the nonce was compared with the one that was asked for."""
        return all(one.bound for one in self.devices)


def verify_set(
    evidence: Sequence[NvidiaEvidence],
    endorsements: NvidiaEndorsements,
    anchors: Anchors,
    nonce: bytes | None,
    now: datetime,
    by: AppraisedBy = AppraisedBy.LOCAL,
) -> NvidiaSetClaims:
    """Verify the devices of one system: `authenticate_set`, then `appraise_set`. Raises what they raise."""
    found = authenticate_set(evidence, anchors, nonce, now)
    return appraise_set(found, endorsements, anchors, by, now)


def authenticate_set(
    evidence: Sequence[NvidiaEvidence], anchors: Anchors, nonce: bytes | None, now: datetime
) -> DeviceSet:
    """The first half: all that holds of the devices of one system without anything fetched.

    Args:
        evidence: trusted by nobody.
        anchors: the roots that count.
        nonce: 32 bytes that every request must have; None only where nothing is issued (offline inspection).
        now: the instant to judge at, timezone-aware.

    Raises:
        VerificationError: `evidence` for no device, `too-large` for more than 16, `duplicate-device`,
            `binding-mismatch` for differing nonces, `topology` for differing modes or devices that do not belong
            together; what `authenticate` raises of the first device that is refused, its place in the list before the
            detail.
    """
    if not evidence:
        raise VerificationError(Reason.EVIDENCE, "no device")
    if len(evidence) > MAX_DEVICES:
        raise VerificationError(Reason.TOO_LARGE, f"{len(evidence)} devices, at most {MAX_DEVICES}")
    devices = tuple(
        _placed(index, one, lambda it: authenticate(it, anchors, nonce, now))
        for index, one in enumerate(evidence)
    )
    try:
        return DeviceSet(devices, *check_set(devices))
    except VerificationError as error:
        error.authentic = True
        raise


def appraise_set(
    found: DeviceSet,
    endorsements: NvidiaEndorsements,
    anchors: Anchors,
    by: AppraisedBy,
    now: datetime,
) -> NvidiaSetClaims:
    """The second half: what NVIDIA says of authentic devices.

    Args:
        found: what `authenticate_set` made of the evidence.
        endorsements: of all of them as received; others may be among them.
        anchors: the roots that count.
        by: whose comparison with the reference manifests counts.
        now: the instant to judge at, timezone-aware.

    Raises:
        VerificationError: what `verifiers.nvidia.verify.appraise` raises, the device's place in the list before its
            detail: of the first device that is refused, else of the first that has any other fault, else of the first
            whose manifests are missing; what `verifiers.nvidia.nras.verify_tokens` raises; `verifiers-disagree` where
            one refuses what the other accepts.
    """
    case = _Case(found, endorsements, anchors, now)
    match by:
        case AppraisedBy.LOCAL:
            devices = _local(case)
        case AppraisedBy.NRAS:
            devices = tuple(
                accepted(one, endorsements, said, now)
                for one, said in zip(found.devices, _remote(case), strict=True)
            )
        case AppraisedBy.BOTH:
            devices = _agreed(case)
        case _:
            assert_never(by)
    return NvidiaSetClaims(
        devices=devices,
        mode=found.mode,
        topology=found.topology,
        nonce=found.nonce,
        bound=found.bound,
    )


class _Case(NamedTuple):
    """What the two words are about."""

    found: DeviceSet
    endorsements: NvidiaEndorsements
    anchors: Anchors
    now: datetime


def _local(case: _Case) -> tuple[NvidiaClaims, ...]:
    """Our word: what is the case of each device, or a refusal."""
    found, endorsements, anchors, now = case
    return _each(found.devices, lambda one: appraise(one, endorsements, anchors, now))


def _remote(case: _Case) -> tuple[NrasClaims, ...]:
    """The service's word on each device, or a refusal."""
    found, endorsements, anchors, now = case
    roots = nvidia_roots(anchors)
    issuer = TokenIssuer(roots.nras_issuer, endorsements.jwks, roots.nras)
    try:
        said = verify_tokens(endorsements.nras, issuer, found.devices, found.nonce, now)
    except VerificationError as error:
        late = error.reason in _OUT_OF_DATE
        told = VerificationError(Reason.TOKEN_INVALID if late else error.reason, error.detail)
        told.authentic = True
        raise told from error
    return tuple(one.claims for one in said)


def _agreed(case: _Case) -> tuple[NvidiaClaims, ...]:
    """Claims that both words hold of.

    A word is an acceptance or a refusal of the device itself. What else is raised says only that the collateral is not
    good for a word: no disagreement with an acceptance, and never told in the place of a refusal.
    """
    ours, theirs = _word(_local, case), _word(_remote, case)
    if isinstance(ours, VerificationError):
        if isinstance(theirs, VerificationError):
            raise _foremost((ours, theirs))
        raise _against_acceptance("accepts what is refused here", ours)
    if isinstance(theirs, VerificationError):
        raise _against_acceptance("refuses what is accepted here", theirs)
    return tuple(confirmed(*pair, case.now) for pair in zip(ours, theirs, strict=True))


def _word(
    judge: Callable[[_Case], tuple[R, ...]], case: _Case
) -> tuple[R, ...] | VerificationError:
    try:
        return judge(case)
    except VerificationError as error:
        return error


def _against_acceptance(how: str, error: VerificationError) -> VerificationError:
    """What an error of the one is beside an acceptance of the other: a disagreement if it refuses, else the fault."""
    if error.reason not in _REFUSALS - {Reason.VERIFIERS_DISAGREE}:
        return error
    told = VerificationError(
        Reason.VERIFIERS_DISAGREE, f"NVIDIA's service {how}: {error.reason}: {error.detail}"
    )
    told.authentic = True
    return told


def _foremost(errors: Sequence[VerificationError]) -> VerificationError:
    """The one to tell: a refusal of a device, else another fault, else what is undetermined; the first of equals."""
    return min(
        errors,
        key=lambda one: (
            one.reason not in _REFUSALS,
            one.reason.verdict is Verdict.UNDETERMINED,
        ),
    )


def check_set(devices: Sequence[Device]) -> tuple[Mode | None, Topology]:
    """What authentic devices are together. Raises VerificationError as `authenticate_set`.

    Details name devices by their place: a serial number is for records, not for logs.
    """
    first: dict[str, int] = {}
    for place, one in enumerate(devices):
        if first.setdefault(one.chain.serial, place) != place:
            raise VerificationError(
                Reason.DUPLICATE_DEVICE,
                f"devices {first[one.chain.serial]} and {place} are one device",
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
        _check_ppcie(devices, gpus, switches)
        return mode, Topology.PPCIE
    if gpus and switches:
        raise VerificationError(Reason.TOPOLOGY, f"switches beside GPUs in mode {mode}, not ppcie")
    return mode, Topology.INDEPENDENT


def _check_ppcie(
    devices: Sequence[Device], gpus: Sequence[Device], switches: Sequence[Device]
) -> None:
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
                    f"device {devices.index(one)} is connected to others than those that are here",
                )


def _each(items: Sequence[T], judge: Callable[[T], R]) -> tuple[R, ...]:
    """What `judge` says of each; of several errors the foremost is raised, and names the place."""
    said: list[R] = []
    errors: list[VerificationError] = []
    for index, item in enumerate(items):
        try:
            said.append(_placed(index, item, judge))
        except VerificationError as error:
            errors.append(error)
    if errors:
        raise _foremost(errors)
    return tuple(said)


def _placed(index: int, item: T, judge: Callable[[T], R]) -> R:
    try:
        return judge(item)
    except VerificationError as error:
        placed = VerificationError(error.reason, f"device {index}: {error.detail}")
        placed.authentic = error.authentic
        raise placed from error
