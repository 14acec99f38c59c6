# SPDX-License-Identifier: Apache-2.0
"""Lines 27 and 28: the certificate belongs to this TCB, read by the layout of its product line."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from simulator import amd_certificates, der
from simulator.amd_certificates import ARC, PRODUCT_NAME, STRUCT_VERSION, spl
from simulator.products import GENOA, MILAN, TURIN, Tcb
from tests.cases.snp import case
from tests.cases.snp.case import (
    CHAIN,
    MALFORMED,
    MISMATCH,
    VERIFIED,
    Case,
    put,
    real,
    reported,
    vlek,
)
from tests.cases.snp.extensions import extension, moved, padded, twice, without

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cases.snp.case import Alteration
    from tests.snp_lab import SnpLab
    from verifiers.snp.claims import SnpClaims


REPORTED_TCB_AT = 0x180
SPLS = {"bootloader": 1, "tee": 2, "snp": 3, "microcode": 8}


ZERO_SPLS = (4, 5, 6, 7)


def level(part: str, by: int) -> Alteration:
    """The report says another TCB than the certificate, in one component; the chip's own key signed it."""

    def make(lab: SnpLab) -> None:
        right = lab.machine.tcb
        other = replace(right, **{part: getattr(right, part) + by})
        certificate = lab.machine.vek("vcek", right)
        lab.report(reported_tcb=other, signer=certificate.key)
        lab.edit(vek=certificate.der)

    return make


def tcb_is(expected: Tcb, *, fmc: bool) -> Callable[[SnpClaims], object]:
    parts = (expected.bootloader, expected.tee, expected.snp, expected.microcode)

    def shown(claims: SnpClaims) -> bool:
        for found in (claims.reported_tcb, claims.vek.tcb, claims.committed_tcb, claims.launch_tcb):
            if (found.bootloader, found.tee, found.snp, found.microcode) != parts:
                return False
            if found.fmc != (expected.fmc if fmc else None):
                return False
        return True

    return shown


def looks_like_turin(lab: SnpLab) -> None:
    """A chip of the older lines whose id is zero from byte 8 on."""
    lab.machine = lab.amd.machine(lab.machine.product.name, chip_id=bytes(range(1, 9)) + bytes(56))


def issued_like(product: str) -> Alteration:
    """A certificate by the right ASK whose extensions are those of another line."""

    def make(lab: SnpLab) -> None:
        line = lab.amd.line(product)
        hwid = lab.machine.chip_id[: line.product.hwid_size]
        other = amd_certificates.vcek(
            lab.amd.now, line.product, lab.line.ask, lab.vek.key, hwid, lab.machine.tcb
        )
        lab.edit(vek=other.der)

    return make


LEVELS = (
    *(
        Case(27, f"{part} of the report is one {word}", MISMATCH, level(part, by))
        for part in ("bootloader", "snp", "microcode")
        for by, word in ((1, "higher"), (-1, "lower"))
    ),
    Case(27, "tee of the report is one higher", MISMATCH, level("tee", 1)),
    *(
        Case(
            27,
            f"Turin: {part} of the report is one {word}",
            MISMATCH,
            level(part, by),
            product="Turin",
        )
        for part in ("fmc", "bootloader", "tee", "snp", "microcode")
        for by, word in ((1, "higher"), (-1, "lower"))
    ),
    *(
        Case(27, f"{what}: SPL .3.{arc}", CHAIN, change(spl(arc)))
        for arc in (*SPLS.values(), *ZERO_SPLS)
        for what, change in (("missing", without), ("twice", twice), ("padded", padded))
    ),
    *(
        Case(27, f"Turin, {what}: SPL .3.9", CHAIN, change(spl(9)), product="Turin")
        for what, change in (("missing", without), ("twice", twice), ("padded", padded))
    ),
    Case(27, "SPL 4 is not zero", CHAIN, extension(spl(4), der.integer(1))),
    Case(27, "an SPL above 255", CHAIN, extension(spl(3), der.integer(256 + GENOA.tcb.snp))),
    Case(
        27, "a negative SPL", CHAIN, extension(spl(3), b"\x02\x01" + bytes((0x80 | GENOA.tcb.snp,)))
    ),
    Case(
        27, "an SPL as an OCTET STRING", CHAIN, extension(spl(3), bytes((0x04, 1, GENOA.tcb.snp)))
    ),
    Case(
        27,
        "an SPL with a byte behind it",
        CHAIN,
        extension(spl(3), bytes((0x02, 1, GENOA.tcb.snp, 0))),
    ),
    Case(27, "an empty SPL", CHAIN, extension(spl(3), b"")),
    Case(27, "snpSPL under an OID that begins like it", CHAIN, moved(spl(3), f"{spl(3)}.1")),
    Case(27, "snpSPL under an OID that continues its digits", CHAIN, moved(spl(3), f"{ARC}.33")),
    Case(27, "an SPL that nobody knows", CHAIN, extension(spl(10), der.integer(0))),
    Case(27, "FMC on Genoa", CHAIN, extension(spl(9), der.integer(0))),
    Case(27, "structVersion is missing", CHAIN, without(STRUCT_VERSION)),
    Case(27, "productName is missing", CHAIN, without(PRODUCT_NAME)),
    Case(
        27,
        "microcode above 0x7f",
        VERIFIED,
        lambda _: None,
        lambda c: c.vek.tcb.microcode == MILAN.tcb.microcode >= 0x80,
        product="Milan",
    ),
    Case(27, "real certificate of another TCB", MISMATCH, real("neg-milan-v2-vcek-of-other-tcb")),
    Case(
        27,
        "real report with REPORTED_TCB raised",
        MISMATCH,
        real(case.PLAIN, put(REPORTED_TCB_AT, bytes.fromhex("04000000000019ff"))),
    ),
    Case(
        27, "real Turin with another FMC", MISMATCH, real(case.TURIN, put(REPORTED_TCB_AT, b"\2"))
    ),
    Case(
        28, "Turin's layout", VERIFIED, lambda _: None, tcb_is(TURIN.tcb, fmc=True), product="Turin"
    ),
    Case(28, "Genoa's layout", VERIFIED, lambda _: None, tcb_is(GENOA.tcb, fmc=False)),
    Case(
        28,
        "Genoa with a chip id as short as Turin's",
        VERIFIED,
        looks_like_turin,
        tcb_is(GENOA.tcb, fmc=False),
    ),
    Case(28, "Genoa under a VLEK, chip id zero", VERIFIED, vlek, tcb_is(GENOA.tcb, fmc=False)),
    Case(
        28,
        "Turin under a VLEK, chip id zero",
        VERIFIED,
        vlek,
        tcb_is(TURIN.tcb, fmc=True),
        product="Turin",
    ),
    Case(28, "a certificate of Turin's form by Genoa's ASK", MISMATCH, issued_like("Turin")),
    Case(
        28,
        "a certificate of Genoa's form by Turin's ASK",
        MISMATCH,
        issued_like("Genoa"),
        product="Turin",
    ),
    Case(28, "structVersion 1 on Genoa", CHAIN, extension(STRUCT_VERSION, der.integer(1))),
    Case(28, "structVersion 2", CHAIN, extension(STRUCT_VERSION, der.integer(2))),
    *(
        Case(
            28,
            f"Turin, signed: byte {at} of {name} is not zero",
            MALFORMED,
            reported(**{name: bytes(at) + b"\1" + bytes(7 - at)}),
            product="Turin",
        )
        for name in ("committed_tcb", "current_tcb", "launch_tcb")
        for at in (4, 6)
    ),
    Case(
        28,
        "real Turin",
        VERIFIED,
        real(case.TURIN),
        tcb_is(Tcb(fmc=1, bootloader=1, tee=1, snp=4, microcode=0x51), fmc=True),
    ),
)


CASES = LEVELS
