# SPDX-License-Identifier: Apache-2.0
"""What verification says of the NVIDIA devices of one machine, offline and without a policy, for several commands.

The verifier is the library's, with the built-in anchors. Manifests, OCSP answers and tokens of NVIDIA's attestation
service are what the caller has; without a manifest that a report needs no device is verified, unless the service's word
stands for it; without answers revocation is `not-checked`. A nonce is compared if one is given. Collateral past its
next update is a refusal where no policy is asked (`judge_dates`). Nothing is fetched.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime  # noqa: TC003 - a dataclass field
from typing import TYPE_CHECKING, Final

import typer

from ca.cli.inputs import text_hint
from verifiers.anchors import builtin
from verifiers.claims import to_json
from verifiers.endorsements import Revocation
from verifiers.errors import Reason, Verdict, VerificationError
from verifiers.nvidia.claims import AppraisedBy, NvidiaSetClaims, Topology
from verifiers.nvidia.device import Device, authenticate
from verifiers.nvidia.eat import find_answers
from verifiers.nvidia.endorsements import NvidiaEndorsements
from verifiers.nvidia.files import read_files
from verifiers.nvidia.system import check_set, verify_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ca.cli.given import Documents
    from verifiers.claims import JsonValue
    from verifiers.nvidia.evidence import NvidiaEvidence

TECHNOLOGY: Final = "nvidia"


@dataclass(frozen=True, slots=True)
class DeviceInspection:
    """One verification, whatever came of it. Claims beside a reason: only dates of the collateral failed.

    Attributes:
        count: how many devices the files hold; 0 where these could not be read.
        authentic: the devices, if all are genuine and answer what they must, though they were not verified.
        topology: what these prove of each other, if they belong together.
    """

    verdict: Verdict
    reason: Reason | None
    detail: str
    claims: NvidiaSetClaims | None
    count: int
    authentic: tuple[Device, ...]
    topology: Topology | None
    checked_at: datetime


def inspect_devices(
    data: Sequence[bytes], given: Documents, now: datetime, by: AppraisedBy | None = None
) -> DeviceInspection:
    """To the end or to the first fault; collateral past its next update is none yet.

    `by`: whose comparison with the manifests counts; None for that of whoever has something to compare with.

    Raises:
        BadParameter: files that make no devices' evidence.
    """
    evidence: tuple[NvidiaEvidence, ...] = ()
    try:
        files = read_files(data)
        evidence = files.evidence
        endorsements = NvidiaEndorsements(
            _unique([*files.rims, *given.rims]),
            _unique(given.ocsp),
            _unique(answer for file in given.tokens for answer in find_answers(file)),
            given.jwks,
        )
        by = by or _who_can(endorsements)
        claims = verify_set(evidence, endorsements, builtin(), given.nonce, now, by)
    except VerificationError as error:
        if error.reason is Reason.EVIDENCE:
            raise typer.BadParameter(error.detail) from error
        known = evidence if error.authentic else ()
        authentic = tuple(authenticate(one, builtin(), given.nonce, now) for one in known)
        return DeviceInspection(
            error.reason.verdict,
            error.reason,
            error.detail + text_hint(data, error.reason),
            None,
            len(evidence),
            authentic,
            _topology(authentic),
            now,
        )
    count, topology = len(evidence), claims.topology
    return DeviceInspection(Verdict.VERIFIED, None, "", claims, count, (), topology, now)


def _who_can(endorsements: NvidiaEndorsements) -> AppraisedBy:
    if not endorsements.nras:
        return AppraisedBy.LOCAL
    return AppraisedBy.BOTH if endorsements.rims else AppraisedBy.NRAS


def _topology(authentic: Sequence[Device]) -> Topology | None:
    try:
        return check_set(authentic)[1] if authentic else None
    except VerificationError:  # which has been said, or what these devices say is not known
        return None


def _unique(documents: Iterable[bytes]) -> tuple[bytes, ...]:
    """Each once, in order: a manifest may stand in the folder and be named as well."""
    return tuple(dict.fromkeys(documents))


def judge_dates(found: DeviceInspection) -> DeviceInspection:
    """No policy is asked here, so nobody tolerates collateral past its next update."""
    if found.claims is None:
        return found
    expired = {
        f"{part.part} since {part.next_update.isoformat()}": None
        for device in found.claims.devices
        for part in device.expired_parts
    }
    if not expired:
        return found
    reason = Reason.COLLATERAL_EXPIRED
    detail = f"expired: {', '.join(expired)}"
    return replace(found, verdict=reason.verdict, reason=reason, detail=detail)


def inspection_json(found: DeviceInspection) -> dict[str, JsonValue]:
    """The object that `--json` prints, with the members of every technology. Names and shapes are stable."""
    reason: JsonValue = None
    if found.reason is not None:
        reason = {"code": str(found.reason), "detail": found.detail}
    return {
        "verdict": str(found.verdict),
        "reason": reason,
        "tee": TECHNOLOGY,
        "tcb": None,
        "revocation": revocation_json(found),
        "claims": None if found.claims is None else claims_json(found.claims),
        "checked_at": to_json(found.checked_at),
    }


def revocation_json(found: DeviceInspection) -> dict[str, JsonValue]:
    """State of the devices' chains and of the manifests': good if there are any, and all are; the claims say each."""
    if found.claims is None:
        revoked = found.reason is Reason.CERTIFICATE_REVOKED
        state = Revocation.REVOKED if revoked else Revocation.NOT_CHECKED
        return {"device_chains": str(state), "rim_chains": str(state)}
    devices = found.claims.devices
    return {
        "device_chains": _all_of(one.revocation for one in devices),
        "rim_chains": _all_of(rim.revocation for one in devices for rim in one.rims),
    }


def _all_of(states: Iterable[Revocation]) -> str:
    good = set(states) == {Revocation.GOOD}
    return str(Revocation.GOOD if good else Revocation.NOT_CHECKED)


def claims_json(claims: NvidiaSetClaims) -> dict[str, JsonValue]:
    """The claims: what holds for all devices, then each."""
    return {
        "tee": TECHNOLOGY,
        "mode": to_json(claims.mode),
        "topology": str(claims.topology),
        "nonce": claims.nonce.hex(),
        "bound": claims.bound,
        "devices": [to_json(device) for device in claims.devices],
    }
