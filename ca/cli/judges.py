# SPDX-License-Identifier: Apache-2.0
"""Who judges evidence on the command line: the policy and the lists of numbers that it may name, and their word.

Of a list the newer of the named and the built-in one counts. The functions of `policies` do the judging; here is only
which of them is asked: over a CPU with or without devices, or over devices alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from ca.cli.exits import UnreadableError
from ca.cli.inputs import read_input

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from policies.appraise import Devices
    from policies.floors import Floors
    from policies.loader import LoadedPolicy
    from policies.minimums import Minimums
    from policies.result import Finding, FloorsRef, MinimumsRef
    from verifiers.claims import Claims
    from verifiers.eventlog.judged import Boot
    from verifiers.nvidia.claims import NvidiaSetClaims

T = TypeVar("T")

PolicyOption = Annotated[
    str | None,
    typer.Option(
        "--policy",
        metavar="FILE",
        help="Default: the built-in strict one of the technology, which pins nothing.",
    ),
]
FloorsOption = Annotated[
    str | None,
    typer.Option(
        "--amd-floors",
        metavar="FILE",
        help="Floors by AMD's advisories, if newer than the built-in ones.",
    ),
]
MinimumsOption = Annotated[
    str | None,
    typer.Option(
        "--nvidia-minimums",
        metavar="FILE",
        help="Lowest versions by NVIDIA's bulletins, if newer than the built-in ones.",
    ),
]


@dataclass(frozen=True, slots=True)
class Judges:
    """What the command line names; None for what it does not."""

    policy: LoadedPolicy | None
    floors: Floors | None
    minimums: Minimums | None


@dataclass(frozen=True, slots=True)
class Judged:
    """The policy's word.

    Attributes:
        accepted: whether no finding denies. findings: of every rule.
        floors, minimums: the lists that the policy asked; None where it asks none.
    """

    accepted: bool
    findings: tuple[Finding, ...]
    floors: FloorsRef | None
    minimums: MinimumsRef | None


def load(policy: str | None, floors: str | None, minimums: str | None) -> Judges:
    """What these files hold. Raises UnreadableError for one that does not load."""
    from policies.floors import builtin_floors, load_floors
    from policies.loader import load_policy
    from policies.minimums import builtin_minimums, load_minimums
    from policies.versioned import newest

    return Judges(
        _load(policy, load_policy),
        _load(floors, lambda text: newest(builtin_floors(), load_floors(text))),
        _load(minimums, lambda text: newest(builtin_minimums(), load_minimums(text))),
    )


def _load(name: str | None, read: Callable[[bytes], T]) -> T | None:
    from policies.errors import PolicyError

    if name is None:
        return None
    try:
        return read(read_input(name))
    except PolicyError as error:
        raise UnreadableError(f"{name}:\n{error}") from error


def judge_machine(
    claims: Claims,
    devices: Devices,
    policy: LoadedPolicy,
    judges: Judges,
    now: datetime,
    boot: Boot | None = None,
) -> Judged:
    """A CPU, with the devices and the event logs that came beside it."""
    from policies.appraise import appraise
    from policies.result import Decision

    result = appraise(
        claims,
        policy,
        now,
        judges.floors,
        devices=devices,
        minimums=judges.minimums,
        boot=boot,
    )
    accepted = result.decision is Decision.ACCEPTED
    return Judged(accepted, result.findings, result.floors, result.minimums)


def judge_devices(
    devices: NvidiaSetClaims, policy: LoadedPolicy, judges: Judges, now: datetime
) -> Judged:
    """Devices alone: the section `nvidia`, and nothing else of the policy."""
    from policies.appraise import appraise_devices
    from policies.minimums import builtin_minimums
    from policies.result import TOLERABLE, MinimumsRef

    document = policy.document
    findings = appraise_devices(devices, document, now, judges.minimums)
    minimums = None
    if document.nvidia is not None and document.nvidia.advisories:
        asked = judges.minimums or builtin_minimums()
        minimums = MinimumsRef(asked.file.version, asked.sha256)
    accepted = bool(findings) and all(one.result in TOLERABLE for one in findings)
    return Judged(accepted, findings, None, minimums)
