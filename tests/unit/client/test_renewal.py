# SPDX-License-Identifier: Apache-2.0
"""The daemon's decisions, with a clock that the test turns. R-30 runs it against a server."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from attestca_client import renewal
from attestca_client.enroll import Enrollment
from attestca_client.errors import (
    ClientError,
    Misconfigured,
    OutputFailed,
    QuoteUnavailable,
    Refused,
    TsmMissing,
    Unavailable,
    Unreadable,
    Untrusted,
)
from attestca_client.files import KeyDirectory
from attestca_client.renewal import Daemon, backoff, exposition, renewal_time
from attestca_client.runtime import Runtime
from tests.unit.client.fake_authority import Pki

PKI = Pki()
KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


class End(Exception):
    """The test has seen enough."""


class World:
    """A clock that sleeping moves, and the daemon in it."""

    def __init__(self, *steps: ClientError | timedelta, chance: float = 1.0) -> None:
        self.now = START
        self.steps = list(steps)  # each attempt: an error, or the lifetime of a new certificate
        self.attempts: list[datetime] = []
        self.issued: list[Enrollment] = []
        self.failed: list[ClientError] = []
        self.lines: list[str] = []
        self.sleeps: list[float] = []
        self.runtime = Runtime(
            now=lambda: self.now,
            sleep=self.sleep,
            uniform=lambda low, high: low + chance * (high - low),
            say=self.lines.append,
        )

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += timedelta(seconds=seconds)

    def certificate(self, lifetime: timedelta = DAY) -> Enrollment:
        leaf = PKI.leaf(KEY, start=self.now, lifetime=lifetime)
        return Enrollment(leaf, KeyDirectory(Path("/nowhere")), "p@1", "simulated")

    def attempt(self) -> Enrollment:
        self.attempts.append(self.now)
        if not self.steps:
            raise End
        step = self.steps.pop(0)
        if isinstance(step, ClientError):
            raise step
        return self.certificate(step)

    def daemon(self, current: Enrollment | None = None, metrics: Path | None = None) -> Daemon:
        return Daemon(
            self.attempt, self.issued.append, self.failed.append, self.runtime, metrics, current
        )

    def run(self, current: Enrollment | None = None, metrics: Path | None = None) -> list[float]:
        """Until the steps are used up. Seconds from the start of each attempt."""
        with pytest.raises(End):
            self.daemon(current, metrics).run()
        return [(at - START).total_seconds() for at in self.attempts]


def test_the_first_certificate_at_once_then_at_two_thirds() -> None:
    world = World(DAY, DAY, chance=0.0)
    assert world.run() == [0, 57_600, 115_200]  # 16 h of 24 h
    assert len(world.issued) == 2


def test_chance_makes_it_earlier_by_at_most_a_twentieth() -> None:
    assert World(DAY, chance=1.0).run() == [0, pytest.approx(57_600 - 4_320)]


@given(
    st.integers(min_value=60, max_value=7 * 86_400),
    st.floats(min_value=0, max_value=renewal.EARLIER),
)
def test_renewal_time(lifetime: int, earlier: float) -> None:
    life = timedelta(seconds=lifetime)
    due = renewal_time(START, START + life, earlier)
    assert life * 0.61 <= due - START <= life * 0.67


def test_a_certificate_in_place_is_kept_until_it_is_due() -> None:
    world = World(chance=0.0)
    assert world.run(current=world.certificate()) == [57_600]


def test_the_wall_clock_is_looked_at_every_minute() -> None:
    world = World(DAY, chance=0.0)
    world.run()
    assert max(world.sleeps) == renewal.TICK

    # The machine sleeps through the renewal: it renews within a minute of waking.
    world = World(chance=0.0)
    real = world.sleep

    def suspended(seconds: float) -> None:
        real(seconds)
        if len(world.sleeps) == 3:
            world.now += timedelta(days=3)

    world.runtime = Runtime(
        now=lambda: world.now,
        sleep=suspended,
        uniform=lambda low, _high: low,
        say=world.lines.append,
    )
    assert world.run(current=world.certificate()) == [3 * 60 + 3 * 86_400]


def test_failures_back_off_and_success_ends_it() -> None:
    errors = [Unavailable("down") for _ in range(9)]
    world = World(*errors, DAY, Unavailable("down"), DAY, chance=1.0)
    starts = world.run()
    gaps = [later - start for start, later in itertools.pairwise(starts)]
    assert gaps[:9] == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert gaps[10] == 5  # the count began anew
    assert world.failed[:9] == errors
    assert len(world.issued) == 2


def test_an_expired_certificate_is_renewed_like_any_other() -> None:
    world = World(*[Unavailable("down")] * 400, timedelta(hours=1), chance=1.0)
    old = world.certificate(timedelta(hours=3))
    world.run(current=old)
    assert world.issued[0].not_before > old.not_after


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("x"),
        Untrusted("x"),
        Refused("x", status=403, code="denied"),
        QuoteUnavailable("x"),
        TsmMissing("x"),
        OutputFailed("x"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_what_may_pass_is_retried(error: ClientError) -> None:
    world = World(error, DAY)
    world.run()
    assert world.failed == [error]
    assert len(world.issued) == 1


@pytest.mark.parametrize("error", [Misconfigured("x"), Unreadable("x")])
def test_what_a_person_must_mend_ends_the_daemon(error: ClientError) -> None:
    world = World(error)
    with pytest.raises(type(error)):
        world.daemon().run()


def test_retry_after_is_honoured() -> None:
    world = World(Unavailable("busy", answered=True, retry_after=90.0), chance=0.0)
    assert world.run() == [0, 90]


@given(
    st.integers(min_value=1, max_value=10_000),
    st.none() | st.floats(min_value=0, max_value=1e12),
    st.floats(min_value=0, max_value=1),
)
def test_backoff_is_bounded(failures: int, retry_after: float | None, chance: float) -> None:
    wait = backoff(failures, retry_after, chance)
    longest = min(300.0, 5.0 * 2 ** min(failures - 1, 10))
    assert wait >= longest / 2
    if retry_after is None:
        assert wait <= longest
    else:
        assert min(retry_after, 3600.0) <= wait <= 3605.0


def test_backoff_spreads() -> None:
    assert backoff(1, None, 0.0) == 2.5
    assert backoff(1, None, 1.0) == 5.0
    assert backoff(1, 60.0, 0.0) == 60.0
    assert backoff(1, 60.0, 1.0) == 65.0


def metric(text: str, name: str) -> float:
    (line,) = [line for line in text.splitlines() if line.startswith(f"attestca_client_{name} ")]
    return float(line.split()[1])


def test_exposition() -> None:
    current = World().certificate()
    text = exposition(current, START + timedelta(hours=6), 3, 2, 1)
    assert metric(text, "certificate_remaining_seconds") == 18 * 3600
    assert metric(text, "certificate_not_after_timestamp_seconds") == (START + DAY).timestamp()
    assert metric(text, "renewals_total") == 3
    assert metric(text, "failures_total") == 2
    assert metric(text, "failures_in_a_row") == 1
    assert (
        metric(exposition(current, START + 2 * DAY, 0, 0, 0), "certificate_remaining_seconds")
        == -86_400
    )
    assert "remaining" not in exposition(None, START, 0, 0, 0)
    lines = text.splitlines()
    assert all(a.split()[2] == b.split()[0] for a, b in zip(lines[::2], lines[1::2], strict=True))


def test_the_remaining_life_is_exported_while_waiting(tmp_path: Path) -> None:
    file = tmp_path / "attestca.prom"
    world = World(Unavailable("down"), chance=0.0)
    seen: list[float] = []
    real = world.sleep

    def watching(seconds: float) -> None:
        seen.append(metric(file.read_text(), "certificate_remaining_seconds"))
        real(seconds)

    world.runtime = Runtime(now=lambda: world.now, sleep=watching, uniform=lambda low, _high: low)
    world.run(current=world.certificate(), metrics=file)
    assert seen[:3] == [86_400, 86_340, 86_280]
    assert metric(file.read_text(), "failures_total") == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["attestca.prom"]


def test_a_status_file_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    world = World(DAY)
    world.run(metrics=tmp_path / "none" / "file")
    assert len(world.issued) == 1
    assert any("cannot write" in line for line in world.lines)


def test_the_remaining_life_is_said() -> None:
    world = World(chance=0.0)
    world.run(current=world.certificate())
    assert "1 day, 0:00:00 left, renewal at 2026-03-02T04:00:00Z" in world.lines[0]
