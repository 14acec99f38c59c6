# SPDX-License-Identifier: Apache-2.0
"""`attestca verify` refuses every listed change of real evidence, and files that are cut short, as evidence: exit 1.

Wrong usage (64) is for files that make no one machine's evidence, never for evidence that is damaged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cases.snp import vectors
from tests.unit.verifiers.snp.test_negatives import REASONS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.cases.snp.vectors import Vector
    from tests.cli_lab import Cli

REAL = "milan-v3-azure-aci"


def files_of(vector: Vector, folder: Path) -> list[Path]:
    """As somebody would have them: report, leaf, chain in PEM, and the list if there is one."""
    contents = {
        "report.bin": vector.report,
        "vek.der": vector.vek,
        "chain.pem": vectors.pem(vector.ica, vector.ark),
        "crl.der": vector.crl,
    }
    written = {folder / name: data for name, data in contents.items() if data is not None}
    for path, data in written.items():
        path.write_bytes(data)
    return list(written)


def said(cli: Cli, files: Sequence[Path], vector: Vector) -> tuple[int, str, str | None]:
    done = cli("verify", *files, "--at", vector.at.isoformat(), "--json")
    answer: Any = done.json()
    reason = answer["reason"]
    return done.code, answer["verdict"], reason["code"] if reason else None


@pytest.mark.parametrize("negative", vectors.negatives())
def test_every_listed_change(cli: Cli, tmp_path: Path, negative: dict[str, Any]) -> None:
    vector = vectors.changed(negative)
    files = files_of(vector, tmp_path)
    reason = REASONS[vector.name]
    wanted = (0, "verified", None) if reason is None else (1, "rejected", reason.value)
    assert (reason is None) == (vector.name == "signature-s-negated")
    assert said(cli, files, vector) == said(cli, files[::-1], vector) == wanted


@pytest.mark.parametrize("length", [0, 1, 3, 4, 47, 1000, 1183, 1185, 2368, 5000, 70_000])
@pytest.mark.parametrize("fill", [b"\0", b"\xff"])
def test_a_report_of_another_length(cli: Cli, tmp_path: Path, length: int, fill: bytes) -> None:
    """Beside its certificates, damage is damage: nobody is told that he gave a TDX quote."""
    vector = vectors.load(REAL)
    files = files_of(vector, tmp_path)
    files[0].write_bytes(vector.report[:length].ljust(length, fill))
    assert said(cli, files, vector) == (1, "rejected", "malformed")


@pytest.mark.parametrize("head", [b"", b"\0" * 4, b"\x0a\0\0\0", b"\xff" * 4, b"{}"])
def test_a_report_whose_head_is_damaged(cli: Cli, tmp_path: Path, head: bytes) -> None:
    vector = vectors.load(REAL)
    files = files_of(vector, tmp_path)
    files[0].write_bytes(head + vector.report[len(head) or 8 :])
    code, verdict, reason = said(cli, files, vector)
    assert (code, verdict) == (1, "rejected")
    assert reason in {"malformed", "unsupported-format"}
