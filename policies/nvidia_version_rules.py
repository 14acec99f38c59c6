# SPDX-License-Identifier: Apache-2.0
"""Rules over the versions of NVIDIA's drivers and firmware.

A manifest, and NVIDIA's attestation service, vouch for a version whatever holes it has. What is too old is said by
bulletins (`policies.minimums`) or by the policy itself, or the policy says why it has no minimum. Versions compare
within one branch of a driver, or one line of firmware (its first number); what has no minimum of its own is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from policies.case import passed
from policies.nvidia_rules import of_device
from policies.nvidia_versions import branch, driver_numbers, vbios_numbers
from policies.result import Finding, RuleResult
from policies.rules import RuleId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from policies.case import NvidiaCase
    from verifiers.nvidia.claims import NvidiaClaims

K = TypeVar("K", bound=str)

_POLICY = "the policy"


def check_driver(case: NvidiaCase) -> Iterator[Finding]:
    """`driver-minimum`: each GPU's, by the policy's own minimum and each advisory it names; or a reason for none."""
    rules = case.rules.driver
    if rules.no_minimum is not None and case.gpus:
        yield _no_minimum(RuleId.DRIVER_MINIMUM, rules.no_minimum)
    known = {name: one.driver for name, one in case.advisories.items()}
    for place, device in case.gpus:
        text = device.driver_version or ""
        version = _Version(
            RuleId.DRIVER_MINIMUM, place, device, "driver_version", text, driver_numbers
        )
        yield from version.by_all(branch(text), rules.minimum, rules.advisories, known)


def check_vbios(case: NvidiaCase) -> Iterator[Finding]:
    """`vbios-minimum`: likewise of the firmware of each device, for a switch its BIOS."""
    rules = case.rules.vbios
    if rules.no_minimum is not None and case.devices:
        yield _no_minimum(RuleId.VBIOS_MINIMUM, rules.no_minimum)
    known = {name: one.vbios for name, one in case.advisories.items()}
    for place, device in case.placed:
        text = device.vbios_version
        version = _Version(
            RuleId.VBIOS_MINIMUM, place, device, "vbios_version", text, vbios_numbers
        )
        yield from version.by_all(device.family, rules.minimum, rules.advisories, known)


def _no_minimum(rule: RuleId, reason: str) -> Finding:
    return Finding(
        rule,
        "devices",
        RuleResult.WARNED,
        expected="a minimum",
        hint=f"the policy has no minimum: {reason}",
    )


@dataclass(frozen=True, slots=True)
class _Version:
    """One version of one device. `numbers`: reads it; raises ValueError."""

    rule: RuleId
    place: int
    device: NvidiaClaims
    field: str
    text: str
    numbers: Callable[[str], tuple[int, ...]]

    def by_all(
        self,
        line: K,
        own: Mapping[K, str],
        advisories: Sequence[str],
        known: Mapping[str, Mapping[K, str]],
    ) -> Iterator[Finding]:
        """By the policy's own minimum for its line (a branch or a family), and by each advisory's."""
        if own:
            yield self._judged(_POLICY, own.get(line))
        for name in advisories:
            lowest = known.get(name)
            yield self._unheard(name) if lowest is None else self._judged(name, lowest.get(line))

    def _judged(self, source: str, least: str | None) -> Finding:
        """Compared with the minimum that `source` has for it, if that has one."""
        if least is None:
            hint = f"{source} has no minimum for this branch or family, so none of its versions will do"
            return self._finding(source, RuleResult.FAIL, "has none for it", hint)
        hint = f"older than {source} asks for, or not comparable: update it"
        return self._finding(source, passed(self._reaches(least)), f"at least {least}", hint)

    def _unheard(self, source: str) -> Finding:
        """The list has no such advisory."""
        hint = f"{source} is not in the list of minimums"
        return self._finding(source, RuleResult.MISSING, "an advisory of the list", hint)

    def _reaches(self, least: str) -> bool:
        need = self.numbers(least)
        try:
            have = self.numbers(self.text)
        except ValueError:
            return False
        return have[0] == need[0] and have >= need

    def _finding(self, source: str, result: RuleResult, expected: str, hint: str) -> Finding:
        return of_device(
            self.rule,
            self.place,
            self.device,
            self.field,
            result,
            expected=f"{source}: {expected}",
            actual=self.text or "not reported",
            hint=f"{self.text or 'no version'} is not good enough: {hint}",
        )
