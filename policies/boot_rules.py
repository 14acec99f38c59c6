# SPDX-License-Identifier: Apache-2.0
"""Rules over the logs of a measured boot.

A log is a word of the guest that its registers can contradict: where one does, in a register that matters, the machine
is denied whether the policy speaks of logs or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies.measurements import covered
from policies.registers import PCRS
from policies.result import Finding, RuleResult
from policies.rules import RuleId
from verifiers.eventlog.events import RTMRS, Register
from verifiers.eventlog.replay import ReplayState
from verifiers.evidence import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policies.case import Case
    from verifiers.eventlog.judged import Boot

# Those that are written before the system runs, so that the log of the firmware and boot loaders is complete.
_OF_A_TD = RTMRS[:3]
_OF_A_TPM = range(10)


def default_replay(case: Case, boot: Boot) -> tuple[Register, ...]:
    """Which registers logs have to explain where the policy does not say it.

    Of a TD RTMR0 to RTMR2. Of a virtual TPM those of PCR 0 to 9 that the logs have an event for and that every entry of
    a used reference set pins: a running system extends others, and writes it into no log of the firmware.
    """
    if case.claims.provider is not Provider.AZURE:
        return _OF_A_TD
    pinned = {PCRS[one] for one in covered(case.document) if one in PCRS}
    return tuple(
        register
        for register, one in boot.replayed.items()
        if one.count and register in _PCR_NUMBERS and _PCR_NUMBERS[register] in pinned
    )


_PCR_NUMBERS = {Register(f"pcr{number}"): number for number in _OF_A_TPM}


def check_replay(case: Case) -> Iterator[Finding]:
    """`boot-replay`: the logs explain the registers that they have to."""
    boot = case.boot
    if boot is None:
        return
    for register in sorted(default_replay(case, boot)):
        one = boot.replayed.get(register)
        state = ReplayState.ABSENT if one is None else one.state
        good = one is not None and one.explained
        wrong = state is ReplayState.MISMATCH
        yield Finding(
            RuleId.BOOT_REPLAY,
            f"boot.replayed.{register}",
            RuleResult.PASS if good else RuleResult.FAIL if wrong else RuleResult.MISSING,
            expected="logs that give the quoted value",
            actual=state.value,
            hint="" if good else f"{register}: {_WHY[state]}",
        )


_WHY = {
    ReplayState.MISMATCH: "the logs give another value than the quote",
    ReplayState.UNEXPLAINED: "it was extended, and no log has an event for it",
    ReplayState.ABSENT: "the evidence has no value of it",
}
