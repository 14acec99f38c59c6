# SPDX-License-Identifier: Apache-2.0
"""The device list of AttestationInfo: what is written, what is read back, what no decoder of ours accepts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestca_client.protocol import HandleKind, handle
from ca.errors import RequestRefused
from ca.issuance import ear, extension, handles, listed
from ca.issuance.listed import ListedDevice
from ca.issuance.request import MAX_DEVICES, MAX_TOLERATED, BindingLevel
from tests.authority_lab import (
    digest,
    make_device,
    make_lab,
    make_request,
    make_switch,
    with_devices,
)
from tests.foreign_info import fields_of, rewritten
from verifiers.nvidia.claims import AppraisedBy, DeviceKind, Mode

DEVICES = (make_device(0), make_device(1, mode=None, chip_id=None), make_switch())
INFO = extension.info(
    make_request(**with_devices(*DEVICES)),
    handles.of_leaf(make_request(**with_devices(*DEVICES)), b"i" * 20, 1 << 126),
)
DER = extension.encode(INFO)

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=32)
digests = st.binary(min_size=32, max_size=32)
common = {
    "model": texts,
    "report_sha256": digests,
    "handle": st.none() | digests,
    "vbios": texts,
    "appraised_by": st.sampled_from(sorted(listed.APPRAISERS)),
}
modes = st.none() | st.sampled_from(sorted(listed.MODES))
gpus = st.builds(ListedDevice, kind=st.just("gpu"), driver=texts, mode=modes, **common)
switches = st.builds(
    ListedDevice, kind=st.just("switch"), driver=st.none(), mode=st.none(), **common
)


def info_with(devices: tuple[ListedDevice, ...]) -> extension.AttestationInfo:
    return replace(
        INFO,
        devices=devices,
        binding=BindingLevel.NONCE_CPU_DIGEST if devices else BindingLevel.NONE,
        handles=(*INFO.handles[:1], *sorted(listed.chips(devices))),
    )


def refused(der: bytes, why: str) -> None:
    with pytest.raises(RequestRefused, match=why) as error:
        extension.decode(der)
    assert error.value.code == "attestation-info"


def test_words_are_those_of_verified_claims() -> None:
    assert {*DeviceKind} == listed.KINDS
    assert {*Mode} == listed.MODES
    assert {*AppraisedBy} == listed.APPRAISERS


def test_an_independent_decoder_reads_the_list() -> None:
    first, second, third = fields_of(DER)["devices"]
    assert first == {
        "kind": "gpu",
        "model": "GH100 A01 GSP BROM",
        "reportSha256": digest("report 0"),
        "handle": handle(HandleKind.CHIP, digest("board 0")),
        "driver": "580.178.04",
        "vbios": "96.00.CF.00.01",
        "mode": "mpt",
        "appraisedBy": "local",
    }
    assert (second["reportSha256"], second["handle"], second["mode"]) == (
        digest("report 1"),
        None,
        None,
    )
    assert (third["kind"], third["driver"], third["mode"], third["vbios"]) == (
        "switch",
        None,
        None,
        "96.10.6D.00.01",
    )
    assert fields_of(DER)["binding"] == "nonce+cpu-digest"


def test_the_evidence_stays_that_of_the_cpu() -> None:
    assert INFO.evidence_sha256 == digest("quote")


@given(st.lists(gpus | switches, max_size=MAX_DEVICES).map(tuple))
def test_round_trip(devices: tuple[ListedDevice, ...]) -> None:
    info = info_with(devices)
    der = extension.encode(info)
    assert extension.decode(der) == info
    assert rewritten(der, {}) == der  # an encoder of other authors gives the same bytes


@given(st.integers(0, len(DER) - 1), st.integers(1, 255))
def test_one_changed_byte_is_refused_or_means_something_else(position: int, change: int) -> None:
    data = bytearray(DER)
    data[position] ^= change
    try:
        found = extension.decode(bytes(data))
    except RequestRefused:
        return
    assert found != INFO
    assert extension.encode(found) == bytes(data)  # one value, one encoding


def test_an_empty_list_is_encoded_as_ever() -> None:
    none = extension.encode(extension.info(make_request(), INFO.handles))
    assert b"\x30\x00" + b"\x04\x20" + digest("quote") in none  # devices, evidenceSha256


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": ""},
        {"kind": "k" * 33},
        {"model": ""},
        {"model": "m" * 65},
        {"report_sha256": bytes(31)},
        {"handle": b""},
        {"handle": bytes(33)},
        {"driver": ""},
        {"driver": "5" * 33},
        {"vbios": ""},
        {"vbios": "v" * 33},
        {"mode": ""},
        {"mode": "m" * 33},
        {"appraised_by": ""},
        {"appraised_by": "a" * 33},
    ],
)
def test_sizes_hold_when_written(changes: dict[str, Any]) -> None:
    device = replace(INFO.devices[0], **changes)
    with pytest.raises(ValueError, match=r"invalid|size"):
        extension.encode(replace(INFO, devices=(device,)))


def test_seventeen_are_too_many() -> None:
    extension.encode(replace(INFO, devices=INFO.devices[:1] * 16))
    with pytest.raises(ValueError, match="size"):
        extension.encode(replace(INFO, devices=INFO.devices[:1] * 17))


@pytest.mark.parametrize(
    ("place", "changes"),
    [
        (0, {"kind": "GPU"}),
        (0, {"kind": "nic"}),
        (0, {"kind": "switch"}),
        (0, {"driver": None}),
        (0, {"driver": ""}),
        (0, {"driver": "5" * 33}),
        (0, {"mode": "MPT"}),
        (0, {"mode": ""}),
        (0, {"mode": "off"}),
        (0, {"handle": b""}),
        (0, {"handle": bytes(31)}),
        (0, {"appraisedBy": "nvidia"}),
        (2, {"kind": "gpu"}),
        (2, {"driver": "580.178.04"}),
        (2, {"mode": "ppcie"}),
    ],
)
def test_what_is_no_device(place: int, changes: dict[str, Any]) -> None:
    refused(rewritten(DER, changes, place), "a device that is none")


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_report_of_another_digest(size: int) -> None:
    refused(rewritten(DER, {"reportSha256": bytes(size)}, 0), "not an AttestationInfo")


def test_a_handle_that_is_not_among_the_handles() -> None:
    refused(rewritten(DER, {"handle": digest("elsewhere")}, 0), "handle is not listed")
    (kept,) = (pair for pair in INFO.handles if pair[1] == INFO.devices[0].handle)
    renamed = tuple(
        ("firmware", value) if (name, value) == kept else (name, value)
        for name, value in INFO.handles
    )
    refused(extension.encode(replace(INFO, handles=renamed)), "handle is not listed")


def test_a_member_in_the_place_of_another() -> None:
    """Tags tell the optional ones apart: a driver is never read as a mode, nor the reverse."""
    tagged = b"\xa1\x0c\x0c\x0a580.178.04"
    assert tagged in DER
    refused(DER.replace(tagged, b"\xa2" + tagged[1:], 1), "not an AttestationInfo")


# what was tolerated of devices


def test_what_is_tolerated_of_sixteen_devices_is_stated_once() -> None:
    rules = ("driver-minimum", "vbios-minimum", "fwid-missing", "device-model", "device-list")
    of_devices = [f"{rule}:devices[{place}].x" for rule in rules for place in range(MAX_DEVICES)]
    assert len(of_devices) > MAX_TOLERATED
    request = make_request(
        tolerated=("tcb-out-of-date:tcb.status", *of_devices, "unpinned:rtmr3"),
        **with_devices(*map(make_device, range(MAX_DEVICES))),
    )
    stated = (
        "tcb-out-of-date:tcb.status",
        *(f"{rule}:devices[].x" for rule in rules),
        "unpinned:rtmr3",
    )
    lab = make_lab()
    issued = lab.issue(request)
    assert extension.info(request, issued.prepared.handles).tolerated == stated
    claims = jwt.decode(ear.token(issued, lab.ear_key()), options={"verify_signature": False})
    assert claims["submods"]["cpu"]["ear_verifier_claims"]["tolerated"] == [*stated]


@pytest.mark.parametrize("said", ["device-count:devices.gpus", "x:tcb.devices[0].y", "x:devices[]"])
def test_other_paths_stay_as_they_are(said: str) -> None:
    assert make_request(tolerated=(said,)).stated_tolerated == (said,)
