# SPDX-License-Identifier: Apache-2.0
"""Every field of a quote is read from its place: each is written with bytes of its own and then looked for."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.layouts import BODIES, SGX_REPORT
from tests.tdx_lab import Lab, svn
from verifiers.errors import Reason, VerificationError
from verifiers.tdx.claims import QuoteHeader, TdReport10, TdReport15, TdReport15Ex
from verifiers.tdx.quote import TdxQuote, parse_quote

LAB = Lab.create(b"quotes")
FIXED = {"tee_tcb_svn", "mrsigner_seam", "seam_attributes"}  # a level and a module must be found


def unlike(name: str, length: int) -> bytes:
    """Bytes that stand at no other place."""
    return (hashlib.sha512(name.encode()).digest() * 2)[:length]


def marked(version: int, body_type: int) -> tuple[dict[str, bytes], TdxQuote]:
    values = {name: unlike(name, length) for name, length in BODIES[body_type]}
    quote = LAB.platform.quote(version=version, body_type=body_type, **values)
    return values, parse_quote(quote)


@pytest.mark.parametrize(("version", "body_type"), [(4, 2), (5, 2), (5, 3), (5, 4)])
def test_every_field_of_the_body(version: int, body_type: int) -> None:
    values, quote = marked(version, body_type)
    read = {
        name: getattr(report, name)
        for report in (quote.td, quote.td15, quote.td15_ex)
        if report is not None
        for name in report.__dataclass_fields__
    }
    assert read == values
    assert quote.body_type == body_type
    assert (quote.td15 is not None, quote.td15_ex is not None) == (body_type >= 3, body_type >= 4)


def test_the_layouts_cover_every_field() -> None:
    known = [
        field.name for kind in (TdReport10, TdReport15, TdReport15Ex) for field in fields(kind)
    ]
    assert known == [name for name, _ in BODIES[4]]


def test_every_field_of_the_header() -> None:
    quote = parse_quote(
        LAB.platform.quote(qe_svn=0x0102, pce_svn=0x0304, user_data=unlike("user", 20))
    )
    vendor = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
    assert quote.header == QuoteHeader(4, 2, 0x81, 0x0102, 0x0304, vendor, unlike("user", 20))


def test_the_qe_report() -> None:
    layout = dict(SGX_REPORT)
    shown = ("cpusvn", "miscselect", "attributes", "mrenclave", "mrsigner", "report_data")
    values: dict[str, Any] = {f"qe_{name}": unlike(name, layout[name]) for name in shown}
    quote = parse_quote(LAB.platform.quote(**values, qe_isvprodid=0x0102, qe_isvsvn=0x0304))
    report = quote.qe_report
    assert {name: getattr(report, name) for name in shown} == {
        n: unlike(n, layout[n]) for n in shown
    }
    assert (report.isvprodid, report.isvsvn) == (0x0102, 0x0304)
    assert len(report.raw) == 384


@pytest.mark.parametrize(("version", "body_type"), [(4, 2), (5, 2), (5, 3), (5, 4)])
def test_the_parts_around(version: int, body_type: int) -> None:
    platform = LAB.platform
    data = platform.quote(version=version, body_type=body_type, trailing=bytes(9))
    quote = parse_quote(data)
    size = {2: 584, 3: 648, 4: 885}[body_type] + 48 + (6 if version == 5 else 0)
    assert quote.raw == data[:-9]
    assert quote.signed == data[:size]
    assert quote.signature == platform.attestation_key.sign_raw(quote.signed)
    assert quote.attestation_key == platform.attestation_key.point
    assert quote.qe_report_signature == platform.pck.key.sign_raw(quote.qe_report.raw)
    assert quote.qe_auth_data == platform.qe_auth_data
    assert quote.pck_chain_pem == platform.chain


@pytest.mark.parametrize(("tee_type", "name"), [(0, "SGX"), (0x82, "unknown")])
def test_another_technology_is_named(tee_type: int, name: str) -> None:
    with pytest.raises(VerificationError, match=rf"\({name}\)"):
        parse_quote(LAB.platform.quote(tee_type=tee_type))


@given(st.binary(max_size=200))
def test_qe_auth_data_of_any_length(data: bytes) -> None:
    quote = parse_quote(LAB.platform.quote(qe_auth_data=data))
    assert quote.qe_auth_data == data


@given(zeros=st.integers(0, 300), junk=st.binary(min_size=1, max_size=4))
def test_only_zeros_follow(zeros: int, junk: bytes) -> None:
    quote = LAB.platform.quote()
    assert parse_quote(quote + bytes(zeros)).raw == quote
    if any(junk):
        with pytest.raises(VerificationError) as caught:
            parse_quote(quote + bytes(zeros) + junk)
        assert caught.value.reason is Reason.TRAILING_BYTES


@pytest.mark.parametrize(("version", "body_type"), [(4, 2), (5, 4)])
def test_cut_anywhere(version: int, body_type: int) -> None:
    quote = LAB.platform.quote(version=version, body_type=body_type, tee_tcb_svn=svn(11, 1, 4))
    for size in range(len(quote)):
        with pytest.raises(VerificationError) as caught:
            parse_quote(quote[:size])
        assert caught.value.reason is Reason.MALFORMED
