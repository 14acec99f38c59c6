# SPDX-License-Identifier: Apache-2.0
"""`python -m simulator.cvm`: a confidential VM that is none. Enrolls through attestca-client with simulated evidence.

Everything but the source of evidence is the client's own code. `--tee snp` is an SEV-SNP guest, `--azure` either under
a paravisor, `--google` either with a vTPM of Google's beside. `--field rtmr1=<hex>` (`measurement=<hex>`, `pcr4=<hex>`
with a vTPM) boots another image, `--tamper` flips a bit of genuine evidence on its way. `--log` says what a TD sends
for the log of its boot. `--gpus N` puts H100s beside the CPU, `--gpu-evidence` says whose evidence is sent for theirs.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attestca_client import __main__ as client
from attestca_client.protocol import tpm_extra
from attestca_client.wire import Evidence
from simulator.eventlog import grub_boot
from simulator.layouts import SNP_REPORT, offsets, places
from simulator.nvidia.vendor import FakeNvidia
from simulator.world import GPUS, World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from simulator.azure import AzureCvm, AzureTd
    from simulator.google import GoogleCvm, GoogleTd
    from simulator.machine import Platform
    from simulator.nvidia.hardware import NvidiaDevice
    from simulator.snp import SnpMachine

PCR, RTMR = "pcr", "rtmr"
FIRST_DIGEST_AT = (
    32 + 33 + 14
)  # in a CCEL: behind its header and what stands before the first event's digest
HCL_REPORT_AT = 32  # where the CPU's report lies in an HCL report


class LogSent(StrEnum):
    """What a TD sends for the log of its boot."""

    OWN = "own"
    NONE = "none"
    TAMPERED = "tampered"  # its own, with one digest changed
    OTHER = "other"  # that of another boot
    BROKEN = "broken"  # its own, cut short


@dataclass(frozen=True, slots=True)
class SimulatedQuotes:
    """A quote source: 64 bytes of report_data -> one TDX quote of a simulated machine, and the logs of its boot.

    Attributes:
        fields: values of report fields by name, instead of the machine's own.
        tamper: whether one bit of mr_td is flipped after the quote was signed.
        log: which logs go along. A machine whose `fields` say that it booted something else has none of that boot.
    """

    machine: Platform
    fields: Mapping[str, bytes] = field(default_factory=dict)
    tamper: bool = False
    log: LogSent = LogSent.OWN

    def __call__(self, report_data: bytes) -> Sequence[Evidence]:
        """The evidence for this report_data."""
        fields: dict[str, Any] = {**self.fields, "report_data": report_data}
        quote = self.machine.quote(**fields)
        if self.tamper:
            quote = _flipped(quote, offsets(4, 2)["mr_td"].start)
        return [Evidence("tdx-quote", quote), *self._logs()]

    def _logs(self) -> list[Evidence]:
        rebooted = any(name.startswith(RTMR) for name in self.fields)
        logs = [] if rebooted else [Evidence(*log) for log in self.machine.event_logs]
        match self.log:
            case LogSent.OWN:
                return logs
            case LogSent.NONE:
                return []
            case LogSent.OTHER:
                return [Evidence(*log) for log in grub_boot(cmdline="init=/bin/sh").logs()]
            case LogSent.TAMPERED:
                return [Evidence(one.kind, _flipped(one.data, FIRST_DIGEST_AT)) for one in logs]
            case LogSent.BROKEN:
                return [Evidence(one.kind, one.data[:-1]) for one in logs]


@dataclass(frozen=True, slots=True)
class SimulatedReports:
    """A source of SEV-SNP evidence: 64 bytes of report_data -> a report, and what a host gives beside it.

    Attributes:
        fields, tamper: as above; the bit is one of measurement.
        certificates: whether the host's certificate table comes along. Without it the authority fetches the VCEK.
    """

    machine: SnpMachine
    fields: Mapping[str, bytes] = field(default_factory=dict)
    tamper: bool = False
    certificates: bool = False

    def __call__(self, report_data: bytes) -> Sequence[Evidence]:
        """The evidence for this report_data."""
        fields: dict[str, Any] = dict(self.fields)
        report = self.machine.report(report_data, **fields)
        if self.tamper:
            report = _flipped(report, places(SNP_REPORT)["measurement"].start)
        pieces = [Evidence("snp-report", report)]
        if self.certificates:
            pieces.append(Evidence("snp-certificates", self.machine.certificate_table()))
        return pieces


@dataclass(frozen=True, slots=True)
class SimulatedAzure:
    """A source of evidence under a paravisor: the HCL report, and a vTPM quote that carries the binding.

    Attributes:
        fields, tamper: as above; the bit is one of the paravisor's measurement.
    """

    cvm: AzureCvm | AzureTd
    fields: Mapping[str, bytes] = field(default_factory=dict)
    tamper: bool = False

    def __call__(self, report_data: bytes) -> Sequence[Evidence]:
        """The evidence for this binding."""
        fields: dict[str, Any] = dict(self.fields)
        for name in [name for name in fields if name.startswith(PCR)]:
            self.cvm.tpm.pcrs[int(name.removeprefix(PCR))] = fields.pop(name)
        pieces = [Evidence(*piece) for piece in self.cvm.evidence(tpm_extra(report_data), **fields)]
        if self.tamper:
            of_a_td = pieces[0].kind == "tdx-quote"
            at = (
                offsets(4, 2)["mr_td"].start
                if of_a_td
                else HCL_REPORT_AT + places(SNP_REPORT)["measurement"].start
            )
            pieces[0] = Evidence(pieces[0].kind, _flipped(pieces[0].data, at))
        return pieces


@dataclass(frozen=True, slots=True)
class SimulatedGoogle:
    """A source of evidence of Google's VMs: the CPU's over the binding, its vTPM's quote over it, and the logs.

    Attributes:
        fields, tamper: as above; the bit is one of the CPU's measurement. A VM whose fields say that it booted
            something else has no log of that.
    """

    vm: GoogleCvm | GoogleTd
    fields: Mapping[str, bytes] = field(default_factory=dict)
    tamper: bool = False

    def __call__(self, report_data: bytes) -> Sequence[Evidence]:
        """The evidence for this binding."""
        fields: dict[str, Any] = dict(self.fields)
        logs = self.vm.logs if not any(name.startswith((PCR, RTMR)) for name in fields) else []
        for name in [name for name in fields if name.startswith(PCR)]:
            self.vm.tpm.pcrs[int(name.removeprefix(PCR))] = fields.pop(name)
        found = [*self.vm.evidence(report_data, tpm_extra(report_data), **fields), *logs]
        pieces = [Evidence(*piece) for piece in found]
        if self.tamper:
            of_a_td = pieces[0].kind == "tdx-quote"
            places_of = offsets(4, 2)["mr_td"] if of_a_td else places(SNP_REPORT)["measurement"]
            pieces[0] = Evidence(pieces[0].kind, _flipped(pieces[0].data, places_of.start))
        return pieces


class GpuEvidence(StrEnum):
    """Whose evidence a machine sends for that of its GPUs."""

    HONEST = "honest"  # theirs
    FORGED = "forged"  # of GPUs whose certificates somebody else has made, under the same names
    RECORDED = "recorded"  # theirs, but answers to another enrollment
    RELAYED = "relayed"  # of genuine GPUs in another machine, which are asked at this moment


@dataclass(frozen=True, slots=True)
class SimulatedGpus:
    """A device source: the 32-byte nonce for devices -> one piece of evidence of each GPU.

    Attributes:
        nonce: which they answer instead; None: the one that they are asked.
    """

    gpus: Sequence[NvidiaDevice]
    nonce: bytes | None = None

    def __call__(self, nonce: bytes) -> Sequence[Evidence]:
        """The evidence for this nonce."""
        asked = self.nonce or nonce
        return [Evidence("nvidia-device", gpu.evidence(asked)) for gpu in self.gpus]


def gpus_of(world: World, count: int, whose: GpuEvidence = GpuEvidence.HONEST) -> SimulatedGpus:
    """The device source of a machine with `count` GPUs, up to `GPUS`."""
    match whose:
        case GpuEvidence.HONEST:
            return SimulatedGpus(world.gpus[:count])
        case GpuEvidence.RECORDED:
            return SimulatedGpus(world.gpus[:count], hashlib.sha256(b"another enrollment").digest())
        case GpuEvidence.RELAYED:
            return SimulatedGpus(world.elsewhere[:count])
        case GpuEvidence.FORGED:
            forger = FakeNvidia.create(world.nvidia.now)
            return SimulatedGpus([forger.gpu() for _ in range(count)])


def main(argv: Sequence[str]) -> int:
    """Enroll once; arguments that are not ours go to attestca-client. Returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m simulator.cvm", description=__doc__)
    parser.add_argument("--world", type=Path, required=True, help="file made by simulator.vendor")
    parser.add_argument("--tee", choices=("tdx", "snp"), default="tdx")
    cloud = parser.add_mutually_exclusive_group()
    cloud.add_argument("--azure", action="store_true", help="under a paravisor")
    cloud.add_argument("--google", action="store_true", help="with a vTPM of Google's beside")
    parser.add_argument("--field", action="append", default=[], metavar="NAME=HEX")
    parser.add_argument("--tamper", action="store_true")
    parser.add_argument("--log", type=LogSent, choices=list(LogSent), default=LogSent.OWN)
    parser.add_argument("--gpus", type=int, choices=range(GPUS + 1), default=0)
    parser.add_argument(
        "--gpu-evidence", type=GpuEvidence, choices=list(GpuEvidence), default=GpuEvidence.HONEST
    )
    ours, rest = parser.parse_known_args(argv)
    world = World.load(ours.world)
    devices = gpus_of(world, ours.gpus, ours.gpu_evidence) if ours.gpus else None
    return client.run(["enroll", *rest], _source(ours, world), devices)


def _source(ours: argparse.Namespace, world: World) -> Callable[[bytes], Sequence[Evidence]]:
    """Where the evidence of the CPU comes from."""
    pairs = (item.partition("=") for item in ours.field)
    fields = {name: bytes.fromhex(value) for name, _, value in pairs}
    if ours.azure:
        cvm = world.azure_td() if ours.tee == "tdx" else world.azure()
        return SimulatedAzure(cvm, fields, ours.tamper)
    if ours.google:
        vm = world.google_td() if ours.tee == "tdx" else world.google_cvm()
        return SimulatedGoogle(vm, fields, ours.tamper)
    if ours.tee == "tdx":
        return SimulatedQuotes(world.machine, fields, ours.tamper, ours.log)
    return SimulatedReports(world.snp, fields, ours.tamper)


def _flipped(data: bytes, at: int) -> bytes:
    """`data` with one bit of one byte turned over."""
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
