# SPDX-License-Identifier: Apache-2.0
"""Lines 36 to 41: the four TCBs of a report, against each other and against floors."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from simulator.products import MILAN
from tests.cases.snp.case import VERIFIED, Case, reported
from tests.cases.snp.judged import ACCEPTED, TWO_WORDS, Judged, Refused, denied, fine
from verifiers.errors import Reason

if TYPE_CHECKING:
    from simulator.products import Version
    from tests.cases.snp.case import Alteration
    from tests.snp_lab import SnpLab

INCONSISTENT = Reason.TCB_INCONSISTENT
GENOA_MODEL, BERGAMO_MODEL = (0x19, 0x11, 1), (0x19, 0xA0, 2)


def floor(**targets: dict[str, dict[str, int]]) -> dict[str, Any]:
    """Own floors by CPU model ("_" for "-", "m" before it) or product line."""
    names = {name: name.removeprefix("m").replace("_", "-") for name in targets}
    return {"tcb": {"minimum": {names[name]: value for name, value in targets.items()}}}


def levels(**changes: dict[str, int]) -> Alteration:
    """TCB versions of the report, parts changed by so much from the machine's."""

    def make(lab: SnpLab) -> None:
        right = lab.machine.tcb
        for name, parts in changes.items():
            shifted = {part: getattr(right, part) + by for part, by in parts.items()}
            lab.report(**{f"{name}_tcb": replace(right, **shifted)})

    return make


def on(cpu: Version, **tcb: int) -> Alteration:
    """A machine with this CPU and these parts of its TCB."""

    def make(lab: SnpLab) -> None:
        product = lab.machine.product
        lab.machine = lab.amd.machine(product.name, cpu=cpu, tcb=replace(product.tcb, **tcb))

    return make


RELAXED = {"relax": {"reported-below-committed": TWO_WORDS, "committed-below-current": TWO_WORDS}}
FLOOR = floor(m19_11_1={"reported": {"snp": 0x1B, "microcode": 0x56}})
BOTH_MODELS = floor(
    m19_11_1={"reported": {"microcode": 0x56}}, m19_a0_2={"reported": {"microcode": 0x1B}}
)

JUDGED = (
    Judged(36, "REPORTED_TCB at the floor", ACCEPTED, fine, FLOOR),
    Judged(
        36,
        "REPORTED_TCB below the floor, all others above",
        denied("tcb-floor"),
        levels(reported={"snp": -1}),
        FLOOR,
        sections=RELAXED,
    ),
    Judged(
        36,
        "microcode below the floor",
        denied("tcb-floor"),
        levels(reported={"microcode": -3}),
        FLOOR,
        sections=RELAXED,
    ),
    Judged(36, "another stepping has no floor", denied("tcb-floor"), on((0x19, 0x11, 2)), FLOOR),
    Judged(36, "another model has no floor", denied("tcb-floor"), on(BERGAMO_MODEL), FLOOR),
    Judged(
        36,
        "version 2 names no model",
        denied("tcb-floor", "report-version-below-3", "alias-check-missing"),
        reported(version=2),
        floor(m19_01_1={"reported": {"snp": 1}}),
        product="Milan",
    ),
    Judged(
        37, "Bergamo by its own floor", ACCEPTED, on(BERGAMO_MODEL, microcode=0x1B), BOTH_MODELS
    ),
    Judged(
        37,
        "Bergamo below its own floor",
        denied("tcb-floor"),
        on(BERGAMO_MODEL, microcode=0x1A),
        BOTH_MODELS,
    ),
    Judged(
        37,
        "Genoa with what is enough for Bergamo",
        denied("tcb-floor"),
        on(GENOA_MODEL, microcode=0x1B),
        BOTH_MODELS,
    ),
    Judged(
        38,
        "more microcode does not make up for an older SNP firmware",
        denied("tcb-floor"),
        on(GENOA_MODEL, snp=0x1A, microcode=0xFF),
        FLOOR,
    ),
    Judged(
        38,
        "nor a newer boot loader",
        denied("tcb-floor"),
        on(GENOA_MODEL, bootloader=0xFF, snp=0x1A),
        FLOOR,
    ),
    Judged(
        40,
        "REPORTED below COMMITTED",
        denied("reported-below-committed"),
        levels(reported={"snp": -1}),
    ),
    Judged(
        40,
        "COMMITTED below CURRENT",
        denied("committed-below-current"),
        levels(reported={"snp": -1}, committed={"snp": -1}),
    ),
    Judged(40, "LAUNCH below all others", ACCEPTED, levels(launch={"snp": -1})),
    Judged(
        41,
        "LAUNCH below its floor",
        denied("tcb-floor"),
        levels(launch={"snp": -1}),
        floor(m19_11_1={"launch": {"snp": 0x1B}}),
    ),
    Judged(
        41,
        "COMMITTED below its floor",
        denied("tcb-floor"),
        fine,
        floor(Genoa={"committed": {"snp": 0x1C}}),
    ),
    Judged(
        41,
        "CURRENT below its floor",
        denied("tcb-floor"),
        fine,
        floor(Genoa={"current": {"snp": 0x1C}}),
    ),
)

REFUSED = (
    Refused(
        37,
        "one floor of microcode for a product line",
        "snp.tcb.minimum.Genoa.reported.microcode",
        floor(Genoa={"reported": {"microcode": 0x56}}),
    ),
    Refused(
        41,
        "a floor for a part that the product does not have",
        "snp.tcb.minimum.Genoa.reported.fmc",
        floor(Genoa={"reported": {"fmc": 1}}),
    ),
)

# What a report may never say, whatever the policy; and what it may.
CASES = (
    *(
        Case(39, f"REPORTED above COMMITTED: {part}", INCONSISTENT, levels(committed={part: -1}))
        for part in ("bootloader", "snp", "microcode")
    ),
    *(
        Case(39, f"COMMITTED above CURRENT: {part}", INCONSISTENT, levels(current={part: -1}))
        for part in ("bootloader", "snp", "microcode")
    ),
    *(
        Case(39, f"LAUNCH above CURRENT: {part}", INCONSISTENT, levels(launch={part: 1}))
        for part in ("bootloader", "tee", "snp", "microcode")
    ),
    Case(
        39,
        "Turin: FMC of REPORTED above COMMITTED",
        INCONSISTENT,
        levels(committed={"fmc": -1}),
        product="Turin",
    ),
    Case(
        39,
        "Turin: TEE of COMMITTED above CURRENT",
        INCONSISTENT,
        levels(current={"tee": -1}),
        product="Turin",
    ),
    Case(
        39, "LAUNCH above COMMITTED", VERIFIED, levels(reported={"snp": -1}, committed={"snp": -1})
    ),
    Case(
        39,
        "more of one part does not make up for another",
        INCONSISTENT,
        levels(current={"snp": 5, "microcode": -1}),
    ),
    Case(
        38,
        "as one number it would be higher",
        INCONSISTENT,
        levels(current={"snp": -1, "microcode": 1}),
        product="Milan",
    ),
    Case(
        36,
        "the TCB that the key proves is the reported one",
        VERIFIED,
        levels(reported={"snp": -1}),
        lambda c: (
            c.vek.tcb == c.reported_tcb != c.current_tcb and c.vek.tcb.snp == MILAN.tcb.snp - 1
        ),
        product="Milan",
    ),
)
