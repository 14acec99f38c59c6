# SPDX-License-Identifier: Apache-2.0
"""`--event-log`: what is named is sent and nothing else, of one moment with the quote; what is wrong is said first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestca_client.errors import EventLogUnusable, Finding, Misconfigured, Refused, Unreadable
from attestca_client.eventlog import MAX_AREA, MAX_EVENTS, MAX_LOG
from attestca_client.runtime import Runtime
from attestca_client.sent_logs import KINDS, QUOTES, Choice, WithEventLogs, advice, kind_of
from attestca_client.tsm import KernelFiles
from attestca_client.wire import Evidence
from simulator import eventlog as simulated
from tests import eventlog_vectors
from tests.eventlog_lab import action, event2, first, spec_id, tcg2
from tests.tdx_vectors import ROOT
from verifiers.eventlog.files import log_pieces
from verifiers.evidence import LOG_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DATA = bytes(range(64))
QUOTE = Evidence("tdx-quote", b"a quote over " + DATA)
FIRMWARE = Evidence("ccel", tcg2(action(1, b"one")))
AGENT = tcg2(action(1, b"one"), action(4, b"AAEL"))
DSTACK = dict(simulated.dstack_boot().logs())["dstack-event-log"]
CEL = dict(simulated.direct_boot().then(*simulated.confidential_space()).logs())["cel"]
IMA = simulated.ima([simulated.measured_file("/usr/bin/app", b"app")])


def td(_report_data: bytes) -> list[Evidence]:
    """A machine whose firmware has a log."""
    return [QUOTE, FIRMWARE]


def written(folder: Path, **contents: bytes) -> list[str]:
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return [str(folder / name) for name in contents]


def sent(
    *values: str,
    source: Callable[[bytes], Sequence[Evidence]] = td,
    said: list[str] | None = None,
    files: KernelFiles | None = None,
) -> list[Evidence]:
    runtime = Runtime(say=([] if said is None else said).append)
    quotes = WithEventLogs(source, Choice.of(values), runtime, files or KernelFiles())
    return quotes(DATA)


def test_the_firmwares_unless_something_else_is_said() -> None:
    assert sent() == sent("auto") == [QUOTE, FIRMWARE]
    assert sent("none") == [QUOTE]


def test_what_is_named_and_nothing_else(tmp_path: Path) -> None:
    dstack, cel, ima = written(tmp_path, dstack=DSTACK, cel=CEL, ima=IMA)
    assert sent(dstack) == [QUOTE, Evidence("dstack-event-log", DSTACK)]
    assert sent("auto", ima, cel) == [
        *(QUOTE, FIRMWARE),
        *(Evidence("ima-log", IMA), Evidence("cel", CEL)),
    ]


def test_an_attestation_agents_file_takes_the_place_of_the_firmwares(tmp_path: Path) -> None:
    (agent,) = written(tmp_path, agent=AGENT + b"\xff" * 100)
    assert sent(agent) == [QUOTE, Evidence("ccel", AGENT)]
    with pytest.raises(EventLogUnusable, match="two event logs of one kind: ccel") as caught:
        sent("auto", agent)
    assert "without --event-log auto" in caught.value.hint


def test_a_firmwares_log_is_of_the_machine_that_quotes(tmp_path: Path) -> None:
    quote = [Evidence("tpm-attest", b"attest"), Evidence("tpm-pcrs", b"pcrs")]
    log = tcg2(action(4, b"one", (0x0B,)), algorithms=(0x0B,))
    (named,) = written(tmp_path, log=log)
    assert sent(named, source=lambda _: quote) == [*quote, Evidence("tpm-event-log", log)]
    with pytest.raises(EventLogUnusable, match="has no digests of SHA-384"):
        sent(named)


@pytest.mark.parametrize(
    ("kinds", "kind"),
    [
        (["tdx-quote", "hcl-report", "tpm-attest"], "tpm-event-log"),  # Azure: RTMRs are empty
        (["hcl-report", "tpm-attest"], "tpm-event-log"),
        (["snp-report", "tpm-attest", "tpm-ak-certificate"], "tpm-event-log"),  # Google
        (["tdx-quote", "tpm-attest", "tpm-ak-certificate"], "ccel"),  # a TD has registers
    ],
)
def test_whose_registers_a_firmwares_log_is_about(
    tmp_path: Path, kinds: list[str], kind: str
) -> None:
    evidence = [Evidence(one, b"piece") for one in kinds]
    log = tcg2(action(4, b"one", (0x0B, 0x0C)), algorithms=(0x0B, 0x0C))
    (named,) = written(tmp_path, log=log)
    assert sent(named, source=lambda _: evidence)[-1] == Evidence(kind, log)


@pytest.mark.parametrize("values", [["none", "auto"], ["none", "none"], ["a", "none"]])
def test_none_stands_alone(values: list[str]) -> None:
    with pytest.raises(Misconfigured, match="stands alone"):
        Choice.of(values)
    assert Choice.of(["./none"]) == Choice(firmware=False, files=(Path("none"),))


def test_nothing_is_read_of_a_source_before_its_files(tmp_path: Path) -> None:
    """A file that is not there costs the platform no quote."""

    def no_quote(_report_data: bytes) -> list[Evidence]:
        raise AssertionError

    with pytest.raises(EventLogUnusable, match=r"missing cannot be read: No such file") as caught:
        sent(str(tmp_path / "missing"), source=no_quote)
    assert (caught.value.code, caught.value.exit_code) == ("event-log-unusable", 66)
    assert "leave --event-log" in caught.value.hint
    assert not isinstance(caught.value, Misconfigured | Unreadable)  # what a daemon tries again
    with pytest.raises(EventLogUnusable, match="cannot be read: Is a directory"):
        sent(str(tmp_path), source=no_quote)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no event log that is known"),
        (b"root:x:0:0:root:/root:/bin/sh\n", "no event log that is known"),
        (b'{"a": 1}', "no event log that is known"),
        (AGENT[:-1], "not in the format"),
        (first(spec_id([(0x0C, 48), (0x27, 32)])), "has no digests of SHA-384, or some that"),
        (tcg2(*[event2(1, 4, [(0x0C, bytes(48))], b"")] * (MAX_EVENTS + 1)), "4096 events"),
        (tcg2(event2(1, 4, [(0x0C, bytes(48))], bytes(MAX_LOG))), "more than 1048576 bytes"),
        (IMA + bytes(MAX_LOG), "more than 1048576 bytes together"),
    ],
)
def test_what_an_authority_would_refuse(tmp_path: Path, data: bytes, why: str) -> None:
    (named,) = written(tmp_path, log=data)
    with pytest.raises(EventLogUnusable, match=why) as caught:
        sent(named)
    assert caught.value.hint


def test_all_logs_together_and_an_endless_file(tmp_path: Path) -> None:
    half = IMA + b"\n" * (MAX_LOG // 2)
    ima, dstack = written(tmp_path, ima=half, dstack=DSTACK + b" " * (MAX_LOG // 2))
    assert [len(one.data) for one in sent(ima)] == [len(QUOTE.data), len(half)]
    with pytest.raises(EventLogUnusable, match="more than 1048576 bytes together"):
        sent(ima, dstack)
    with pytest.raises(EventLogUnusable, match=f"more than {MAX_AREA} bytes"):
        sent("/dev/zero")


class Growing(KernelFiles):
    """A file that something writes to while it is read: so many times."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.reads = 0

    def read(self, path: Path, limit: int) -> bytes:
        lines = min(self.reads, self.times) + 1
        self.reads += 1
        return super().read(path, limit) * lines


@pytest.mark.parametrize(("times", "quotes", "lines"), [(0, 1, 1), (1, 2, 2), (99, QUOTES, 4)])
def test_log_and_quote_are_of_one_moment(
    tmp_path: Path, times: int, quotes: int, lines: int
) -> None:
    (named,) = written(tmp_path, ima=IMA)
    asked: list[bytes] = []
    said: list[str] = []

    def source(report_data: bytes) -> list[Evidence]:
        asked.append(report_data)
        return [QUOTE]

    pieces = sent(named, source=source, said=said, files=Growing(times))
    assert pieces == [QUOTE, Evidence("ima-log", IMA * lines)]
    assert asked == [DATA] * quotes
    assert said == ["an event log has grown while the quote was made"] * min(times, QUOTES)


def test_kinds_are_those_of_the_authority() -> None:
    assert {kind.value for kind in LOG_KINDS} == KINDS


@pytest.mark.parametrize("name", eventlog_vectors.names())
def test_real_logs_are_what_the_authority_takes_them_for(name: str) -> None:
    """All but binary attestations of dstack, whose log its guest gives as JSON too."""
    case = eventlog_vectors.load(name)
    for path in sorted(case.folder.iterdir()):
        data = path.read_bytes()
        pieces = [piece.kind.value for piece in log_pieces(data) if piece.kind in LOG_KINDS]
        binary = path.name == "attestation.bin"
        assert [kind_of(data)] == (pieces if pieces and not binary else [None]), path


def test_the_log_of_a_real_tpm() -> None:
    found = sorted((ROOT / "vtpm").glob("*/*"))
    kinds = {
        kind_of(path.read_bytes(), of_a_tpm=True)
        for path in found
        if any(one.kind == "tpm-event-log" for one in log_pieces(path.read_bytes()))
    }
    assert kinds == ({"tpm-event-log"} if found else set())


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    for content in (data, b"[" + data, AGENT + data, b"10 " + data):
        assert kind_of(content) in {None, *KINDS}


def refusal(code: str, *findings: tuple[str, str, str]) -> Refused:
    listed = [Finding(rule, path, result, "") for rule, path, result in findings]
    return Refused("no", status=403, code=code, findings=listed)


@pytest.mark.parametrize(
    ("refused", "logs", "words"),
    [
        (refusal("denied", ("boot-log", "boot", "missing")), [], "--event-log is auto"),
        (
            refusal("denied", ("boot-replay", "boot.replayed.rtmr2", "fail")),
            [FIRMWARE],
            "(ccel) do not give rtmr2 of the quote",
        ),
        (
            refusal(
                "denied",
                ("boot-replay", "boot.replayed.rtmr0", "fail"),
                ("boot-replay", "boot.replayed.rtmr3", "missing"),
            ),
            [FIRMWARE],
            "do not give rtmr0, rtmr3 of the quote",
        ),
        (
            refusal("denied", ("boot-replay", "boot.replayed.rtmr3", "missing")),
            [FIRMWARE],
            "(ccel) has what was extended into rtmr3",
        ),
        (refusal("no-sha384-bank"), [FIRMWARE], "--event-log none enrolls without"),
        (refusal("unsupported-tee"), [FIRMWARE], "(ccel): if one of them is meant"),
        (refusal("malformed"), [], ""),
        (refusal("signature"), [FIRMWARE], ""),
        (refusal("denied", ("measurement", "td.mr_td", "fail")), [FIRMWARE], ""),
    ],
)
def test_a_refusal_says_what_to_do_about_logs(
    refused: Refused, logs: list[Evidence], words: str
) -> None:
    found = advice(refused, [QUOTE, *logs])
    assert words in found
    assert bool(found) == bool(words)
