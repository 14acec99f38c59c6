# SPDX-License-Identifier: Apache-2.0
"""Which of a machine's sources gives the evidence: the kernel's provider, or Azure's vTPM where it has none.

Beside the kernel's, Google's vTPM where it is asked for.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from attestca_client.dmi import AZURE_TAG, on_azure, on_google
from attestca_client.errors import EvidenceError, Misconfigured, TsmMissing
from attestca_client.eventlog import CCEL, TPM_LOG, EventLogSource
from attestca_client.google import GoogleVtpmSource
from attestca_client.machine import MachineQuoteSource
from attestca_client.runtime import Runtime
from attestca_client.tpm import TpmTools
from attestca_client.tsm import TsmQuoteSource
from attestca_client.wire import Evidence
from tests.eventlog_lab import action, tcg2
from tests.unit.client.fake_configfs import FakeConfigfs
from tests.unit.client.fake_tpm_tools import DATA

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.client.fake_tpm_tools import Bench


def machine(bench: Bench, tag: bytes | None) -> tuple[MachineQuoteSource, FakeConfigfs]:
    reports = bench.root / "reports"
    reports.mkdir()
    kernel = FakeConfigfs(reports)
    file = bench.root / "chassis_asset_tag"
    if tag is not None:
        file.write_bytes(tag)
    log = EventLogSource(bench.runtime, bench.root / "CCEL")
    tpm_log = EventLogSource.of_a_tpm(bench.runtime, bench.root / "measurements")
    tsm = TsmQuoteSource(bench.runtime, reports, kernel)
    return MachineQuoteSource(tsm, bench.source, log, tpm_log, file), kernel


TAG = f"{AZURE_TAG}\n".encode()


@pytest.mark.parametrize("tag", [TAG, None])
def test_the_kernels_provider_comes_first(bench: Bench, tag: bytes | None) -> None:
    source, _ = machine(bench, tag)
    assert source(DATA) == [Evidence("tdx-quote", b"quote " + DATA)]


def test_the_log_goes_with_a_td(bench: Bench) -> None:
    source, kernel = machine(bench, None)
    log = tcg2(action(1, b"one"))
    (bench.root / "CCEL").write_bytes(log + b"\xff" * 100)
    assert source(DATA) == [Evidence("tdx-quote", b"quote " + DATA), Evidence("ccel", log)]
    kernel.provider = "sev_guest"
    assert [piece.kind for piece in source(DATA)] == ["snp-report"]


def test_azure_where_the_kernel_has_no_provider(bench: Bench) -> None:
    source, kernel = machine(bench, TAG)
    kernel.errors["mkdir"] = [6]  # ENXIO
    assert source(DATA) == bench.expected
    assert source(DATA) == [Evidence("tdx-quote", b"quote " + DATA)]  # it is looked at again


def test_the_log_of_azures_tpm(bench: Bench) -> None:
    source, kernel = machine(bench, TAG)
    log = tcg2(action(4, b"one", (0x0B,)), algorithms=(0x0B,))
    (bench.root / "measurements").write_bytes(log)
    (bench.root / "CCEL").write_bytes(tcg2())
    kernel.errors["mkdir"] = [6]
    assert source(DATA) == [*bench.expected, Evidence("tpm-event-log", log)]
    assert [piece.kind for piece in source(DATA)] == ["tdx-quote", "ccel"]


def test_no_log_is_read_where_none_is_wanted(bench: Bench) -> None:
    made, kernel = machine(bench, TAG)
    source = replace(made, with_log=False)
    for name in ("CCEL", "measurements"):
        (bench.root / name).write_bytes(tcg2(action(1, b"one")))
    assert source(DATA) == [Evidence("tdx-quote", b"quote " + DATA)]
    kernel.errors["mkdir"] = [6]
    assert source(DATA) == bench.expected


TPM = [Evidence(kind, kind.encode()) for kind in ("tpm-attest", "tpm-ak-certificate")]


def with_googles(bench: Bench, tag: bytes | None = None) -> tuple[MachineQuoteSource, FakeConfigfs]:
    """A machine whose Google vTPM was asked for; what that one gives is in `test_google`."""
    made, kernel = machine(bench, tag)
    vtpm = cast("GoogleVtpmSource", lambda data: TPM if data == DATA else [])
    log, tpm_log = tcg2(action(1, b"one")), tcg2(action(4, b"one", (0x0B,)), algorithms=(0x0B,))
    (bench.root / "CCEL").write_bytes(log)
    (bench.root / "measurements").write_bytes(tpm_log)
    return replace(made, google=vtpm), kernel


def test_googles_vtpm_beside_a_td(bench: Bench) -> None:
    source, _ = with_googles(bench)
    kinds = [piece.kind for piece in source(DATA)]
    assert kinds == ["tdx-quote", "tpm-attest", "tpm-ak-certificate", "ccel"]
    assert [piece.kind for piece in replace(source, with_log=False)(DATA)] == kinds[:3]


def test_googles_vtpm_beside_a_report_has_the_log(bench: Bench) -> None:
    source, kernel = with_googles(bench)
    kernel.provider = "sev_guest"
    kinds = [piece.kind for piece in source(DATA)]
    assert kinds == ["snp-report", "tpm-attest", "tpm-ak-certificate", "tpm-event-log"]


def test_googles_vtpm_takes_no_cpus_place(bench: Bench) -> None:
    source, kernel = with_googles(bench, TAG)
    kernel.errors["mkdir"] = [6]
    with pytest.raises(TsmMissing):
        source(DATA)
    assert not (bench.root / "tpm2_nvread.calls").exists()


def test_googles_vtpm_is_googles(bench: Bench) -> None:
    """Where it is asked for on another machine, that one's operator hears of it."""
    made, _ = machine(bench, TAG)
    name = bench.root / "product_name"
    name.write_bytes(b"Virtual Machine\n")
    source = replace(made, google=GoogleVtpmSource(bench.runtime, product_name=name))
    with pytest.raises(Misconfigured):
        source(DATA)


@pytest.mark.parametrize("tag", [None, b"", b"No Asset Tag\n", TAG[1:], TAG + b"x"])
def test_no_azure_and_no_provider(bench: Bench, tag: bytes | None) -> None:
    source, kernel = machine(bench, tag)
    kernel.errors["mkdir"] = [6]
    with pytest.raises(EvidenceError) as caught:
        source(DATA)
    assert caught.value.code == "tsm-missing"
    assert not (bench.root / "tpm2_nvread.calls").exists()


@pytest.mark.parametrize(("number", "code"), [(13, "tsm-permission"), (5, "quote-unavailable")])
def test_a_provider_that_fails_is_no_reason_for_azure(bench: Bench, number: int, code: str) -> None:
    source, kernel = machine(bench, TAG)
    kernel.errors["mkdir"] = [number]
    with pytest.raises(EvidenceError) as caught:
        source(DATA)
    assert caught.value.code == code


def test_this_machines_own_sources() -> None:
    assert not MachineQuoteSource.of(Runtime(), with_log=False).with_log
    runtime = Runtime()
    assert MachineQuoteSource.of(runtime, google=True).google == GoogleVtpmSource(runtime)
    source = MachineQuoteSource.of(runtime)
    assert source.with_log
    assert source.google is None
    assert str(source.tsm.reports) == "/sys/kernel/config/tsm/report"
    assert source.azure.tools == TpmTools()
    assert (source.event_log.path, source.event_log.kind) == (CCEL, "ccel")
    assert (source.tpm_log.path, source.tpm_log.kind) == (TPM_LOG, "tpm-event-log")
    assert str(TPM_LOG) == "/sys/kernel/security/tpm0/binary_bios_measurements"
    assert str(source.asset_tag) == "/sys/class/dmi/id/chassis_asset_tag"


def test_the_tag_is_no_directory(tmp_path: Path) -> None:
    assert not on_azure(tmp_path)
    assert not on_google(tmp_path)
    assert os.access(tmp_path, os.R_OK)
