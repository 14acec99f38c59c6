# SPDX-License-Identifier: Apache-2.0
"""The clock, the waiting, the chance and the progress lines of this package, in one object that tests replace."""

from __future__ import annotations

import random
import time
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def utc_now() -> datetime:
    """The wall clock, timezone-aware UTC."""
    return datetime.now(UTC)


def say_nothing(_line: str) -> None:
    """Progress lines nobody asked for."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """Attributes.

    now: wall clock, for certificates. monotonic: seconds, for deadlines. sleep: seconds; may raise to end a wait.
    uniform: a float between two others, for jitter. say: takes one progress line without secrets.
    """

    now: Callable[[], datetime] = utc_now
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    uniform: Callable[[float, float], float] = random.SystemRandom().uniform
    say: Callable[[str], None] = say_nothing


SYSTEM = Runtime()


def within(seconds: float, work: Callable[[], T], name: str) -> T:
    """What `work` gives or raises. TimeoutError if it takes longer; its thread, called `name`, is left behind then."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            future.set_exception(error)

    Thread(target=run, daemon=True, name=name).start()
    return future.result(seconds)
