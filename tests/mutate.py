# SPDX-License-Identifier: Apache-2.0
"""`make mutate`: is there a test for every check? Each is taken out in turn, in a copy; a test must fail (R-06).

Mutants: every `if` whose body refuses (raise) never does; every raise is passed over, and every call that is a
statement of its own, as of a function that checks; every `and`/`or` loses each of its parts; every comparison shifts by
one. It takes minutes per file, so it is not part of `make test`. What survives is printed with its line; exit code 1 if
anything does. Tests that fail before anything was changed would notice whatever one does, so they end the run. Without
names all of verifiers/ and policies/; files of ca/cli/ may be named.

mutmut (`make mutants`) changes far more, but takes no statement out, and looks neither into functions under a
decorator, as all are whose results are remembered, nor at policies/. So both stay.

    python -m tests.mutate verifiers/tdx/verify.py policies/tcb_rules.py
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP = Path(__file__).parents[1]
COPIED = ("ca", "client", "migrations", "policies", "simulator", "tests", "verifiers")
_TDX = (
    "tests/unit/verifiers/tdx",
    "tests/cases/test_tdx_corpus.py",
    "tests/cases/test_r02_statuses.py",
    "tests/cases/test_r03_leave_one_out.py",
    "tests/cases/test_r07_dates.py",
    "tests/cases/test_tdx_113_older_evaluations.py",
)
_SNP = (
    "tests/unit/verifiers/snp",
    "tests/unit/verifiers/vtpm",
    "tests/cases/test_snp_corpus.py",
    "tests/cases/test_snp_kds.py",
)
_GOOGLE = (
    "tests/unit/verifiers/test_google.py",
    "tests/unit/verifiers/test_google_ca.py",
    "tests/unit/verifiers/vtpm",
    "tests/unit/verifiers/test_files.py",
    "tests/unit/verifiers/test_identify_tpm.py",
    "tests/unit/verifiers/test_logs.py",
    "tests/unit/verifiers/test_registry.py",
)
_EVENT_LOGS = (
    "tests/unit/verifiers/eventlog",
    "tests/cases/test_eventlog_corpus.py",
    "tests/cases/test_eventlog_claims.py",
    "tests/cases/test_eventlog_attacks.py",
    "tests/cases/test_eventlog_attacks_applications.py",
    "tests/cases/test_eventlog_attacks_cmdline.py",
    "tests/cases/test_eventlog_attacks_images.py",
)
_NVIDIA = ("tests/unit/verifiers/nvidia", "tests/cases/test_nvidia_corpus.py")
JUDGES = {  # by the longest name that a file's begins with: quick tests first, for the first failure ends the run
    "verifiers/tdx": _TDX,
    "verifiers/snp": _SNP,
    "verifiers/nvidia": _NVIDIA,
    "verifiers/vtpm": (*_SNP, *_GOOGLE),
    "verifiers/google": _GOOGLE,
    "verifiers/files": _GOOGLE,
    "verifiers/logs": _GOOGLE,
    "verifiers/eventlog": _EVENT_LOGS,
    "verifiers": ("tests/unit/verifiers", *_TDX[1:], *_SNP[2:], *_NVIDIA[1:]),
    "policies": ("tests/unit/policies", "tests/cases/test_google_policy_attacks.py"),
    "ca/cli": ("tests/unit/ca/cli",),
}
SHIFTED: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: the text from `start` to `end` (bytes) becomes `text`."""

    line: int
    start: int
    end: int
    text: str

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.text.encode() + source[self.end :]


def mutants(source: bytes) -> Iterator[Mutant]:
    """All changes of one file."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def place(node: ast.expr | ast.stmt) -> tuple[int, int]:
        end_line, end_column = node.end_lineno or 0, node.end_col_offset or 0
        return starts[node.lineno - 1] + node.col_offset, starts[end_line - 1] + end_column

    def text(node: ast.expr) -> str:
        return source[slice(*place(node))].decode()

    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.If(test=test, body=[*_, ast.Raise()]):
                yield Mutant(node.lineno, *place(test), "False")
            case ast.Raise() | ast.Expr(value=ast.Call()):
                yield Mutant(node.lineno, *place(node), "pass")
            case ast.BoolOp(values=values):
                joined = " and " if isinstance(node.op, ast.And) else " or "
                for left_out in values:
                    rest = joined.join(text(value) for value in values if value is not left_out)
                    yield Mutant(node.lineno, *place(node), f"({rest})")
            case ast.Compare(ops=[operator], comparators=[right]) if type(operator) in SHIFTED:
                shifted = f"{text(node.left)} {SHIFTED[type(operator)]} {text(right)}"
                yield Mutant(node.lineno, *place(node), shifted)


def own_tests(name: str) -> list[str]:
    """The unit tests of one file, which are the likeliest to fail: they come first."""
    path = Path("tests/unit") / Path(name).parent / f"test_{Path(name).name}"
    return [str(path)] if (TOP / path).exists() else []


def passes(copy: Path, judges: tuple[str, ...]) -> bool:
    """Whether the tests pass in the copy; those that never end fail."""
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.setdefault("ATTESTCA_VECTORS", str(TOP.parent / "shared" / "vectors"))
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and tests
            [sys.executable, "-m", "pytest", "-x", "-q", *judges],
            cwd=copy,
            env=environment,
            capture_output=True,
            check=False,
            timeout=300,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def survivors(name: str, copy: Path) -> Iterator[Mutant]:
    """The mutants of one file that no test notices. Tests that fail anyway notice nothing: RuntimeError."""
    path, source = copy / name, (TOP / name).read_bytes()
    judges = (*own_tests(name), *JUDGES[max((p for p in JUDGES if name.startswith(p)), key=len)])
    path.write_bytes(source)
    if not passes(copy, judges):
        raise RuntimeError(f"{name}: its tests fail before anything is changed")
    for mutant in mutants(source):
        path.write_bytes(mutant.apply(source))
        if passes(copy, judges):
            yield mutant
    path.write_bytes(source)


def main(names: list[str]) -> int:
    """Mutate the named files, or all of verifiers/ and policies/; the exit code."""
    every = [
        path for top in ("verifiers", "policies") for path in sorted((TOP / top).rglob("*.py"))
    ]
    found = 0
    with tempfile.TemporaryDirectory(prefix="attestca-mutate-") as folder:
        copy = Path(folder)
        for part in COPIED:
            shutil.copytree(TOP / part, copy / part)
        for file in ("pyproject.toml", "THREAT_MODEL.md"):
            shutil.copy(TOP / file, copy)
        for name in names or [str(path.relative_to(TOP)) for path in every]:
            sys.stderr.write(f"{name} …\n")
            for mutant in survivors(name, copy):
                found += 1
                sys.stdout.write(f"{name}:{mutant.line}: survives: {mutant.text}\n")
                sys.stdout.flush()
    sys.stdout.write(f"{found} survive\n")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
