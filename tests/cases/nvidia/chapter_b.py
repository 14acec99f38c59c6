# SPDX-License-Identifier: Apache-2.0
"""Lines 12 to 20: the signature of a report, the nonce that it answers, the firmware that its key was certified for."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from simulator.nvidia import devices as fake
from simulator.nvidia.certificates import DAY, raw
from simulator.nvidia.reports import GPU, NONCE
from simulator.nvidia.rims import DRIVER, VBIOS
from tests import nvidia_vectors as vectors
from tests.cases.nvidia.case import Case
from tests.nvidia_devices import Exhibit, System
from verifiers.anchors import builtin
from verifiers.errors import Reason
from verifiers.nvidia.verify import verify

SIGNATURE, MISMATCH = Reason.SIGNATURE, Reason.ENDORSEMENT_MISMATCH
BOUND, UNBOUND = True, False
BINDING = Reason.BINDING_MISMATCH
PLAIN = Exhibit()
KEY = PLAIN.device.parties[0].key
DATA = GPU.but(end=b"").encoded()
OTHER_NONCE = bytes(32)


def unsigned(fields: dict[int, bytes | None]) -> Exhibit:
    return PLAIN.but(report=GPU.having(fields).encoded())


FIRST = [
    Case(12, why, SIGNATURE, exhibit.verify)
    for why, exhibit in {
        "an unsigned report of other firmware": unsigned({20: bytes(48)}),
        "an unsigned report of another chip": unsigned({35: b"GB100"}),
        "an unsigned report of an old driver": unsigned({3: b"535.1"}),
        "an unsigned report to another nonce": unsigned({}).but(nonce=OTHER_NONCE),
        "an unsigned report of a device that is past its dates": unsigned({}).but(
            at=PLAIN.at + 9999 * DAY
        ),
        "an unsigned report that no manifest is for": unsigned({}).but(rims=()),
    }.items()
]
FIRST.append(
    Case(
        12,
        "a driver that the report names decides which manifest counts",
        Reason.INCOMPLETE,
        PLAIN.having({3: b"580.1.2\0"}).verify,
    )
)


def signing(part: bytes) -> object:
    return PLAIN.but(report=DATA + raw(KEY, part)).verify().bound


SIGNED = [
    Case(13, "request and response", BOUND, partial(signing, DATA)),
    Case(13, "the response alone", SIGNATURE, partial(signing, DATA[37:])),
    Case(13, "seven eighths of both", SIGNATURE, partial(signing, DATA[: -len(DATA) // 8])),
    Case(13, "a byte less", SIGNATURE, partial(signing, DATA[:-1])),
    Case(13, "what SPDM 1.2 signs", SIGNATURE, partial(signing, b"dmtf-spdm-v1.2.*" * 4 + DATA)),
]


def asked(nonce: bytes | None) -> bool:
    return PLAIN.but(nonce=nonce).verify().bound


NONCES = [
    Case(14, "the nonce that was asked for", BOUND, partial(asked, NONCE)),
    Case(14, "another one", BINDING, partial(asked, OTHER_NONCE)),
    Case(14, "the one that the device made up", BINDING, partial(asked, b"R" * 32)),
    Case(14, "none, which the claims say", UNBOUND, partial(asked, None)),
]


def system(*requests: bytes, nonce: bytes | None) -> object:
    exhibits = [
        Exhibit(
            device=fake.device(number),
            written=GPU.but(request=bytes.fromhex("11e001ff") + request + b"\0"),
        )
        for number, request in enumerate(requests)
    ]
    return replace(System(tuple(exhibits)), nonce=nonce).verify().bound


SETS = [
    Case(15, "one nonce", BOUND, partial(system, NONCE, NONCE, NONCE, nonce=NONCE)),
    Case(15, "the last is older", BINDING, partial(system, NONCE, NONCE, OTHER_NONCE, nonce=NONCE)),
    Case(15, "the first is older", BINDING, partial(system, OTHER_NONCE, NONCE, nonce=NONCE)),
    Case(15, "all are older", BINDING, partial(system, OTHER_NONCE, OTHER_NONCE, nonce=NONCE)),
    Case(
        15, "two, and none was asked for", BINDING, partial(system, NONCE, OTHER_NONCE, nonce=None)
    ),
]

TRUNCATED = [
    Case(16, f"{len(nonce)} bytes", BINDING, partial(asked, nonce))
    for nonce in (b"", NONCE[:16], NONCE[:31], NONCE + b"\0", NONCE + bytes(16))
]


def firmware(value: bytes | None, certified: bytes = fake.FWID) -> bytes | None:
    one = fake.device(extension=fake.composite_device_id(fake.fwid(certified)))
    return PLAIN.but(device=one).having({20: value}).verify().fwid


def blackwell(value: bytes, *certified: bytes) -> bytes | None:
    one = fake.device(chip="GB100", extension=fake.tcb_info(*(fake.fwid(one) for one in certified)))
    manifests = tuple(replace(rim, product="GB100") for rim in (DRIVER, VBIOS))
    return Exhibit(device=one, rims=manifests).having({20: value}).verify().fwid


OTHER = b"G" * 48
FIRMWARE = [
    Case(17, "no firmware id, which the claims say", None, partial(firmware, None)),
    Case(18, "the one in the leaf", fake.FWID, partial(firmware, fake.FWID)),
    Case(18, "another", MISMATCH, partial(firmware, OTHER)),
    Case(18, "zero", MISMATCH, partial(firmware, bytes(48))),
    Case(18, "another one in the leaf", MISMATCH, partial(firmware, fake.FWID, OTHER)),
    Case(18, "the leaf's first", OTHER, partial(blackwell, OTHER, OTHER, fake.FWID)),
    Case(18, "the leaf's second", MISMATCH, partial(blackwell, OTHER, fake.FWID, OTHER)),
    Case(18, "47 bytes", Reason.MALFORMED, partial(firmware, fake.FWID[:47])),
]

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973
SIGNED_REPORT = PLAIN.evidence.report
R, S = (int.from_bytes(SIGNED_REPORT[at : at + 48], "big") for at in (-96, len(DATA) + 48))


def numbers(r: int, s: int) -> object:
    end = r.to_bytes(48, "big") + s.to_bytes(48, "big")
    return PLAIN.but(report=DATA + end).verify().bound


def der_signature() -> object:
    found = PLAIN.device.parties[0].certificate.signature
    return PLAIN.but(report=DATA + found[:96].ljust(96, b"\0")).verify()


NUMBERS = [
    Case(19, "r and s as they are", BOUND, partial(numbers, R, S)),
    Case(19, "the twin of s, as good", BOUND, partial(numbers, R, ORDER - S)),
    Case(19, "r is zero", SIGNATURE, partial(numbers, 0, S)),
    Case(19, "s is zero", SIGNATURE, partial(numbers, R, 0)),
    Case(19, "both are zero", SIGNATURE, partial(numbers, 0, 0)),
    Case(19, "r is the order", SIGNATURE, partial(numbers, ORDER, S)),
    Case(19, "s is the order", SIGNATURE, partial(numbers, R, ORDER)),
    Case(19, "as great as can be", SIGNATURE, partial(numbers, 2**384 - 1, 2**384 - 1)),
    Case(19, "r and s changed places", SIGNATURE, partial(numbers, S, R)),
    Case(19, "DER instead", SIGNATURE, der_signature),
]


def mixed(name: str) -> object:
    """Report and chain of two real devices."""
    vector = vectors.load(name)
    return verify(vector.devices[0], vector.endorsements, builtin(), vector.nonce, vector.at)


STRANGERS = [
    Case(
        20,
        "the chain of another board",
        SIGNATURE,
        lambda: PLAIN.but(chain_pem=fake.device(1).chain_pem).verify(),
    ),
    Case(
        20,
        "the chain of another key of the same board",
        SIGNATURE,
        lambda: PLAIN.but(chain_pem=PLAIN.device.on_terms(0, key="updated").chain_pem).verify(),
    ),
    Case(20, "two real GPUs", SIGNATURE, partial(mixed, "h100-560-wrong-chain")),
    Case(20, "two real switches", SIGNATURE, partial(mixed, "ls10-96.10.6D.00.01-wrong-chain")),
    Case(
        20,
        "a report of another real switch",
        SIGNATURE,
        lambda: verify(
            vectors.variant("ls10-96.10.55.00.01", "negative/report_of_another_switch.txt").devices[
                0
            ],
            vectors.load("ls10-96.10.55.00.01").endorsements,
            builtin(),
            None,
            vectors.load("ls10-96.10.55.00.01").at,
        ),
    ),
]

CASES = [
    *FIRST,
    *SIGNED,
    *NONCES,
    *SETS,
    *TRUNCATED,
    *FIRMWARE,
    *NUMBERS,
    *STRANGERS,
]
