# SPDX-License-Identifier: Apache-2.0
"""The table of errors: every error has a line, every code of the sources is known, nothing internal gets out."""

from __future__ import annotations

import ast
from http import HTTPStatus
from pathlib import Path

import pytest
from aiohttp import web

import ca
from ca import errors
from ca.errors import (
    AnchorRefused,
    AuthorityError,
    ChainHalted,
    ConfigurationError,
    Denied,
    LintFailed,
    LogHalted,
    Unavailable,
)
from ca.http.metrics import Alarm
from ca.http.problems import CODES, RateLimited, problem_of
from verifiers.errors import Reason, VerificationError

SECRET = "postgresql://user:hunter2@db.internal"  # noqa: S105 - a canary
# Raised where no request leads: by commands, at start, or by readers of our own extensions.
NOT_SERVED = {"app", "cli", "config"}
# … or by the job that anchors.
NOT_OVER_HTTP = {
    "anchor-refused",
    "attestation-info",
    "chain-halted",
    "cmw",
    "nodes-disagree",
    "scope-unknown",
}


def _codes_in_sources() -> set[str]:
    """Every literal `code="…"` or class-level `code = "…"` below ca/, but for commands and start."""
    here = Path(ca.__file__).parent
    paths = [p for p in here.rglob("*.py") if p.relative_to(here).parts[0] not in NOT_SERVED]
    return {
        node.value.value
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.keyword | ast.Assign)
        and (node.arg if isinstance(node, ast.keyword) else ast.unparse(node.targets[0])) == "code"
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }


def test_every_code_of_the_sources_is_in_the_closed_list() -> None:
    found = _codes_in_sources()
    assert {"nonce-used", "csr-signature", "busy"} <= found, "the search finds something"
    assert found - CODES - NOT_OVER_HTTP - {"lint-failed", "configuration"} == set()


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_of_a_verifier(reason: Reason) -> None:
    problem = problem_of(VerificationError(reason, "in words"), "id")
    assert problem.code == reason.value
    assert problem.status in {400, 413, 422, 503}
    assert (problem.status == 503) == (problem.retry_after is not None)
    assert problem.alarm is None
    assert (problem.detail == "in words") == (problem.status != 503)


def _all_errors(base: type[AuthorityError]) -> list[type[AuthorityError]]:
    return [base, *(c for sub in base.__subclasses__() for c in _all_errors(sub))]


@pytest.mark.parametrize(
    "kind", [c for c in _all_errors(AuthorityError) if c.__module__ == errors.__name__]
)
def test_every_error_of_ours(kind: type[AuthorityError]) -> None:
    problem = problem_of(kind(SECRET), "id")
    assert problem.code in CODES
    assert problem.title == HTTPStatus(problem.status).phrase
    if issubclass(kind, Unavailable | ConfigurationError):
        assert problem.retry_after is not None
    if problem.status >= 500:
        assert SECRET not in str(problem.members())
    assert (problem.alarm is not None) == (
        kind
        in {
            AnchorRefused,
            AuthorityError,
            ChainHalted,
            ConfigurationError,
            LintFailed,
            LogHalted,
        }
    )


def test_what_nobody_expected_is_an_incident_without_words() -> None:
    problem = problem_of(RuntimeError(SECRET), "0123")
    assert (problem.status, problem.code, problem.incident) == (500, "internal", "0123")
    assert problem.alarm is Alarm.UNHANDLED
    assert SECRET not in str(problem.members())


def test_a_denial_shows_its_public_findings() -> None:
    finding = {"rule": "tcb-status", "path": "tcb.status", "result": "fail", "hint": "update"}
    problem = problem_of(Denied("no", findings=(finding,), record=SECRET), "id")
    assert problem.members()["findings"] == [finding]
    assert SECRET not in str(problem.members())


def test_too_many_requests_say_when() -> None:
    assert problem_of(RateLimited(7), "id").retry_after == 7


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (web.HTTPNotFound(text=SECRET), 404, "not-found"),
        (web.HTTPMethodNotAllowed("X", ["GET"]), 405, "method-not-allowed"),
        (web.HTTPRequestEntityTooLarge(1, 2), 413, "too-large"),
        (web.HTTPExpectationFailed(), 417, "expectation"),
        (web.HTTPBadRequest(reason="of theirs", text=SECRET), 400, "malformed"),
        (web.HTTPInternalServerError(text=SECRET), 500, "internal"),
    ],
)
def test_the_frameworks_words_are_not_passed_on(
    error: web.HTTPException, status: int, code: str
) -> None:
    problem = problem_of(error, "id")
    assert (problem.status, problem.code) == (status, code)
    assert SECRET not in str(problem.members())
