# SPDX-License-Identifier: Apache-2.0
"""Real event logs and the register values beside them, where they are: see `tests.tdx_vectors`.

The values of a case come from its quote where it has one, else from its TD report, else from `expected.json` itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pytest

from tests.tdx_vectors import NOTICE, ROOT
from verifiers.eventlog import ccel, cel, dstack, dstack_attestation, ima
from verifiers.eventlog.events import RTMRS, Algorithm, EventLog, Register
from verifiers.tdx.quote import parse_quote

if TYPE_CHECKING:
    from pathlib import Path

TDREPORT_RTMRS = 720  # in a TDREPORT: TDINFO at 512, RTMR0 at 208 of it


@dataclass(frozen=True)
class EventLogCase:
    """One folder."""

    folder: Path
    expected: dict[str, Any]
    logs: tuple[EventLog, ...]
    registers: dict[Register, bytes]
    quote: bytes | None

    @property
    def expected_cmdline(self) -> str:
        """The text of the kernel's command line, as the case or the one that it derives from has it."""
        case = self
        while "kernel_cmdline" not in case.expected:
            case = load(case.expected["derived_from"])
        found = case.expected["kernel_cmdline"]
        text: str = found["value"]
        return text

    @property
    def expect(self) -> dict[str, Any]:
        found: dict[str, Any] = self.expected["expect"]
        return found


def names() -> list[Any]:
    """Names of all folders, as parameters of a test; one that will be skipped where there are none."""
    found = sorted(path.parent.name for path in (ROOT / "eventlog").glob("*/expected.json"))
    return found or [pytest.param("absent", id="absent")]


@lru_cache(maxsize=32)
def load(name: str) -> EventLogCase:
    """One folder; skips the test where there are none."""
    folder = ROOT / "eventlog" / name
    if not folder.is_dir():
        pytest.skip(NOTICE)
    expected = json.loads((folder / "expected.json").read_text())
    logs, quote = _logs(folder)
    return EventLogCase(folder, expected, logs, _registers(folder, expected, quote), quote)


def _logs(folder: Path) -> tuple[tuple[EventLog, ...], bytes | None]:
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    for reply in ("quote_report.json", "getquote.json"):
        if reply in files:
            evidence = dstack.parse_reply(files[reply])
            return (evidence.log,), evidence.quote
    if "attestation.bin" in files:
        evidence = dstack_attestation.parse(files["attestation.bin"])
        return (evidence.log,), evidence.quote
    if "cel.bin" in files:
        return (cel.parse(files["cel.bin"]),), None
    logs = [ccel.parse(files["ccel.bin"], files.get("ccel_acpi_table.bin"))]
    if "ima_ascii.txt" in files:
        logs.append(ima.parse(files["ima_ascii.txt"], Register.RTMR2, Algorithm.SHA384))
    return tuple(logs), files.get("quote.bin")


def _registers(
    folder: Path, expected: dict[str, Any], quote: bytes | None
) -> dict[Register, bytes]:
    if quote is not None:
        body = parse_quote(quote).td
        return {register: getattr(body, register) for register in RTMRS}
    report = folder / "tdreport.bin"
    if report.exists():
        return {
            register: report.read_bytes()[start : start + 48]
            for register, start in zip(RTMRS, range(TDREPORT_RTMRS, 912, 48), strict=True)
        }
    # the values of a log of SM3 have 32 bytes: no register of a TD
    stated = {one: bytes.fromhex(expected[one]) for one in RTMRS if one in expected}
    return {one: value for one, value in stated.items() if len(value) == 48}
