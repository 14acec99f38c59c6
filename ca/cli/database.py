# SPDX-License-Identifier: Apache-2.0
"""`attestca db upgrade|current`, `backup`, `restore`: the database as a whole, found through the configuration."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ca.cli import inputs, options, output

if TYPE_CHECKING:
    from ca.store.backup import Manifest

app = typer.Typer(name="db", help="The database's schema.", no_args_is_help=True)

BackupArgument = Annotated[Path, typer.Argument(metavar="FILE")]


@app.command("upgrade")
def upgrade_command(config: options.ConfigOption = None) -> None:
    """Make the database, or bring it to the schema of this version."""
    from ca.store import schema

    url = options.database_url(options.load_config(config))
    before = asyncio.run(schema.current(url))
    asyncio.run(schema.upgrade(url))
    after = schema.head()
    output.say(f"schema {after}" + (", as before" if before == after else f" (was {before})"))


@app.command("current")
def current_command(config: options.ConfigOption = None) -> None:
    """Show the schema that the database has, and the one that this version needs."""
    from ca.store import schema

    url = options.database_url(options.load_config(config))
    output.print_facts(
        {"database has": asyncio.run(schema.current(url)) or "none", "needed": schema.head()}
    )


def backup_command(file: BackupArgument, config: options.ConfigOption = None) -> None:
    """Write the whole database into a new file. The service may go on. Keys are not in it: copy their folder too."""
    from ca.store import backup

    url = options.database_url(options.load_config(config))
    output.say(f"Backing up into {file} …")
    manifest = asyncio.run(backup.backup(url, file, inputs.now()))
    asyncio.run(_log(url, "database.backup", file, manifest))
    _show(manifest)


def restore_command(file: BackupArgument, config: options.ConfigOption = None) -> None:
    """Fill an empty database from a backup. Nonces of the time between are refused, CRL numbers go on above.

    The public log goes on under a new key only: see `attestca log rekey`.
    """
    from ca.store import backup

    url = options.database_url(options.load_config(config))
    output.say(f"Restoring from {file} …")
    manifest = asyncio.run(backup.restore(file, url, inputs.now()))
    asyncio.run(_log(url, "database.restore", file, manifest))
    _show(manifest)


async def _log(url: str, action: str, file: Path, manifest: Manifest) -> None:
    """Into the operators' log, where the schema is this version's (a backup before an upgrade has no such luck)."""
    from ca.ports import OperatorAction
    from ca.store import schema
    from ca.store.sql import SqlStore

    if manifest.revision != schema.head() and action == "database.backup":
        return
    store = await SqlStore.open(url)
    try:
        detail = json.dumps({"created_at": manifest.created_at, "revision": manifest.revision})
        await store.log_action(
            OperatorAction(inputs.now(), inputs.actor(), action, file.name, detail)
        )
    finally:
        await store.close()


def _show(manifest: Manifest) -> None:
    output.print_facts({"made at": manifest.created_at, "schema": manifest.revision})
    output.print_table(
        ("table", "rows"), ((part.table, str(part.rows)) for part in manifest.parts), "Tables"
    )
