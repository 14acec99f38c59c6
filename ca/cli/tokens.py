# SPDX-License-Identifier: Apache-2.0
"""`attestca token create|list|revoke`: tokens for the operators' API, made on the machine that has the database.

A token is shown once, alone on standard output; only its SHA-256 is kept. Every change is a line of the operators' log.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from ca.cli import inputs, options, output

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from pathlib import Path

    from ca.ports import TokenRecord
    from ca.store.sql import SqlStore

MAX_LIFETIME = timedelta(days=366)

app = typer.Typer(name="token", help="Tokens for the operators' API.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Whose or what for.")]
ScopeOption = Annotated[
    list[str],
    typer.Option(
        "--scope",
        metavar="SCOPE",
        help="policies:read, policies:write, certificates:read, refusals:read, revocations:read, revocations:write or"
        " audit:read. Repeat for more.",
    ),
]
ExpiresOption = Annotated[
    str, typer.Option(metavar="DURATION", help="From now, e.g. 30d; at most 366d.")
]
IdArgument = Annotated[str, typer.Argument(metavar="ID")]


@app.command("create")
def create_command(
    name: NameArgument,
    scope: ScopeOption,
    expires: ExpiresOption,
    config: options.ConfigOption = None,
) -> None:
    """Make a token and print it, once."""
    from ca import tokens
    from ca.ports import TokenRecord

    scopes = tokens.parse_scopes(scope)
    if not 1 <= len(name) <= 64 or not name.isprintable():
        raise typer.BadParameter("NAME: 1 to 64 printable characters")
    lifetime = inputs.parse_duration(expires)
    if lifetime > MAX_LIFETIME:
        raise typer.BadParameter(f"--expires: at most {MAX_LIFETIME.days}d")
    token = tokens.make(secrets.token_bytes(tokens.ENTROPY_LENGTH))
    now = inputs.now()
    record = TokenRecord(
        id=token.id,
        name=name,
        sha256=token.sha256,
        scopes=frozenset(str(one) for one in scopes),
        created_at=now,
        expires_at=now + lifetime,
        last_used_at=None,
        revoked_at=None,
    )
    asyncio.run(_add(config, record))
    output.say(f"token {record.id} until {record.expires_at:%Y-%m-%d %H:%M} UTC; shown only now:")
    output.write(token.text + "\n")


@app.command("list")
def list_command(config: options.ConfigOption = None, json_: options.JsonOption = False) -> None:
    """Show all tokens: what they may, until when, when they were last used. Never the tokens themselves."""
    records = asyncio.run(_all(config))
    now = inputs.now()
    if json_:
        output.print_json([_as_json(record, now) for record in records])
        return
    output.print_table(
        ("id", "name", "state", "scopes", "expires", "last used"),
        (
            (
                record.id,
                record.name,
                _state(record, now),
                " ".join(sorted(record.scopes)),
                _time(record.expires_at),
                _time(record.last_used_at),
            )
            for record in records
        ),
        "Tokens",
    )


@app.command("revoke")
def revoke_command(token_id: IdArgument, config: options.ConfigOption = None) -> None:
    """Refuse a token from now on."""
    asyncio.run(_revoke(config, token_id))
    output.say(f"token {token_id} is revoked")


async def _add(config: Path | None, record: TokenRecord) -> None:
    from ca.ports import OperatorAction

    detail = {
        "name": record.name,
        "scopes": sorted(record.scopes),
        "expires_at": record.expires_at.isoformat(),
    }
    async with _store(config) as store:
        await store.add_token(
            record,
            OperatorAction(
                record.created_at, inputs.actor(), "token.create", record.id, json.dumps(detail)
            ),
        )


async def _all(config: Path | None) -> tuple[TokenRecord, ...]:
    async with _store(config) as store:
        return await store.tokens()


async def _revoke(config: Path | None, token_id: str) -> None:
    from ca.ports import OperatorAction

    async with _store(config) as store:
        action = OperatorAction(inputs.now(), inputs.actor(), "token.revoke", token_id, "{}")
        await store.revoke_token(token_id, action)


@asynccontextmanager
async def _store(config: Path | None) -> AsyncIterator[SqlStore]:
    from ca.store.sql import SqlStore

    store = await SqlStore.open(options.database_url(options.load_config(config)))
    try:
        yield store
    finally:
        await store.close()


def _state(record: TokenRecord, now: datetime) -> str:
    if record.revoked_at is not None:
        return "revoked"
    return "expired" if record.expires_at <= now else "valid"


def _time(instant: datetime | None) -> str:
    return "never" if instant is None else instant.strftime("%Y-%m-%d %H:%M")


def _as_json(record: TokenRecord, now: datetime) -> dict[str, object]:
    def text(instant: datetime | None) -> str | None:
        return None if instant is None else instant.isoformat().replace("+00:00", "Z")

    return {
        "id": record.id,
        "name": record.name,
        "state": _state(record, now),
        "scopes": sorted(record.scopes),
        "created_at": text(record.created_at),
        "expires_at": text(record.expires_at),
        "last_used_at": text(record.last_used_at),
        "revoked_at": text(record.revoked_at),
    }
