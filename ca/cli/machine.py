# SPDX-License-Identifier: Apache-2.0
"""Files of one machine, told apart by their content: what is the CPU's evidence, and what is of NVIDIA devices.

Both may be given at once, and are verified each by itself. Whether they belong together cannot be seen from them: the
binding that ties devices to a CPU and to a key is computed from what was enrolled with, which no file holds. So it is
`not-compared` here, which is said, and is no pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from verifiers.errors import Verdict
from verifiers.files import is_of_cpu
from verifiers.nvidia.files import are_of_devices

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NOT_COMPARED: Final = "not-compared"
WHY_NOT_COMPARED: Final = (
    "not compared: whether the devices are this CPU's is known where they enroll, not from files"
)
_WORST_FIRST: Final = (Verdict.REJECTED, Verdict.UNDETERMINED, Verdict.VERIFIED)


@dataclass(frozen=True, slots=True)
class MachineFiles:
    """Contents of files, in the order given. One of the two may be empty."""

    cpu: tuple[bytes, ...]
    devices: tuple[bytes, ...]


def sort_files(files: Sequence[bytes]) -> MachineFiles:
    """What is whose. Where no file says that it is a CPU's, what nothing else is belongs to the devices."""
    if not are_of_devices(files):
        return MachineFiles(tuple(files), ())
    if not any(is_of_cpu(data) for data in files):
        return MachineFiles((), tuple(files))
    of_devices = [are_of_devices([data]) for data in files]
    return MachineFiles(
        tuple(data for data, theirs in zip(files, of_devices, strict=True) if not theirs),
        tuple(data for data, theirs in zip(files, of_devices, strict=True) if theirs),
    )


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """What holds for all: a refusal is one whatever is undetermined beside it."""
    return min(verdicts, key=_WORST_FIRST.index)
