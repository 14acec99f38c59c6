# SPDX-License-Identifier: Apache-2.0
"""One simulated world in a file, so that several processes see the same fake vendors and the same machines.

The file holds a seed, an instant and the RSA keys of AMD's and Google's authorities and of NVIDIA's attestation
service; everything else follows from them. They are a toy's keys: whoever reads the file can sign as these vendors,
which nothing but an authority made with `init --simulated` believes.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from simulator.amd import FakeAmd
from simulator.amd_keys import RsaKeys
from simulator.azure import AzureCvm, AzureTd
from simulator.eventlog import grub_boot
from simulator.google import FakeGoogle
from simulator.intel import FakeIntel
from simulator.nvidia.vendor import FakeNvidia
from simulator.pki import pem

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.google import GoogleCvm, GoogleTd
    from simulator.machine import Platform
    from simulator.nvidia.hardware import NvidiaDevice
    from simulator.snp import SnpMachine

GPUS = 2  # H100s, each passed through by itself
BOOT = grub_boot()  # of the TDX machine
LINE = "Genoa"  # of the SEV-SNP machine; each line costs three RSA keys of 4096 bits


@dataclass(frozen=True, slots=True)
class World:
    """A fake Intel with one TDX machine, a fake AMD with one SEV-SNP machine, a fake NVIDIA with GPUs, a fake Google.

    Attributes:
        gpus: what is plugged into the machines here. elsewhere: as many genuine ones, in a machine of somebody else.
    """

    intel: FakeIntel
    machine: Platform
    amd: FakeAmd
    snp: SnpMachine
    nvidia: FakeNvidia
    gpus: tuple[NvidiaDevice, ...]
    elsewhere: tuple[NvidiaDevice, ...]
    google: FakeGoogle

    @classmethod
    def create(cls, path: Path) -> World:
        """A new world, written to `path`; its anchors beside it, see `anchor_paths`."""
        now, seed = datetime.now(UTC), secrets.token_bytes(32)
        keys = RsaKeys()
        line = FakeAmd.create(now, seed=seed, keys=keys).line(LINE)
        authorities = FakeNvidia.create(now, seed=seed, keys=keys).pem
        of_google = FakeGoogle.create(now, keys=keys).pem
        facts = {"seed": seed.hex(), "now": now.isoformat(), "rsa": keys.dump()}
        path.touch(mode=0o600)
        path.write_text(json.dumps(facts), encoding="ascii")
        world = cls.load(path)
        anchors = (pem(world.intel.root_der), line.pem, authorities, of_google)
        for file, text in zip(anchor_paths(path), anchors, strict=True):
            file.write_text(text, encoding="ascii")
        return world

    @classmethod
    def load(cls, path: Path) -> World:
        """The world in `path`."""
        facts = json.loads(path.read_text(encoding="ascii"))
        now, seed = datetime.fromisoformat(facts["now"]), bytes.fromhex(facts["seed"])
        keys = RsaKeys.load(facts["rsa"])
        intel = FakeIntel.create(now, seed=seed)
        amd = FakeAmd.create(now, seed=seed, keys=keys)
        nvidia = FakeNvidia.create(now, seed=seed, keys=keys)
        nvidia.clock = lambda: datetime.now(UTC)  # answers are good for a day, tokens for an hour
        here, elsewhere = (tuple(nvidia.gpu() for _ in range(GPUS)) for _ in range(2))
        machine = intel.platform()
        machine.boot(BOOT)
        google = FakeGoogle.create(now, keys=keys)
        return cls(intel, machine, amd, amd.machine(LINE), nvidia, here, elsewhere, google)

    def azure(self) -> AzureCvm:
        """A confidential VM of Azure on the SEV-SNP machine; its virtual TPM is new in each process."""
        return AzureCvm(self.snp)

    def azure_td(self) -> AzureTd:
        """One on the TDX machine, likewise."""
        return AzureTd(self.machine)

    def google_cvm(self) -> GoogleCvm:
        """A confidential VM of Google's on the SEV-SNP machine, which booted the same; likewise."""
        cvm = self.google.cvm(self.snp)
        cvm.boot(BOOT)
        return cvm

    def google_td(self) -> GoogleTd:
        """One on the TDX machine, likewise."""
        td = self.google.td(self.machine)
        td.boot(BOOT)
        return td


def root_path(path: Path) -> Path:
    """Where the Intel root of the world in `path` is."""
    return anchor_paths(path)[0]


def anchor_paths(path: Path) -> tuple[Path, Path, Path, Path]:
    """Where the anchors of the world in `path` are.

    The Intel root; ARK, ASK and ASVK of AMD's product line; NVIDIA's roots of devices and of manifests' signers, and
    the intermediate of its attestation service; Google's root and intermediate.
    """
    names = ("root", LINE.lower(), "nvidia", "google")
    intel, amd, nvidia, google = (path.with_name(f"{path.name}.{name}.pem") for name in names)
    return intel, amd, nvidia, google
