# SPDX-License-Identifier: Apache-2.0
"""Processes that die of kill -9 at a step that the test names, as if the power had failed.

A program, `python -m tests.dying_…`, forks for each line on stdin; its child does the work once and kills itself at the
step. A line is a JSON object with all that the work needs, and the step ("before sign", "after record", …; "" for
none). The answer is one line: the signal that ended the child, or 0 and the steps that it came through. What the work
consists of knows nothing of this: it is wrapped from outside.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    Work = Callable[[dict[str, str], "Steps"], Coroutine[None, None, None]]
    Tell = Callable[[dict[str, str]], "Ended"]

ROOT = Path(__file__).parents[1]
KILLED = -signal.SIGKILL


class Ended(TypedDict):
    """How a child ended: `KILLED`, or 0 and its steps."""

    status: int
    done: list[str]


@dataclass(eq=False)
class Steps:
    """The steps so far; at the fatal one the process is gone."""

    fatal: str
    done: list[str] = field(default_factory=list)

    def __call__(self, step: str) -> None:
        if step == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        self.done.append(step)


@dataclass
class Announced:
    """An object whose every call is a step before and a step after."""

    inner: object
    step: Callable[[str], None]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the inner object has
        method = getattr(self.inner, name)
        if not callable(method):
            return method

        async def call(*arguments: object, **named: object) -> object:
            self.step(f"before {name}")
            result = await method(*arguments, **named)
            self.step(f"after {name}")
            return result

        return call


def serve(work: Work) -> None:
    """What the program does: a child for each line on stdin."""
    for line in sys.stdin:
        told, answer = os.pipe()
        pid = os.fork()
        if pid == 0:
            _child(work, json.loads(line), answer)
        os.close(answer)
        with os.fdopen(told) as words:
            done = words.read()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        sys.stdout.write(json.dumps({"status": status, "done": json.loads(done or "[]")}) + "\n")
        sys.stdout.flush()


def _child(work: Work, order: dict[str, str], answer: int) -> None:
    steps = Steps(order["step"])
    try:
        asyncio.run(work(order, steps))
        os.write(answer, json.dumps(steps.done).encode())
    except BaseException:  # noqa: BLE001 - a forked process must not go on as its parent
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


@contextmanager
def started(module: str) -> Iterator[Tell]:
    """The program, for tests: call it with an order, and get how its child ended.

    Coverage is not measured there: it is written at a process's end, which these do not come to.
    """
    calm = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}
    with subprocess.Popen(  # noqa: S603 - our own
        [sys.executable, "-m", module],
        cwd=ROOT,
        env=calm,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None

        def tell(order: dict[str, str]) -> Ended:
            stdin.write(json.dumps(order) + "\n")
            stdin.flush()
            ended: Ended = json.loads(stdout.readline())
            return ended

        yield tell
        process.kill()
