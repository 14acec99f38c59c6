# SPDX-License-Identifier: Apache-2.0
"""Which floors of AMD's TCBs are in force: the package's, or those of the operator's file if that is newer.

Rules: versions only rise, over all replicas and restarts, for the store remembers the newest; each change is a line of
the operators' log. At start a file that is broken or too old ends it; later it is reported, and what is in force stays.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ca.errors import ConfigurationError, PolicyConflict
from ca.ports import OperatorAction
from policies.errors import PolicyError
from policies.floors import Floors, builtin_floors, load_floors, newest

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from ca.ports import Store

MAX_BYTES: Final = 1 << 20
ACTOR: Final = "service"
ACTION: Final = "floors.in-force"

_WHERE: Final = "policies.amd_floors_file"


@dataclass(slots=True)
class FloorsInForce:
    """`file`: the operator's, if there is one. `current`: what is appraised by."""

    store: Store
    file: Path | None
    current: Floors

    @classmethod
    async def open(cls, store: Store, file: Path | None, now: datetime) -> FloorsInForce:
        """As of now. Raises ConfigurationError, Unavailable."""
        in_force = cls(store, file, builtin_floors())
        await in_force.reload(now)
        return in_force

    async def reload(self, now: datetime) -> None:
        """Look at the file again.

        Raises:
            ConfigurationError: it cannot be read, is none, or is older than what was in force. Unavailable.
        """
        floors = await asyncio.to_thread(self._newest)
        version = floors.file.version
        detail = json.dumps({"sha256": floors.sha256.hex()})
        action = OperatorAction(now, ACTOR, ACTION, f"amd-floors@{version}", detail)
        try:
            await self.store.record_floors(version, floors.sha256, action)
        except PolicyConflict as error:
            raise ConfigurationError(
                f"{_WHERE}: floors of AMD's TCBs never go back: {error.detail}; name the newest file"
            ) from error
        self.current = floors

    def _newest(self) -> Floors:
        if self.file is None:
            return builtin_floors()
        try:
            text = _read(self.file)
            if text == self.current.text:
                return self.current
            return newest(builtin_floors(), load_floors(text))
        except (OSError, PolicyError) as error:
            raise ConfigurationError(f"{_WHERE}: {self.file}: {error}") from error


def _read(path: Path) -> bytes:
    """Raises OSError, ConfigurationError."""
    with path.open("rb") as file:
        text = file.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise ConfigurationError(f"{_WHERE}: {path}: more than {MAX_BYTES} bytes")
    return text
