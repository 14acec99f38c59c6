# SPDX-License-Identifier: Apache-2.0
"""`attestca policy simulate NEW`: what a draft would change, for the machines that are on record.

It works on the database itself, as `backup` and `token` do, and not through the operators' API: the evidence is there,
and ten thousand decisions take a few seconds of all processors, which the process that issues should not spend. It
wants no passphrase, reads only, and its workers give way to everything else on the machine (nice 10).

The decisions go to the workers, and what they came to comes back, through the pipes of `multiprocessing`: objects of
one program, never bytes from outside.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ca.cli import inputs, judges, options, output, policy_texts, simulate_view
from ca.cli.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from ca.config import Config
    from ca.ports import Extent, Store
    from ca.recomputation import Setting
    from ca.simulation import Draft, Judged, Scope, Simulation, Subject

FEW: Final = 1000  # decisions that are judged before other processes would have started
_NICE: Final = 10

NewArgument = Annotated[str, typer.Argument(metavar="NEW", help="A file, or NAME@VERSION.")]
SinceOption = Annotated[
    str, typer.Option(metavar="DURATION", help="Look at refusals of so long, e.g. 12h.")
]
ExamplesOption = Annotated[
    int, typer.Option(min=0, max=1000, help="Machines to name for each rule.")
]
WorkersOption = Annotated[
    int | None,
    typer.Option(min=1, max=64, help="Processes that judge. Default: one per processor."),
]


def simulate_command(
    new: NewArgument,
    since: SinceOption = "30d",
    examples: ExamplesOption = 3,
    workers: WorkersOption = None,
    config: options.ConfigOption = None,
    json_: options.JsonOption = False,
) -> None:
    """Show who would newly be refused or admitted if NEW were in force. Changes nothing.

    Judged are the live certificates and the refusals on record. Exit: 0 nobody would newly be refused, 1 somebody
    would, or NEW would not be saved; 2 nobody as far as is known, but something cannot be known.
    """
    from ca.simulation import Scope

    now = inputs.now().replace(microsecond=0)
    scope = Scope(now, now - inputs.parse_duration(since), examples)
    draft, found = asyncio.run(_simulate(new, scope, workers or _processors(), config))
    if json_:
        output.print_json(simulate_view.as_json(draft, found, scope))
    else:
        simulate_view.show(draft, found, scope)
    if found.refused.count:
        raise typer.Exit(Exit.REFUSED)
    if found.unknown.count:
        raise typer.Exit(Exit.UNDETERMINED)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


async def _simulate(
    new: str, scope: Scope, workers: int, config: Path | None
) -> tuple[Draft, Simulation]:
    from ca.simulation import simulate

    settings = options.load_config(config)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(policy_texts.opened(settings))
        text = await policy_texts.from_store(new, store)
        policies = await store.policies(active_only=True)
        in_force = tuple(record.document for record in policies)
        draft = _draft(text, in_force, scope.now)
        await _advise(draft, store)
        output.say(f"Judging by {simulate_view.what(draft)} …")
        bench = stack.enter_context(output.bar())
        desk = Desk(_Task(config, text, in_force), workers)
        stack.push_async_callback(desk.close)

        def started(extent: Extent) -> None:
            total = extent.certificates + extent.refusals
            bench.total(total)
            desk.expect(total)

        found = await simulate(
            store,
            scope,
            desk.judge,
            ahead=2 * workers,
            started=started,
            progress=bench.advance,
        )
    return draft, found


def _draft(text: bytes, in_force: Sequence[bytes], now: datetime) -> Draft:
    """Raises RequestRefused where the text would not be saved, PolicyConflict where it could not be activated."""
    from ca.policy_admin import checked
    from ca.simulation import Draft
    from policies.loader import load_policy

    return Draft.of(checked(text, now), tuple(load_policy(one) for one in in_force))


async def _advise(draft: Draft, store: Store) -> None:
    """What would stand in the way of saving it as it is."""
    document = draft.policy.document
    versions = {
        record.version: record.sha256
        for record in await store.policies()
        if record.name == document.name
    }
    if versions.get(document.version) == draft.policy.sha256:
        return
    if versions and document.version <= max(versions):
        output.say(f"Before you add it: version {document.version} is not above {max(versions)}.")


@dataclass(frozen=True, slots=True)
class _Task:
    """What a worker makes its `_Bench` from."""

    config: Path | None
    draft: bytes
    in_force: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _Bench:
    """What one process judges with."""

    draft: Draft
    setting: Setting

    @classmethod
    def of(cls, task: _Task) -> _Bench:
        from ca.simulation import Draft
        from policies.loader import load_policy

        in_force = tuple(load_policy(text) for text in task.in_force)
        return cls(
            Draft.of(load_policy(task.draft), in_force), setting(options.load_config(task.config))
        )

    def judge(self, page: Sequence[Subject]) -> Judged:
        from ca.simulation import judge_all

        return judge_all(page, self.draft, self.setting)


def setting(config: Config) -> Setting:
    """What verdicts of this authority rest on. Raises ConfigurationError, UnreadableError."""
    from ca.app.keys import anchors_of, ca_id
    from ca.recomputation import Setting
    from ca.signers.folder import KeyFolder
    from policies.floors import builtin_floors
    from policies.minimums import builtin_minimums

    files = config.policies
    lists = judges.load(None, _name(files.amd_floors_file), _name(files.nvidia_minimums_file))
    return Setting(
        anchors=anchors_of(config),
        ca_id=ca_id(KeyFolder(config.ca.directory, b"", bytes).root()),
        reserved=frozenset(name.lower() for name in config.server.names),
        floors=lists.floors or builtin_floors(),
        minimums=lists.minimums or builtin_minimums(),
    )


def _name(path: Path | None) -> str | None:
    return None if path is None else str(path)


@dataclass(slots=True)
class Desk:
    """Where pages are judged: in this process if there are few, else in several."""

    task: _Task
    workers: int
    _pool: ProcessPoolExecutor | None = None
    _here: _Bench | None = field(default=None, repr=False)

    def expect(self, decisions: int) -> None:
        """How many decisions there will be."""
        if decisions > FEW and self.workers > 1:
            self._pool = ProcessPoolExecutor(
                self.workers, get_context("spawn"), _start_worker, (self.task,)
            )

    async def judge(self, page: Sequence[Subject]) -> Judged:
        """What becomes of these decisions."""
        if self._pool is not None:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, _judge_in_worker, page)
        if self._here is None:
            self._here = await asyncio.to_thread(_Bench.of, self.task)
        return await asyncio.to_thread(self._here.judge, page)

    async def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)


_bench: _Bench | None = None  # of a worker


def _start_worker(task: _Task) -> None:
    global _bench  # noqa: PLW0603 - a worker is one process for one task
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command ends its workers
    os.nice(_NICE)
    _bench = _Bench.of(task)
    gc.freeze()  # programs and policies stay: no collection has to look through them again


def _judge_in_worker(page: Sequence[Subject]) -> Judged:
    if _bench is None:
        raise RuntimeError("a worker that was not started")
    return _bench.judge(page)
