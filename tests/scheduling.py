# SPDX-License-Identifier: Apache-2.0
"""How a parallel run (`-n 2 --dist loadfile`) shares the test files among its workers.

As xdist does, a file goes to one worker, because what its tests share is made once. Two things are better than there.
All files that act on the same stage go to one worker: a stage is twenty seconds of processor time, on each database,
for each worker that needs one. And what takes long comes first, while xdist begins with the files of the most tests and
so ends with one worker waiting for a file of few long ones.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

ROOT = Path(__file__).parents[1]
STAGES = ("stage of tests/docs", "stage of tests")  # a conftest.py each
SLOW = (  # twenty seconds each, and more
    "tests/integration/test_demo_revocation.py",
    "tests/cases/test_r40_sequencer_dies.py",
    "tests/cases/test_r40_database_dies.py",
    "tests/integration/chain/test_command_line.py",
)
_ASKS_FOR_STAGE = re.compile(
    r'\b(?:sqlite_|postgres_)?stage: Stage\b|\benrolled: Enrolled\b|getfixturevalue\("stage"\)'
)


@cache
def scope_of(path: str) -> str:
    """What is given to one worker as a whole: a test file, or all those on one stage."""
    if not _ASKS_FOR_STAGE.search((ROOT / path).read_text(encoding="utf-8")):
        return path
    return STAGES[0] if path.startswith("tests/docs/") else STAGES[1]


class Scheduling(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """See the module's docstring."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid.split("::", 1)[0])

    def _assign_work_unit(self, node: WorkerController) -> None:
        """The slow ones come first; the others as xdist has them."""
        for scope in reversed((*STAGES, *SLOW)):
            if scope in self.workqueue:
                self.workqueue.move_to_end(scope, last=False)
        super()._assign_work_unit(node)
