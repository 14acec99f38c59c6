# SPDX-License-Identifier: Apache-2.0
"""R-45, from the command line to the listener: random bits, what is stored, expiry, scopes, last use."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import sqlite3
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

import ca.cli
from tests.cli_lab import LISTEN, PASSPHRASE, PUBLIC_URL, Place, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Operators:
    """A service, the command line on its machine, and one that only reaches its listener."""

    place: Place
    url: str
    patch: pytest.MonkeyPatch

    def run(self, *arguments: str | Path) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = ca.cli.run([str(argument) for argument in arguments])
        return code, out.getvalue(), err.getvalue()

    def create(self, *options: str) -> str:
        code, out, err = self.run("token", "create", "me", *options, "--config", self.place.path)
        assert code == 0, err
        return out.removesuffix("\n")

    def use(self, token: str, *command: str) -> tuple[int, str]:
        self.patch.setenv("ATTESTCA_TOKEN", token)
        code, _, err = self.run(*(command or ("policy", "list")), "--url", self.url)
        return code, err

    def listed(self, token: str) -> dict[str, str]:
        _, out, _ = self.run("token", "list", "--json", "--config", self.place.path)
        (found,) = (one for one in json.loads(out) if one["id"] == id_of(token))
        return dict(found)


def id_of(token: str) -> str:
    return sha256(token.encode()).hexdigest()[:16]


@pytest.fixture(scope="module")
def operators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operators]:
    folder = tmp_path_factory.mktemp("tokens") / "ca"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTESTCA_PASSPHRASE", PASSPHRASE)
        made = Operators(Place(folder), "", patch)
        code, _, err = made.run("init", folder, "--public-url", PUBLIC_URL, *LISTEN)
        assert code == 0, err
        with serving(made.place) as running:
            made.url = running.admin
            yield made


READ = ("--scope", "policies:read", "--expires", "1h")


def test_256_random_bits_of_which_sha256_is_kept(operators: Operators) -> None:
    first, second = operators.create(*READ), operators.create(*READ)
    assert first != second
    for token in (first, second):
        assert re.fullmatch("attestca_[A-Za-z0-9_-]{43}", token)
        assert len(base64.urlsafe_b64decode(token.removeprefix("attestca_") + "=")) == 32
    with sqlite3.connect(operators.place.folder / "attestca.db") as database:
        rows = database.execute("select * from tokens").fetchall()
        dump = "\n".join(database.iterdump())
    database.close()
    assert sha256(first.encode()).digest() in {value for row in rows for value in row}
    assert first not in dump
    assert first.removeprefix("attestca_") not in dump


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--scope", "policies:read"), 64),
        (("--expires", "1h"), 64),
        (("--scope", "admin", "--expires", "1h"), 1),
        (("--scope", "policies", "--expires", "1h"), 1),
        (("--scope", "", "--expires", "1h"), 1),
        (("--scope", "policies:read", "--expires", "never"), 64),
    ],
)
def test_expiry_and_a_scope_of_the_list_are_required(
    operators: Operators, options: tuple[str, ...], code: int
) -> None:
    found, out, _ = operators.run(
        "token", "create", "me", *options, "--config", operators.place.path
    )
    assert (found, out) == (code, "")


def test_a_scope_opens_its_own_door_only(operators: Operators) -> None:
    token = operators.create(*READ)
    assert operators.use(token) == (0, "")
    for command in (("certs", "list"), ("refusals", "list"), ("actions", "list")):
        code, err = operators.use(token, *command)
        assert code == 1
        assert err.startswith("attestca: scope: ")
    code, err = operators.use(token, "policy", "activate", "web", "1")
    assert (code, err.split()[1]) == (1, "scope:")


def test_last_use_is_recorded(operators: Operators) -> None:
    token = operators.create(*READ)
    assert operators.listed(token)["last_used_at"] is None
    operators.use(token)
    used = operators.listed(token)
    assert used["created_at"] <= used["last_used_at"] <= used["expires_at"]


def test_revoked_at_once(operators: Operators) -> None:
    token = operators.create(*READ)
    assert operators.use(token)[0] == 0
    operators.run("token", "revoke", id_of(token), "--config", operators.place.path)
    refused = (1, "attestca: unauthorized: a valid operator token is needed\n")
    assert operators.use(token) == refused
    assert operators.listed(token)["state"] == "revoked"


def test_expired_and_unknown_get_the_same_answer(operators: Operators) -> None:
    token = operators.create(*READ)
    with sqlite3.connect(operators.place.folder / "attestca.db") as database:
        database.execute("update tokens set expires_at = created_at where id = ?", [id_of(token)])
    database.close()
    refused = (1, "attestca: unauthorized: a valid operator token is needed\n")
    assert operators.use(token) == refused
    assert operators.use("attestca_" + "A" * 43) == refused
    assert operators.listed(token)["state"] == "expired"
