# SPDX-License-Identifier: Apache-2.0
"""A chain is there while it is wanted, and no longer."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path

import pytest

from simulator import devchain
from simulator.devchain import ARTIFACT, DevChain, DevChainError

TOP = Path(__file__).parents[3]


def listens(url: str) -> bool:
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def test_it_is_there_inside_the_block() -> None:
    with DevChain(options=("--slots-in-an-epoch", "2")) as chain:
        assert chain.chain_id == 31337
        code = json.loads(ARTIFACT.read_text())["deployedBytecode"]
        assert chain.request("eth_getCode", chain.contract, "latest") == code
        assert len(chain.accounts) == len(chain.secrets) == 10
        another = chain.deploy()
        assert another != chain.contract
        assert listens(chain.rpc_url)
    assert not listens(chain.rpc_url)
    assert chain.process.returncode is not None


def test_two_do_not_disturb_each_other() -> None:
    with DevChain(deploys=False) as one, DevChain(options=("--chain-id", "5611")) as other:
        assert (one.chain_id, other.chain_id) == (31337, 5611)
        assert one.contract == ""
        assert one.request("eth_blockNumber") == "0x0"
        assert other.request("eth_blockNumber") == "0x1"


def test_it_goes_when_the_block_fails() -> None:
    with pytest.raises(ZeroDivisionError), DevChain(deploys=False) as chain:
        raise ZeroDivisionError
    assert not listens(chain.rpc_url)


def test_what_anvil_does_not_take_is_said() -> None:
    with pytest.raises(DevChainError, match="did not start"), DevChain(options=("--nonsense",)):
        pass


def test_an_error_of_the_node_is_said() -> None:
    with DevChain(deploys=False) as chain, pytest.raises(DevChainError, match="eth_nonsense"):
        chain.request("eth_nonsense")


def test_a_transaction_that_reverts_is_said() -> None:
    with DevChain() as chain:
        call = {"from": chain.accounts[0], "to": chain.contract, "data": "0x", "gas": "0x186a0"}
        with pytest.raises(DevChainError, match="reverted"):
            chain.send(call)


def test_other_code_on_the_chain_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artefact = json.loads(ARTIFACT.read_text())
    artefact["deployedBytecode"] += "00"
    file = tmp_path / "artefact.json"
    file.write_text(json.dumps(artefact))
    monkeypatch.setattr(devchain, "ARTIFACT", file)
    with pytest.raises(DevChainError, match="not that of the artefact"), DevChain():
        pass


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_command_ends_it(how: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "simulator.devchain", "--block-time", "1"],
        cwd=TOP,
        env={**os.environ, "PYTHONPATH": f"{TOP}{os.pathsep}{TOP / 'client'}"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().split() for _ in range(3)]
        assert [line[0] for line in lines] == ["rpc", "chain-id", "contract"]
        assert listens(lines[0][1])
        body = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "eth_getCode",
            "params": [lines[2][1], "latest"],
        }
        connection = HTTPConnection(lines[0][1].removeprefix("http://"))
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/", json.dumps(body), headers)
        assert len(json.load(connection.getresponse())["result"]) > 2
        connection.close()
        process.send_signal(how)
        assert process.wait(30) == 0
    assert not listens(lines[0][1])
