# SPDX-License-Identifier: Apache-2.0
"""`attestca init`: everything or nothing, once."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from ca.app.keys import ca_id
from ca.cli import founding
from ca.config import load
from ca.errors import ConfigurationError
from ca.signers import folder
from ca.store import schema
from ca.store.sql import SqlStore
from tests.cli_lab import LISTEN, PASSPHRASE, PUBLIC_URL, Place

if TYPE_CHECKING:
    from ca.ports import OperatorAction
    from tests.cli_lab import Cli

INIT = ("init", "here", "--public-url", PUBLIC_URL)


def here() -> Place:
    return Place(Path("here").absolute())


def actions(url: str) -> tuple[OperatorAction, ...]:
    async def read() -> tuple[OperatorAction, ...]:
        store = await SqlStore.open(url)
        try:
            return await store.actions(10, None)
        finally:
            await store.close()

    return asyncio.run(read())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_made(cli: Cli) -> None:
    done = cli.good(*INIT, "--organization", "Example Ltd", *LISTEN)
    place = here()
    root = x509.load_pem_x509_certificate((place.keys / "root.pem").read_bytes())
    assert re.search(rf"root SHA-256 +{root.fingerprint(hashes.SHA256()).hex()}\n", done.out)
    assert re.search(rf"ca_id +{ca_id(root).hex()}\n", done.out)
    for word in (place.path, place.keys, place.folder / "attestca.db", "root.key offline"):
        assert str(word) in done.out
    assert "attestca serve --config here/attestca.toml" in done.out
    assert done.err == "Making the database …\nMaking root and issuing CA …\n"
    assert "O=Example Ltd" in root.subject.rfc4514_string()
    assert "SIMULATED" not in root.subject.rfc4514_string()
    assert str(place.config.server.listen) == "127.0.0.1:0"
    assert asyncio.run(schema.current(place.database)) == schema.head()
    (action,) = actions(place.database)
    assert (action.action, action.target) == ("authority.init", ca_id(root).hex())
    assert action.actor.startswith("cli:")
    for kind in ("issuing", "tls", "ear"):  # every key of the service is there from the start
        (certificate,) = place.keys.glob(f"{kind}-*.pem")
        assert mode(certificate.with_suffix(".key")) == 0o600


def test_what_others_may_read(made: Place) -> None:
    assert mode(made.keys) == 0o700
    assert mode(made.path) == 0o600
    assert mode(made.folder / "attestca.db") == 0o600
    assert {mode(path) for path in made.keys.glob("*.key")} == {0o600}


def test_a_second_init_refuses_and_changes_nothing(cli: Cli, place: Place) -> None:
    before = place.contents()
    for more in ((), ("--public-url", "https://other.example")):
        done = cli("init", place.folder, *more)
        assert (done.code, done.out) == (1, "")
        assert "exists: " in done.err
        assert "never replaced" in done.err
    assert place.contents() == before


def test_the_folder_of_keys_alone_is_enough_to_refuse(cli: Cli, place: Place) -> None:
    place.path.unlink()
    before = place.contents()
    done = cli("init", place.folder, "--public-url", PUBLIC_URL)
    assert done.code == 1
    assert place.contents() == before


def test_a_database_that_holds_an_authority_is_refused(cli: Cli, place: Place) -> None:
    """Keys that were lost are not a reason to issue into the records of another root."""
    shutil.rmtree(place.keys)
    before = place.contents()
    done = cli("init", place.folder)
    assert done.code == 1
    assert "the database holds the records" in done.err
    assert place.contents() == before


def test_a_database_of_another_schema_is_refused(
    cli: Cli, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(place.keys)
    monkeypatch.setattr(schema, "head", lambda: "9999")
    assert cli("init", place.folder).code == 1


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (schema, "upgrade"),
        (folder.KeyFolder, "fill"),
        (founding, "_log"),
    ],
)
def test_a_fault_half_way_leaves_nothing(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: object, name: str
) -> None:
    """The step is done and fails then, as on a full disk; the next init goes through."""
    real = getattr(module, name)

    def fails(*arguments: object) -> object:
        result = real(*arguments)
        if asyncio.iscoroutine(result):
            return after(result)
        raise ConfigurationError("no space left")

    async def after(result: object) -> None:
        await result  # type: ignore[misc]  # a coroutine
        raise ConfigurationError("no space left")

    monkeypatch.setattr(module, name, fails)
    done = cli(*INIT)
    assert done.code == 66
    assert "no space left" in done.err
    assert [*tmp_path.rglob("*")] == []
    monkeypatch.setattr(module, name, real)
    cli.good(*INIT)


def test_goes_on_from_a_configuration_that_is_there(cli: Cli, place: Place) -> None:
    """As an init that was killed leaves it, or as a configuration management wrote it."""
    shutil.rmtree(place.keys)
    (place.folder / "attestca.db").unlink()
    text = place.path.read_text()
    conflict = cli("init", place.folder, "--public-url", "https://other.example")
    assert conflict.code == 1
    assert "exists and is not changed" in conflict.err
    assert "which is there already" in cli.good("init", place.folder).err
    assert place.path.read_text() == text
    assert place.open().root().subject


def test_an_empty_database_is_used(cli: Cli) -> None:
    Path("here").mkdir()
    asyncio.run(schema.upgrade(here().database))
    cli.good(*INIT)


def test_config_says_where(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "etc" / "ca.toml"
    cli.good(
        "init", "--config", path, "--public-url", PUBLIC_URL, "--database", "sqlite:///other.db"
    )
    assert load(path).ca.directory == tmp_path / "etc" / "ca"
    assert (tmp_path / "etc" / "other.db").is_file()


def test_the_environment_names_the_configuration(
    cli: Cli, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTESTCA_CONFIG", str(place.path))
    assert "needed" in cli.good("db", "current").out


@pytest.mark.parametrize("source", ["file", "fd", "env"])
def test_where_the_passphrase_comes_from(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str
) -> None:
    monkeypatch.delenv("ATTESTCA_PASSPHRASE")
    secret = tmp_path / "secret"
    secret.write_text(f"{PASSPHRASE}\n")
    secret.chmod(0o600)
    monkeypatch.setenv("OTHER", PASSPHRASE)
    descriptor = os.open(secret, os.O_RDONLY)
    option, said = {
        "file": (("--passphrase-file", "secret"), f"file:{secret}"),
        "fd": (("--passphrase-fd", str(descriptor)), f"fd:{descriptor}"),
        "env": (("--passphrase-env", "OTHER"), "env:OTHER"),
    }[source]
    cli.good(*INIT, *option)
    if source != "fd":
        os.close(descriptor)
    place = here()
    assert str(place.config.ca.passphrase) == said
    assert len(place.open().secret("nonce")) == 32


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("init", "here"), 64, "--public-url is needed"),
        ((*INIT, "--config", "x.toml"), 64, "not both"),
        ((*INIT, "--simulated"), 64, "go together"),
        ((*INIT, "--simulated-anchor", "root.pem"), 64, "go together"),
        ((*INIT, "--passphrase-env", "A", "--passphrase-fd", "3"), 64, "only one of"),
        ((*INIT, "--database", "postgresql://me:secret@host/db"), 64, "no password on the command"),
        ((*INIT, "--database", "mysql://host/db"), 66, "database.url"),
        ((*INIT, "--listen", "nowhere"), 66, "server.listen"),
        ((*INIT, "--passphrase-env", "NOT_SET"), 66, "NOT_SET"),
        ((*INIT, "--passphrase-file", "none"), 66, "No such file"),
        (("init", "here", "--public-url", "http://plain.example"), 66, "public_url"),
        ((*INIT, "--simulated", "--simulated-anchor", "none.pem"), 66, "none.pem"),
    ],
)
def test_what_is_refused_leaves_nothing(
    cli: Cli, tmp_path: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    done = cli(*arguments)
    assert (done.code, done.out) == (code, "")
    assert says in done.err
    assert "secret" not in done.err
    assert [*tmp_path.rglob("*")] == []


def test_a_short_passphrase_is_refused(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTESTCA_PASSPHRASE", "eleven-long")
    assert cli(*INIT).code == 66
    assert [*tmp_path.rglob("*")] == []


@pytest.mark.parametrize("folder", ["here", "here/below"])
def test_a_folder_that_cannot_be_made(cli: Cli, tmp_path: Path, folder: str) -> None:
    (tmp_path / "here").write_text("a file")
    done = cli("init", folder, "--public-url", PUBLIC_URL)
    assert done.code == 66
    assert "cannot " in done.err
    assert (tmp_path / "here").read_text() == "a file"


def test_a_password_comes_through_the_environment(
    cli: Cli, empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL, with a URL that no file and no command line holds."""
    monkeypatch.setenv("ATTESTCA_DATABASE__URL", empty_postgres_url)
    cli.good(*INIT)
    assert len(actions(empty_postgres_url)) == 1
    shutil.rmtree("here/ca")
    done = cli("init", "here")
    assert (done.code, Path("here/ca").exists()) == (1, False)
