# SPDX-License-Identifier: Apache-2.0
"""Options that several commands have, and what they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ca import config as configuration
from ca.config import Config, PassphraseSource

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Configuration. Default: $ATTESTCA_CONFIG, or attestca.toml in this directory.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OutputOption = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="New file to write.")
]
PassphraseFileOption = Annotated[
    Path | None,
    typer.Option("--passphrase-file", metavar="FILE", help="The passphrase of the keys is in it."),
]
PassphraseFdOption = Annotated[
    int | None,
    typer.Option("--passphrase-fd", metavar="N", help="It comes from this open descriptor."),
]
PassphraseEnvOption = Annotated[
    str | None,
    typer.Option("--passphrase-env", metavar="NAME", help="It is in this variable."),
]


def load_config(path: Path | None) -> Config:
    """The configuration that is meant. Raises ConfigurationError."""
    return configuration.load(path or configuration.default_path())


def database_url(config: Config) -> str:
    """Where the database is; may hold a password, so it is never printed."""
    return config.database.url.get_secret_value()


def passphrase_source(
    file: Path | None, descriptor: int | None, variable: str | None
) -> PassphraseSource | None:
    """Where the passphrase is, if the command line says so, once."""
    said = [
        source
        for source, given in (
            (PassphraseSource("file", str((file or Path()).absolute())), file is not None),
            (PassphraseSource("fd", str(descriptor)), descriptor is not None),
            (PassphraseSource("env", variable or ""), variable is not None),
        )
        if given
    ]
    if len(said) > 1:
        raise typer.BadParameter(
            "only one of --passphrase-file, --passphrase-fd and --passphrase-env"
        )
    return said[0] if said else None
