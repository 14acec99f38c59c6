# SPDX-License-Identifier: Apache-2.0
"""The demo's exit code is that of its statements; what was left out is said twice and is no failure."""

from __future__ import annotations

import pytest

from simulator.teller import Teller


@pytest.mark.parametrize(
    ("goods", "code", "word"),
    [((), 0, "done"), ((True, True), 0, "done"), ((True, False, True), 1, "failed")],
)
def test_the_exit_code(
    capsys: pytest.CaptureFixture[str], goods: tuple[bool, ...], code: int, word: str
) -> None:
    teller = Teller()
    for good in goods:
        teller.expect("a statement", good=good)
    assert teller.end() == code
    printed = capsys.readouterr().out
    assert printed.count("  ok: a statement") == goods.count(True)
    assert printed.count("  NOT AS EXPECTED: a statement") == goods.count(False)
    assert printed.splitlines()[-1] == f"{word} in 0 s; nothing is left"


def test_what_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    teller = Teller()
    teller.leave_out("the chain", "npm does not answer")
    assert teller.end() == 0
    assert "LEFT OUT: the chain: npm does not answer" in (printed := capsys.readouterr().out)
    assert printed.splitlines()[-1] == "done in 0 s, without the chain; nothing is left"


def test_commands_and_their_output(capsys: pytest.CaptureFixture[str]) -> None:
    teller = Teller()
    teller.command(f"register --signature 0x{'ab' * 65} --handle {'cd' * 32}")
    teller.output("one\n\n two \nthree\n", only=("one", "two"))
    assert capsys.readouterr().out.splitlines() == [
        f"$ register --signature 0x{'ab' * 8}… --handle {'cd' * 32}",
        "    one",
        "     two",
    ]
