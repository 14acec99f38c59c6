# SPDX-License-Identifier: Apache-2.0
"""`attestca trust`: the bundle is signed where the root's key is, installed where the service is, and served there."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from web3 import Web3

from attestca_client.protocol.trust import open_bundle, root_id
from ca.app import service as running
from ca.signers.log import add_log_key, log_key
from tests.relying_lab import make_world
from tests.unit.ca.cli.test_initialize import actions

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli_lab import Cli, Done, Place

CONTRACT, ADMIN = "0x" + "C0" * 20, "0x" + "ad" * 20


@pytest.fixture
def newest(place: Place) -> str:
    return log_key(place.open(), "localhost")[0].verifier.text


def sign(cli: Cli, place: Place, file: Path, *more: str) -> Done:
    return cli("trust", "sign", "-o", file, "--config", place.path, *more)


def test_signed_shown_installed_and_served(
    cli: Cli, place: Place, tmp_path: Path, newest: str
) -> None:
    file = tmp_path / "trust.json"
    done = sign(cli, place, file, "--chain", f"5611:{CONTRACT}:{ADMIN}")
    assert done.code == 0, done.err
    bundle = open_bundle(file.read_bytes())
    root = place.open().root()
    assert (bundle.version, bundle.root, bundle.successor) == (1, root, None)
    assert [key.text for key in bundle.log] == [newest]
    assert bundle.chain is not None
    words = root_id(root) + bytes.fromhex(ADMIN[2:]).rjust(32, b"\0")
    assert bundle.chain.namespace == bytes(Web3.keccak(words))
    shown = cli.good("trust", "show", file)
    assert root_id(root).hex() in shown.out
    assert f"contract {CONTRACT.lower()}" in shown.out
    assert cli.good("trust", "show", file, "--json").json() == json.loads(bundle.payload)
    assert place.open().trust() is None
    cli.good("trust", "install", file, "--config", place.path)
    assert place.open().trust() == file.read_bytes()
    assert actions(place.database)[0].action == "trust.install"


def test_the_chain_of_the_configuration(cli: Cli, place: Place, tmp_path: Path) -> None:
    gas = tmp_path / "gas.json"
    gas.write_text("{}")
    section = (
        f'[chain]\nrpc = ["https://node.example.org"]\nchain_id = 204\n'
        f'contract = "{CONTRACT}"\nadmin = "{ADMIN}"\ngas_keystore = "{gas}"\n'
    )
    place.path.write_text(place.path.read_text().replace("[chain]\n", section))
    for name, more, chain_id in (("1", (), 204), ("2", ("--chain", f"56:{CONTRACT}:{ADMIN}"), 56)):
        done = sign(cli, place, tmp_path / name, *more)
        assert done.code == 0, done.err
        found = open_bundle((tmp_path / name).read_bytes()).chain
        assert found is not None
        assert (found.chain_id, found.admin.hex()) == (chain_id, ADMIN[2:])


async def test_the_service_has_it(cli: Cli, place: Place, tmp_path: Path) -> None:
    async with running.opened(place.config) as service:
        assert service.doors().trust() is None
        for version in (1, 2):
            file = tmp_path / f"{version}.json"
            assert sign(cli, place, file).code == 0
            place.open().install_trust(version, file.read_bytes())
            served = service.doors().trust()
            assert served == file.read_bytes()
            assert open_bundle(served).version == version


def test_away_from_the_service(cli: Cli, place: Place, tmp_path: Path, newest: str) -> None:
    """Root key and root certificate are all that is there."""
    offline, file = tmp_path / "root", tmp_path / "trust.json"
    offline.mkdir()
    shutil.copy(place.keys / "root.pem", offline)
    shutil.move(place.keys / "root.key", offline)
    said = ("trust", "sign", "-o", file, "--root-dir", offline)
    for more in ((), ("--version", "7"), ("--log-key", newest)):
        done = cli(*said, *more)
        assert done.code == 64
        assert "go with --root-dir" in done.err
    place_next = f"56:{CONTRACT}:{ADMIN}"
    cli.good(*said, "--version", "7", "--log-key", newest, "--successor", place_next)
    bundle = open_bundle(file.read_bytes())
    assert bundle.version == 7
    assert bundle.successor is not None
    assert bundle.successor.chain_id == 56
    cli.good("trust", "install", file, "--config", place.path)
    assert sign(cli, place, tmp_path / "next.json").code == 66  # the root's key is not here


def test_what_is_not_installed(cli: Cli, place: Place, tmp_path: Path, newest: str) -> None:
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    assert sign(cli, place, first).code == 0
    cli.good("trust", "install", first, "--config", place.path)
    again = cli("trust", "install", first, "--config", place.path)
    assert again.code == 1
    assert "not newer" in again.err
    add_log_key(place.open(), "localhost")
    assert sign(cli, place, second, "--log-key", newest).code == 0
    old_key = cli("trust", "install", second, "--config", place.path)
    assert "newest key of the log" in old_key.err
    assert open_bundle(second.read_bytes()).version == 2
    assert place.open().trust() == first.read_bytes()


def test_a_bundle_of_another_root(cli: Cli, place: Place, tmp_path: Path) -> None:
    file = tmp_path / "trust.json"
    file.write_bytes(make_world().sealed())
    done = cli("trust", "install", file, "--config", place.path)
    assert done.code == 1
    assert "another root" in done.err


@pytest.mark.parametrize(
    "chain", ["56", f"x:{CONTRACT}:{ADMIN}", f"56:{CONTRACT}:0x00", f"56:{CONTRACT}:{ADMIN}:1"]
)
def test_a_place_that_is_none(cli: Cli, place: Place, tmp_path: Path, chain: str) -> None:
    done = sign(cli, place, tmp_path / "trust.json", "--chain", chain)
    assert done.code == 64
    assert "chain id, registry and admin" in done.err


def test_a_key_that_is_none(cli: Cli, place: Place, tmp_path: Path) -> None:
    assert sign(cli, place, tmp_path / "trust.json", "--log-key", "x").code == 64


def test_no_bundle(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("{}")
    assert cli("trust", "show", tmp_path / "x").code == 66
