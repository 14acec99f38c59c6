# SPDX-License-Identifier: Apache-2.0
"""R-41, the command line's half: marked secrets everywhere, log level debug, none printed, logged or audited.

The secrets: the passphrase, the database's password, an operator's token, the sealed secrets and private keys of the
authority. A new token is printed once, by the command that makes it.
"""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import ca.cli
from tests.cli_lab import LISTEN, PASSPHRASE, PUBLIC_URL, Place, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

DATABASE_PASSWORD = "canary-database-77aa"  # noqa: S105 - what must not be repeated
DEBUG = {"ATTESTCA_LOG__LEVEL": "debug"}


@dataclass
class Ears:
    """Everything that was printed, and the secrets that must not be in it."""

    secrets: list[str] = field(default_factory=lambda: [PASSPHRASE, DATABASE_PASSWORD])
    heard: list[str] = field(default_factory=list)

    def run(self, *arguments: str | Path) -> str:
        """Standard output of a command, whatever came of it."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            ca.cli.run([str(argument) for argument in arguments])
        self.heard += [out.getvalue(), err.getvalue()]
        return out.getvalue()

    def leaks(self) -> list[str]:
        said = "\n".join(self.heard).lower()
        return [secret for secret in self.secrets if secret.lower() in said]


def private_values(place: Place) -> Iterator[str]:
    """The sealed secrets and private keys, each in hex and as text."""
    folder = place.open()
    for name in ("nonce", "chip"):
        yield folder.secret(name).hex()
    for held in (
        *folder.issuing(),
        *folder.service("tls"),
        *folder.service("ear"),
        *folder.service("ocsp"),
    ):
        yield f"{held.key.private_numbers().private_value:x}"
        pem = held.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        yield pem.decode().splitlines()[1]


@pytest.fixture
def ears(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ears:
    monkeypatch.setenv("ATTESTCA_PASSPHRASE", PASSPHRASE)
    monkeypatch.chdir(tmp_path)
    return Ears()


def test_none_in_a_day_of_an_operator(
    ears: Ears, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path / "ca")
    ears.run("init", place.folder, "--public-url", PUBLIC_URL, *LISTEN)
    config = ("--config", place.path)
    token = ears.run(
        *("token", "create", "me", "--expires", "1h", "--scope", "policies:read"),
        *("--scope", "policies:write", "--scope", "audit:read", *config),
    ).strip()
    assert token.startswith("attestca_")
    ears.heard.remove(f"{token}\n")  # the one place where it is shown
    ears.secrets.append(token.removeprefix("attestca_"))
    monkeypatch.setenv("ATTESTCA_TOKEN", token)
    with serving(place, DEBUG) as running:
        url = ("--url", running.admin)
        for line in ("policy list", "actions list --json", "certs list"):
            ears.run(*line.split(), *url)
        ears.run("actions", "list", "--url", running.public)
        ears.run("actions", "list", "--url", "http://127.0.0.1:9")
        running.stop()
        ears.heard.append(running.log.read_text())
    monkeypatch.setenv("ATTESTCA_SERVER__LISTEN", "192.0.2.1:1")  # serve ends at once
    ears.run("init", place.folder)
    for line in (
        *("token list", "token list --json", "db current", "backup x.zip", "restore x.zip"),
        *("--traceback serve", "issuer list", "issuer request -o r.csr"),
        *("issuer sign r.csr -o r.pem", "issuer install r.pem"),
    ):
        ears.run(*line.split(), *config)
    ears.secrets += private_values(place)
    assert len(ears.secrets) > 10
    assert "started" in "".join(ears.heard)
    assert ears.leaks() == []


def test_none_when_things_are_wrong(
    ears: Ears, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each secret where it is refused: too short, unreadable, not a token, a database that is not there."""
    place = Place(tmp_path / "ca")
    ears.run("init", place.folder, "--public-url", PUBLIC_URL)
    config = ("--config", place.path)
    url = f"postgresql://me:{DATABASE_PASSWORD}@127.0.0.1:9/x"
    ears.run("init", tmp_path / "b", "--public-url", PUBLIC_URL, "--database", url)
    with monkeypatch.context() as patch:
        patch.setenv("ATTESTCA_DATABASE__URL", url)
        for command in (("serve",), ("token", "list"), ("db", "upgrade"), ("backup", "x.zip")):
            ears.run("--traceback", *command, *config)
        ears.run("--traceback", "init", tmp_path / "c", "--public-url", PUBLIC_URL)
        patch.setenv("ATTESTCA_DATABASE__URL", f"nosql://me:{DATABASE_PASSWORD}@x")
        ears.run("--traceback", "serve", *config)
    ears.secrets += ["canary-pw", "canary-other-passphrase", "canary-token"]
    for passphrase in ("canary-pw", "canary-other-passphrase"):
        monkeypatch.setenv("ATTESTCA_PASSPHRASE", passphrase)
        ears.run("--traceback", "serve", *config)
        ears.run("--traceback", "init", tmp_path / "d", "--public-url", "https://x.example:0")
    monkeypatch.setenv("ATTESTCA_TOKEN", "canary-token")
    ears.run("--traceback", "policy", "list")
    secret = Path("secret")
    secret.write_text("canary-token\n")
    for mode in (0o600, 0o644):
        secret.chmod(mode)
        ears.run("--traceback", "policy", "list", "--token-file", secret)
        ears.run(
            *("--traceback", "init", tmp_path / "e", "--public-url", "x"),
            *("--passphrase-file", secret),
        )
    assert "Traceback" in "".join(ears.heard)
    assert ears.leaks() == []


def test_no_command_takes_a_secret_on_its_line() -> None:
    """What is on a command line, everybody on the machine can read."""
    out = io.StringIO()
    commands = ["init", "serve", "issuer request", "issuer sign", "issuer install", "token create"]
    commands += ["policy list", "policy add", "certs export", "backup", "restore", "db upgrade"]
    with contextlib.redirect_stdout(out):
        for command in commands:
            assert ca.cli.run([*command.split(), "--help"]) == 0
    options = set(re.findall(r"--[a-z-]*(?:pass|token|secret|key|password)[a-z-]*", out.getvalue()))
    assert options == {
        *("--passphrase-file", "--passphrase-fd", "--passphrase-env", "--token-file"),
    }
