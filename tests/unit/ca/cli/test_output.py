# SPDX-License-Identifier: Apache-2.0
"""What is printed is what was given: no markup, no control of the terminal, nothing cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ca.cli import output

if TYPE_CHECKING:
    import pytest


def test_values_are_text_and_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("a", "b"), [("[red]x[/red]", ":smile: y")], "Title")
    output.print_facts({"name": "[/nothing] z"})
    printed = capsys.readouterr().out
    assert printed == "Title\na             b\n[red]x[/red]  :smile: y\nname  [/nothing] z\n"


def test_escape_sequences_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("a",), [("\x1b[2Jcleared",)])
    output.print_facts({"name": "\x1b]0;title\x07"})
    output.say("said \x1b[31mred\x9b")
    printed = capsys.readouterr()
    assert not {"\x1b", "\x07", "\x9b"} & {*printed.out, *printed.err}
    assert "cleared" in printed.out


def test_progress_is_a_line_of_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with output.progress() as show:
        show("1 of 2")
    assert capsys.readouterr().err == "", "a file has no use for it"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with output.progress() as show:
        show("1 of 2")
        show("2 of 2\x1b[31m")
    clear = "\r\x1b[2K"
    assert capsys.readouterr().err == f"{clear}1 of 2{clear}2 of 2\ufffd[31m{clear}"


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("a", "b"), [], "Tokens")
    assert capsys.readouterr().out == "Tokens: none\n"


def test_a_digest_is_not_broken(capsys: pytest.CaptureFixture[str]) -> None:
    digest = "ab" * 48
    output.print_table(("digest", "words"), [(digest, "word " * 100)])
    assert digest in capsys.readouterr().out


def test_json_keeps_letters(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json({"a": "☂"})
    assert capsys.readouterr().out == '{\n  "a": "☂"\n}\n'
