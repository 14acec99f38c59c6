# SPDX-License-Identifier: Apache-2.0
"""The quote source against a fake configfs with the kernel's rules (the real one needs a TDX or SEV-SNP guest)."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from attestca_client.errors import (
    EvidenceError,
    QuoteUnavailable,
    TsmMissing,
    TsmPermission,
    UnsupportedProvider,
)
from attestca_client.runtime import Runtime
from attestca_client.tsm import (
    MAX_QUOTE,
    REPORTS,
    RETRY_DELAYS,
    SNP_REPORT_BYTES,
    KernelFiles,
    TsmQuoteSource,
)
from attestca_client.wire import Evidence
from tests.unit.client.fake_configfs import FakeConfigfs, another_writer

if TYPE_CHECKING:
    from pathlib import Path

DATA = bytes(range(64))
ATTEMPTS = len(RETRY_DELAYS) + 1


class Bench:
    """A source over a fake kernel, with waits recorded instead of waited."""

    def __init__(self, root: Path) -> None:
        self.kernel = FakeConfigfs(root)
        self.waits: list[float] = []
        self.lines: list[str] = []
        self.root = root
        runtime = Runtime(
            sleep=self.waits.append, uniform=lambda _low, high: high, say=self.lines.append
        )
        self.source = TsmQuoteSource(runtime, root, self.kernel)

    def snp(self, certificates: bytes = b"") -> Bench:
        """The same with the other provider."""
        self.kernel.provider, self.kernel.prefix = "sev_guest", b"report "
        self.kernel.certificates = certificates
        return self

    def left_over(self) -> list[str]:
        return [entry.name for entry in self.root.iterdir()]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_quote_over_the_report_data(bench: Bench) -> None:
    assert bench.source(DATA) == [Evidence("tdx-quote", b"quote " + DATA)]
    assert bench.kernel.calls == [
        "mkdir",
        "read provider",
        "read generation",
        "write inblob",
        "read generation",
        "read outblob",
        "read generation",
        "rmdir",
    ]
    assert bench.left_over() == []
    assert bench.waits == []


def test_each_request_has_an_entry_of_its_own(bench: Bench) -> None:
    bench.source(DATA)
    bench.source(DATA)
    assert len(set(bench.kernel.made)) == 2
    assert all(name.startswith("attestca-") for name in bench.kernel.made)


def test_the_default_is_the_kernels_own_directory() -> None:
    source = TsmQuoteSource()
    assert str(source.reports) == str(REPORTS) == "/sys/kernel/config/tsm/report"
    assert type(source.files) is KernelFiles


@pytest.mark.parametrize("size", [0, 32, 63, 65])
def test_report_data_of_another_length(bench: Bench, size: int) -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        bench.source(b"x" * size)
    assert bench.kernel.calls == []


@pytest.mark.parametrize("when", ["write inblob", "read outblob"])
def test_a_concurrent_writer_means_a_fresh_entry(bench: Bench, when: str) -> None:
    bench.kernel.meddle[when] = [another_writer]
    assert bench.source(DATA) == [Evidence("tdx-quote", b"quote " + DATA)]
    assert len(set(bench.kernel.made)) == 2
    assert bench.left_over() == []
    assert bench.waits == [RETRY_DELAYS[0]]


def test_a_writer_before_the_write_is_seen_by_the_quote_staying_ours(bench: Bench) -> None:
    # They write, then we do: two steps of generation where one was expected.
    bench.kernel.meddle["read generation"] = [another_writer]
    assert bench.source(DATA) == [Evidence("tdx-quote", b"quote " + DATA)]
    assert len(bench.kernel.made) == 2


def test_a_writer_who_never_stops(bench: Bench) -> None:
    bench.kernel.meddle["read outblob"] = [another_writer] * ATTEMPTS
    with pytest.raises(QuoteUnavailable, match="another process wrote"):
        bench.source(DATA)
    assert len(set(bench.kernel.made)) == ATTEMPTS
    assert bench.waits == list(RETRY_DELAYS)
    assert bench.left_over() == []


def test_a_write_that_the_kernel_dropped(bench: Bench) -> None:
    # The kernel ignores the result of a binary write at close: only `generation` tells.
    bench.kernel.drop_writes = 1
    assert bench.source(DATA) == [Evidence("tdx-quote", b"quote " + DATA)]
    assert bench.kernel.calls.count("read outblob") == 1  # not read in vain


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EINTR, errno.EAGAIN])
@pytest.mark.parametrize("call", ["mkdir", "write inblob", "read outblob", "read generation"])
def test_a_passing_error_is_retried(bench: Bench, call: str, number: int) -> None:
    bench.kernel.errors[call] = [number, number]
    assert bench.source(DATA) == [Evidence("tdx-quote", b"quote " + DATA)]
    assert bench.waits == list(RETRY_DELAYS[:2])
    assert bench.left_over() == []


def test_a_name_that_is_taken(bench: Bench) -> None:
    bench.kernel.errors["mkdir"] = [errno.EEXIST]
    assert bench.source(DATA)[0].data == b"quote " + DATA


def test_busy_for_ever_is_bounded(bench: Bench) -> None:
    bench.kernel.errors["read outblob"] = [errno.EBUSY] * 100
    with pytest.raises(QuoteUnavailable, match=f"after {ATTEMPTS} attempts"):
        bench.source(DATA)
    assert bench.kernel.calls.count("mkdir") == bench.kernel.calls.count("rmdir") == ATTEMPTS
    assert bench.waits == list(RETRY_DELAYS)
    assert bench.left_over() == []


def test_waits_are_jittered(tmp_path: Path) -> None:
    waits: list[float] = []
    kernel = FakeConfigfs(tmp_path)
    kernel.errors["mkdir"] = [errno.EBUSY]
    runtime = Runtime(sleep=waits.append, uniform=lambda low, _high: low)
    TsmQuoteSource(runtime, tmp_path, kernel)(DATA)
    assert waits == [RETRY_DELAYS[0] * 0.5]


LASTING: list[tuple[str, int, type[EvidenceError], int, str]] = [
    ("mkdir", errno.ENOENT, TsmMissing, 66, "tdx_guest"),
    ("mkdir", errno.ENXIO, TsmMissing, 66, "tdx_guest"),
    ("read outblob", errno.ENOTTY, TsmMissing, 66, "tdx_guest"),
    ("mkdir", errno.EACCES, TsmPermission, 66, "root"),
    ("mkdir", errno.EPERM, TsmPermission, 66, "root"),
    ("write inblob", errno.EACCES, TsmPermission, 66, "root"),
    ("read outblob", errno.EIO, QuoteUnavailable, 69, "quote generation service"),
    ("read outblob", errno.ETIMEDOUT, QuoteUnavailable, 69, "quote generation service"),
    ("read outblob", errno.EFBIG, QuoteUnavailable, 69, "limit"),
    ("read outblob", errno.EINVAL, QuoteUnavailable, 69, "quote generation service"),
]


@pytest.mark.parametrize(("call", "number", "kind", "exit_code", "hint"), LASTING)
def test_a_lasting_error_says_what_to_do(
    bench: Bench, call: str, number: int, kind: type[EvidenceError], exit_code: int, hint: str
) -> None:
    bench.kernel.errors[call] = [number]
    with pytest.raises(kind) as caught:
        bench.source(DATA)
    assert type(caught.value) is kind
    assert caught.value.exit_code == exit_code
    assert hint in caught.value.hint
    assert os.strerror(number) in caught.value.detail
    assert bench.waits == []
    assert bench.left_over() == []


def test_no_such_directory_for_real(tmp_path: Path) -> None:
    with pytest.raises(TsmMissing) as caught:
        TsmQuoteSource(reports=tmp_path / "tsm" / "report")(DATA)
    assert "Linux 6.7" in caught.value.hint


def test_an_entry_without_attributes_for_real(tmp_path: Path) -> None:
    with pytest.raises(TsmMissing, match="read provider"):
        TsmQuoteSource(reports=tmp_path)(DATA)
    assert list(tmp_path.iterdir()) == []


SNP_REPORT = Evidence("snp-report", (b"report " + DATA).ljust(SNP_REPORT_BYTES, b"\0"))


def test_an_snp_report_and_the_hosts_certificates(bench: Bench) -> None:
    pieces = bench.snp(b"a table").source(DATA)
    assert pieces == [SNP_REPORT, Evidence("snp-certificates", b"a table")]
    assert bench.kernel.calls == [
        "mkdir",
        "read provider",
        "read generation",
        "write inblob",  # and no privlevel: VMPL 0 is what the kernel asks for then
        "read generation",
        "read outblob",
        "read auxblob",
        "read generation",
        "rmdir",
    ]
    assert bench.left_over() == []


def test_an_snp_report_from_a_host_without_certificates(bench: Bench) -> None:
    assert bench.snp().source(DATA) == [SNP_REPORT]


def test_an_snp_report_from_a_kernel_without_the_attribute(bench: Bench) -> None:
    def remove(_kernel: FakeConfigfs, entry: Path) -> None:
        (entry / "auxblob").unlink()

    bench.snp(b"a table").kernel.meddle["read outblob"] = [remove]
    assert bench.source(DATA) == [SNP_REPORT]


@pytest.mark.parametrize("over", [0, 1])
def test_the_limit_of_the_hosts_certificates(bench: Bench, over: int) -> None:
    table = b"t" * (MAX_QUOTE + over)
    pieces = bench.snp(table).source(DATA)
    assert pieces == [SNP_REPORT] if over else [SNP_REPORT, Evidence("snp-certificates", table)]
    assert any("left out" in line for line in bench.lines) is bool(over)


@pytest.mark.parametrize("when", ["write inblob", "read outblob", "read auxblob"])
def test_a_concurrent_writer_to_an_snp_entry_means_a_fresh_one(bench: Bench, when: str) -> None:
    bench.snp(b"a table").kernel.meddle[when] = [another_writer]
    assert bench.source(DATA) == [SNP_REPORT, Evidence("snp-certificates", b"a table")]
    assert len(set(bench.kernel.made)) == 2
    assert bench.left_over() == []


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EINTR, errno.EAGAIN])
@pytest.mark.parametrize("call", ["write inblob", "read outblob", "read auxblob"])
def test_a_passing_error_of_snp_is_retried(bench: Bench, call: str, number: int) -> None:
    bench.snp().kernel.errors[call] = [number]
    assert bench.source(DATA) == [SNP_REPORT]
    assert bench.waits == [RETRY_DELAYS[0]]


@pytest.mark.parametrize("size", [1, 1183, 1185])
def test_an_snp_report_of_another_length(bench: Bench, size: int) -> None:
    bench.snp().kernel.size = size
    with pytest.raises(QuoteUnavailable, match=f"{size} bytes, not 1184"):
        bench.source(DATA)
    assert bench.left_over() == []


def test_an_empty_snp_report(bench: Bench) -> None:
    bench.snp().kernel.size = 0
    with pytest.raises(QuoteUnavailable, match="an empty SEV-SNP report") as caught:
        bench.source(DATA)
    assert "secure processor" in caught.value.hint


SNP_LASTING: list[tuple[str, int, type[EvidenceError], int, str]] = [
    ("read outblob", errno.EIO, QuoteUnavailable, 69, "secure processor"),
    ("read outblob", errno.EINVAL, QuoteUnavailable, 69, "secure processor"),
    ("read auxblob", errno.EIO, QuoteUnavailable, 69, "secure processor"),
    ("read outblob", errno.ENOTTY, TsmMissing, 66, "VMPCK was disabled"),
    ("read outblob", errno.EFBIG, QuoteUnavailable, 69, "SEV-SNP report exceeds"),
    ("write inblob", errno.EACCES, TsmPermission, 66, "root"),
    ("mkdir", errno.ENXIO, TsmMissing, 66, "sev-guest"),
]


@pytest.mark.parametrize(("call", "number", "kind", "exit_code", "hint"), SNP_LASTING)
def test_a_lasting_error_of_snp_speaks_of_snp(
    bench: Bench, call: str, number: int, kind: type[EvidenceError], exit_code: int, hint: str
) -> None:
    bench.snp().kernel.errors[call] = [number]
    with pytest.raises(kind) as caught:
        bench.source(DATA)
    assert (type(caught.value), caught.value.exit_code) == (kind, exit_code)
    assert hint in caught.value.hint
    assert "TDX quote" not in caught.value.detail + caught.value.hint
    assert bench.left_over() == []


@pytest.mark.parametrize(
    "provider", ["", "tdx_guest2", "arm_cca_guest", "tdx guest", "sev_guest\x00", "\x1b[2J"]
)
def test_an_unknown_provider_is_refused(bench: Bench, provider: str) -> None:
    bench.kernel.provider = provider
    with pytest.raises(UnsupportedProvider) as caught:
        bench.source(DATA)
    assert "\x1b" not in caught.value.detail
    assert bench.left_over() == []


def test_an_empty_quote(bench: Bench) -> None:
    def blank(_kernel: FakeConfigfs, entry: Path) -> None:
        (entry / "inblob").write_bytes(b"")

    bench.kernel.prefix = b""
    bench.kernel.meddle["write inblob"] = [blank]
    with pytest.raises(QuoteUnavailable, match="empty"):
        bench.source(DATA)


@pytest.mark.parametrize("over", [0, 1, 5000])
def test_the_limit_of_a_quote(bench: Bench, over: int) -> None:
    bench.kernel.prefix = b"q" * (MAX_QUOTE - 64 + over)
    if over:
        with pytest.raises(QuoteUnavailable, match="larger"):
            bench.source(DATA)
    else:
        assert len(bench.source(DATA)[0].data) == MAX_QUOTE


def test_a_generation_that_is_no_number(bench: Bench) -> None:
    def spoil(_kernel: FakeConfigfs, entry: Path) -> None:
        (entry / "generation").write_text("none\n")

    bench.kernel.meddle["read provider"] = [spoil]
    with pytest.raises(QuoteUnavailable, match="no number"):
        bench.source(DATA)


def test_an_entry_that_cannot_be_removed_is_said_and_does_not_spoil_the_quote(bench: Bench) -> None:
    bench.kernel.errors["rmdir"] = [errno.EBUSY]
    assert bench.source(DATA)[0].data == b"quote " + DATA
    assert any("left behind" in line for line in bench.lines)


def test_a_signal_while_reading_still_removes_the_entry(bench: Bench) -> None:
    def interrupt(_kernel: FakeConfigfs, _entry: Path) -> None:
        raise KeyboardInterrupt

    bench.kernel.meddle["read outblob"] = [interrupt]
    with pytest.raises(KeyboardInterrupt):
        bench.source(DATA)
    assert bench.left_over() == []


def test_a_short_write_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "inblob"
    file.write_bytes(b"")
    monkeypatch.setattr(os, "write", lambda _fd, _data: 3)
    with pytest.raises(OSError, match="short write"):
        KernelFiles().write(file, DATA)
