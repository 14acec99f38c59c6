# SPDX-License-Identifier: Apache-2.0
"""Log lines of the service: one JSON object each, or text; libraries from warnings on; no values in tracebacks."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from ca.cli import logs
from ca.config.model import Log
from ca.errors import ConfigurationError
from tests.cli_lab import logging_kept

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    with logging_kept():
        yield


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    printed = capsys.readouterr()
    assert printed.out == ""
    return [json.loads(line) for line in printed.err.splitlines()]


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Log())
    structlog.get_logger("attestca").info("started", public="https://☂")
    structlog.get_logger("attestca").debug("not shown")
    logging.getLogger("library").warning("careful: %s", "x")
    logging.getLogger("library").info("not shown")
    ours, theirs = lines(capsys)
    assert (ours["event"], ours["level"], ours["public"]) == ("started", "info", "https://☂")
    assert ours["timestamp"].endswith("Z")
    assert (theirs["event"], theirs["level"]) == ("careful: x", "warning")


def test_debug_is_for_our_own_lines(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Log(level="debug"))
    structlog.get_logger("attestca").debug("shown")
    logging.getLogger("library").debug("not shown")
    assert [line["event"] for line in lines(capsys)] == ["shown"]


def test_errors_only(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Log(level="error"))
    structlog.get_logger("attestca").warning("not shown")
    logging.getLogger("library").warning("not shown")
    logging.getLogger("library").error("shown")
    assert [line["event"] for line in lines(capsys)] == ["shown"]


@pytest.mark.parametrize("format_", ["json", "console"])
def test_a_crash_is_logged_without_values(
    capsys: pytest.CaptureFixture[str],
    format_: Any,  # noqa: ANN401 - a value of any type is what it takes
) -> None:
    logs.configure(Log(format=format_))
    secret = "canary-" + "value"
    with pytest.raises(ZeroDivisionError), logs.reported():
        print_nothing(secret)
    printed = capsys.readouterr().err
    assert "crashed" in printed
    assert "in print_nothing" in printed
    assert secret not in printed


def print_nothing(secret: str) -> int:
    return len(secret) // 0


def test_the_operators_own_faults_are_no_crash(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Log())
    with pytest.raises(ConfigurationError), logs.reported():
        raise ConfigurationError("cannot listen")
    assert lines(capsys) == []


def test_text_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Log(format="console"))
    structlog.get_logger("attestca").info("started", public="here")
    printed = capsys.readouterr().err
    assert "started" in printed
    assert "public=here" in printed
    assert "\x1b" not in printed
