# SPDX-License-Identifier: Apache-2.0
"""What files of devices are is told by their content alone, and nothing of another technology is taken for one."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.intel import FakeIntel
from simulator.nvidia import rims
from simulator.nvidia.certificates import NOW
from simulator.pki import pem
from tests import nvidia_devices
from tests.nvidia_devices import Exhibit
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.evidence import NvidiaEvidence
from verifiers.nvidia.files import are_of_devices, is_manifest, read_files

GPU = Exhibit().evidence
OTHER = nvidia_devices.a_switch().evidence
XML = rims.document(rims.DRIVER)
ENVELOPE = rims.envelope(XML)
FOREIGN = pem(FakeIntel.create(NOW).root_der).encode()


def listed(*devices: NvidiaEvidence) -> list[Any]:
    return [
        {
            "evidence": base64.b64encode(one.report).decode(),
            "certificate": base64.b64encode(one.chain_pem).decode(),
        }
        for one in devices
    ]


JSON = json.dumps(listed(GPU, OTHER)).encode()


@pytest.mark.parametrize("space", [b"", b"\n \t"])
@pytest.mark.parametrize("text", [XML, ENVELOPE, JSON, GPU.chain_pem, b"<?xml version='1.0'?><a/>"])
def test_texts_are_known_by_how_they_begin(text: bytes, space: bytes) -> None:
    assert are_of_devices([space + text])
    assert are_of_devices([b"\x04\0", space + text])


def test_a_report_is_known_by_its_request() -> None:
    assert are_of_devices([GPU.report])
    assert are_of_devices([GPU.report[:4]])
    assert not are_of_devices([GPU.report[:3]])
    assert not are_of_devices([b"\n" + GPU.report])


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"",
            b"{}",
            b"[]",
            b"[1]",
            b'{"tcb_info": 1}',
            b"<",
            b"< a",
            b"\x3c\0\0\0",
            b"0400020081",
        ),
        *(FOREIGN, b"-----BEGIN CERTIFICATE-----\nNVIDIA", b"-----BEGIN X509 CRL-----\nNVIDIA"),
        *(b"\x04\0\x02\0\x81\0\0\0", b"\x03\0\0\0", b"\xffTCG", b"\x30\x82NVIDIA"),
    ],
)
def test_what_is_of_others(data: bytes) -> None:
    assert not are_of_devices([data])


def test_a_pair_in_any_order_with_manifests() -> None:
    for files in (
        [GPU.report, GPU.chain_pem, XML, ENVELOPE],
        [XML, GPU.chain_pem, ENVELOPE, GPU.report],
    ):
        found = read_files(files)
        assert found.evidence == (GPU,)
        assert found.rims == (XML, ENVELOPE)


def test_pairs_by_their_order_behind_devices_of_lists() -> None:
    found = read_files([GPU.report, OTHER.report, JSON, GPU.chain_pem, OTHER.chain_pem])
    assert found.evidence == (GPU, OTHER, GPU, OTHER)
    request = json.dumps({"nonce": "", "evidence_list": listed(OTHER)}).encode()
    assert read_files([request, JSON]).evidence == (OTHER, GPU, OTHER)


def test_manifests_alone_are_no_device() -> None:
    assert read_files([XML]).evidence == ()


def test_what_is_meant_as_a_manifest() -> None:
    assert all(map(is_manifest, (XML, ENVELOPE, b"<?xml version='1.0'?><a/>")))
    assert not any(map(is_manifest, (JSON, GPU.report, GPU.chain_pem, b"<", b"{}", b"")))


def test_a_damaged_report_keeps_its_place() -> None:
    damaged = b"\xff" + GPU.report
    found = read_files([GPU.chain_pem, damaged])
    assert [one.report for one in found.evidence] == [damaged]
    found = read_files([damaged, OTHER.report, GPU.chain_pem, OTHER.chain_pem])
    assert found.evidence == (NvidiaEvidence(damaged, GPU.chain_pem), OTHER)


def test_a_foreign_chain_beside_a_report_is_its_chain() -> None:
    assert read_files([GPU.report, FOREIGN]).evidence == (NvidiaEvidence(GPU.report, FOREIGN),)


@pytest.mark.parametrize(
    ("files", "detail"),
    [
        ([GPU.report], "got 1 and 0"),
        ([GPU.chain_pem], "got 0 and 1"),
        ([GPU.report, GPU.chain_pem, OTHER.chain_pem], "got 1 and 2"),
        ([GPU.report, GPU.chain_pem, b"\x04\0\x02\0"], "1 of the files"),
        ([GPU.chain_pem, b"a", b"b"], "2 of the files"),
        ([JSON, b"\x03\0\0\0"], "1 of the files"),
    ],
)
def test_files_that_make_no_devices(files: list[bytes], detail: str) -> None:
    with pytest.raises(VerificationError, match=detail) as caught:
        read_files(files)
    assert caught.value.reason is Reason.EVIDENCE


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'[{"evidence": "AA', Reason.MALFORMED),
        (b'{"evidence_list": []}', Reason.MALFORMED),
        (b'[{"evidence": "AA==", "certificate": 1}]', Reason.MALFORMED),
        (json.dumps(listed(*[GPU] * 17)).encode(), Reason.TOO_LARGE),
    ],
)
def test_damaged_lists(data: bytes, reason: Reason) -> None:
    assert are_of_devices([data])
    with pytest.raises(VerificationError) as caught:
        read_files([data])
    assert caught.value.reason is reason


@pytest.mark.parametrize(("report", "chain"), [(16_384, 1), (4, 16_384)])
def test_too_large_for_evidence(report: int, chain: int) -> None:
    files = [
        b"\x11\xe0\x01\xff".ljust(report + 1, b"\0"),
        b"-----BEGIN CERTIFICATE-----".ljust(chain + 1),
    ]
    with pytest.raises(VerificationError) as caught:
        read_files(files)
    assert caught.value.reason is Reason.TOO_LARGE


PIECES = st.sampled_from([GPU.report, GPU.chain_pem, XML, ENVELOPE, JSON, FOREIGN, b"", b"{", b"["])


@given(st.lists(PIECES | st.binary(max_size=40), max_size=6))
def test_any_files(files: list[bytes]) -> None:
    """One typed error, or every file is used."""
    are_of_devices(files)
    try:
        found = read_files(files)
    except VerificationError:
        return
    lists = files.count(JSON)
    pairs = (len(files) - len(found.rims) - lists) // 2
    assert len(found.evidence) == 2 * lists + pairs
