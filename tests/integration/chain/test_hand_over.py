# SPDX-License-Identifier: Apache-2.0
"""`attestca chain hand-over` and `revoke`: what two admins sign, what the guardian says, and what each may do then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from ca.cli.exits import Exit
from tests.chain_cli import LINK, as_admin, cheap_cli, deploy, make_place
from tests.chain_lab import ADMIN, GUARDIAN_KEY, THIEF

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chain_lab import Chain
    from tests.cli_lab import Cli, Place

NEW = bytes([9]) * 32
NEW_ADMIN = Account.from_key(NEW).address
GUARDIAN = Account.from_key(GUARDIAN_KEY).address
HANDLES = ("aa" * 32, "0x" + "bb" * 32)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    return cheap_cli(capsys, monkeypatch)


@pytest.fixture
def place(cli: Cli, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Registered, with a guardian that may revoke three handles a day."""
    made = make_place(cli, chain, tmp_path, monkeypatch)
    cli.good("chain", "key", "--make")
    deploy(cli, monkeypatch)
    words = ("--guardian", GUARDIAN, "--guardian-per-day", "3")
    cli.good("chain", "register", *words, *as_admin(tmp_path))
    return made


def signed(typed: dict[str, Any], key: bytes) -> str:
    return "0x" + str(
        Account.sign_message(encode_typed_data(full_message=typed), key).signature.hex()
    )


def status(cli: Cli) -> dict[str, Any]:
    found: dict[str, Any] = cli.good("chain", "status", "--json").json()
    return found


@pytest.mark.usefixtures("place")
def test_the_new_admin_decides_from_then_on(cli: Cli, tmp_path: Path) -> None:
    """Both keys are here; afterwards the old one is nobody's, and the namespace is the same."""
    before, old = status(cli), as_admin(tmp_path)
    cli.good("chain", "hand-over", NEW_ADMIN, *old, *as_admin(tmp_path, NEW, "new-admin"))
    after, moving = status(cli), {"block", "payer_balance_wei"}
    assert {name for name in before if before[name] != after[name]} - moving == {
        "admin",
        "admin_nonce",
    }
    assert (after["admin"], after["admin_nonce"]) == (NEW_ADMIN, before["admin_nonce"] + 1)
    refused = cli("chain", "set-guardian", *old)
    assert (refused.code, f"not the key of the admin, {NEW_ADMIN}" in refused.err) == (
        Exit.USAGE,
        True,
    )
    caps = ("--log-key-per-day", "9", "--guardian-per-day", "8")
    typed = cli.good("chain", "set-caps", *caps).json()
    refused = cli("chain", "set-caps", *caps, "--signature", signed(typed, ADMIN))
    assert (refused.code, "BadSignature" in refused.err) == (Exit.REFUSED, True)
    cli.good("chain", "set-caps", *caps, "--signature", signed(typed, NEW))
    cli.good("chain", "set-guardian", *as_admin(tmp_path, NEW))
    found = status(cli)
    assert (found["log_key_per_day"], int(found["guardian"], 16)) == (9, 0)


@pytest.mark.usefixtures("place")
def test_admins_elsewhere_sign_what_is_printed(cli: Cli, tmp_path: Path) -> None:
    words = ("chain", "hand-over", NEW_ADMIN)
    printed = cli.good(*words)
    assert printed.err.count("To be signed by ") == 2
    typed = printed.json()
    assert (typed["primaryType"], typed["message"]["admin"]) == ("HandOver", NEW_ADMIN)
    half = cli.good(*words, "--signature", signed(typed, ADMIN))
    assert half.json() == typed
    assert "To be signed by the new admin, and given back with --new-admin-signature" in half.err
    here = cli.good(*words, *as_admin(tmp_path))
    assert f"Signed by the admin: --signature {signed(typed, ADMIN)}" in here.err
    assert status(cli)["admin"] == Account.from_key(ADMIN).address, "nothing was sent"
    both = ("--signature", signed(typed, ADMIN), "--new-admin-signature")
    refused = cli(*words, *both, signed(typed, THIEF))
    assert (refused.code, "BadSignature" in refused.err) == (Exit.REFUSED, True)
    done = cli.good(*words, *both, signed(typed, NEW))
    assert LINK in done.err
    assert status(cli)["admin"] == NEW_ADMIN
    again = cli(*words, *both, signed(typed, NEW))
    assert (again.code, "BadSignature" in again.err) == (Exit.REFUSED, True)


@pytest.mark.usefixtures("place")
def test_what_the_guardian_signed_is_carried(cli: Cli) -> None:
    printed = cli.good("chain", "revoke", *HANDLES)
    assert "To be signed by the guardian" in printed.err
    typed = printed.json()
    assert typed["message"]["handles"] == ["0x" + "aa" * 32, "0x" + "bb" * 32]
    refused = cli("chain", "revoke", *HANDLES, "--signature", signed(typed, THIEF))
    assert (refused.code, "BadSignature" in refused.err) == (Exit.REFUSED, True)
    other = cli("chain", "revoke", HANDLES[0], "--signature", signed(typed, GUARDIAN_KEY))
    assert (other.code, "BadSignature" in other.err) == (Exit.REFUSED, True)
    done = cli.good("chain", "revoke", *HANDLES, "--signature", signed(typed, GUARDIAN_KEY))
    assert "have the authority revoke it too" in done.err
    assert status(cli)["guardian_left_today"] == 1
    cli.good("chain", "revoke", HANDLES[0], "cc" * 32, "--signature", signed_for(cli, GUARDIAN_KEY))
    assert status(cli)["guardian_left_today"] == 0, "what is revoked already costs nothing"
    capped = cli(
        "chain", "revoke", "dd" * 32, "--signature", signed_for(cli, GUARDIAN_KEY, "dd" * 32)
    )
    assert (capped.code, "CapExceeded" in capped.err) == (Exit.REFUSED, True)


def signed_for(cli: Cli, key: bytes, *handles: str) -> str:
    return signed(cli.good("chain", "revoke", *(handles or (HANDLES[0], "cc" * 32))).json(), key)


@pytest.mark.usefixtures("place")
def test_a_guardian_that_pays_itself(cli: Cli, chain: Chain, tmp_path: Path) -> None:
    thief = cli("chain", "revoke", HANDLES[0], *as_admin(tmp_path, THIEF, "guardian"))
    assert (thief.code, "not the key of the guardian" in thief.err) == (Exit.USAGE, True)
    before = status(cli)["payer_balance_wei"]
    chain.call("anvil_setBalance", GUARDIAN, hex(10**20))
    me = as_admin(tmp_path, GUARDIAN_KEY, "guardian")
    cli.good("chain", "revoke", *HANDLES, *me)
    found = status(cli)
    assert (found["guardian_left_today"], found["payer_balance_wei"]) == (1, before)


def test_a_guardian_on_another_machine(
    cli: Cli, place: Place, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the trust bundle, a node and its own key, and nothing of the authority's."""
    bundle = tmp_path / "trust.json"
    cli.good("trust", "sign", "--output", bundle)
    chain.call("anvil_setBalance", GUARDIAN, hex(10**20))
    words = ("chain", "revoke", HANDLES[0], "--trust", bundle, "--rpc", chain.url)
    with monkeypatch.context() as elsewhere:
        elsewhere.chdir(tmp_path)
        elsewhere.delenv("ATTESTCA_CONFIG")
        for name in ("CONTRACT", "ADMIN", "RPC", "CHAIN_ID", "GAS_KEYSTORE", "GAS_PASSPHRASE"):
            elsewhere.delenv(f"ATTESTCA_CHAIN__{name}")
        assert cli.good(*words).json()["message"]["handles"] == ["0x" + HANDLES[0]]
        cli.good(*words, *as_admin(tmp_path, GUARDIAN_KEY, "guardian"))
        assert cli(*words, "--signature", "00").code == Exit.USAGE
        assert cli(*words[:-2]).code == Exit.USAGE
        assert cli(*words[:-1], "ftp://x").code == Exit.USAGE
    assert status(cli)["guardian_left_today"] == 2
    assert place.path.exists()


@pytest.mark.usefixtures("place")
def test_without_a_guardian(cli: Cli, tmp_path: Path) -> None:
    cli.good("chain", "set-guardian", *as_admin(tmp_path))
    done = cli("chain", "revoke", HANDLES[0])
    assert (done.code, "has no guardian" in done.err) == (Exit.REFUSED, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("revoke", "aa"), "64 hexadecimal digits"),
        (("revoke", HANDLES[0], "--signature", "x"), "--signature: must be hexadecimal"),
        (
            ("revoke", HANDLES[0], "--guardian-keystore", "a"),
            "goes with --guardian-passphrase-file",
        ),
        (("hand-over", "0x12"), "NEW_ADMIN: not an address"),
        (("hand-over", NEW_ADMIN, "--new-admin-signature", "x"), "--new-admin-signature: must"),
        (("hand-over", NEW_ADMIN, "--new-admin-keystore", "a"), "--new-admin-passphrase-file"),
    ],
)
@pytest.mark.usefixtures("place")
def test_what_is_no_order(cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    done = cli("chain", *arguments)
    assert (done.code, said in done.err) == (Exit.USAGE, True), done.err
