# SPDX-License-Identifier: Apache-2.0
"""Every byte of two real quotes turned over: each is refused, for a reason that fits the region it lies in.

The table gives, in the order of the quote, length of a region and the reasons a change of it may end with. Numbers that
decide how the rest is read (types, lengths) are tried with every bit.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import pytest

from tests.tdx_lab import Exhibit, Lab, flipped
from verifiers.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

Region = tuple[str, int, frozenset[Reason]]

SIGNATURE = frozenset({Reason.SIGNATURE})
FORMAT = frozenset({Reason.UNSUPPORTED_FORMAT})
LENGTH = frozenset({Reason.MALFORMED})
CHAIN = frozenset({Reason.CHAIN, Reason.UNTRUSTED_ROOT})
NUMBERS = {"version", "att_key_type", "tee_type", "body_type", "body_size"} | {
    f"{which} {what}" for which in ("outer", "inner") for what in ("type", "length")
}
NUMBERS |= {"signature data length", "QE auth data length"}

NAMES = ("tdx4-b0c06f-uptodate", "tdx5-b0c06f-td15ex-uptodate")
HEADER: list[Region] = [
    (
        "version",
        2,
        frozenset({Reason.UNSUPPORTED_FORMAT, Reason.UNSUPPORTED_TEE, Reason.MALFORMED}),
    ),
    ("att_key_type", 2, FORMAT),
    ("tee_type", 4, frozenset({Reason.UNSUPPORTED_TEE})),
    ("qe_svn", 2, SIGNATURE),
    ("pce_svn", 2, SIGNATURE),
    ("vendor_id", 16, FORMAT),
    ("user_data", 20, SIGNATURE),
]
DESCRIPTOR: list[Region] = [
    ("body_type", 2, frozenset({Reason.UNSUPPORTED_FORMAT, Reason.MALFORMED})),
    ("body_size", 4, LENGTH),
]


def regions(quote: bytes, body: int) -> list[Region]:
    """The whole quote; the lengths of QE auth data and chain are read where they stand."""
    start = 48 + body + (6 if quote[0] == 5 else 0)
    auth = int.from_bytes(quote[start + 586 : start + 588], "little")
    at = start + 588 + auth + 2
    chain = int.from_bytes(quote[at : at + 4], "little")
    return [
        *HEADER,
        *(DESCRIPTOR if quote[0] == 5 else []),
        ("body", body, SIGNATURE),
        ("signature data length", 4, LENGTH),
        ("signature", 64, SIGNATURE),
        ("attestation key", 64, SIGNATURE),
        ("outer type", 2, FORMAT),
        ("outer length", 4, LENGTH),
        ("QE report", 384, SIGNATURE),
        ("QE signature", 64, SIGNATURE),
        ("QE auth data length", 2, LENGTH | FORMAT),
        ("QE auth data", auth, SIGNATURE),
        ("inner type", 2, FORMAT),
        ("inner length", 4, LENGTH),
        ("chain", chain, CHAIN),
    ]


def changes(quote: bytes, body: int) -> Iterator[tuple[str, int, int, frozenset[Reason]]]:
    """(region, offset, bits, reasons): one bit of every byte, the lowest; all eight of the numbers."""
    at = 0
    for name, length, reasons in regions(quote, body):
        for offset in range(at, at + length):
            for bit in range(8 if name in NUMBERS else 1):
                yield name, offset, 1 << bit, reasons
        at += length
    assert at == len(quote)


@lru_cache
def real(name: str) -> tuple[Exhibit, int]:
    """A real quote that is accepted, and the size of its body."""
    lab = Lab.create()
    lab.real(name)
    exhibit = lab.exhibit()
    size = {2: 584, 3: 648, 4: 885}[exhibit.verify().body_type]
    end = sum(length for _, length, _ in regions(exhibit.quote, size))
    assert not exhibit.quote[end:].strip(b"\0")
    return Exhibit(exhibit.quote[:end], exhibit.bundle, exhibit.root_der, exhibit.at), size


@pytest.mark.parametrize("name", NAMES)
def test_every_byte(name: str) -> None:
    exhibit, body = real(name)
    seen: dict[str, set[object]] = {}
    for region, at, bit, reasons in changes(exhibit.quote, body):
        quote = flipped(exhibit.quote, at, bit)
        changed = Exhibit(quote, exhibit.bundle, exhibit.root_der, exhibit.at)
        outcome = changed.outcome()
        assert outcome in reasons, f"{region}, byte {at}, bits {bit:#x}: {outcome}"
        seen.setdefault(region, set()).add(outcome)
    assert len(seen) == len(regions(exhibit.quote, body))


@pytest.mark.parametrize("name", NAMES)
def test_every_bit_of_the_signed_numbers(name: str) -> None:
    """SVNs and attributes decide what is claimed: all bits, though one would do."""
    exhibit, _ = real(name)
    start = 54 if exhibit.quote[0] == 5 else 48
    for at in (*range(start, start + 16), *range(start + 112, start + 136)):
        for bit in range(8):
            quote = flipped(exhibit.quote, at, 1 << bit)
            changed = Exhibit(quote, exhibit.bundle, exhibit.root_der, exhibit.at)
            assert changed.outcome() is Reason.SIGNATURE
