# SPDX-License-Identifier: Apache-2.0
"""`attestca policy simulate` over ten thousand decisions: `python -m bench.simulation [--records N] [--logs LOGS]`.

The decisions are real ones: simulated machines, TDX and SEV-SNP in turn, enroll with `attestca serve` over HTTPS, each
with a key, a nonce and evidence of its own; one in ten, an SEV-SNP machine, boots another image and is refused. With
`--logs same` every TDX machine sends the event log of its boot, 25 kB as those of real machines, and all have the same;
with `--logs different` each has one of its own, for an application extends RTMR3. The draft then asks for Secure Boot
and for a command line. The command runs once as a process of its own, as an operator would start it; time and memory
are that process's and its workers'.

`measure`, for the table, judges a hundred such decisions in one process, again and again; what is remembered between
them is forgotten each time.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import ssl
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attestca_client.protocol import binding
from bench.boots import real_size, with_application
from bench.enrollment import UNLIMITED
from bench.timing import rates
from ca.boots import Boots
from ca.cli.options import load_config
from ca.cli.policy_texts import opened
from ca.cli.simulate import setting
from ca.simulation import Draft, Judged, Kind, Scope, Subject, judge_all, simulate
from policies.loader import load_policy
from simulator.machine import register
from simulator.stage import Stage
from simulator.tdx_policies import POLICY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ca.recomputation import Setting
    from simulator.eventlog import Boot

RECORDS: Final = 10_000
A_FEW: Final = 100  # decisions of each kind, for the table
CONCURRENCY: Final = 16
REFUSED: Final = 10  # one in so many
DRAFT: Final = "draft.yaml"
BOOT: Final = real_size()
MINIMUM: Final = (
    "  tcb: {minimum: {tcb_evaluation_data_number: 60000}}\n"  # no simulated machine meets it
)


class Logs(StrEnum):
    """Which event logs the TDX machines send."""

    NONE = "none"
    SAME = "same"
    DIFFERENT = "different"


NAMES: Final = {
    Logs.NONE: "decisions judged for a dry run, no event logs",
    Logs.SAME: "decisions judged for a dry run, 4 in 10 with a log of 25 kB, all the same",
    Logs.DIFFERENT: "decisions judged for a dry run, 4 in 10 with a log of 25 kB, all different",
}


def main() -> None:
    """Fill a store, run the command, print what it took."""
    parser = argparse.ArgumentParser(prog="python -m bench.simulation", description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--logs", type=Logs, choices=list(Logs), default=Logs.NONE)
    parser.add_argument("--keep", type=Path, help="new folder, kept for more runs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="attestca-bench-") as made:
        folder = given.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        with Stage(folder, overrides=dict(UNLIMITED)) as stage:
            _put_in_force(stage)
            asyncio.run(_fill(stage, given.records, given.logs))
            config = stage.config
        (folder / DRAFT).write_text(_draft(given.logs), encoding="ascii")
        _run(config, folder / DRAFT)


def measure() -> dict[str, float]:
    """Decisions judged per second, by what machines sent."""
    with (
        tempfile.TemporaryDirectory(prefix="attestca-bench-") as folder,
        Stage(Path(folder), overrides=dict(UNLIMITED)) as stage,
    ):
        _put_in_force(stage)
        judged = asyncio.run(_decisions(stage))
        known = setting(load_config(stage.config))
    in_force = (load_policy(document(2).encode()),)
    functions = {}
    for logs, subjects in judged.items():
        draft = Draft.of(load_policy(_draft(logs).encode()), in_force)
        functions[NAMES[logs]] = partial(_judge, subjects, draft, known)
    return {name: A_FEW * rate for name, rate in rates(functions).items()}


def _judge(subjects: Sequence[Subject], draft: Draft, known: Setting) -> None:
    found = judge_all(subjects, draft, replace(known, boots=Boots()))
    if len(found.changes) != sum(one.decision.tee == "tdx" for one in subjects):
        raise AssertionError(found)


async def _decisions(stage: Stage) -> dict[Logs, tuple[Subject, ...]]:
    """A few of each kind, enrolled one kind after the other."""
    found: dict[Logs, tuple[Subject, ...]] = {}
    seen: set[tuple[Kind, str]] = set()
    for logs in Logs:
        await _fill(stage, A_FEW, logs)
        subjects = await _on_record(stage)
        found[logs] = tuple(one for one in subjects if (one.kind, one.id) not in seen)
        seen.update((one.kind, one.id) for one in subjects)
    return found


async def _on_record(stage: Stage) -> list[Subject]:
    found: list[Subject] = []

    async def keep(page: Sequence[Subject]) -> Judged:
        found.extend(page)
        return Judged((0, 0), (0, 0), ())

    async with opened(load_config(stage.config)) as store:
        now = datetime.now(UTC)
        await simulate(store, Scope(now, now - timedelta(days=1)), keep)
    return found


def _put_in_force(stage: Stage) -> None:
    """A policy that accepts the boot of the machines."""
    policy = stage.folder / "policy.yaml"
    policy.write_text(document(2), encoding="ascii")
    stage.operate("policy", "add", str(policy))
    stage.operate("policy", "activate", "demo", "2")


def _draft(logs: Logs) -> str:
    return document(3, draft=True, boot=logs is not Logs.NONE)


def document(version: int, *, draft: bool = False, boot: bool = False) -> str:
    """The policy of the machines, or a draft that asks more: a minimum, and with `boot` what was booted."""
    values = {name: value.hex() for name, value in BOOT.registers.items()}
    text = POLICY.format(mr_td=register("simulated firmware").hex(), **values)
    text = text.replace("version: 1", f"version: {version}")
    if draft:
        text = text.replace("  measurements: [release]\n", "  measurements: [release]\n" + MINIMUM)
    return text.replace("issue:", f"{_section(BOOT)}issue:") if boot else text


def _section(boot: Boot) -> str:
    """Secure Boot, and the command line of this boot with the files that GRUB read for it."""
    files = [one.digest.hex() for one in boot.events if one.data.startswith(b"/")]
    lines = (f'      - "{digest}"\n' for digest in files)
    return (
        "boot:\n  secure_boot: enabled\n  kernel_cmdline:\n"
        "    patterns: ['/vmlinuz root=/dev/vda[0-9] ro']\n    files:\n" + "".join(lines)
    )


def _run(config: Path, draft: Path) -> None:
    command = ["-m", "ca", "policy", "simulate", str(draft), "--config", str(config)]
    start = time.perf_counter()
    process = os.posix_spawn(sys.executable, [sys.executable, *command], os.environ)
    _, _, used = os.wait4(process, 0)  # of this process and its own, not of the service that was
    elapsed = time.perf_counter() - start
    print(
        f"{elapsed:.1f} s, {used.ru_utime + used.ru_stime:.1f} s of processor time,"
        f" {used.ru_maxrss / 1024:.0f} MiB in the largest process, {os.cpu_count()} CPUs"
    )


async def _fill(stage: Stage, records: int, logs: Logs) -> None:
    tls = ssl.create_default_context(cafile=stage.root)
    connector = aiohttp.TCPConnector(ssl=tls, limit=CONCURRENCY)
    numbers = iter(range(records))
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for _ in range(CONCURRENCY):
            group.create_task(_Machines(stage, session, logs).enroll_all(numbers))


@dataclass(frozen=True, slots=True)
class _Machines:
    """Machines of one connection."""

    stage: Stage
    session: aiohttp.ClientSession
    logs: Logs

    async def enroll_all(self, numbers: Iterator[int]) -> None:
        """Enroll until there are no numbers left. Raises RuntimeError if one is answered otherwise than it should."""
        for number in numbers:
            good = number % REFUSED != 0
            status = await self._enroll(number)
            if status != (201 if good else 403):
                raise RuntimeError(f"answered {status}")

    async def _enroll(self, number: int) -> int:
        """One enrollment with a new key; the status of the answer."""
        async with self.session.get(f"{self.stage.url}/v1/nonce") as answer:
            facts = await answer.json()
        nonce, key = base64.b64decode(facts["nonce"]), ec.generate_private_key(ec.SECP256R1())
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        report_data = binding(
            ca_id=bytes.fromhex(facts["ca_id"]), profile="default", nonce=nonce, spki_der=spki
        )
        body = {
            "nonce": facts["nonce"],
            "profile": "default",
            "csr": _text(csr.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)),
            "evidence": [
                {"kind": kind, "data": _text(data)}
                for kind, data in self._evidence(number, report_data)
            ],
        }
        async with self.session.post(f"{self.stage.url}/v1/enrollments", json=body) as answer:
            return answer.status

    def _evidence(self, number: int, report_data: bytes) -> list[tuple[str, bytes]]:
        """Of the machine of this number: kinds and bytes."""
        world = self.stage.world
        if number % REFUSED == 0:
            return [("snp-report", world.snp.report(report_data, measurement=bytes(48)))]
        if number % 2:
            return [("snp-report", world.snp.report(report_data))]
        boot = with_application(BOOT, number) if self.logs is Logs.DIFFERENT else BOOT
        fields: dict[str, Any] = {**boot.registers, "report_data": report_data}
        quote = world.machine.quote(**fields)
        return [("tdx-quote", quote), *([] if self.logs is Logs.NONE else boot.logs())]


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


if __name__ == "__main__":
    main()
