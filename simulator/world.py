# SPDX-License-Identifier: Apache-2.0
"""One simulated world in a file, so that several processes see the same fake Intel and the same machine.

The file holds a seed and an instant; everything else follows from them. It is a toy's key: whoever reads it can sign as
this fake Intel, which nothing but an authority made with `init --simulated` believes.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from simulator.intel import FakeIntel
from simulator.pki import pem

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.machine import Platform


@dataclass(frozen=True, slots=True)
class World:
    """A fake Intel and one machine that it certified."""

    intel: FakeIntel
    machine: Platform

    @classmethod
    def create(cls, path: Path) -> World:
        """A new world, written to `path`; its Intel root beside it as <path>.root.pem."""
        facts = {"seed": secrets.token_hex(32), "now": datetime.now(UTC).isoformat()}
        path.write_text(json.dumps(facts), encoding="ascii")
        path.chmod(0o600)
        world = cls.load(path)
        root_path(path).write_text(pem(world.intel.root_der), encoding="ascii")
        return world

    @classmethod
    def load(cls, path: Path) -> World:
        """The world in `path`."""
        facts = json.loads(path.read_text(encoding="ascii"))
        now, seed = datetime.fromisoformat(facts["now"]), bytes.fromhex(facts["seed"])
        intel = FakeIntel.create(now, seed=seed)
        return cls(intel, intel.platform())


def root_path(path: Path) -> Path:
    """Where the root certificate of the world in `path` is."""
    return path.with_name(f"{path.name}.root.pem")
