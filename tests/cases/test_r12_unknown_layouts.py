# SPDX-License-Identifier: Apache-2.0
"""R-12, for TDX: versions, bodies, key types and TCB layouts that are not known are refused, never guessed."""

from __future__ import annotations

import pytest

from tests.tdx_lab import Lab
from verifiers.errors import Reason, VerificationError
from verifiers.tdx.quote import parse_quote

LAB = Lab.create(b"R-12")
V4 = LAB.platform.quote()
V5 = LAB.platform.quote(version=5, body_type=3)
FORMAT = {Reason.UNSUPPORTED_FORMAT, Reason.UNSUPPORTED_TEE, Reason.MALFORMED}


def refused(quote: bytes) -> bool:
    try:
        parse_quote(quote)
    except VerificationError as error:
        return error.reason in FORMAT
    return False


def put(quote: bytes, at: int, value: int) -> bytes:
    return quote[:at] + value.to_bytes(2, "little") + quote[at + 2 :]


@pytest.mark.parametrize(
    ("at", "known"), [(0, {4}), (2, {2}), (4, {0x81}), (764, {6}), (1252, {5})]
)
def test_every_other_number_in_version_4(at: int, known: set[int]) -> None:
    """Version, attestation key type, TEE type, outer and inner certification data type."""
    assert {n for n in range(1 << 11) if not refused(put(V4, at, n))} == known
    assert refused(put(V4, at, 0xFFFF))


@pytest.mark.parametrize(("at", "known"), [(0, {5}), (48, {3}), (50, {648})])
def test_every_other_number_in_version_5(at: int, known: set[int]) -> None:
    """Version, body type, body size."""
    assert {n for n in range(1 << 11) if not refused(put(V5, at, n))} == known
    assert refused(put(V5, at, 0xFFFF))


@pytest.mark.parametrize("version", [*range(12), "3", 3.0, None, True], ids=repr)
def test_versions_of_tcb_info(version: object) -> None:
    lab = Lab.create()
    lab.info(version=version)
    known = type(version) is int and version == 3
    assert (lab.exhibit().outcome() is Reason.ENDORSEMENT_MISMATCH) is not known


@pytest.mark.parametrize("version", [*range(12), "2", 2.0, None, True], ids=repr)
def test_versions_of_the_qe_identity(version: object) -> None:
    lab = Lab.create()
    lab.identity(version=version)
    known = type(version) is int and version == 2
    assert (lab.exhibit().outcome() is Reason.ENDORSEMENT_MISMATCH) is not known
