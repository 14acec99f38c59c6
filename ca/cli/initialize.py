# SPDX-License-Identifier: Apache-2.0
"""`attestca init`: what a new authority is to be, and what to do once it is there. `ca.cli.founding` makes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ca.cli import options, output
from ca.cli.founding import Made, Plan, make

if TYPE_CHECKING:
    from collections.abc import Mapping

DirectoryArgument = Annotated[
    Path | None,
    typer.Argument(metavar="DIR", help="Where everything goes. Default: this directory."),
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
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Certificates (PEM) of a simulated vendor: Intel's root, or ARK, ASK and ASVK of one line of AMD's.",
    ),
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
    """Make a new authority: keys, configuration, database. Never changes one that is there.

    The passphrase of the keys (12 bytes or more) comes from a file, a descriptor or a variable
    (default: $ATTESTCA_PASSPHRASE), and `attestca serve` reads it from the same place.
    """
    if directory is not None and config is not None:
        raise typer.BadParameter("give a directory or --config, not both")
    if simulated != bool(simulated_anchor):
        raise typer.BadParameter("--simulated and --simulated-anchor go together")
    passphrase = options.passphrase_source(passphrase_file, passphrase_fd, passphrase_env)
    values: dict[str, dict[str, object]] = {
        "server": {"public_url": public_url, "listen": listen},
        "admin": {"listen": admin_listen},
        "database": {"url": _without_password(database)},
        "ca": {
            "passphrase": passphrase,
            "simulated_anchors": [file.absolute() for file in simulated_anchor or ()] or None,
        },
    }
    path = config or (directory or Path()) / "attestca.toml"
    plan = Plan(path, _given(values), organization, simulated)
    _show(make(plan), path)


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
       attestca collateral EVIDENCE > collateral.json
       attestca refvalues capture EVIDENCE --collateral collateral.json --policy NAME > policy.yaml
       attestca policy lint policy.yaml
4. Run it:
       attestca serve --config {config}
   Attesters and relying parties pin {keys}/root.pem.
"""
