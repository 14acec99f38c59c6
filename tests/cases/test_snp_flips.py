# SPDX-License-Identifier: Apache-2.0
"""Every bit of real reports turned over, one at a time: each is refused, for the very reason of the field it lies in.

Three reports, for the three layouts and the two kinds of keys: v2 of Milan, v3 under a VLEK, v5 of Turin. Fields that
only the signature protects are tried with one bit of every byte, all others with all eight.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from simulator.layouts import SNP_REPORT, SNP_SIGNATURE
from tests.cases.snp import case
from tests.snp_lab import flipped, genuine
from verifiers.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.snp_lab import SnpExhibit

MALFORMED, FORMAT, SIGNATURE = case.MALFORMED, case.FORMAT, case.SIGNATURE
MISMATCH, UNKNOWN = case.MISMATCH, Reason.PRODUCT_UNKNOWN

NAMES = ("milan-v2-baremetal", case.VLEK, case.TURIN)
PLAIN = frozenset(  # protected by the signature alone
    {
        "guest_svn",
        "family_id",
        "image_id",
        "platform_info",
        "report_data",
        "measurement",
        "host_data",
        "id_key_digest",
        "author_key_digest",
        "report_id",
        "report_id_ma",
        "current_build",
        "current_minor",
        "current_major",
        "committed_build",
        "committed_minor",
        "committed_major",
    }
)
SIGNATURE_BYTES = 48  # of 72, for each of r and s


def version(_: int, bit: int, report: bytes) -> Reason:
    """Another version: unknown, one whose CPUID is not there, or whose reserved bytes are not zero here."""
    new = report[0] ^ 1 << bit
    if bit > 2 or new not in range(2, 6):
        return FORMAT
    return UNKNOWN if report[0] == 2 else MALFORMED


def policy(_: int, bit: int, report: bytes) -> Reason:
    first_reserved = 26 if report[0] == 5 else 25
    return MALFORMED if bit == 17 or bit >= first_reserved else SIGNATURE


def vmpl(_: int, bit: int, __: bytes) -> Reason:
    """0 to 3 are VMPLs; the real ones here are 0 or 1."""
    return SIGNATURE if bit < 2 else MALFORMED


def flags(_: int, bit: int, report: bytes) -> Reason:
    """AUTHOR_KEY_EN, MASK_CHIP_KEY, three bits of SIGNING_KEY, reserved."""
    if bit in (0, 1):
        return SIGNATURE
    if bit >= 5:
        return MALFORMED
    number = (report[0x48] >> 2 & 7) ^ 1 << bit - 2
    return MISMATCH if number in (0, 1) else MALFORMED


def reported_tcb(byte: int, _: int, report: bytes) -> Reason:
    reserved = range(4, 7) if is_turin(report) else range(2, 6)
    return MALFORMED if byte in reserved else MISMATCH


def family(_: int, bit: int, report: bytes) -> Reason:
    return cpu(report[0x188] ^ 1 << bit, report[0x189], report)


def model(_: int, bit: int, report: bytes) -> Reason:
    return cpu(report[0x188], report[0x189] ^ 1 << bit, report)


def stepping(_: int, __: int, report: bytes) -> Reason:
    return cpu(report[0x188], report[0x189], report)


def cpu(family: int, model: int, report: bytes) -> Reason:
    """A CPU of the same line, another line, or none."""
    if report[0] == 2:
        return MALFORMED
    found = [
        line
        for line, number, models in (
            ("Milan", 0x19, range(0x10)),
            ("Genoa", 0x19, (*range(0x10, 0x20), *range(0xA0, 0xB0))),
            ("Turin", 0x1A, range(0x12)),
        )
        if family == number and model in models
    ]
    if not found:
        return UNKNOWN
    return SIGNATURE if found == ["Turin" if is_turin(report) else "Milan"] else MISMATCH


def is_turin(report: bytes) -> bool:
    return report[0] > 2 and report[0x188] == 0x1A


def chip_id(_: int, __: int, report: bytes) -> Reason:
    """Compared with the VCEK's hwID; a VLEK has none."""
    return SIGNATURE if report[0x48] >> 2 & 7 else MISMATCH


def mitigations(_: int, __: int, report: bytes) -> Reason:
    return SIGNATURE if report[0] == 5 else MALFORMED


def number(byte: int, _: int, __: bytes) -> Reason:
    """r or s."""
    return SIGNATURE if byte < SIGNATURE_BYTES else MALFORMED


def always(reason: Reason) -> Callable[[int, int, bytes], Reason]:
    return lambda _, __, ___: reason


# Field -> what a change must end with, of (byte of the field, bit counted from its lowest byte, report).
FIELDS: dict[str, Callable[[int, int, bytes], Reason]] = {
    **dict.fromkeys(PLAIN, always(SIGNATURE)),
    **{f"reserved{i}": always(MALFORMED) for i in range(1, 7)},
    **dict.fromkeys(("committed_tcb", "current_tcb", "launch_tcb"), always(SIGNATURE)),
    **dict.fromkeys(("launch_mit_vector", "current_mit_vector"), mitigations),
    **dict.fromkeys(("signature_r", "signature_s"), number),
    "version": version,
    "policy": policy,
    "vmpl": vmpl,
    "signature_algo": always(FORMAT),
    "flags": flags,
    "reported_tcb": reported_tcb,
    "cpuid_family": family,
    "cpuid_model": model,
    "cpuid_stepping": stepping,
    "chip_id": chip_id,
}


def changes(report: bytes) -> Iterator[tuple[str, int, int, Reason]]:
    """(field, offset, bit of the byte, reason)."""
    at = 0
    for name, length in (*SNP_REPORT, *SNP_SIGNATURE):
        for byte in range(length):
            bits = 1 if name in PLAIN or name.startswith("signature_") else 8
            for bit in range(bits):
                yield name, at + byte, bit, FIELDS[name](byte, 8 * byte + bit, report)
        at += length
    assert at == len(report)


def changed(exhibit: SnpExhibit, report: bytes) -> SnpExhibit:
    (piece,) = exhibit.pieces
    return replace(exhibit, pieces=(replace(piece, data=report),))


@pytest.mark.parametrize("name", NAMES)
def test_every_field(name: str) -> None:
    exhibit = genuine(name)
    (piece,) = exhibit.pieces
    assert exhibit.outcome() is case.VERIFIED
    seen = set()
    for field, at, bit, reason in changes(piece.data):
        outcome = changed(exhibit, flipped(piece.data, at, 1 << bit)).outcome()
        assert outcome is reason, f"{field}, byte {at:#x}, bit {bit}: {outcome}, not {reason}"
        seen.add(field)
    assert len(seen) == len(SNP_REPORT) + len(SNP_SIGNATURE)
