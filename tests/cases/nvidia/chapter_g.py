# SPDX-License-Identifier: Apache-2.0
"""Lines 65 to 69 and 74: several devices of one system, and what a manifest does not cover."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from simulator.nvidia import devices as fake
from simulator.nvidia.reports import GPU, blocks
from tests import nvidia_devices as lab
from tests import nvidia_vectors as vectors
from tests.cases.nvidia.case import Case
from tests.nvidia_devices import Exhibit, System
from verifiers.anchors import builtin
from verifiers.errors import Reason
from verifiers.nvidia.claims import Topology
from verifiers.nvidia.system import verify_set

DUPLICATE, TOPOLOGY = Reason.DUPLICATE_DEVICE, Reason.TOPOLOGY
INCOMPLETE, MISMATCH = Reason.INCOMPLETE, Reason.MEASUREMENT_MISMATCH
WHOLE = lab.ppcie()
HGX = "hgx-h100x8-ls10x4-590.12-ppcie"


def gpu(number: int, mode: int = 0) -> Exhibit:
    written = GPU.having({21: None, 34: b"\1\0", 36: bytes([mode, 0])})
    return Exhibit(device=fake.device(number), written=written)


def judged(*exhibits: Exhibit) -> Topology:
    return System(exhibits).verify().topology


def real(*places: int) -> object:
    """The verdict on some devices of a real system, whose manifests nobody has."""
    vector = vectors.load(HGX)
    devices = [vector.devices[place] for place in places]
    return verify_set(devices, vector.endorsements, builtin(), vector.nonce, vector.at)


def four_times() -> object:
    vector = vectors.variant("ls10-96.10.55.00.01", "negative/same_switch_four_times.json")
    return verify_set(vector.devices, vector.endorsements, builtin(), vector.nonce, vector.at)


UPDATED = gpu(0).but(device=fake.device(0).on_terms(0, key="after an update"))
TWICE = [
    Case(65, "two devices", Topology.INDEPENDENT, lambda: judged(gpu(0), gpu(1))),
    Case(65, "one device twice", DUPLICATE, lambda: judged(gpu(0), gpu(0))),
    Case(65, "one board with two keys", DUPLICATE, lambda: judged(gpu(0), gpu(1), UPDATED)),
    Case(65, "a real switch four times", DUPLICATE, four_times),
    Case(65, "a real GPU twice", DUPLICATE, partial(real, 0, *range(12))),
    Case(
        65,
        "a GPU twice among eight",
        DUPLICATE,
        lambda: WHOLE.having(1, WHOLE.exhibits[0]).verify().topology,
    ),
]

COUNTS = [
    Case(66, "eight GPUs and four switches", Topology.PPCIE, lambda: WHOLE.verify().topology),
    *(
        Case(66, why, TOPOLOGY, WHOLE.without(*less).verify)
        for why, less in {
            "seven GPUs": (0,),
            "three switches": (11,),
            "no switch": (8, 9, 10, 11),
            "four GPUs and no switch": (4, 5, 6, 7, 8, 9, 10, 11),
            "one GPU": tuple(range(1, 12)),
        }.items()
    ),
    Case(66, "seven real GPUs and four switches", TOPOLOGY, partial(real, *range(1, 12))),
    Case(66, "four real GPUs", TOPOLOGY, partial(real, 0, 1, 2, 3)),
    Case(
        66, "a switch beside a GPU that is alone", TOPOLOGY, lambda: judged(gpu(0), lab.a_switch())
    ),
]


def stranger(place: int) -> object:
    """A device of another system in the place of one."""
    old = WHOLE.exhibits[place]
    one = fake.switch(90) if place >= 8 else fake.device(90)
    fields: dict[int, bytes | None] = {22: one.pdi} if place >= 8 else {}
    return WHOLE.having(place, old.but(device=one).having(fields)).verify().topology


def naming(place: int, field: int, value: bytes | None) -> object:
    return WHOLE.having(place, WHOLE.exhibits[place].having({field: value})).verify().topology


GPU_PDIS = [one.device.pdi for one in WHOLE.exhibits[:8]]
SWITCH_PDIS = [one.device.pdi[::-1] for one in WHOLE.exhibits[8:]]
LISTS = [
    Case(
        67,
        "a real system, of which only manifests are missing",
        INCOMPLETE,
        partial(real, *range(12)),
    ),
    Case(67, "a GPU of another system", TOPOLOGY, partial(stranger, 2)),
    Case(67, "a switch of another system", TOPOLOGY, partial(stranger, 8)),
    *(
        Case(67, f"a GPU that names {why}", expect, partial(naming, 4, 22, value))
        for why, expect, value in (
            ("all switches, in another order", Topology.PPCIE, b"".join(SWITCH_PDIS[::-1])),
            ("no switch", TOPOLOGY, None),
            ("three switches", TOPOLOGY, b"".join(SWITCH_PDIS[:3])),
            ("five switches", TOPOLOGY, b"".join(SWITCH_PDIS) + b"stranger"),
            ("nothing on a link", TOPOLOGY, b"".join(SWITCH_PDIS) + bytes(8)),
            ("switches not reversed", TOPOLOGY, b"".join(pdi[::-1] for pdi in SWITCH_PDIS)),
        )
    ),
    *(
        Case(67, f"a switch that names {why}", expect, partial(naming, 9, 26, value))
        for why, expect, value in (
            ("all GPUs, in another order", Topology.PPCIE, b"".join(GPU_PDIS[::-1]) + bytes(64)),
            ("no GPU", TOPOLOGY, None),
            ("seven GPUs", TOPOLOGY, b"".join(GPU_PDIS[:7]) + b"\xff" * 8 + bytes(64)),
            ("a GPU twice", TOPOLOGY, b"".join([*GPU_PDIS[:7], GPU_PDIS[0]]) + bytes(64)),
            ("another GPU", TOPOLOGY, b"".join([*GPU_PDIS[:7], b"stranger"]) + bytes(64)),
        )
    ),
    Case(
        67,
        "a switch that calls itself another",
        Reason.ENDORSEMENT_MISMATCH,
        partial(naming, 9, 22, SWITCH_PDIS[0]),
    ),
]

MODES = [
    Case(68, "all SPT", Topology.INDEPENDENT, lambda: judged(gpu(0), gpu(1))),
    Case(68, "all MPT", Topology.INDEPENDENT, lambda: judged(gpu(0, 1), gpu(1, 1))),
    Case(68, "SPT and MPT", TOPOLOGY, lambda: judged(gpu(0, 0), gpu(1, 1))),
    Case(68, "SPT and PPCIE", TOPOLOGY, lambda: judged(gpu(0, 0), gpu(1, 2))),
    Case(
        68,
        "one that does not say",
        TOPOLOGY,
        lambda: judged(gpu(0), gpu(1).having({34: None, 36: None})),
    ),
    Case(
        68,
        "one of eight in another mode",
        TOPOLOGY,
        lambda: WHOLE.having(7, WHOLE.exhibits[7].having({21: b"\x55", 36: b"\0\0"})).verify(),
    ),
]


def differing(*indexes: int) -> object:
    changed = list(blocks(64))
    for index in indexes:
        changed[index] = replace(changed[index], value=b"development tools on their ")
    padded = tuple(replace(one, value=one.value.ljust(48, b".")) for one in changed)
    return Exhibit(written=GPU.but(blocks=padded)).verify().coverage.not_covered


COVERED = [
    Case(69, "measurement 7 differs", MISMATCH, partial(differing, 7)),
    Case(69, "measurement 21 differs", MISMATCH, partial(differing, 21)),
    Case(69, "all differ", MISMATCH, partial(differing, *range(64))),
    Case(
        74,
        "what no manifest has is said",
        (*range(13, 21), *range(41, 64)),
        partial(differing),
    ),
    Case(
        74,
        "and may be anything",
        (*range(13, 21), *range(41, 64)),
        partial(differing, 13, 20, 41, 63),
    ),
    Case(
        74, "a switch's manifest has all", (), lambda: lab.a_switch().verify().coverage.not_covered
    ),
]

CASES = [*TWICE, *COUNTS, *LISTS, *MODES, *COVERED]
