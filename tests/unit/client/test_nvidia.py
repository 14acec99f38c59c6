# SPDX-License-Identifier: Apache-2.0
"""Evidence of GPUs: the real module pynvml, with a fake of the driver's library below it."""

from __future__ import annotations

import subprocess
import sys
from threading import Event
from types import ModuleType
from typing import TYPE_CHECKING

import pynvml
import pytest

from attestca_client.errors import (
    DevicesMissing,
    DevicesPermission,
    DevicesUnavailable,
    EvidenceError,
)
from attestca_client.nvidia import MAX_DEVICES, NvmlDeviceSource, unpack
from attestca_client.runtime import Runtime
from attestca_client.wire import Evidence
from simulator.nvidia.certificates import NOW as MADE_AT
from simulator.nvidia.devices import device
from simulator.nvidia.reports import GPU
from tests.nvidia_devices import anchors
from tests.nvidia_vectors import load
from tests.unit.client.fake_nvml import CHAIN, REQUEST, FakeNvml, report_over
from verifiers.anchors import builtin
from verifiers.evidence import MAX_BYTES, EvidenceKind
from verifiers.evidence import MAX_DEVICES as MOST_OF_ALL
from verifiers.nvidia.chain import MAX_CHAIN_BYTES
from verifiers.nvidia.device import authenticate
from verifiers.nvidia.evidence import parse_piece
from verifiers.nvidia.report import MAX_REPORT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

NONCE = bytes(range(32))
COUNT = "nvmlDeviceGetCount_v2"
HANDLE = "nvmlDeviceGetHandleByIndex_v2"
INIT = "nvmlInitWithFlags"
SETTINGS = "nvmlSystemGetConfComputeSettings"
STATE = "nvmlSystemGetConfComputeState"
REPORT = "nvmlDeviceGetConfComputeGpuAttestationReport"
CERTIFICATE = "nvmlDeviceGetConfComputeGpuCertificate"


class Guest:
    """A machine with this library, what its client said, and what came of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, nvml: FakeNvml | None = None) -> None:
        self.lines: list[str] = []
        self.nvml = (nvml or FakeNvml()).install(monkeypatch)

    def source(self, *, required: bool = False, seconds: float = 20.0) -> NvmlDeviceSource:
        return NvmlDeviceSource(Runtime(say=self.lines.append), required, seconds)

    def fails(self, kind: type[EvidenceError], *, required: bool = False) -> EvidenceError:
        with pytest.raises(kind) as caught:
            self.source(required=required)(NONCE)
        assert type(caught.value) is kind
        assert self.nvml.sessions == 0
        return caught.value


def expected(count: int) -> list[tuple[bytes, bytes]]:
    return [(report_over(NONCE, index), CHAIN % index) for index in range(count)]


@pytest.mark.parametrize("count", [1, 8, MAX_DEVICES])
def test_a_piece_of_each_gpu_in_order(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    guest = Guest(monkeypatch, FakeNvml(gpus=count))
    pieces = guest.source()(NONCE)
    assert [piece.kind for piece in pieces] == [EvidenceKind.NVIDIA_DEVICE] * count
    assert [unpack(piece) for piece in pieces] == expected(count)
    read = [parse_piece(piece.data) for piece in pieces]  # as the authority reads them
    assert [(one.report, one.chain_pem) for one in read] == expected(count)
    assert guest.nvml.nonces == [NONCE] * count
    assert guest.nvml.sessions == 0
    assert guest.lines == [f"devices: {count} GPU" + ("s" if count > 1 else "")]


def test_what_real_gpus_give_fits_and_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    vector = load("b200x8-590.48.01-mpt")
    nvml = FakeNvml(
        gpus=len(vector.devices),
        report=lambda _nonce, index: vector.devices[index].report,
        chain=lambda index: vector.devices[index].chain_pem,
    )
    pieces = Guest(monkeypatch, nvml).source()(NONCE)
    sent = [parse_piece(piece.data) for piece in pieces]
    assert tuple(sent) == vector.devices
    assert len({authenticate(one, builtin(), vector.nonce, vector.at) for one in sent}) == 8


def test_what_simulated_gpus_give_is_evidence_over_the_nonce(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    boards = [device(number) for number in range(2)]
    nvml = FakeNvml(
        gpus=2,
        report=lambda nonce, index: boards[index].sign(GPU.but(request=REQUEST + nonce + b"\0")),
        chain=lambda index: boards[index].chain_pem,
    )
    pieces = Guest(monkeypatch, nvml).source()(NONCE)
    for piece in pieces:
        authenticate(parse_piece(piece.data), anchors(), NONCE, MADE_AT)


def test_limits_are_the_authoritys() -> None:
    assert MAX_DEVICES == MOST_OF_ALL
    assert pynvml.NVML_CC_GPU_ATTESTATION_REPORT_SIZE <= MAX_REPORT_BYTES
    assert pynvml.NVML_GPU_ATTESTATION_CERT_CHAIN_SIZE <= MAX_CHAIN_BYTES
    assert MAX_BYTES[EvidenceKind.NVIDIA_DEVICE] == 8 + MAX_REPORT_BYTES + MAX_CHAIN_BYTES


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_nonce_of_another_length_is_our_fault(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    guest = Guest(monkeypatch)
    with pytest.raises(ValueError, match="32 bytes"):
        guest.source()(bytes(size))
    assert guest.nvml.calls == {}


# modes


def test_protected_pcie_counts_where_the_feature_is_said_to_be_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guest = Guest(monkeypatch, FakeNvml(gpus=8, cc=0, multi_gpu=1))
    assert len(guest.source()(NONCE)) == 8


@pytest.mark.parametrize("code", [pynvml.NVML_ERROR_NOT_SUPPORTED, None])
def test_an_older_driver_has_the_older_question(
    monkeypatch: pytest.MonkeyPatch, code: int | None
) -> None:
    nvml = FakeNvml(missing=set() if code else {SETTINGS}, errors={SETTINGS: code} if code else {})
    guest = Guest(monkeypatch, nvml)
    assert len(guest.source()(NONCE)) == 1
    nvml.cc = 0
    assert guest.source()(NONCE) == []
    assert nvml.calls[STATE] == 2


def test_developer_tools_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    guest = Guest(monkeypatch, FakeNvml(developer=1))
    assert len(guest.source()(NONCE)) == 1
    assert "developer-tools mode" in guest.lines[0]


# machines without


def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        assert name == "libnvidia-ml.so.1"
        raise OSError(name)

    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "CDLL", load)


def no_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)


def old_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", ModuleType("pynvml"))


def not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeNvml(errors={INIT: pynvml.NVML_ERROR_DRIVER_NOT_LOADED}).install(monkeypatch)


def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeNvml(gpus=0).install(monkeypatch)


def mode_off(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeNvml(gpus=2, cc=0).install(monkeypatch)


def mode_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeNvml(missing={SETTINGS, STATE}).install(monkeypatch)


ABSENT: dict[Callable[[pytest.MonkeyPatch], None], tuple[str, str]] = {
    no_module: ("nvidia-ml-py is not installed", "attestca-client[nvidia]"),
    old_module: ("too old", "attestca-client[nvidia]"),
    no_library: ("libnvidia-ml.so.1 is not there", "load NVIDIA's driver"),
    not_loaded: ("no NVIDIA driver is loaded", "load NVIDIA's driver"),
    without_gpu: ("has no GPU", "pass the GPU into this guest"),
    mode_off: ("not in confidential-computing mode", "the host sets the mode"),
    mode_unknown: ("this driver has no confidential computing", "load NVIDIA's driver"),
}


@pytest.mark.parametrize("without", ABSENT, ids=lambda one: one.__name__)
def test_a_machine_without_gpus(
    monkeypatch: pytest.MonkeyPatch, without: Callable[[pytest.MonkeyPatch], None]
) -> None:
    detail, hint = ABSENT[without]
    guest = Guest(monkeypatch)
    without(monkeypatch)
    assert guest.source()(NONCE) == []
    (line,) = guest.lines
    assert line.startswith("no devices: ")
    assert detail in line
    found = guest.fails(DevicesMissing, required=True)
    assert found.exit_code == 66
    assert detail in found.detail
    assert hint in found.hint


# drivers in trouble: an error even where no device is demanded


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize(
    ("function", "doing"),
    [
        (INIT, "start NVML"),
        (SETTINGS, "ask for the mode of the GPUs"),
        (COUNT, "count the GPUs"),
        (HANDLE, "open GPU 0"),
        (REPORT, "get a report of GPU 0"),
        (CERTIFICATE, "get the certificates of GPU 0"),
    ],
)
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (pynvml.NVML_ERROR_NO_PERMISSION, DevicesPermission),
        (pynvml.NVML_ERROR_GPU_IS_LOST, DevicesUnavailable),
        (pynvml.NVML_ERROR_IN_USE, DevicesUnavailable),  # a code without a text of its own
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, DevicesUnavailable),
        (12345, DevicesUnavailable),
    ],
)
def test_a_driver_in_trouble(
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    doing: str,
    code: int,
    kind: type[EvidenceError],
    *,
    required: bool,
) -> None:
    guest = Guest(monkeypatch, FakeNvml(errors={function: code}))
    found = guest.fails(kind, required=required)
    assert found.detail.startswith(f"cannot {doing}: ")
    assert found.hint
    assert found.exit_code == (66 if kind is DevicesPermission else 69)


@pytest.mark.parametrize("function", [HANDLE, REPORT, CERTIFICATE])
def test_a_gpu_that_knows_no_reports_is_not_left_out(
    monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    guest = Guest(monkeypatch, FakeNvml(errors={function: pynvml.NVML_ERROR_NOT_SUPPORTED}))
    guest.fails(DevicesUnavailable)


def test_an_end_that_fails_spoils_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    guest = Guest(monkeypatch, FakeNvml(errors={"nvmlShutdown": pynvml.NVML_ERROR_UNKNOWN}))
    assert len(guest.source()(NONCE)) == 1


def test_more_gpus_than_an_enrollment_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    guest = Guest(monkeypatch, FakeNvml(gpus=MAX_DEVICES + 1))
    assert "17 GPUs" in guest.fails(DevicesUnavailable).detail
    assert guest.nvml.calls[REPORT] == 0


@pytest.mark.parametrize(
    ("name", "most", "what"),
    [
        ("attestationReport", 0x2000, "report"),
        ("attestationCertChain", 0x1400, "certificate chain"),
    ],
)
def test_sizes(monkeypatch: pytest.MonkeyPatch, name: str, most: int, what: str) -> None:
    nvml = FakeNvml()
    guest = Guest(monkeypatch, nvml)
    for size in (0, most + 1, 2**32 - 1):
        nvml.sizes = {name: size}
        assert guest.fails(DevicesUnavailable).detail == (
            f"GPU 0: a {what} of {size} bytes, of {most} at most"
        )
    nvml.sizes = {name: most}
    (piece,) = guest.source()(NONCE)
    assert most in {len(part) for part in unpack(piece)}


@pytest.mark.parametrize("function", [INIT, REPORT])
def test_a_driver_that_hangs_stops_nothing_else(
    monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    release = Event()
    guest = Guest(monkeypatch, FakeNvml(hang=(function, release)))
    try:
        with pytest.raises(DevicesUnavailable, match=r"no evidence within 0\.05 s"):
            guest.source(seconds=0.05)(NONCE)
    finally:
        release.set()


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    guest = Guest(monkeypatch)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        guest.source()(NONCE)
    assert guest.nvml.sessions == 0


def test_nothing_of_the_gpus_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    guest = Guest(monkeypatch, FakeNvml(gpus=2))
    guest.source()(NONCE)
    assert guest.nvml.calls == {
        INIT: 1, SETTINGS: 1, COUNT: 1, HANDLE: 2, REPORT: 2, CERTIFICATE: 2, "nvmlShutdown": 1,
    }  # fmt: skip


def test_the_module_is_imported_when_devices_are_looked_for() -> None:
    program = "import sys, attestca_client.__main__; sys.exit('pynvml' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603 - our own interpreter


def test_evidence_is_unpacked_as_it_was_packed() -> None:
    assert unpack(Evidence("nvidia-device", bytes.fromhex("00000002aabb00000001cc"))) == (
        b"\xaa\xbb",
        b"\xcc",
    )
