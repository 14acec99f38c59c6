# SPDX-License-Identifier: Apache-2.0
"""`attestca-client evidence`: what is written, what the values are, and that no enrollment can use them."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestca_client import __main__ as cli
from attestca_client import errors, protocol
from attestca_client.inspection import inspect, parse_nonce
from attestca_client.machine import MachineQuoteSource
from attestca_client.wire import Evidence
from tests.unit.client.fake_authority import QUOTE_PREFIX, fake_devices, fake_quote
from tests.unit.client.fake_nvml import CHAIN, FakeNvml, report_over
from verifiers.nvidia.files import read_files

if TYPE_CHECKING:
    from pathlib import Path

NONCE = bytes(range(32))
REPORT_DATA = protocol.inspect_report_data(NONCE)
GPU_NONCE = protocol.inspect_gpu_nonce(NONCE)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "new" / "evidence"


def azure(report_data: bytes) -> list[Evidence]:
    kinds = ("hcl-report", "tpm-attest", "tpm-signature", "tpm-pcrs", "snp-certificates")
    return [Evidence(kind, kind.encode() + report_data) for kind in kinds]


def test_files(out: Path) -> None:
    found = inspect(NONCE, fake_quote, fake_devices(2), out)
    quote, devices = found.files
    assert (quote, devices) == (out / "tdx-quote.bin", out / "nvidia-devices.json")
    assert quote.read_bytes() == QUOTE_PREFIX + REPORT_DATA
    read = read_files([devices.read_bytes()])  # as `attestca verify` reads them
    sent = fake_devices(2)(GPU_NONCE)
    assert [protocol.frame(one.report, one.chain_pem) for one in read.evidence] == [
        piece.data for piece in sent
    ]
    assert sorted(out.iterdir()) == sorted(found.files)


def test_every_piece_has_a_file(out: Path) -> None:
    found = inspect(NONCE, azure, None, out)
    assert [path.read_bytes() for path in found.files] == [
        piece.data for piece in azure(REPORT_DATA)
    ]
    assert found.tpm_extra == protocol.tpm_extra(REPORT_DATA)


def test_files_are_private(out: Path) -> None:
    """They hold serial numbers of hardware."""
    found = inspect(NONCE, fake_quote, fake_devices(1), out)
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in found.files} == {0o600}


def test_no_devices_no_file_of_them(out: Path) -> None:
    assert [path.name for path in inspect(NONCE, fake_quote, fake_devices(0), out).files] == [
        "tdx-quote.bin"
    ]


def test_a_directory_with_something_in_it_is_left_alone(out: Path) -> None:
    inspect(NONCE, fake_quote, fake_devices(1), out)
    before = {path: path.read_bytes() for path in out.iterdir()}
    asked: list[bytes] = []

    def quote(report_data: bytes) -> list[Evidence]:
        asked.append(report_data)
        return fake_quote(report_data)

    with pytest.raises(errors.Misconfigured, match="not empty") as caught:
        inspect(bytes(32), quote, None, out)
    assert caught.value.hint
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    assert asked == []


def test_a_directory_that_others_write_to(out: Path) -> None:
    out.mkdir(parents=True)
    out.chmod(0o777)
    with pytest.raises(errors.Misconfigured, match="others may write"):
        inspect(NONCE, fake_quote, None, out)


def test_a_machine_without_evidence_writes_nothing(out: Path) -> None:
    def broken(_nonce: bytes) -> list[Evidence]:
        raise errors.DevicesMissing("none")

    with pytest.raises(errors.DevicesMissing):
        inspect(NONCE, fake_quote, broken, out)
    assert list(out.iterdir()) == []


def test_a_medium_that_is_full(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path, _data: bytes, _mode: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("attestca_client.files.write_new", full)
    with pytest.raises(errors.OutputFailed, match="No space left"):
        inspect(NONCE, fake_quote, None, out)


@given(st.binary(min_size=16, max_size=64))
def test_nonces(nonce: bytes) -> None:
    assert parse_nonce(nonce.hex()) == nonce
    assert parse_nonce(nonce.hex().upper()) == nonce


@pytest.mark.parametrize("text", ["", "00" * 15, "00" * 65, "0" * 33, "xx" * 16, "é" * 32])
def test_no_nonces(text: str) -> None:
    with pytest.raises(errors.Misconfigured, match="16 to 64 bytes"):
        parse_nonce(text)


@pytest.mark.parametrize("size", [32, 64])
def test_what_a_caller_wants_to_see_in_the_evidence_does_not_get_there(
    out: Path, size: int
) -> None:
    """The nonce is an enrollment's own binding and nonce for devices, which someone else would like to have signed."""
    key = b"a key of one's own"
    wanted = {
        64: protocol.binding(ca_id=b"c" * 32, profile="p", nonce=b"n" * 64, spki_der=key),
        32: protocol.gpu_nonce(ca_id=b"c" * 32, profile="p", nonce=b"n" * 64, spki_der=key),
    }
    found = inspect(wanted[size], fake_quote, fake_devices(1), out)
    for path in found.files:
        assert wanted[size] not in path.read_bytes()
    (device,) = read_files([found.files[1].read_bytes()]).evidence
    assert wanted[size] not in device.report


# the command


@pytest.fixture
def _on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MachineQuoteSource, "of", lambda _runtime, **_: fake_quote)


@pytest.mark.usefixtures("_on_this_machine")
def test_the_command(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    FakeNvml(gpus=2).install(monkeypatch)
    assert cli.run(["evidence", "--nonce", NONCE.hex(), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "result": "collected",
        "report_data": REPORT_DATA.hex(),
        "tpm_extra": protocol.tpm_extra(REPORT_DATA).hex(),
        "gpu_nonce": GPU_NONCE.hex(),
        "files": [str(out / "tdx-quote.bin"), str(out / "nvidia-devices.json")],
    }
    read = read_files([(out / "nvidia-devices.json").read_bytes()])
    assert [(one.report, one.chain_pem) for one in read.evidence] == [
        (report_over(GPU_NONCE, index), CHAIN % index) for index in range(2)
    ]


@pytest.mark.usefixtures("_on_this_machine")
def test_the_command_for_people(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["evidence", "--nonce", NONCE.hex(), "--out", str(out), "--devices", "none"]
    assert cli.run(argv) == 0
    shown, said = capsys.readouterr()
    assert shown.splitlines()[1:] == [
        f"report_data {REPORT_DATA.hex()}",
        f"tpm_extra {protocol.tpm_extra(REPORT_DATA).hex()}",
        f"gpu_nonce {GPU_NONCE.hex()}",
        str(out / "tdx-quote.bin"),
    ]
    assert said == ""


@pytest.mark.usefixtures("_on_this_machine")
def test_the_commands_errors(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["evidence", "--nonce", NONCE.hex(), "--out", str(out), "--devices", "required"]
    assert cli.run(["evidence", "--nonce", "00", "--out", str(out)]) == 64
    FakeNvml(cc=0).install(monkeypatch)
    assert cli.run(argv) == 66
    assert "the host sets the mode" in capsys.readouterr().err
    assert cli.run([*argv, "--json"]) == 66
    assert json.loads(capsys.readouterr().out)["code"] == "devices-missing"
