# SPDX-License-Identifier: Apache-2.0
"""Lines 23 to 26: the certificate belongs to this chip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.amd_certificates import HWID
from simulator.pki import Extension
from tests.cases.snp import case
from tests.cases.snp.case import (
    CHAIN,
    MISMATCH,
    VERIFIED,
    Case,
    both,
    flipping,
    put,
    real,
    reported,
    vlek,
)
from tests.cases.snp.extensions import extension, without

if TYPE_CHECKING:
    from tests.cases.snp.case import Alteration
    from tests.snp_lab import SnpLab
    from verifiers.snp.claims import SnpClaims


CHIP_ID_AT = 0x1A0
OTHER_CHIP = bytes(range(64))


def chip(*first: int, product: str = "Genoa") -> Alteration:
    """A chip whose id begins so."""

    def make(lab: SnpLab) -> None:
        size = lab.machine.product.hwid_size
        chip_id = bytes(first) + bytes(range(0x30, 0x30 + size - len(first)))
        lab.machine = lab.amd.machine(product, chip_id=chip_id)

    return make


def with_der(*header: int) -> Alteration:
    """The hwID under a DER tag and length, as a reader that expects one would like it."""
    return lambda lab: lab.vek.put(Extension(HWID, bytes(header) + lab.machine.hwid))


def tail(at: int) -> Alteration:
    """A chip id of 8 bytes with one more byte behind."""
    return lambda lab: lab.report(chip_id=lab.machine.hwid + bytes(at - 8) + b"\1" + bytes(63 - at))


def shows_chip(claims: SnpClaims) -> object:
    hwid = claims.vek.hwid
    return hwid is not None and claims.report.chip_id == hwid.ljust(64, b"\0")


CHIPS = (
    Case(23, "CHIP_ID of another chip", MISMATCH, reported(chip_id=OTHER_CHIP)),
    *(
        Case(
            23,
            f"one bit of byte {at} of CHIP_ID",
            MISMATCH,
            flipping(CHIP_ID_AT + at),
        )
        for at in (0, 7, 8, 63)
    ),
    Case(23, "hwID of another chip", MISMATCH, extension(HWID, OTHER_CHIP)),
    Case(23, "real certificate of another chip", MISMATCH, real("neg-milan-v2-vcek-of-other-chip")),
    Case(24, "CHIP_ID is zero", MISMATCH, reported(chip_id=bytes(64))),
    Case(
        24,
        "CHIP_ID and hwID are zero",
        MISMATCH,
        both(reported(chip_id=bytes(64)), extension(HWID, bytes(64))),
    ),
    Case(24, "a VCEK without hwID", CHAIN, without(HWID)),
    Case(
        24,
        "CHIP_ID is zero, a VCEK without hwID",
        CHAIN,
        both(reported(chip_id=bytes(64)), without(HWID)),
    ),
    Case(24, "CHIP_ID is zero under a VLEK", VERIFIED, vlek, lambda c: not any(c.report.chip_id)),
    Case(
        24, "real report with CHIP_ID zero", MISMATCH, real(case.PLAIN, put(CHIP_ID_AT, bytes(64)))
    ),
    *(
        Case(25, f"a chip id that begins {bytes(first).hex()}", VERIFIED, chip(*first), shows_chip)
        for first in (
            (0x02, 0x3E),
            (0x02, 0x40),
            (0x04, 0x3E),
            (0x04, 0x40),
            (0x30, 0x3E),
            (0x03, 0x01),
        )
    ),
    *(
        Case(
            25,
            f"a chip id of Turin that begins {bytes(first).hex()}",
            VERIFIED,
            chip(*first, product="Turin"),
            shows_chip,
            product="Turin",
        )
        for first in ((0x02, 0x06), (0x04, 0x06))
    ),
    Case(25, "hwID as an OCTET STRING", CHAIN, with_der(0x04, 64)),
    Case(25, "hwID as an INTEGER", CHAIN, with_der(0x02, 64)),
    Case(26, "Turin: 8 bytes and zeros", VERIFIED, lambda _: None, shows_chip, product="Turin"),
    *(
        Case(
            26,
            f"Turin: byte {at} of CHIP_ID is not zero",
            MISMATCH,
            tail(at),
            product="Turin",
        )
        for at in (8, 63)
    ),
    Case(
        26,
        "Turin: hwID of 64 bytes",
        CHAIN,
        lambda lab: lab.vek.put(Extension(HWID, lab.machine.chip_id)),
        product="Turin",
    ),
    Case(
        26,
        "Genoa: hwID of 8 bytes",
        CHAIN,
        lambda lab: lab.vek.put(Extension(HWID, lab.machine.chip_id[:8])),
    ),
    Case(26, "hwID of no bytes", CHAIN, extension(HWID, b"")),
    Case(26, "real Turin", VERIFIED, real(case.TURIN), shows_chip),
    Case(
        26,
        "real Turin with a byte in the tail",
        MISMATCH,
        real(case.TURIN, put(CHIP_ID_AT + 8, b"\1")),
    ),
)


CASES = CHIPS
