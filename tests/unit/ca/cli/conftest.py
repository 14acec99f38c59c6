# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the command line: see `tests.cli_lab`."""

from __future__ import annotations

import contextlib
import io
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

import ca.cli
from ca import tokens
from ca.cli import inspect
from ca.signers import file
from ca.store.sql import SqlStore
from tests import records
from tests.cli_lab import (
    LISTEN,
    PASSPHRASE,
    PUBLIC_URL,
    Cli,
    Done,
    Evidence,
    Place,
    make_evidence,
    serving,
)
from tests.databases import run_to_end

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PRODUCTION, CHEAP = file._N, 2**4
NOW = datetime(2026, 11, 25, 13, 0, 0, tzinfo=UTC)
POLICY = b"""\
name: cvm
version: 1
match: {tee: tdx}
reference_sets: {release: []}
tdx: {measurements: [release]}
issue: {profile: "of-records"}
"""
NAMES = (
    ("dns:web.example.org", "uri:spiffe://example.org/web"),
    ("dns:[red]db.example.org",),
)
FINDING = {
    "rule": "tcb-out-of-date",
    "path": "tcb.status",
    "expected": "UpToDate",
    "actual": "OutOfDate",
    "hint": "update: BIOS",
}
ACCEPTED = json.dumps(
    {
        "decision": "accepted",
        "findings": [
            {**FINDING, "result": "warned"},
            {**FINDING, "rule": "debug", "result": "pass"},
        ],
    }
)
DENIED = json.dumps({"decision": "denied", "findings": [{**FINDING, "result": "fail"}]})
REJECTED = json.dumps(
    {
        "decision": "denied",
        "reason": {"code": "tcb-revoked", "detail": "the platform's TCB is revoked"},
        "tcb": None,
    }
)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The passphrase, and nothing of the user's own."""
    for name in list(os.environ):
        if name.startswith("ATTESTCA_") and name != "ATTESTCA_VECTORS":
            monkeypatch.delenv(name)
    monkeypatch.setenv("ATTESTCA_PASSPHRASE", PASSPHRASE)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are stretched as long as it takes in production only where another process opens them (`real`)."""
    monkeypatch.setattr(file, "_N", CHEAP)


def initialize(folder: Path) -> Place:
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        patch.setenv("ATTESTCA_PASSPHRASE", PASSPHRASE)
        assert ca.cli.run(["init", str(folder), "--public-url", PUBLIC_URL, *LISTEN]) == 0
    return Place(folder)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """An authority to copy, for tests that stay in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file, "_N", CHEAP)
        return initialize(tmp_path_factory.mktemp("made") / "here")


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """An authority to copy, for tests that start processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file, "_N", PRODUCTION)
        return initialize(tmp_path_factory.mktemp("real") / "here")


@pytest.fixture
def place(made: Place, tmp_path: Path) -> Place:
    """An authority of the test's own."""
    return made.copy(tmp_path / "authority")


@pytest.fixture
def evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evidence:
    """A simulated machine whose vendor is trusted here in place of Intel."""
    made = make_evidence(tmp_path / "evidence", NOW)
    monkeypatch.setattr(inspect, "builtin", lambda: made.anchors)
    return made


@dataclass(frozen=True)
class Operated:
    """A running service with records in it, and an operator's token."""

    url: str
    public: str
    token: str
    place: Place
    issued: tuple[int, ...]


@pytest.fixture(scope="session")
def operated(real: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """One for all tests of the operators' commands; what they add has names of its own."""
    place = real.copy(tmp_path_factory.mktemp("operated") / "authority")
    token = tokens.make(os.urandom(32))
    issued: list[int] = []
    now = datetime.now(UTC)  # what is older, the service forgets
    certificate = real.open().root().public_bytes(Encoding.DER)

    async def fill() -> None:
        store = await SqlStore.open(place.database)
        scopes = frozenset(str(scope) for scope in tokens.Scope)
        record = records.token(
            id=token.id,
            name="tests",
            sha256=token.sha256,
            scopes=scopes,
            created_at=now,
            expires_at=now + timedelta(days=1),
        )
        await store.add_token(record, records.ACTION)
        policy = records.policy(document=POLICY, sha256=sha256(POLICY).digest())
        await records.activate(store, policy)
        for names in NAMES:
            intent = records.intent(
                of=records.decision(
                    decided_at=now, policy_sha256=policy.sha256, result_json=ACCEPTED
                ),
                subject_alt_names=names,
                not_after=now + timedelta(days=1),
            )
            await store.record_intent(intent)
            await store.record_certificate(intent.serial, certificate, "e.a.r")
            issued.append(intent.serial)
        await store.record_intent(
            records.intent(of=records.decision(decided_at=now, policy_sha256=policy.sha256))
        )
        for result in (DENIED, REJECTED):
            await store.record_refusal(
                records.decision(
                    decided_at=now,
                    result_json=result,
                    policy_name=None,
                    policy_version=None,
                    policy_sha256=None,
                    tcb_status="OutOfDate",
                )
            )
        await store.close()

    run_to_end(fill())
    limits = {"ATTESTCA_LIMITS__REQUESTS_PER_MINUTE": "60000", "ATTESTCA_LIMITS__BURST": "10000"}
    with serving(place, limits) as running:
        yield Operated(running.admin, running.public, token.text, place, tuple(sorted(issued)))


@dataclass(frozen=True)
class Operator:
    """An operator at work: commands get the URL, and the token from the environment."""

    cli: Cli
    at: Operated

    def __call__(self, *arguments: str | Path) -> Done:
        return self.cli(*arguments, "--url", self.at.url)

    def good(self, *arguments: str | Path) -> Done:
        done = self(*arguments)
        assert done.code == 0, done.err
        return done


@pytest.fixture
def operator(cli: Cli, operated: Operated, monkeypatch: pytest.MonkeyPatch) -> Operator:
    monkeypatch.setenv("ATTESTCA_TOKEN", operated.token)
    return Operator(cli, operated)
