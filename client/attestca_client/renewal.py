# SPDX-License-Identifier: Apache-2.0
"""The daemon: keeps one certificate renewed, for as long as the process lives.

Rules: renewal at two thirds of the lifetime, a little earlier by chance, so that machines started together do not ask
together. Every renewal is a whole enrollment with fresh evidence. A failure of any kind that may pass is retried, with
growing and jittered waits, never before the authority's Retry-After, and without an end: an expired certificate is
renewed like any other. Only what a person must mend (an option, the root file) ends the daemon.

The wall clock is looked at once a minute, so a machine that slept or whose clock was set renews when it is due.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

from attestca_client.errors import ClientError, Misconfigured, Unavailable, Unreadable
from attestca_client.files import replace_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from attestca_client.enroll import Enrollment
    from attestca_client.runtime import Runtime

RENEW_AT = 2 / 3  # of the lifetime
EARLIER = 0.05  # of the lifetime, at most, by chance
FIRST_WAIT = 5.0  # seconds after the first failure, doubled by each further one
LONGEST_WAIT = 300.0
LONGEST_RETRY_AFTER = 3600.0
TICK = 60.0


@dataclass(slots=True)
class Daemon:
    """Attributes.

    attempt: one whole enrollment. issued: told of each new certificate (the hook, the line for people).
    failed: told of each failure. metrics: file for Prometheus' textfile collector, or None.
    current: the certificate in place; None before the first.
    """

    attempt: Callable[[], Enrollment]
    issued: Callable[[Enrollment], None]
    failed: Callable[[ClientError], None]
    runtime: Runtime
    metrics: Path | None = None
    current: Enrollment | None = None
    renewals: int = field(default=0, init=False)
    failures: int = field(default=0, init=False)
    in_a_row: int = field(default=0, init=False)

    def run(self) -> NoReturn:
        """Until the process is told to end. Raises Misconfigured, Unreadable."""
        while True:
            if self.current is not None and self.in_a_row == 0:
                self._wait_until_due(self.current)
            try:
                self.current = self.attempt()
            except (Misconfigured, Unreadable):
                raise
            except ClientError as error:
                self._after_failure(error)
            else:
                self.renewals += 1
                self.in_a_row = 0
                self._export()
                self.issued(self.current)

    def _wait_until_due(self, current: Enrollment) -> None:
        due = renewal_time(current.not_before, current.not_after, self.runtime.uniform(0, EARLIER))
        left = remaining(current, self.runtime.now())
        self.runtime.say(
            f"certificate {current.serial} has {timedelta(seconds=int(left))} left,"
            f" renewal at {due:%Y-%m-%dT%H:%M:%SZ}"
        )
        while (wait := (due - self.runtime.now()).total_seconds()) > 0:
            self._export()
            self.runtime.sleep(min(wait, TICK))

    def _after_failure(self, error: ClientError) -> None:
        self.failures += 1
        self.in_a_row += 1
        self.failed(error)
        asked = error.retry_after if isinstance(error, Unavailable) else None
        wait = backoff(self.in_a_row, asked, self.runtime.uniform(0, 1))
        self.runtime.say(f"trying again in {wait:.0f} s")
        while wait > 0:  # in ticks, so that the exported remaining life stays true
            self._export()
            self.runtime.sleep(min(wait, TICK))
            wait -= TICK

    def _export(self) -> None:
        if self.metrics is None:
            return
        text = exposition(
            self.current, self.runtime.now(), self.renewals, self.failures, self.in_a_row
        )
        try:
            replace_file(self.metrics, text.encode(), 0o644)
        except OSError as error:
            self.runtime.say(f"cannot write {self.metrics}: {error.strerror}")


def renewal_time(not_before: datetime, not_after: datetime, earlier: float) -> datetime:
    """Two thirds of the lifetime, less the fraction `earlier` of it."""
    return not_before + (not_after - not_before) * (RENEW_AT - earlier)


def backoff(failures: int, retry_after: float | None, chance: float) -> float:
    """Seconds to wait after `failures` (1 or more) in a row; `chance` from 0 to 1 spreads the machines."""
    longest: float = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(failures - 1, 16))
    wait = longest * (0.5 + 0.5 * chance)
    if retry_after is None:
        return wait
    return max(wait, min(retry_after, LONGEST_RETRY_AFTER) + FIRST_WAIT * chance)


def remaining(current: Enrollment, now: datetime) -> float:
    """Seconds until the certificate ends; negative after."""
    return (current.not_after - now).total_seconds()


def exposition(
    current: Enrollment | None, now: datetime, renewals: int, failures: int, in_a_row: int
) -> str:
    """The state in Prometheus' text format."""
    values: list[tuple[str, str, float]] = [
        ("renewals_total", "counter", renewals),
        ("failures_total", "counter", failures),
        ("failures_in_a_row", "gauge", in_a_row),
    ]
    if current is not None:
        values += [
            ("certificate_remaining_seconds", "gauge", remaining(current, now)),
            ("certificate_not_after_timestamp_seconds", "gauge", current.not_after.timestamp()),
        ]
    names = (f"attestca_client_{name}" for name, _, _ in values)
    return "".join(
        f"# TYPE {name} {kind}\n{name} {value:.0f}\n"
        for name, (_, kind, value) in zip(names, values, strict=True)
    )
