# SPDX-License-Identifier: Apache-2.0
"""The demo's chapters about revocation where no chain can be had: the rest is shown, and nothing is claimed of a chain.

With a chain `tests/docs` runs the whole demo.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from simulator import demo_chain, devchain
from simulator.demo_parties import Party
from simulator.demo_revocation import ALL_GOOD, TWO_REVOKED, ask_all, audit, revocation_chapters
from simulator.node import ToolsError
from simulator.stage import StageError
from simulator.teller import Teller

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.node import Say


@pytest.fixture
def without_npm(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_anvil(_say: Say) -> Path:
        raise ToolsError("npm ci: \n  no network")

    monkeypatch.setattr(devchain, "anvil", no_anvil)
    # Dozens of commands, each of which has tests of its own.
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    for name, value in demo_chain._WAITS.items():  # set by the demo for its own process
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("without_npm")
def test_without_a_chain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    teller = Teller()
    with ExitStack() as stack:
        place = demo_chain.start_chain(stack, teller)
        assert place is None
        notice = capsys.readouterr().out
        assert "LEFT OUT: the chain: npm ci: no network" in notice
        stage = stack.enter_context(demo_chain.make_stage(tmp_path, place, teller.command))
        revocation_chapters(stage, place, teller)
        printed = capsys.readouterr().out
        assert not teller.failed, printed
        party = Party(stage.folder / "party", stage.url, "")
        claims = [line for line in printed.splitlines() if line.startswith("  ok: ")]
        assert len(claims) == 2 * len(party.ways()) + 4, printed
        assert not any("chain" in claim or "transaction" in claim for claim in claims)
        _statements_can_fail(party)
    assert teller.end() == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("without the chain; nothing is left")


def _statements_can_fail(party: Party) -> None:
    """After the chapter, what was so before it is so no more; nor is anything of an authority that is not there."""
    for claim, good in ((ALL_GOOD, False), (TWO_REVOKED, True)):
        teller = Teller()
        ask_all(party, claim, teller)
        assert teller.failed is not good
    gone = replace(party, url="https://localhost:9")
    asked, audited = Teller(), Teller()
    ask_all(gone, TWO_REVOKED, asked)
    audit(gone, audited)
    assert asked.failed
    assert audited.failed


@pytest.mark.usefixtures("without_npm")
def test_a_chain_that_does_not_start_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unlike one whose tools cannot be had."""

    def broken(_say: Say) -> Path:
        raise devchain.DevChainError("anvil did not start: no port")

    monkeypatch.setattr(devchain, "anvil", broken)
    with ExitStack() as stack, pytest.raises(StageError, match="no port"):
        demo_chain.start_chain(stack, Teller())
