# SPDX-License-Identifier: Apache-2.0
"""Machines that booted, as policies see them: claims with the registers of a history, and its log after replay."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests import boot_lab
from tests.unit.policies.claims_factory import GOOD
from verifiers.eventlog.boot import boot_claims
from verifiers.eventlog.events import RTMRS, Algorithm, EventLog, Register
from verifiers.eventlog.judged import Boot
from verifiers.eventlog.replay import replay

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.boot_lab import Step
    from verifiers.tdx.claims import TdxClaims


def of_registers(values: Mapping[Register, bytes]) -> TdxClaims:
    """Claims of a TD with these RTMRs; those that are not given are zero."""
    rtmrs = {one.value: values.get(one, bytes(48)) for one in RTMRS}
    return replace(GOOD, td=replace(GOOD.td, **rtmrs))


def booted(history: Sequence[Step]) -> TdxClaims:
    """Claims of a TD whose registers these events made."""
    return of_registers(boot_lab.registers(list(history)))


def judged(claims: TdxClaims, *logs: EventLog) -> Boot:
    """These logs against the claims' registers."""
    values = {register: bytes(getattr(claims.td, register)) for register in RTMRS}
    replayed = replay(logs, values, Algorithm.SHA384)
    formats = tuple(log.format for log in logs)
    return Boot(formats, Algorithm.SHA384, replayed, boot_claims(logs, replayed))


def logged(history: Sequence[Step], told: Sequence[Step] | None = None) -> tuple[TdxClaims, Boot]:
    """A machine of this history, and what its log (`told`, or the truth) came to."""
    claims = booted(history)
    return claims, judged(claims, boot_lab.log_of(list(history if told is None else told)))
