# SPDX-License-Identifier: Apache-2.0
"""Azure's evidence: from a software TPM by real tpm2-tools, and from fakes of those for all that can go wrong."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestca_client import azure
from attestca_client.azure import MAX_HCL, AzureQuoteSource
from attestca_client.errors import EvidenceError, QuoteUnavailable, TpmMissing, UnsupportedProvider
from attestca_client.protocol import tpm_extra
from attestca_client.runtime import Runtime
from attestca_client.tpm import RETRY_DELAYS, TpmTools, complaint
from tests.tpm_lab import Hcl, runtime
from tests.unit.client import software_tpm
from tests.unit.client.fake_tpm_tools import DATA, NOWHERE, Bench
from verifiers.errors import Reason, VerificationError
from verifiers.vtpm.attest import parse_attest, verify_quote
from verifiers.vtpm.claims import PcrBank
from verifiers.vtpm.hcl import parse_hcl, read_runtime_data

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.client.software_tpm import SoftwareTpm

ATTEMPTS = len(RETRY_DELAYS) + 1


# A software TPM


@pytest.fixture(scope="module")
def tpm() -> Iterator[SoftwareTpm]:
    with software_tpm.started() as running:
        running.make_report(running.make_key())
        running.extend(4, 9, 11)
        yield running


def of(tpm: SoftwareTpm) -> AzureQuoteSource:
    return AzureQuoteSource(tools=TpmTools(tcti=tpm.tcti), metadata=NOWHERE)


def test_a_quote_of_a_software_tpm_verifies(tpm: SoftwareTpm) -> None:
    pieces = of(tpm)(DATA)
    assert [piece.kind for piece in pieces] == [
        *("hcl-report", "tpm-attest", "tpm-signature", "tpm-pcrs"),
    ]
    hcl, attest, signature, pcrs = (piece.data for piece in pieces)
    assert hcl == tpm.hcl
    _, key = read_runtime_data(parse_hcl(hcl))
    claims = verify_quote(parse_attest(attest), signature, pcrs, key)
    assert claims.extra_data == tpm_extra(DATA)
    assert [(bank, number) for bank, number, _ in claims.pcrs] == [
        (PcrBank.SHA256, number) for number in range(24)
    ]
    extended = {number for _, number, value in claims.pcrs if value.strip(b"\0\xff")}
    assert extended == {4, 9, 11}


def test_each_quote_of_a_software_tpm_is_about_its_own_request(tpm: SoftwareTpm) -> None:
    first, second = of(tpm)(DATA), of(tpm)(DATA[::-1])
    _, key = read_runtime_data(parse_hcl(first[0].data))
    assert parse_attest(second[1].data).extra_data == tpm_extra(DATA[::-1])
    with pytest.raises(VerificationError) as caught:
        verify_quote(parse_attest(second[1].data), first[2].data, first[3].data, key)
    assert caught.value.reason is Reason.SIGNATURE


def test_a_tpm_without_hcl_report_or_key() -> None:
    with software_tpm.started() as tpm:
        with pytest.raises(TpmMissing, match="handle is not correct") as caught:
            of(tpm)(DATA)
        assert "only confidential VMs" in caught.value.hint
        tpm.make_report(tpm.make_key())
        tpm.tool("evictcontrol", "-C", "o", "-c", azure.AK_HANDLE)
        source = of(tpm)
        waits: list[float] = []
        quiet = Runtime(sleep=waits.append)
        with pytest.raises(QuoteUnavailable, match="tpm2_quote ended with"):
            AzureQuoteSource(quiet, source.tools, NOWHERE)(DATA)
        assert len(waits) == len(RETRY_DELAYS)


# The tools


def test_what_is_asked_of_the_tools(bench: Bench) -> None:
    assert bench.source(DATA) == bench.expected
    (read,), (quote,) = bench.calls("tpm2_nvread"), bench.calls("tpm2_quote")
    assert read.arguments == ["-C", "o", "-o", "content", "0x01400001"]
    assert quote.arguments == [
        *("-c", "0x81000003", "-l", "sha256:all", "-q", tpm_extra(DATA).hex()),
        *("-m", "attest", "-s", "signature", "-o", "pcrs", "-F", "values"),
    ]
    assert bench.waits == []


def test_where_and_how_the_tools_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TPM2TOOLS_TCTI", "swtpm:host=elsewhere.example")
    monkeypatch.setenv("TCTI", "swtpm")
    monkeypatch.setenv("LD_PRELOAD", "")
    bench.source(DATA)
    for call in bench.calls("tpm2_nvread") + bench.calls("tpm2_quote"):
        ours = {"PATH": str(tmp_path), "LC_ALL": "C", "TPM2TOOLS_TCTI": f"device:{bench.device}"}
        assert call.environment.items() >= ours.items()
        assert call.environment.keys() - ours.keys() <= {"LC_CTYPE"}  # Python's own, at its start
        assert call.folder.parent == bench.root / "temporary"
        assert (call.mode, call.there) == (0o700, ["stderr"])
        assert not call.folder.exists()


def test_the_default_is_the_systems_tools_and_the_kernels_device() -> None:
    source = AzureQuoteSource()
    assert source.tools.path == "/usr/sbin:/usr/bin:/sbin:/bin"
    assert [str(device) for device in source.tools.devices] == ["/dev/tpmrm0", "/dev/tpm0"]
    assert source.tools.tcti == ""
    assert source.metadata == ("169.254.169.254", 80)


@pytest.mark.parametrize("size", [0, 32, 63, 65])
def test_report_data_of_another_length(bench: Bench, size: int) -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        bench.source(b"x" * size)
    assert not (bench.root / "tpm2_nvread.calls").exists()


def test_no_tools(bench: Bench) -> None:
    with pytest.raises(TpmMissing, match="tpm2_nvread is not in") as caught:
        bench.but(path=str(bench.root / "empty"))(DATA)
    assert caught.value.exit_code == 66
    assert "tpm2-tools" in caught.value.hint


def test_no_device(bench: Bench) -> None:
    bench.device.unlink()
    with pytest.raises(TpmMissing, match="no TPM device"):
        bench.source(DATA)


def test_a_program_that_does_not_start(bench: Bench) -> None:
    (bench.root / "tpm2_nvread").write_bytes(b"\x7fELF")
    with pytest.raises(TpmMissing, match="cannot run tpm2_nvread: Exec format error"):
        bench.source(DATA)


def test_nowhere_to_write(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(bench.root / "gone"))
    with pytest.raises(TpmMissing, match="cannot run tpm2_nvread: No such file or directory"):
        bench.source(DATA)


def refused(bench: Bench, kind: type[EvidenceError], match: str) -> EvidenceError:
    with pytest.raises(kind, match=match) as caught:
        bench.source(DATA)
    assert list((bench.root / "temporary").iterdir()) == []
    return caught.value


NO_REPORT: list[tuple[dict[str, Any], str]] = [
    ({"code": 1, "stderr": "ERROR: the handle is wrong\n"}, "ended with 1: ERROR: the handle"),
    ({"code": 3}, "ended with 3: it does not say why"),
    ({}, "wrote no content"),
    ({"files": {"content": ""}}, "empty or larger"),
    ({"files": {"content": "00" * (MAX_HCL + 1)}}, "empty or larger"),
    ({"files": {"content": "00" * 2600}}, "holds no HCL report"),
]


@pytest.mark.parametrize(("step", "match"), NO_REPORT)
def test_no_hcl_report(bench: Bench, step: dict[str, Any], match: str) -> None:
    bench.nvread(step)
    error = refused(bench, TpmMissing, match)
    assert error.exit_code == 66
    assert "confidential VMs" in error.hint


@pytest.mark.parametrize("kind", [0, 1, 3, 5])
def test_a_report_of_another_technology_is_refused_by_name(bench: Bench, kind: int) -> None:
    bench.nvread({"files": {"content": Hcl(kind=kind, runtime=runtime()).data.hex()}})
    error = refused(bench, UnsupportedProvider, f"report of type {kind}")
    assert error.code == "unsupported-provider"


BAD_QUOTES: list[tuple[dict[str, Any], str]] = [
    ({"code": 1, "stderr": "ERROR: digest mismatch\nERROR: Unable to run\n"}, "digest mismatch"),
    ({}, "wrote no attest"),
    (Bench.quoted(attest=b""), "attest that is empty"),
    (Bench.quoted(attest=b"x" * 1025), "attest that is empty or larger than 1024"),
    (Bench.quoted(signature=b"x" * 1025), "signature that is empty or larger"),
    (Bench.quoted(pcrs=b"x" * 769), "pcrs that is empty or larger than 768"),
]


@pytest.mark.parametrize(("step", "match"), BAD_QUOTES)
def test_a_quote_that_fails_is_tried_again(bench: Bench, step: dict[str, Any], match: str) -> None:
    bench.quote(step, bench.quoted())
    assert bench.source(DATA) == bench.expected
    assert bench.waits == [RETRY_DELAYS[0]]
    assert any(match in line for line in bench.lines)


@pytest.mark.parametrize(("step", "match"), BAD_QUOTES[:2])
def test_a_quote_that_always_fails(bench: Bench, step: dict[str, Any], match: str) -> None:
    bench.quote(step)
    error = refused(bench, QuoteUnavailable, f"after {ATTEMPTS} attempts: .*{match}")
    assert error.exit_code == 69
    assert bench.waits == list(RETRY_DELAYS)
    assert len(bench.calls("tpm2_quote")) == ATTEMPTS


def test_a_tpm_without_the_whole_bank(bench: Bench) -> None:
    bench.quote(bench.quoted(pcrs=b"p" * 736))
    refused(bench, TpmMissing, "no SHA-256 bank of 24")


def test_a_tool_that_does_not_end(bench: Bench) -> None:
    bench.nvread({"sleep": 60, "files": {"content": bench.hcl.hex()}})
    bench.source = bench.but(seconds=0.2)
    refused(bench, TpmMissing, "tpm2_nvread did not end within 0.2 s")


def test_what_a_tool_says_is_bounded_and_fit_for_a_terminal(bench: Bench) -> None:
    bench.nvread({"code": 1, "stderr": "ERROR: \x1b[2J" + "x" * 300_000})
    error = refused(bench, TpmMissing, "ended with 1")
    assert error.detail.isprintable()
    assert len(error.detail) < 700


@given(st.binary(max_size=100))
def test_any_complaint(stderr: bytes) -> None:
    assert complaint(stderr).isprintable()


def test_the_complaint_is_what_says_most() -> None:
    warning, library, own = "WARNING:esys: x", "ERROR:tcti: permission denied", "ERROR: no tcti"
    lines = [warning, library, "ERROR:tcti: so", own, "ERROR: Unable to run tpm2_x"]
    assert complaint("\n".join(lines).encode()) == f"{library}; {own}"
    assert complaint(f"{own}\nERROR: Unable to run tpm2_x".encode()) == own
    assert complaint(b"no such device\n") == "no such device"
    assert complaint(b"") == complaint(b"\n") == "it does not say why"


def test_being_told_to_end_removes_what_was_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(*_: object, **__: object) -> None:
        assert len(list((bench.root / "temporary").iterdir())) == 1
        raise SystemExit

    monkeypatch.setattr("attestca_client.tpm.subprocess.run", told)
    with pytest.raises(SystemExit):
        bench.source(DATA)
    assert list((bench.root / "temporary").iterdir()) == []
