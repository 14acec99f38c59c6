# SPDX-License-Identifier: Apache-2.0
"""Which lists that policies refer to are in force: the package's, or the operator's file where that is newer.

There are two: floors of AMD's TCBs, and the lowest versions of NVIDIA's drivers and firmware.

Rules: versions only rise, over all replicas and restarts, for the store remembers the newest; each change is a line of
the operators' log. At start a file that is broken or too old ends it; later it is reported, and what is in force stays.
A newer list that asks for less than the one before is taken, and the log warns of it; at the start the one before is
the package's own, for of earlier ones the store has digests alone.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

import structlog

from ca.errors import ConfigurationError, PolicyConflict
from ca.ports import OperatorAction
from policies.errors import PolicyError
from policies.floors import Floors, builtin_floors, load_floors
from policies.floors import newest as newest_floors
from policies.minimums import Minimums, builtin_minimums, load_minimums
from policies.minimums import newest as newest_minimums
from policies.versioned import lowered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from ca.ports import Store

MAX_BYTES: Final = 1 << 20
ACTOR: Final = "service"
MAX_PLACES: Final = 32  # that a line of the log names

_log = structlog.get_logger(__name__)


class Versioned(Protocol):
    """What a list's file says of itself."""

    @property
    def version(self) -> int:
        """Rises with every change."""
        ...


class ReadList(Protocol):
    """A list with the bytes it was read from and their SHA-256 (32 bytes)."""

    @property
    def file(self) -> Versioned:
        """What it says."""
        ...

    @property
    def text(self) -> bytes:
        """As it was read."""
        ...

    @property
    def sha256(self) -> bytes:
        """Of `text`."""
        ...

    @property
    def numbers(self) -> Mapping[str, tuple[int, ...]]:
        """What it asks for, by its place in the file."""
        ...


L = TypeVar("L", bound=ReadList)  # the lists of one kind


@dataclass(frozen=True, slots=True)
class Kind(Generic[L]):
    """One kind of list.

    Attributes:
        name: in the store and the operators' log. noun: for people. setting: names the operator's file.
        builtin, load, newest: of its module in `policies`; the last two raise PolicyError.
    """

    name: str
    noun: str
    setting: str
    builtin: Callable[[], L]
    load: Callable[[bytes], L]
    newest: Callable[[L, L], L]

    @property
    def action(self) -> str:
        """What a change is in the operators' log."""
        return f"{self.name}.in-force"


AMD_FLOORS: Final[Kind[Floors]] = Kind(
    "amd-floors",
    "floors of AMD's TCBs",
    "policies.amd_floors_file",
    builtin_floors,
    load_floors,
    newest_floors,
)

NVIDIA_MINIMUMS: Final[Kind[Minimums]] = Kind(
    "nvidia-minimums",
    "lowest versions of NVIDIA's drivers",
    "policies.nvidia_minimums_file",
    builtin_minimums,
    load_minimums,
    newest_minimums,
)


@dataclass(slots=True)
class ListInForce(Generic[L]):
    """`file`: the operator's, if there is one. `current`: what is appraised by."""

    kind: Kind[L]
    store: Store
    file: Path | None
    current: L

    @classmethod
    async def open(
        cls, kind: Kind[L], store: Store, file: Path | None, now: datetime
    ) -> ListInForce[L]:
        """As of now. Raises ConfigurationError, Unavailable."""
        in_force = cls(kind, store, file, kind.builtin())
        await in_force.reload(now)
        return in_force

    async def reload(self, now: datetime) -> None:
        """Look at the file again.

        Raises:
            ConfigurationError: it cannot be read, is none, or is older than what was in force. Unavailable.
        """
        found = await asyncio.to_thread(self._newest)
        name, version = self.kind.name, found.file.version
        detail = json.dumps({"sha256": found.sha256.hex()})
        action = OperatorAction(now, ACTOR, self.kind.action, f"{name}@{version}", detail)
        try:
            await self.store.record_list(name, version, found.sha256, action)
        except PolicyConflict as error:
            raise ConfigurationError(
                f"{self.kind.setting}: {self.kind.noun} never go back: {error.detail}; name the newest file"
            ) from error
        self._tell_lowered(found)
        self.current = found

    def _tell_lowered(self, found: L) -> None:
        """Machines that were refused may pass again: that is said, whatever it is for."""
        if less := lowered(self.current.numbers, found.numbers):
            _log.warning(
                "list.lowered",
                list=self.kind.name,
                version=found.file.version,
                before=self.current.file.version,
                places=less[:MAX_PLACES],
                count=len(less),
            )

    def _newest(self) -> L:
        kind = self.kind
        if self.file is None:
            return kind.builtin()
        try:
            text = self._read(self.file)
            if text == self.current.text:
                return self.current
            return kind.newest(kind.builtin(), kind.load(text))
        except (OSError, PolicyError) as error:
            raise ConfigurationError(f"{kind.setting}: {self.file}: {error}") from error

    def _read(self, path: Path) -> bytes:
        """Raises OSError, ConfigurationError."""
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise ConfigurationError(f"{self.kind.setting}: {path}: more than {MAX_BYTES} bytes")
        return text
