# SPDX-License-Identifier: Apache-2.0
"""The framing and the five hashes of the binding, held against vectors that this project computed another way.

`golden_binding.json` is read by other implementations too. `by_hand` is the independent computation: struct and
hashlib, no line of it from attestca_client. A vector that has to change is a new protocol version.
"""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestca_client import protocol
from verifiers.evidence import EvidenceKind
from verifiers.nvidia.evidence import parse_piece

if TYPE_CHECKING:
    from random import Random

GOLDEN = Path(__file__).with_name("golden_binding.json")
FIELDS = st.lists(st.binary(max_size=40), max_size=6)


class Attachment(TypedDict):
    kind: str
    evidence: str


class Inputs(TypedDict):
    root_spki: str
    profile: str
    nonce: str
    spki: str
    attachments: list[Attachment]


class Case(TypedDict):
    name: str
    inputs: Inputs
    outputs: dict[str, str | list[str]]


CASES: list[Case] = json.loads(GOLDEN.read_text("utf-8"))["cases"]
INSPECTION: dict[str, str] = json.loads(GOLDEN.read_text("utf-8"))["inspection"]


def by_hand(inputs: Inputs) -> dict[str, str | list[str]]:
    """The five hashes from the text of the specification alone."""

    def framed(*fields: bytes) -> bytes:
        return b"".join(struct.pack(f">I{len(f)}s", len(f), f) for f in fields)

    ca_id = hashlib.sha256(bytes.fromhex(inputs["root_spki"])).digest()
    common = (ca_id, inputs["profile"].encode(), bytes.fromhex(inputs["nonce"]))
    key = bytes.fromhex(inputs["spki"])
    devices = [
        hashlib.sha256(
            framed(b"attestca/1 attachment", a["kind"].encode(), bytes.fromhex(a["evidence"]))
        ).digest()
        for a in inputs["attachments"]
    ]
    binding = hashlib.sha512(framed(b"attestca/1 enroll", *common, key, *sorted(devices))).digest()
    return {
        "ca_id": ca_id.hex(),
        "attachments": [d.hex() for d in devices],
        "binding": binding.hex(),
        "gpu_nonce": hashlib.sha256(framed(b"attestca/1 gpu", *common, key)).hexdigest(),
        "tpm_extra": hashlib.sha256(framed(b"attestca/1 tpm", binding)).hexdigest(),
    }


def by_protocol(inputs: Inputs) -> dict[str, str | list[str]]:
    """The same through attestca_client.protocol."""
    ca_id = protocol.ca_id(bytes.fromhex(inputs["root_spki"]))
    nonce, key = bytes.fromhex(inputs["nonce"]), bytes.fromhex(inputs["spki"])
    profile = inputs["profile"]
    devices = [
        protocol.attachment(a["kind"], bytes.fromhex(a["evidence"])) for a in inputs["attachments"]
    ]
    binding = protocol.binding(
        ca_id=ca_id, profile=profile, nonce=nonce, spki_der=key, attachments=devices
    )
    gpu = protocol.gpu_nonce(ca_id=ca_id, profile=profile, nonce=nonce, spki_der=key)
    return {
        "ca_id": ca_id.hex(),
        "attachments": [d.hex() for d in devices],
        "binding": binding.hex(),
        "gpu_nonce": gpu.hex(),
        "tpm_extra": protocol.tpm_extra(binding).hex(),
    }


@pytest.mark.parametrize("case", CASES, ids=[c["name"] for c in CASES])
def test_golden_vectors(case: Case) -> None:
    assert by_hand(case["inputs"]) == case["outputs"]
    assert by_protocol(case["inputs"]) == case["outputs"]


def test_golden_vectors_cover_no_device_and_several() -> None:
    counts = {len(c["inputs"]["attachments"]) for c in CASES}
    assert {0, 1, 3} <= counts
    devices = [c["outputs"]["attachments"] for c in CASES]
    assert any(list(d) != sorted(d) for d in devices), "one case must need the sorting"


def test_golden_devices_answer_the_nonce_that_they_must() -> None:
    (case,) = (c for c in CASES if c["name"] == "nvidia-devices")
    for device in case["inputs"]["attachments"]:
        assert device["kind"] == EvidenceKind.NVIDIA_DEVICE
        report = parse_piece(bytes.fromhex(device["evidence"])).report
        assert report[4:36].hex() == case["outputs"]["gpu_nonce"]


def test_golden_inspection() -> None:
    nonce = bytes.fromhex(INSPECTION["nonce"])
    label = b"attestca/1 inspect"
    framed = struct.pack(f">I{len(label)}sI{len(nonce)}s", len(label), label, len(nonce), nonce)
    assert INSPECTION["report_data"] == hashlib.sha512(framed).hexdigest()
    assert INSPECTION["gpu_nonce"] == hashlib.sha256(framed).hexdigest()
    assert protocol.inspect_report_data(nonce).hex() == INSPECTION["report_data"]
    assert protocol.inspect_gpu_nonce(nonce).hex() == INSPECTION["gpu_nonce"]


def unframe(data: bytes) -> list[bytes]:
    """Inverse of `frame`: if it always gives the fields back, no two lists share a frame."""
    fields = []
    while data:
        (size,) = struct.unpack_from(">I", data)
        fields.append(data[4 : 4 + size])
        data = data[4 + size :]
    return fields


@given(FIELDS)
def test_frame_can_be_undone(fields: list[bytes]) -> None:
    assert unframe(protocol.frame(*fields)) == fields


@given(FIELDS, FIELDS)
def test_frame_is_injective(one: list[bytes], other: list[bytes]) -> None:
    assert (protocol.frame(*one) == protocol.frame(*other)) == (one == other)


@given(st.binary(min_size=1, max_size=20), st.integers(min_value=0, max_value=19))
def test_moving_a_field_border_changes_the_frame(data: bytes, cut: int) -> None:
    cut %= len(data)
    assert protocol.frame(data[:cut], data[cut:]) != protocol.frame(data)


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=5), st.randoms())
def test_attachments_in_any_order(devices: list[bytes], rng: Random) -> None:
    shuffled = list(devices)
    rng.shuffle(shuffled)

    def bind(attachments: list[bytes]) -> bytes:
        return protocol.binding(
            ca_id=b"c" * 32, profile="p", nonce=b"n" * 32, spki_der=b"k", attachments=attachments
        )

    assert bind(shuffled) == bind(devices)
    assert bind([*devices, b"d" * 32]) != bind(devices)


def test_lengths() -> None:
    binding = protocol.binding(ca_id=b"", profile="", nonce=b"", spki_der=b"")
    assert len(binding) == 64
    assert len(protocol.tpm_extra(binding)) == 32
    assert len(protocol.gpu_nonce(ca_id=b"", profile="", nonce=b"", spki_der=b"")) == 32
    assert len(protocol.attachment("", b"")) == 32


def test_handle_is_flat_and_labelled() -> None:
    framed = b"".join(
        struct.pack(">I", len(f)) + f
        for f in (b"attestca/1 handle", b"measurement", b"mr_td", b"v")
    )
    expected = hashlib.sha256(framed).digest()
    assert protocol.handle(protocol.HandleKind.MEASUREMENT, b"mr_td", b"v") == expected
    assert protocol.handle(protocol.HandleKind.MEASUREMENT, b"mr_tdv") != expected


def test_the_handle_of_a_certificate() -> None:
    key_id, serial = b"i" * 20, 0x1234
    value = protocol.handle(protocol.HandleKind.CERTIFICATE, key_id, b"\x12\x34")
    assert protocol.certificate_handle(key_id, serial) == value
    assert protocol.certificate_handle(key_id, serial + 1) != value


def test_chip_id_is_keyed() -> None:
    # RFC 2104 written out: the key padded to the 64-byte block, inner and outer hash.
    key, kind, hardware = b"k" * 32, "ppid", b"\x01" * 16
    message = struct.pack(">I", 4) + b"ppid" + struct.pack(">I", 16) + hardware
    block = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in block) + message).digest()
    expected = hashlib.sha256(bytes(b ^ 0x5C for b in block) + inner).digest()
    assert protocol.chip_id(key, kind, hardware) == expected
    assert protocol.chip_id(b"x" * 32, kind, hardware) != expected
