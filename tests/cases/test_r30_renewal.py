# SPDX-License-Identifier: Apache-2.0
"""R-30: the agent renews by time, exports its certificate's remaining life, and enrolls again from an expired state
without help. The daemon and a real HTTPS server; only the clock is the test's."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from attestca_client.enroll import Enrollment, enroll, enrolled
from attestca_client.errors import ClientError, Unavailable
from attestca_client.renewal import LONGEST_WAIT, Daemon
from attestca_client.runtime import Runtime, utc_now
from tests.unit.client.fake_authority import FakeAuthority, fake_quote, problem, serve, spki_of

if TYPE_CHECKING:
    from pathlib import Path

LIFETIME = timedelta(hours=24)


class End(Exception):
    """The test has seen enough."""


class Machine:
    """A guest whose sleep moves the clock of guest and authority."""

    def __init__(
        self,
        authority: FakeAuthority,
        folder: Path,
        until: timedelta,
        away: tuple[int, int] = (0, 0),
    ) -> None:
        self.authority = authority
        self.began = self.now = utc_now()
        self.end = self.began + until
        self.away = tuple(self.began + timedelta(hours=hour) for hour in away)
        self.out = folder / "out"
        self.metrics = folder / "attestca.prom"
        self.issued: list[datetime] = []
        self.failed: list[ClientError] = []
        self.remaining: list[float] = []
        self.runtime = Runtime(now=lambda: self.now, sleep=self.sleep)
        self.tick()

    def tick(self) -> None:
        self.authority.start = self.now
        self.authority.scripts.clear()
        if self.away[0] <= self.now < self.away[1]:
            self.authority.script("GET", problem(503, "unavailable"))

    def sleep(self, seconds: float) -> None:
        if self.metrics.exists():
            text = self.metrics.read_text()
            for line in text.splitlines():
                if line.startswith("attestca_client_certificate_remaining_seconds "):
                    self.remaining.append(float(line.split()[1]))
        self.now += timedelta(seconds=seconds)
        self.tick()
        if self.now >= self.end:
            raise End

    def on_issued(self, _enrollment: Enrollment) -> None:
        self.issued.append(self.now)

    def run(self) -> None:
        root = self.authority.root_pem
        attempt = partial(
            enroll, self.authority.url, root, "default", fake_quote, self.out, self.runtime
        )
        current = enrolled(root, self.out, self.now)
        with pytest.raises(End):
            Daemon(
                attempt, self.on_issued, self.failed.append, self.runtime, self.metrics, current
            ).run()


def test_renews_by_time(tmp_path: Path) -> None:
    with serve(FakeAuthority(lifetime=LIFETIME)) as authority:
        machine = Machine(authority, tmp_path, until=timedelta(days=3))
        machine.run()
    gaps = [b - a for a, b in itertools.pairwise(machine.issued)]
    assert len(gaps) >= 3
    assert all(LIFETIME * 0.61 <= gap <= LIFETIME * 0.67 for gap in gaps)
    assert machine.failed == []
    assert len({spki_of(leaf.public_key()) for leaf in authority.issued}) == len(authority.issued)


def test_exports_the_remaining_life(tmp_path: Path) -> None:
    with serve(FakeAuthority(lifetime=LIFETIME)) as authority:
        machine = Machine(authority, tmp_path, until=timedelta(hours=30))
        machine.run()
    assert max(machine.remaining) == pytest.approx(24 * 3600, abs=5)
    assert min(machine.remaining) >= 24 * 3600 * 0.32  # renewed in time
    falling = [a - b for a, b in itertools.pairwise(machine.remaining)]
    assert all(step == pytest.approx(60, abs=2) for step in falling if step > 0)
    assert sum(step < 0 for step in falling) == len(authority.issued) - 1  # up again at a renewal


def test_enrolls_again_from_an_expired_state_without_help(tmp_path: Path) -> None:
    # Six hours of life, renewal due after four, and the authority is away from hour 3 to hour 8.
    with serve(FakeAuthority(lifetime=timedelta(hours=6))) as authority:
        machine = Machine(authority, tmp_path, until=timedelta(hours=9), away=(3, 8))
        machine.run()
    first, second = authority.issued
    assert first.not_valid_after_utc < second.not_valid_before_utc
    assert min(machine.remaining) < -3600  # the export said that it had expired
    assert len(machine.failed) > 40  # never gave up
    assert all(isinstance(error, Unavailable) for error in machine.failed)
    back = machine.began + timedelta(hours=8)
    assert back <= machine.issued[1] <= back + timedelta(seconds=LONGEST_WAIT)


@pytest.mark.parametrize("downtime", [timedelta(hours=1), timedelta(hours=7), timedelta(days=200)])
def test_a_restart_keeps_a_good_certificate_and_replaces_an_expired_one(
    tmp_path: Path, downtime: timedelta
) -> None:
    with serve(FakeAuthority(lifetime=timedelta(hours=6))) as authority:
        machine = Machine(authority, tmp_path, until=timedelta(minutes=1))
        machine.run()
        assert len(authority.issued) == 1
        again = Machine(authority, tmp_path, until=downtime + timedelta(minutes=1))
        again.now += downtime
        again.tick()
        again.run()
    assert len(authority.issued) == (1 if downtime < timedelta(hours=4) else 2)
    assert again.failed == []
