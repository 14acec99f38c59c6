# SPDX-License-Identifier: Apache-2.0
"""Whether a section `nvidia` is wise; a part of `policies.lint`.

What no machine can ever meet is an error: the policy would deny everybody. What lets in more than it seems to, or keeps
out more, is a warning.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from policies.minimums import builtin_minimums
from verifiers.nvidia.claims import AppraisedBy, DeviceKind, Family, Mode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policies.nvidia_document import Count, DriverRules, NvidiaRules, VbiosRules
    from policies.tree import Path

_PPCIE_GPUS = 8
_PPCIE_SWITCHES = 4
_UNSEEN = timedelta(hours=24)  # an OCSP answer is good for a day by itself


def errors(rules: NvidiaRules) -> Iterator[tuple[Path, str]]:
    """What refuses the document."""
    if rules.appraisal is AppraisedBy.NRAS and rules.coverage is not None:
        yield (
            ("nvidia", "coverage"),
            "NVIDIA's service does not say what it compared: coverage wants appraisal: local or both",
        )
    yield from _modes(rules)
    for kind, count in ((DeviceKind.GPU, rules.gpus), (DeviceKind.SWITCH, rules.switches)):
        if count.max and not any(family.kind is kind for family in rules.models):
            known = ", ".join(family for family in Family if family.kind is kind)
            yield (
                ("nvidia", "models"),
                f"no family of a {kind} is listed ({known}): none would pass",
            )
    least = rules.gpus.min + rules.switches.min
    if rules.devices is not None and len(rules.devices) < least:
        yield ("nvidia", "devices"), f"fewer than the {least} devices that must be there"


def _modes(rules: NvidiaRules) -> Iterator[tuple[Path, str]]:
    """Switches and the mode ppcie go together, eight GPUs and four switches; other modes have no switches."""
    others = rules.modes - {Mode.PPCIE}
    if Mode.PPCIE in rules.modes:
        there = _may_be(rules.gpus, _PPCIE_GPUS, only=not others)
        there &= _may_be(rules.switches, _PPCIE_SWITCHES, only=not others)
        if not there:
            yield (
                ("nvidia", "modes"),
                "ppcie means eight GPUs and four switches: say so as gpus and switches",
            )
    elif rules.switches.max:
        yield ("nvidia", "switches"), "switches report in the mode ppcie alone: list it, or say 0"
    if others and rules.switches.min:
        yield (
            ("nvidia", "modes"),
            f"no switch reports beside a GPU in the mode {' or '.join(sorted(others))}: say ppcie alone",
        )


def _may_be(count: Count, number: int, *, only: bool) -> bool:
    return count.has(number) and not (only and count.min != count.max)


def warnings(rules: NvidiaRules) -> Iterator[tuple[Path, str]]:
    """What is shown."""
    if rules.gpus.min == 0 and rules.gpus.max:
        yield ("nvidia", "gpus"), "a machine without any GPU is accepted too"
    if rules.coverage is None and rules.appraisal is not AppraisedBy.NRAS:
        yield (
            ("nvidia", "coverage"),
            "not said: a device passes with manifests that vouch for one of its measurements",
        )
    for part, budget in rules.tolerate_stale.items():
        if budget > _UNSEEN:
            yield ("nvidia", "tolerate_stale", part.value), "a revocation is not seen for so long"
    yield from _driver(rules.driver)
    yield from _vbios(rules.vbios, rules.models)


def _driver(driver: DriverRules) -> Iterator[tuple[Path, str]]:
    path = ("nvidia", "driver")
    if driver.no_minimum is not None:
        yield (*path, "no_minimum"), "no minimum: drivers with known holes are accepted"
    known = builtin_minimums().file.advisories
    for index, name in enumerate(driver.advisories):
        if name not in known:
            yield (*path, "advisories", index), _unheard(name)
        elif not known[name].driver:
            yield (*path, "advisories", index), f"{name} gives no driver versions: none will do"


def _vbios(vbios: VbiosRules, models: frozenset[Family]) -> Iterator[tuple[Path, str]]:
    path = ("nvidia", "vbios")
    if vbios.no_minimum is not None:
        yield (*path, "no_minimum"), "no minimum: firmware with known holes is accepted"
    if vbios.minimum and (without := models - vbios.minimum.keys()):
        yield (*path, "minimum"), f"{', '.join(sorted(without))} has none: its devices are refused"
    known = builtin_minimums().file.advisories
    for index, name in enumerate(vbios.advisories):
        if name not in known:
            yield (*path, "advisories", index), _unheard(name)
        elif without := models - known[name].vbios.keys():
            yield (
                (*path, "advisories", index),
                f"{name} gives no version of {', '.join(sorted(without))}: none will do",
            )


def _unheard(name: str) -> str:
    return f"{name} is not in the list of this program: only a newer list knows it"
