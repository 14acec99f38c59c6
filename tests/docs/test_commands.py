# SPDX-License-Identifier: Apache-2.0
"""The commands that the documents show do what the documents say, and print what they show."""

from __future__ import annotations

import shutil
import subprocess
import sys
from itertools import chain
from typing import TYPE_CHECKING

import pytest

from tests.chain_lab import NOT_INSTALLED
from tests.docs import sessions
from tests.docs.documents import DOCUMENTS, TOP, blocks, missing_lines

if TYPE_CHECKING:
    from pathlib import Path

    from tests.docs.documents import Block

BLOCKS = tuple(chain.from_iterable(blocks(document) for document in DOCUMENTS))
RUNS = sorted(
    {(one.document, one.situation) for one in BLOCKS if one.verb == "run"},
    key=lambda run: (str(run[0]), run[1]),
)
PROGRAMS = ("openssl", "curl")


@pytest.mark.parametrize(
    ("document", "situation"), RUNS, ids=[f"{path.relative_to(TOP)}-{how}" for path, how in RUNS]
)
def test_commands_run(
    document: Path, situation: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    ours = [one for one in BLOCKS if (one.document, one.situation) == (document, situation)]
    runs = [one for one in ours if one.verb == "run"]
    _need_programs(runs)
    if situation in sessions.OFFLINE:
        session = sessions.offline(situation, tmp_path)
    else:
        session = sessions.on(request.getfixturevalue("stage"), situation, tmp_path)
    printed = dict(zip((run.line for run in runs), session.run(runs), strict=True))
    last = ""
    for one in ours:
        last = printed.get(one.line, last)
        if one.verb == "output":
            assert missing_lines(one.text, last) == [], (
                f"{one.where} shows what is not printed:\n{last}"
            )


def _need_programs(runs: list[Block]) -> None:
    text = "".join(run.text for run in runs)
    absent = [name for name in PROGRAMS if name in text and shutil.which(name) is None]
    if absent:
        pytest.skip(f"not installed: {', '.join(absent)}")


def test_every_situation_and_verb_is_known() -> None:
    known = {"stage", "fresh stage", "demo", *sessions.OFFLINE}
    assert {one.situation for one in BLOCKS if one.verb} <= known
    assert all(
        one.language == {"run": "sh", "output": "text"}[one.verb] for one in BLOCKS if one.verb
    )


def test_demo_prints_what_the_readme_shows() -> None:
    shown = [one for one in BLOCKS if one.situation == "demo"]
    assert shown
    done = subprocess.run(
        [sys.executable, "-m", "simulator.demo"],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    printed = done.stdout
    if "LEFT OUT: the chain" in printed:
        pytest.skip(NOT_INSTALLED)
    for one in shown:
        text = one.text
        if "(no real evidence at hand" in printed:  # the chapters that need it
            text = text[max(text.find("== an authority"), 0) :]
        if "(openssl is not installed" in printed:
            claims = [line for line in text.splitlines() if line.startswith(("==", "  ok"))]
            text = "\n".join(line for line in claims if "openssl" not in line)
        assert missing_lines(text, printed) == [], f"{one.where}\n{printed}"
