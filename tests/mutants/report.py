# SPDX-License-Identifier: Apache-2.0
"""After `mutmut run`: how many mutants of each file fell, why the others may live, and those that nobody has judged.

Prints Markdown for docs/testing.md. Exit code 1 if a mutant survives that `judged` has no word for, or none was tried.

    python -m tests.mutants.report
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code

from tests.mutants.judged import judgement

MUTANTS = Path("mutants")
FELL = frozenset({"killed", "timeout", "caught by type check"})


@dataclass(frozen=True)
class Mutant:
    """One mutant: `file` as in the checkout, `key` as mutmut names it, `status` in its words."""

    file: str
    key: str
    status: str

    @property
    def function(self) -> str:
        """Module and function, e.g. "verifiers.tdx.tcb.x__reaches"."""
        return self.key.partition("__mutmut_")[0]

    @property
    def change(self) -> str:
        """The lines that differ, "old -> new"."""
        lines = get_diff_for_mutant(self.key, path=self.file).splitlines()
        old, new = (
            " ".join(line[1:].strip() for line in lines if line[0] == sign and line[:3] != sign * 3)
            for sign in "-+"
        )
        return f"{old} -> {new}"


def read() -> list[Mutant]:
    """Every mutant of the last run."""
    found = []
    for path in sorted(MUTANTS.rglob("*.py.meta")):
        file = str(path.relative_to(MUTANTS)).removesuffix(".meta")
        for key, code in json.loads(path.read_text())["exit_code_by_key"].items():
            found.append(Mutant(file, key, status_by_exit_code[code]))
    return found


def table(mutants: list[Mutant]) -> str:
    """Counts per file: all, those that fell, those that survive."""
    rows = ["| file | mutants | fell | survive |", "|---|---:|---:|---:|"]
    counts = Counter((one.file, one.status in FELL) for one in mutants)
    for file in sorted({one.file for one in mutants}):
        fell, lives = counts[file, True], counts[file, False]
        rows.append(f"| `{file}` | {fell + lives} | {fell} | {lives} |")
    fell = sum(one.status in FELL for one in mutants)
    rows.append(f"| all | {len(mutants)} | {fell} | {len(mutants) - fell} |")
    return "\n".join(rows)


def main() -> int:
    """Print table, judgements and what is left; the exit code."""
    mutants = read()
    out = sys.stdout
    out.write(table(mutants) + "\n\n")
    judged: Counter[str] = Counter()
    left = []
    for one in mutants:
        if one.status in FELL:
            continue
        why = judgement(one.function, one.change) if one.status == "survived" else None
        if why is None:
            left.append(one)
        else:
            judged[why] += 1
    for why, count in judged.most_common():
        out.write(f"- {count}: {why}\n")
    for one in left:
        out.write(f"\n{one.status}: {one.key}\n    {one.change}\n")
    out.write(f"\n{len(left)} without a judgement\n")
    return int(bool(left) or not mutants)


if __name__ == "__main__":
    sys.exit(main())
