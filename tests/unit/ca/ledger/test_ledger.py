# SPDX-License-Identifier: Apache-2.0
"""The package as a whole: what importing it does to the process, and who imports it."""

from __future__ import annotations

import subprocess
import sys


def run(program: str) -> str:
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_web3_lets_nobody_end_the_process_with_brackets() -> None:
    """A process that has a chain still refuses what is nested too deep, as every other does."""
    program = """
import json
from ca.ledger import desk, evm
try:
    json.loads("[" * 200_000)
except RecursionError:
    print("refused")
"""
    assert run(program) == "refused"


def test_a_service_without_a_chain_does_not_load_web3() -> None:
    program = """
import sys
import ca.app.serve, ca.cli, ca.anchoring
print(sorted(name for name in sys.modules if name in {"web3", "eth_account", "ca.ledger"}))
"""
    assert run(program) == "[]"
