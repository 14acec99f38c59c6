# SPDX-License-Identifier: Apache-2.0
"""`attestca trust sign|install|show`: the bundle that relying parties trust, signed with the root's key.

    sign      on the machine with root.pem and root.key, which needs nothing else of the authority
    install   on the service's machine: served at /v1/trust from then on, without a restart
    show      anywhere: check a bundle, and say what is in it

A bundle is never changed: what is newer has a higher version. It is needed anew when the log or the place on the chain
has another key or address. Signing it needs the root's key because it says which keys speak for the authority.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ca.cli import inputs, options, output
from ca.cli.exits import UnreadableError

if TYPE_CHECKING:
    from attestca_client.protocol.checkpoint import Verifier
    from attestca_client.protocol.trust import Deployment, TrustBundle
    from ca.config import Config, PassphraseSource
    from ca.ledger.contract import Registry
    from ca.signers.folder import KeyFolder

app = typer.Typer(
    name="trust", help="Make the trust bundle of relying parties.", no_args_is_help=True
)

BundleArgument = Annotated[str, typer.Argument(metavar="BUNDLE")]
RootDirOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Holds root.pem and root.key. Default: the configuration's folder of keys.",
    ),
]
VersionOption = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Default: one more than the installed bundle has."),
]
LogKeyOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY",
        help="As `attestca log key` prints it; the newest first. Default: the folder's newest.",
    ),
]
ChainOption = Annotated[
    str | None,
    typer.Option(
        metavar="ID:CONTRACT:ADMIN",
        help="Chain id, address of the registry, and the admin that registered. Default: the configuration's.",
    ),
]
SuccessorOption = Annotated[
    str | None,
    typer.Option(
        metavar="ID:CONTRACT:ADMIN", help="Where a later bundle will say that the chain is."
    ),
]
_PLACE = "chain id, registry and admin with colons between them: 56:0x…:0x…"
_NO_ADDRESS = "https://offline.invalid"  # a configuration has one; nothing here uses it


@app.command("sign")
def sign_command(
    file: options.OutputOption,
    version: VersionOption = None,
    log_key: LogKeyOption = None,
    chain: ChainOption = None,
    successor: SuccessorOption = None,
    root_dir: RootDirOption = None,
    config: options.ConfigOption = None,
    passphrase_file: options.PassphraseFileOption = None,
    passphrase_fd: options.PassphraseFdOption = None,
    passphrase_env: options.PassphraseEnvOption = None,
) -> None:
    """Make and sign a bundle. Away from the service's machine, say --root-dir, --log-key and --version."""
    from attestca_client.protocol.trust import TrustBundle, root_id, seal_bundle
    from ca.config import read_passphrase
    from ca.signers import files
    from ca.signers.folder import KeyFolder

    source = options.passphrase_source(passphrase_file, passphrase_fd, passphrase_env)
    settings = _settings(config, root_dir, source)
    folder = KeyFolder(settings.ca.directory, read_passphrase(settings), secrets.token_bytes)
    if root_dir is not None and (version is None or not log_key):
        raise typer.BadParameter("--version and --log-key go with --root-dir")
    root = folder.root()
    bundle = TrustBundle(
        version=version or _next_version(folder),
        root=root,
        log=tuple(map(_verifier, log_key)) if log_key else (_newest_key(settings, folder),),
        chain=_place(chain, root_id(root), "--chain") or _configured(settings, root_id(root)),
        successor=_place(successor, root_id(root), "--successor"),
        issued_at=inputs.now(),
    )
    files.write_new(file, seal_bundle(bundle, folder.root_key()), mode=0o644)
    output.print_facts(_facts(bundle))
    output.say(f"On the service's machine: attestca trust install {file.name}")


@app.command("install")
def install_command(bundle: BundleArgument, config: options.ConfigOption = None) -> None:
    """Serve a bundle at /v1/trust. It must be of this root, newer than the one there, and name the log's newest key."""
    from attestca_client.protocol.trust import root_id
    from ca.config import read_passphrase
    from ca.errors import Conflict
    from ca.signers.folder import KeyFolder

    settings = options.load_config(config)
    folder = KeyFolder(settings.ca.directory, read_passphrase(settings), secrets.token_bytes)
    data = inputs.read_input(bundle)
    opened = _opened(data, bundle)
    faults = {
        "is of another root": root_id(opened.root) != root_id(folder.root()),
        "is not newer than the one here": opened.version < _next_version(folder),
        "does not name the newest key of the log first": opened.log[:1]
        != (_newest_key(settings, folder),),
    }
    for fault in (text for text, found in faults.items() if found):
        raise Conflict(f"the bundle {fault}", code="not-installed")
    asyncio.run(_log(settings, opened))
    folder.install_trust(opened.version, data)
    output.print_facts(_facts(opened))


@app.command("show")
def show_command(bundle: BundleArgument, as_json: options.JsonOption = False) -> None:
    """Check the signature of a bundle, and show what it says. Whose root it is, you must know from elsewhere."""
    opened = _opened(inputs.read_input(bundle), bundle)
    if as_json:
        output.print_json(json.loads(opened.payload))
    else:
        output.print_facts(_facts(opened))


def _settings(
    config: Path | None, root_dir: Path | None, passphrase: PassphraseSource | None
) -> Config:
    from ca.config import default_path, load

    said: dict[str, dict[str, object]] = {"ca": {}}
    if passphrase is not None:
        said["ca"]["passphrase"] = str(passphrase)
    if root_dir is None:
        return load(config or default_path(), said=said)
    said["ca"]["directory"] = str(root_dir.absolute())
    return load(config, said={**said, "server": {"public_url": _NO_ADDRESS}})


def _opened(data: bytes, name: str) -> TrustBundle:
    from attestca_client.protocol.trust import BundleError, open_bundle

    try:
        return open_bundle(data)
    except BundleError as error:
        raise UnreadableError(f"{name}: {error}") from error


def _next_version(folder: KeyFolder) -> int:
    installed = folder.trust()
    return 1 if installed is None else _opened(installed, str(folder.path)).version + 1


def _newest_key(settings: Config, folder: KeyFolder) -> Verifier:
    """Raises NotFound."""
    from ca.app.log import log_host
    from ca.signers.log import log_key

    key, _ = log_key(folder, log_host(settings))
    return key.verifier


def _verifier(text: str) -> Verifier:
    from attestca_client.protocol.checkpoint import NoteError, parse_verifier

    try:
        return parse_verifier(text)
    except NoteError as error:
        raise typer.BadParameter(f"--log-key: {error}") from error


def _place(text: str | None, ca_id: bytes, option: str) -> Deployment | None:
    """The namespace follows from authority and admin, so nobody can mistype it."""
    from attestca_client.protocol.trust import BundleError, Deployment, parse_hex

    if text is None:
        return None
    try:
        number, contract, admin = text.split(":")
        place = Deployment(int(number), parse_hex(contract, 20), bytes(32), parse_hex(admin, 20))
    except (ValueError, BundleError) as error:
        raise typer.BadParameter(f"{option}: {_PLACE}") from error
    from ca.ledger.contract import Registry  # brings web3, which takes a while

    return _deployment(Registry(place.chain_id, place.contract, ca_id, place.admin))


def _configured(settings: Config, ca_id: bytes) -> Deployment | None:
    """What the section [chain] says; None where nothing is anchored. Raises ConfigurationError."""
    if settings.chain.contract is None:
        return None
    from ca.app.chain import registry_of

    return _deployment(registry_of(settings.chain, ca_id))


def _deployment(registry: Registry) -> Deployment:
    from attestca_client.protocol.trust import Deployment

    return Deployment(registry.chain_id, registry.address, registry.namespace, registry.admin)


def _facts(bundle: TrustBundle) -> dict[str, str]:
    from attestca_client.protocol.trust import root_id

    return {
        "version": str(bundle.version),
        "issued": bundle.issued_at.isoformat(),
        "root": bundle.root.subject.rfc4514_string(),
        "ca_id": root_id(bundle.root).hex(),
        "log": "\n".join(key.text for key in bundle.log) or "none",
        "chain": _shown(bundle.chain),
        "successor": _shown(bundle.successor),
    }


def _shown(place: Deployment | None) -> str:
    if place is None:
        return "none"
    return ", ".join(f"{name} {value}" for name, value in place.to_json().items())


async def _log(settings: Config, bundle: TrustBundle) -> None:
    """The operators' log tells of it."""
    from attestca_client.protocol.trust import root_id
    from ca.ports import OperatorAction
    from ca.store.sql import SqlStore

    detail = json.dumps({"version": bundle.version})
    store = await SqlStore.open(options.database_url(settings))
    try:
        await store.log_action(
            OperatorAction(
                inputs.now(), inputs.actor(), "trust.install", root_id(bundle.root).hex(), detail
            )
        )
    finally:
        await store.close()
