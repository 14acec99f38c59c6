# SPDX-License-Identifier: Apache-2.0
"""`attestca init`: a new authority, made whole or not at all.

The configuration file comes first, then the database, last the folder of keys, which appears in one step and marks the
authority as made: `init` never touches one that is there. What it made before a fault it takes away again; an init that
was killed leaves at most a configuration and an empty database, and the next `attestca init` goes on from there.
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
from typing import TYPE_CHECKING, Annotated

import typer

from ca.cli import inputs, options, output

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography import x509

    from ca.config import Config
    from ca.issuance.authority import Authority
    from ca.signers.folder import KeyFolder

DirectoryArgument = Annotated[
    Path | None,
    typer.Argument(metavar="[DIR]", help="Where everything goes. Default: this directory."),
]
PublicUrlOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="How others reach the service. It stands in every certificate."
    ),
]
OrganizationOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="In the names of root and issuing CA. Default: the host."),
]
SimulatedOption = Annotated[
    bool, typer.Option("--simulated", help="An authority for simulated machines; its root says so.")
]
AnchorOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Root certificate (PEM) of the simulated vendor."),
]
DatabaseOption = Annotated[
    str | None,
    typer.Option(metavar="URL", help="sqlite:///path or postgresql://user@host/name."),
]
ListenOption = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="Where the service listens.")
]
AdminListenOption = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="Where the operators' API listens.")
]


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


def init_command(
    directory: DirectoryArgument = None,
    config: options.ConfigOption = None,
    public_url: PublicUrlOption = None,
    organization: OrganizationOption = None,
    simulated: SimulatedOption = False,
    simulated_anchor: AnchorOption = None,
    passphrase_file: options.PassphraseFileOption = None,
    passphrase_fd: options.PassphraseFdOption = None,
    passphrase_env: options.PassphraseEnvOption = None,
    database: DatabaseOption = None,
    listen: ListenOption = None,
    admin_listen: AdminListenOption = None,
) -> None:
    """Make a new authority: keys, root, issuing CA, configuration, database. Never changes one that is there.

    The passphrase of the keys (12 bytes or more) comes from a file, a descriptor or a variable
    (default: $ATTESTCA_PASSPHRASE), and `attestca serve` reads it from the same place.
    """
    if directory is not None and config is not None:
        raise typer.BadParameter("give a directory or --config, not both")
    if simulated != (simulated_anchor is not None):
        raise typer.BadParameter("--simulated and --simulated-anchor go together")
    passphrase = options.passphrase_source(passphrase_file, passphrase_fd, passphrase_env)
    values: dict[str, dict[str, object]] = {
        "server": {"public_url": public_url, "listen": listen},
        "admin": {"listen": admin_listen},
        "database": {"url": _without_password(database)},
        "ca": {
            "passphrase": passphrase,
            "simulated_anchors": [simulated_anchor.absolute()] if simulated_anchor else None,
        },
    }
    path = config or (directory or Path()) / "attestca.toml"
    plan = Plan(path, _given(values), organization, simulated)
    _show(make(plan), path)


def make(plan: Plan) -> Made:
    """Everything, or nothing. Raises ConfigurationError, Conflict, LintFailed, Unavailable."""
    from ca.app.keys import anchors_of
    from ca.config import read_passphrase
    from ca.signers.file import check_passphrase
    from ca.signers.folder import KeyFolder

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
        asyncio.run(_log(config, folder))
        undo.pop_all()
    return Made(config, folder.root(), of)


def _given(values: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, object]]:
    """Only what was said."""
    sections = {
        name: {key: value for key, value in section.items() if value is not None}
        for name, section in values.items()
    }
    return {name: section for name, section in sections.items() if section}


def _without_password(url: str | None) -> str | None:
    """Everyone on a machine can read its command lines."""
    if url is not None and ":" in url.partition("://")[2].rpartition("@")[0]:
        raise typer.BadParameter(
            "--database: no password on the command line; write it into the configuration,"
            " or set ATTESTCA_DATABASE__URL"
        )
    return url


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


def _show(made: Made, path: Path) -> None:
    from cryptography.hazmat.primitives import hashes

    from ca.app.keys import ca_id

    config = made.config
    output.print_facts(
        {
            "configuration": str(path.absolute()),
            "keys": str(config.ca.directory),
            "database": str(config.model_dump(mode="json")["database"]["url"]),
            "root": made.root.subject.rfc4514_string(),
            "root SHA-256": made.root.fingerprint(hashes.SHA256()).hex(),
            "ca_id": ca_id(made.root).hex(),
        }
    )
    output.write(_NEXT.format(config=path, keys=config.ca.directory))


_NEXT = """
Next:
1. Take {keys}/root.key offline: copy it with root.pem to a machine without network, then delete it here.
   It is needed again to renew the issuing CA, 90 days from now at the latest (attestca issuer).
2. A token for the operators' API:
       attestca token create NAME --scope policies:read --scope policies:write --config {config}
3. A policy:
       attestca refvalues capture EVIDENCE --policy NAME > policy.yaml
       attestca policy lint policy.yaml
4. Run it:
       attestca serve --config {config}
   Attesters and relying parties pin {keys}/root.pem.
"""
