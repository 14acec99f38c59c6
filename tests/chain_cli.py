# SPDX-License-Identifier: Apache-2.0
"""`attestca chain …` at a chain of its own: an authority with coins, its contract, and keystores of who signs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from eth_account import Account

from tests.chain_lab import ADMIN, CHAIN_ID, PAYER, keystore
from tests.cli_lab import LISTEN, PASSPHRASE, PUBLIC_URL, Cli, Place

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.chain_lab import Chain

LINK: Final = "https://scan.example/tx/"
FILE: Final = import_module("ca.signers.file")
COST: Final = FILE._N  # of passphrases, where another process reads what was sealed


def cheap_cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Commands in this process, whose passphrases are stretched little."""
    monkeypatch.setenv("ATTESTCA_PASSPHRASE", PASSPHRASE)
    monkeypatch.setattr(FILE, "_N", 2)
    return Cli(capsys)


def make_place(cli: Cli, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """An authority that has nothing on the chain but an account with coins."""
    made = Place(tmp_path / "authority")
    cli.good("init", made.folder, "--public-url", PUBLIC_URL, *LISTEN)
    payer, passphrase = keystore(tmp_path, "gas", PAYER)
    chain.call("anvil_setBalance", Account.from_key(PAYER).address, hex(10**20))
    for key, value in {
        "RPC": chain.url,
        "CHAIN_ID": str(CHAIN_ID),
        "ADMIN": Account.from_key(ADMIN).address,
        "GAS_KEYSTORE": str(payer),
        "GAS_PASSPHRASE": f"file:{passphrase}",
        "EXPLORER": LINK + "{hash}",
        "POLL_SECONDS": "0.1",
    }.items():
        monkeypatch.setenv(f"ATTESTCA_CHAIN__{key}", value)
    monkeypatch.setenv("ATTESTCA_CONFIG", str(made.path))
    return made


def deploy(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> str:
    done = cli.good("chain", "deploy", "--json")
    assert LINK in done.err
    address: str = done.json()["contract"]
    monkeypatch.setenv("ATTESTCA_CHAIN__CONTRACT", address)
    return address


def as_admin(folder: Path, key: bytes = ADMIN, who: str = "admin") -> tuple[str | Path, ...]:
    """The options with which somebody signs here."""
    secret, passphrase = keystore(folder, who, key)
    return (f"--{who}-keystore", secret, f"--{who}-passphrase-file", passphrase)
