# SPDX-License-Identifier: Apache-2.0
"""`attestca chain …` from a chain without a registry to a final anchor, with the admin's key here or elsewhere."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from ca.app.service import clock
from ca.cli.exits import Exit
from ca.signers.log import log_key
from ca.store.sql import SqlStore
from tests.chain_cli import COST, FILE, LINK, as_admin, cheap_cli, deploy, make_place
from tests.chain_lab import ADMIN, PAYER, THIEF
from tests.cli_lab import Cli, Place, serving
from tests.databases import run_to_end
from tests.log_lab import sequencer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chain_lab import Chain


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    return cheap_cli(capsys, monkeypatch)


@pytest.fixture
def place(cli: Cli, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return make_place(cli, chain, tmp_path, monkeypatch)


def publish(place: Place) -> None:
    """What the service does twice a second."""

    async def run() -> None:
        store = await SqlStore.open(place.database)
        key, witness = log_key(place.open(), "localhost")
        await sequencer(store.log, witness, key).run(clock())
        await store.close()

    run_to_end(run())


def test_from_nothing_to_a_final_anchor(
    cli: Cli, place: Place, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cli.good("chain", "key", "--make", "--json").json()
    assert len(made["log_keys"]) == 1
    assert made["payer"] == Account.from_key(PAYER).address
    deploy(cli, monkeypatch)
    missing = cli("chain", "status")
    assert (missing.code, "not registered" in missing.err) == (Exit.REFUSED, True)
    cli.good("chain", "register", *as_admin(tmp_path))
    assert cli("chain", "register", *as_admin(tmp_path)).code == Exit.REFUSED
    status = cli.good("chain", "status", "--json").json()
    assert (status["log_key"], status["size"]) == (made["log_keys"][0], 0)
    assert (status["log_key_per_day"], status["guardian_per_day"]) == (1000, 100)
    publish(place)
    chain.call("evm_setIntervalMining", 1)
    done = cli.good("chain", "anchor")
    assert done.out.startswith("final ")
    assert LINK in done.out
    chain.call("evm_setIntervalMining", 0)
    status = cli.good("chain", "status", "--json").json()
    (anchor,) = status["anchors"]
    assert (anchor["state"], anchor["size"]) == ("final", status["size"])
    assert anchor["transaction"] in done.out
    assert "final" in cli.good("chain", "status").out


def test_an_admin_elsewhere(cli: Cli, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed is signed by any wallet; what it says comes back."""
    cli.good("chain", "key", "--make")
    deploy(cli, monkeypatch)
    guardian = Account.from_key(THIEF).address
    arguments = ("chain", "register", "--guardian", guardian, "--log-key-per-day", "7")
    typed = cli.good(*arguments).json()
    wrong = Account.sign_message(encode_typed_data(full_message=typed), THIEF).signature
    refused = cli(*arguments, "--signature", wrong.hex())
    assert (refused.code, "BadSignature" in refused.err) == (Exit.REFUSED, True)
    right = Account.sign_message(encode_typed_data(full_message=typed), ADMIN).signature
    cli.good(*arguments, "--signature", "0x" + right.hex())
    status = cli.good("chain", "status", "--json").json()
    assert (status["guardian"], status["log_key_per_day"]) == (guardian, 7)
    assert place.path.exists()


def test_what_the_admin_changes(
    cli: Cli, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.good("chain", "key", "--make")
    deploy(cli, monkeypatch)
    admin = as_admin(tmp_path)
    cli.good("chain", "register", *admin)
    new = cli.good("chain", "key", "--make", "--json").json()["log_keys"]
    cli.good("chain", "set-log-key", *admin)
    guardian = Account.from_key(THIEF).address
    cli.good("chain", "set-guardian", guardian, *admin)
    cli.good("chain", "set-caps", "--log-key-per-day", "3", "--guardian-per-day", "2", *admin)
    cli.good("chain", "allow", "--log-key-per-day", "4", *admin)
    status = cli.good("chain", "status", "--json").json()
    assert (status["log_key"], status["guardian"]) == (new[0], guardian)
    assert (status["log_key_left_today"], status["guardian_left_today"]) == (7, 2)
    assert status["admin_nonce"] == 4
    cli.good("chain", "set-guardian", *admin)
    assert int(cli.good("chain", "status", "--json").json()["guardian"], 16) == 0
    assert place.path.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("register", "--signature", "zz"), Exit.USAGE, "must be hexadecimal digits"),
        (("register", "--guardian", "0x12"), Exit.USAGE, "--guardian: not an address"),
        (("register", "--admin-keystore", "a"), Exit.USAGE, "goes with --admin-passphrase-file"),
        (("status",), Exit.UNREADABLE, "is not this version's registry"),
        (("anchor",), Exit.UNREADABLE, "no key that signs anchors"),
        (("register",), Exit.REFUSED, "no key that signs anchors"),
    ],
)
def test_what_is_refused(
    cli: Cli,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: Exit,
    said: str,
) -> None:
    monkeypatch.setenv("ATTESTCA_CHAIN__CONTRACT", "0x" + "c0" * 20)
    done = cli("chain", *arguments)
    assert (done.code, said in done.err) == (code, True), done.err
    assert place.path.exists()


def test_the_key_of_somebody_else_is_no_admin(
    cli: Cli, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.good("chain", "key", "--make")
    deploy(cli, monkeypatch)
    done = cli("chain", "register", *as_admin(tmp_path, THIEF))
    assert (done.code, "not the key of the admin" in done.err) == (Exit.USAGE, True)
    assert place.path.exists()


def test_a_chain_that_is_not_there(cli: Cli, place: Place, chain: Chain) -> None:
    chain.process.kill()
    chain.process.wait()
    done = cli("chain", "deploy")
    assert (done.code, "nodes answer" in done.err) == (Exit.UNAVAILABLE, True)
    assert place.path.exists()


def test_a_head_that_was_not_anchored_from_here_may_be_adopted(
    cli: Cli, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a restore: the database has forgotten what it anchored."""
    cli.good("chain", "key", "--make")
    deploy(cli, monkeypatch)
    cli.good("chain", "register", *as_admin(tmp_path))
    publish(place)
    cli.good("chain", "anchor", "--no-wait")
    with sqlite3.connect(place.database.removeprefix("sqlite:///")) as database:
        database.execute("DELETE FROM anchor_transactions")
        database.execute("DELETE FROM anchors")
    database.close()
    halted = cli("chain", "anchor")
    assert (halted.code, "was not anchored from here" in halted.err) == (Exit.UNREADABLE, True)
    cli.good("chain", "adopt")
    assert cli.good("chain", "status", "--json").json()["anchors"][0]["transaction"] == "adopted"
    assert cli("chain", "anchor", "--no-wait").code == Exit.OK


def test_the_service_anchors_by_itself(
    cli: Cli, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that operators run: it anchors, says so, and ends when it is told to."""
    monkeypatch.setattr(FILE, "_N", COST)
    place = make_place(cli, chain, tmp_path, monkeypatch)
    cli.good("chain", "key", "--make")
    deploy(cli, monkeypatch)
    cli.good("chain", "register", *as_admin(tmp_path))
    chain.call("evm_setIntervalMining", 1)
    with serving(place) as service:
        end = time.monotonic() + 60
        while not (status := cli.good("chain", "status", "--json").json())["final"]:
            assert time.monotonic() < end, service.log.read_text()
            time.sleep(0.5)
        assert status["size"] > 0
        assert [one["state"] for one in status["anchors"]].count("final") >= 1
        assert service.stop() == 0
    assert '"event": "anchor"' in service.log.read_text()
    assert "job.failed" not in service.log.read_text()
