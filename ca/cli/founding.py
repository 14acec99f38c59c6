# SPDX-License-Identifier: Apache-2.0
"""Making a new authority, whole or not at all.

The configuration file comes first, then the database, last the folder of keys, which appears in one step and marks the
authority as made: nothing here touches one that is there. What was made before a fault is taken away again; an init
that was killed leaves at most a configuration and an empty database, and the next `attestca init` goes on from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ca.cli import inputs, options, output

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography import x509

    from ca.config import Config
    from ca.issuance.authority import Authority
    from ca.signers.folder import KeyFolder


@dataclass(frozen=True, slots=True)
class Plan:
    """What the command line asks for. `values` go into the configuration file."""

    path: Path
    values: Mapping[str, Mapping[str, object]]
    organization: str | None
    simulated: bool


@dataclass(frozen=True, slots=True)
class Made:
    """What there is now."""

    config: Config
    root: x509.Certificate
    of: Authority


def make(plan: Plan) -> Made:
    """Everything, or nothing. Raises ConfigurationError, Conflict, LintFailed, Unavailable."""
    from ca.app.keys import Keys, anchors_of
    from ca.app.log import log_host
    from ca.config import read_passphrase
    from ca.signers.file import check_passphrase
    from ca.signers.folder import KeyFolder
    from ca.signers.log import add_log_key

    with ExitStack() as undo:
        config = _configuration(plan, undo)
        _refuse_keys(config)
        anchors_of(config)
        passphrase = read_passphrase(config)
        check_passphrase(passphrase)
        of = _authority(plan, config)
        output.say("Making the database …")
        asyncio.run(_make_database(config, undo))
        output.say("Making root and issuing CA …")
        folder = KeyFolder(config.ca.directory, passphrase, secrets.token_bytes)
        folder.create(of, inputs.now())
        undo.callback(shutil.rmtree, folder.path)
        add_log_key(folder, log_host(config))
        asyncio.run(Keys.open(config, passphrase).renew_service(inputs.now()))
        asyncio.run(_log(config, folder))
        undo.pop_all()
    return Made(config, folder.root(), of)


def _configuration(plan: Plan, undo: ExitStack) -> Config:
    """The configuration: the file that is there, or a new one."""
    from ca.config import template
    from ca.errors import Conflict
    from ca.signers import files

    if plan.path.exists():
        config = options.load_config(plan.path)
        _refuse_keys(config)
        if plan.values:
            raise Conflict(f"{plan.path} exists and is not changed: say it there", code="exists")
        output.say(f"Using {plan.path}, which is there already.")
        return config
    if "public_url" not in plan.values.get("server", {}):
        raise typer.BadParameter("--public-url is needed: it stands in every certificate")
    text = template(plan.values)
    _make_directory(plan.path.absolute().parent, undo)
    files.write_new(plan.path, text.encode())
    undo.callback(plan.path.unlink)
    return options.load_config(plan.path)


def _make_directory(path: Path, undo: ExitStack) -> None:
    from ca.errors import ConfigurationError

    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        try:
            folder.mkdir(mode=0o755)
        except OSError as error:
            raise ConfigurationError(f"cannot make {folder}: {error.strerror}") from error
        undo.callback(_remove_empty, folder)


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # somebody put something into it
        folder.rmdir()


def _refuse_keys(config: Config) -> None:
    from ca.errors import Conflict

    folder = config.ca.directory
    if folder.is_dir() and any(folder.iterdir()):
        raise Conflict(
            f"{folder} holds an authority already; it is never replaced. `attestca serve` runs it",
            code="exists",
        )


def _authority(plan: Plan, config: Config) -> Authority:
    from ca.issuance.authority import Authority
    from ca.issuance.request import Assurance

    simulated = bool(config.ca.simulated_anchors)  # of a configuration that was there before
    return Authority(
        organization=plan.organization or config.server.names[0],
        assurance=Assurance.SIMULATED if simulated else Assurance.VERIFIED,
        public_url=config.server.public_url,
        oid_arc=config.ca.oid_arc,
    )


async def _make_database(config: Config, undo: ExitStack) -> None:
    """A database with the schema and nothing else. Raises Conflict where it holds anything."""
    from ca.errors import Conflict
    from ca.store import schema

    url = options.database_url(config)
    found = await schema.current(url)
    if found is None:
        if url.startswith("sqlite:///"):
            undo.callback(_remove_sqlite, Path(url.removeprefix("sqlite:///")))
        await schema.upgrade(url)
    elif found != schema.head() or not await _is_empty(url):
        raise Conflict("the database holds the records of an authority already", code="exists")


def _remove_sqlite(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


async def _is_empty(url: str) -> bool:
    from ca.ports import CertificateQuery
    from ca.store.sql import SqlStore

    store = await SqlStore.open(url)
    try:
        return not (
            await store.actions(1, None)
            or await store.policies()
            or await store.tokens()
            or await store.certificates(CertificateQuery(limit=1))
            or await store.refusals(1, None)
        )
    finally:
        await store.close()


async def _log(config: Config, folder: KeyFolder) -> None:
    """The first line of the operators' log."""
    from cryptography.hazmat.primitives.serialization import Encoding

    from ca.app.keys import ca_id
    from ca.ports import OperatorAction
    from ca.store.sql import SqlStore

    root = folder.root()
    detail = json.dumps({"root_sha256": sha256(root.public_bytes(Encoding.DER)).hexdigest()})
    store = await SqlStore.open(options.database_url(config))
    try:
        await store.log_action(
            OperatorAction(
                inputs.now(), inputs.actor(), "authority.init", ca_id(root).hex(), detail
            )
        )
    finally:
        await store.close()
