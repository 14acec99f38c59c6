# SPDX-License-Identifier: Apache-2.0
"""The section [chain]: what it must hold together, and that the keys in the URLs of nodes are shown nowhere."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from ca.config import Config, load, template
from ca.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

KEY = "canary-key-of-the-node"
WHOLE: dict[str, object] = {
    "rpc": [f"https://node.example.org/v2/{KEY}", f"https://me:{KEY}@other.example.org"],
    "chain_id": 204,
    "contract": "0x" + "c0" * 20,
    "admin": "0x" + "ad" * 20,
    "gas_keystore": "gas.json",
}


def read(folder: Path, chain: dict[str, object], **environ: str) -> Config:
    path = folder / "attestca.toml"
    path.write_text(template({"server": {"public_url": "https://ca.example"}, "chain": chain}))
    return load(path, environ)


def test_whole(tmp_path: Path) -> None:
    chain = read(tmp_path, WHOLE | {"max_fee_gwei": 0.5, "heartbeat_minutes": 1.5}).chain
    assert chain.urls == tuple(WHOLE["rpc"])  # type: ignore[arg-type] # a list, above
    assert (chain.max_fee, chain.heartbeat) == (500_000_000, timedelta(seconds=90))
    assert chain.gas_keystore == tmp_path / "gas.json"


def test_by_default_there_is_none(tmp_path: Path) -> None:
    chain = read(tmp_path, {}).chain
    assert (chain.contract, chain.urls) == (None, ())


def test_nodes_from_the_environment(tmp_path: Path) -> None:
    urls = "https://one.example,https://two.example"
    chain = read(tmp_path, {}, ATTESTCA_CHAIN__RPC=urls).chain
    assert chain.urls == ("https://one.example", "https://two.example")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"rpc": [f"ftp://node.example/{KEY}"]}, "chain.rpc: each must be http://"),
        ({"rpc": [f"https://user name/{KEY}"]}, "chain.rpc: each must be http://"),
        ({"rpc": [f"https://[::1/{KEY}"]}, "chain.rpc: each must be http://"),
        ({"rpc": [f"https://:8545/{KEY}"]}, "chain.rpc: each must be http://"),
        ({"rpc": [f"https://a.example/{KEY}"] * 2}, "cannot contradict itself"),
        ({"contract": "0x12"}, "chain.contract: String should match pattern"),
        ({"admin": "c0" * 20}, "chain.admin: String should match pattern"),
        ({"chain_id": 0}, "chain.chain_id: "),
        ({"heartbeat_minutes": 0}, "chain.heartbeat_minutes: "),
        ({"max_fee_gwei": 0}, "chain.max_fee_gwei: "),
        ({"tombstones_per_transaction": 501}, "chain.tombstones_per_transaction: "),
        ({"explorer": "https://scan.example/tx/"}, "chain.explorer: must hold {hash}"),
        ({"gas_passphrase": KEY}, "chain.gas_passphrase: must say where it is"),
        ({"rpc": []}, "chain: with a contract, rpc must be given too"),
    ],
)
def test_what_is_refused(tmp_path: Path, change: dict[str, object], fault: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, WHOLE | change)
    assert fault in caught.value.detail
    assert KEY not in caught.value.detail


def test_a_contract_alone_says_all_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="rpc, chain_id, admin, gas_keystore must be"):
        read(tmp_path, {"contract": "0x" + "c0" * 20})


def test_the_keys_of_nodes_are_shown_nowhere(tmp_path: Path) -> None:
    config = read(tmp_path, WHOLE)
    shown = config.model_dump(mode="json")["chain"]["rpc"]
    assert shown == ["node.example.org", "other.example.org"]
    assert KEY not in repr(config)
    assert KEY not in str(config.model_dump_json())
