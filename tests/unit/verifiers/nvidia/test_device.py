# SPDX-License-Identifier: Apache-2.0
"""A report is a genuine device's own before anything that it says counts; the order of the checks names the fault."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulator.nvidia import devices as fake
from simulator.nvidia.certificates import DAY, NOW, SECOND, Terms, raw
from simulator.nvidia.devices import device
from simulator.nvidia.reports import FSP, GPU, NONCE, SWITCH, Written
from tests import nvidia_devices as lab
from tests.nvidia_devices import Exhibit
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.device import Device, authenticate

PLAIN = Exhibit()
MISMATCH = Reason.ENDORSEMENT_MISMATCH


def authentic(exhibit: Exhibit) -> Device:
    return authenticate(exhibit.evidence, exhibit.anchors, exhibit.nonce, exhibit.at)


def refusal(exhibit: Exhibit) -> Reason:
    with pytest.raises(VerificationError) as caught:
        authentic(exhibit)
    assert not caught.value.authentic
    return caught.value.reason


def test_what_holds() -> None:
    found = authentic(PLAIN)
    assert found.report.raw == PLAIN.evidence.report
    assert found.chain.serial == PLAIN.device.levels[1].serial_name
    assert found.bound
    assert found.fields is found.report.fields
    assert not authentic(PLAIN.but(nonce=None)).bound


def test_no_root_is_pinned() -> None:
    assert refusal(PLAIN.but(anchors=replace(lab.anchors(), nvidia=None))) is Reason.UNTRUSTED_ROOT


@pytest.mark.parametrize("at", range(0, len(PLAIN.evidence.report) - 96, 257))
def test_every_byte_is_signed(at: int) -> None:
    """Whatever was changed; where the structure does not break, the signature does."""
    report = bytearray(PLAIN.evidence.report)
    report[at] ^= 1
    broken = {Reason.SIGNATURE, Reason.MALFORMED, Reason.TRAILING_BYTES}
    assert refusal(PLAIN.but(report=bytes(report))) in broken


def test_what_is_signed_is_request_and_response() -> None:
    data = GPU.but(end=b"").encoded()
    key = PLAIN.device.parties[0].key
    assert authentic(PLAIN.but(report=data + raw(key, data))).bound
    for part in (data[37:], data[:-1], data + b"\0"):
        assert refusal(PLAIN.but(report=data + raw(key, part))) is Reason.SIGNATURE


ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973


@pytest.mark.parametrize(
    ("r", "s"), [(0, 0), (0, 1), (1, 0), (ORDER, 1), (1, ORDER), (2**384 - 1, 2**384 - 1), (1, 1)]
)
def test_numbers_that_are_no_signature(r: int, s: int) -> None:
    end = r.to_bytes(48, "big") + s.to_bytes(48, "big")
    assert refusal(PLAIN.but(report=GPU.but(end=end).encoded())) is Reason.SIGNATURE


def test_a_signature_of_swapped_halves_or_bytes() -> None:
    report = PLAIN.evidence.report
    data, end = report[:-96], report[-96:]
    for other in (end[48:] + end[:48], end[:48][::-1] + end[48:][::-1], bytes(96)):
        assert refusal(PLAIN.but(report=data + other)) is Reason.SIGNATURE


def test_the_chain_of_another_device() -> None:
    assert refusal(PLAIN.but(chain_pem=device(1).chain_pem)) is Reason.SIGNATURE


def test_the_key_of_the_device_signs_no_reports() -> None:
    data = GPU.but(end=b"").encoded()
    by_device = data + raw(PLAIN.device.parties[1].key, data)
    assert refusal(PLAIN.but(report=by_device)) is Reason.SIGNATURE


def test_the_signature_comes_before_what_the_report_says() -> None:
    """A forged report is named a forgery, not an answer to another nonce or of other firmware."""
    forged = GPU.having({20: b"X" * 48, 35: b"GB100"}).encoded()
    stale = PLAIN.but(report=forged, nonce=bytes(32), at=NOW + 999 * DAY)
    assert refusal(stale) is Reason.SIGNATURE


@pytest.mark.parametrize(
    ("one", "written"),
    [
        (fake.device(), SWITCH),
        (fake.device(), FSP),
        (fake.blackwell(), FSP),
        (fake.fsp(), GPU),
        (fake.fsp(), SWITCH),
        (fake.switch(), GPU),
        (fake.switch(), FSP),
    ],
)
def test_a_report_of_another_kind_of_device(one: fake.Device, written: Written) -> None:
    assert refusal(Exhibit(device=one, written=written)) is MISMATCH


def test_a_transcript_of_an_fsp_is_authentic_and_says_nothing() -> None:
    found = authentic(Exhibit(device=fake.fsp(), written=FSP))
    with pytest.raises(VerificationError, match="transcript of an FSP") as caught:
        _ = found.fields
    assert caught.value.reason is Reason.INCOMPLETE


def test_the_chip_of_another_family() -> None:
    assert refusal(PLAIN.having({35: b"GB100\0"})) is Reason.PRODUCT_UNKNOWN
    assert refusal(Exhibit(device=fake.workstation())) is Reason.PRODUCT_UNKNOWN


def test_a_switch_names_itself_as_it_is_certified() -> None:
    exhibit = lab.a_switch()
    assert authentic(exhibit).chain.pdi == exhibit.device.pdi
    assert refusal(exhibit.having({22: fake.switch(1).pdi})) is MISMATCH
    assert refusal(exhibit.having({22: exhibit.device.pdi[::-1]})) is MISMATCH


@pytest.mark.parametrize(
    "nonce", [bytes(32), NONCE[:31], NONCE + b"\0", b"", NONCE[::-1], NONCE[:16] + bytes(16)]
)
def test_another_nonce(nonce: bytes) -> None:
    assert refusal(PLAIN.but(nonce=nonce)) is Reason.BINDING_MISMATCH


def test_the_nonce_of_the_responder_is_none() -> None:
    assert refusal(PLAIN.but(nonce=b"R" * 32)) is Reason.BINDING_MISMATCH


@pytest.mark.parametrize("place", range(4))
def test_dates(place: int) -> None:
    terms = {"not_before": NOW - DAY, "not_after": NOW + DAY}
    limited = PLAIN.but(device=PLAIN.device.on_terms(place, **terms))
    for at in (NOW - DAY, NOW + DAY):
        assert authentic(limited.but(at=at)).bound
    assert refusal(limited.but(at=NOW - DAY - SECOND)) is Reason.CERTIFICATE_NOT_YET_VALID
    assert refusal(limited.but(at=NOW + DAY + SECOND)) is Reason.CERTIFICATE_EXPIRED


def test_dates_of_the_root() -> None:
    root = replace(fake.ROOT, terms=replace(fake.ROOT.terms, not_after=NOW - DAY))
    one = fake.Device((*PLAIN.device.levels[:4], root))
    assert refusal(PLAIN.but(device=one, anchors=lab.anchors(root))) is Reason.CERTIFICATE_EXPIRED


def test_the_firmware_of_the_leaf() -> None:
    assert refusal(PLAIN.having({20: b"F" * 47 + b"G"})) is MISMATCH
    assert refusal(PLAIN.having({20: bytes(48)})) is MISMATCH
    one = device(extension=fake.composite_device_id(fake.fwid(b"G" * 48)))
    assert refusal(PLAIN.but(device=one)) is MISMATCH
    assert authentic(PLAIN.but(device=one).having({20: b"G" * 48})).chain.fwid == b"G" * 48


def test_a_report_without_firmware_is_a_fact_for_the_policy() -> None:
    assert authentic(PLAIN.having({20: None})).fields.fwid is None


def test_a_leaf_that_may_sign_anything_else_signs_no_report() -> None:
    one = PLAIN.device.having(0, terms=Terms(usage=("digital_signature", "crl_sign")))
    assert refusal(PLAIN.but(device=one)) is Reason.CHAIN
