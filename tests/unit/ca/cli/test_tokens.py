# SPDX-License-Identifier: Apache-2.0
"""`attestca token create|list|revoke` on the database."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ca import tokens
from ca.cli import inputs
from tests.unit.ca.cli.test_initialize import actions

if TYPE_CHECKING:
    from tests.cli_lab import Cli, Place

CREATE = ("token", "create", "--scope", "policies:read", "--expires", "30d")


def test_the_token_is_alone_on_standard_output(cli: Cli, place: Place) -> None:
    done = cli.good(*CREATE, "me", "--config", place.path)
    text = done.out.removesuffix("\n")
    digest = tokens.digest(text)
    assert text not in done.err
    assert digest[:8].hex() in done.err
    (listed,) = cli.good("token", "list", "--json", "--config", place.path).json()
    assert listed.keys() == {
        *("id", "name", "state", "scopes", "created_at", "expires_at"),
        *("last_used_at", "revoked_at"),
    }
    assert (listed["id"], listed["name"], listed["state"]) == (digest[:8].hex(), "me", "valid")
    created, expires = (
        datetime.fromisoformat(listed[f"{key}_at"]) for key in ("created", "expires")
    )
    assert expires - created == timedelta(days=30)


def test_every_change_is_logged(cli: Cli, place: Place) -> None:
    token = cli.good(*CREATE, "ci", "--scope", "audit:read", "--config", place.path).out
    token_id = tokens.digest(token.strip())[:8].hex()
    cli.good("token", "revoke", token_id, "--config", place.path)
    revoked, created, _ = actions(place.database)
    assert (created.action, created.target) == ("token.create", token_id)
    assert (revoked.action, revoked.target) == ("token.revoke", token_id)
    assert created.actor == revoked.actor == inputs.actor()
    detail = json.loads(created.detail)
    assert detail["scopes"] == ["audit:read", "policies:read"]
    assert detail["name"] == "ci"
    assert token.strip() not in f"{created}{revoked}"


def test_states(cli: Cli, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {}
    for name, expires in (("long", "366d"), ("short", "1h"), ("gone", "30d")):
        token = cli.good(
            *("token", "create", name, "--scope", "audit:read", "--expires", expires),
            *("--config", place.path),
        ).out
        names[name] = tokens.digest(token.strip())[:8].hex()
    cli.good("token", "revoke", names["gone"], "--config", place.path)
    later = datetime.now(UTC) + timedelta(hours=2)
    monkeypatch.setattr(inputs, "now", lambda: later)
    shown = cli.good("token", "list", "--config", place.path).out
    lines = {line.split()[1]: line.split()[2] for line in shown.splitlines()[2:]}
    assert lines == {"long": "valid", "short": "expired", "gone": "revoked"}
    assert shown.count("never") == 3


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (("--scope", "everything"), 1, "policies:write"),
        (("--expires", "367d"), 64, "at most 366d"),
        (("--expires", "0s"), 64, "no time at all"),
        (("--expires", "for ever"), 64, "wants a duration"),
    ],
)
def test_what_no_token_can_be(
    cli: Cli, place: Place, more: tuple[str, ...], code: int, says: str
) -> None:
    done = cli(*CREATE, "me", *more, "--config", place.path)
    assert (done.code, done.out) == (code, "")
    assert says in done.err
    assert cli.good("token", "list", "--json", "--config", place.path).json() == []


@pytest.mark.parametrize("name", ["", "n" * 65, "two\nlines", "\x1b[2J"])
def test_names(cli: Cli, place: Place, name: str) -> None:
    assert cli(*CREATE, name, "--config", place.path).code == 64


def test_an_unknown_token_is_not_revoked(cli: Cli, place: Place) -> None:
    done = cli("token", "revoke", "0" * 16, "--config", place.path)
    assert done.code == 1
    assert done.err == "attestca: not-found: no such token\n"


def test_without_a_database(cli: Cli, place: Place) -> None:
    (place.folder / "attestca.db").unlink()
    done = cli("token", "list", "--config", place.path)
    assert done.code == 66
    assert "attestca db upgrade" in done.err
