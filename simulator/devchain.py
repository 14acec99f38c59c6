# SPDX-License-Identifier: Apache-2.0
"""A chain on this machine with the registry on it: anvil, for the demo, the tests and whoever tries things out.

`python -m simulator.devchain` starts one and prints where it is; Ctrl-C ends it, and nothing of it remains. Its
accounts are those that every anvil has: their keys are public, and its coins are worth nothing. What is deployed is
contracts/artifact/AttestationRegistry.json.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import IO, TYPE_CHECKING, Any, Final, Self

from simulator.node import CONTRACTS, Say, ToolsError, anvil, tell

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

ARTIFACT: Final = CONTRACTS / "artifact" / "AttestationRegistry.json"
_START: Final = 30.0  # seconds until it listens, and until the registry is there
_STEP: Final = 0.02  # seconds between two looks
_LISTENING: Final = "Listening on "


class DevChainError(Exception):
    """The chain did not start, or answered with an error."""


@dataclass(slots=True)
class DevChain:
    """A chain that lives as long as the block.

    Attributes:
        options: further options of anvil, such as ("--slots-in-an-epoch", "2").
        port: 0 for one that the system chooses.
        deploys: whether the registry is put on it.
        rpc_url, chain_id: where it is, once inside the block.
        contract: the registry's address; empty where it was not deployed.
        accounts, secrets: addresses with coins, and their keys, as 0x and hexadecimal digits.
    """

    options: tuple[str, ...] = ()
    port: int = 0
    deploys: bool = True
    say: Say = tell
    rpc_url: str = field(init=False, default="")
    chain_id: int = field(init=False, default=0)
    contract: str = field(init=False, default="")
    accounts: tuple[str, ...] = field(init=False, default=())
    secrets: tuple[str, ...] = field(init=False, default=(), repr=False)
    process: subprocess.Popen[str] = field(init=False, repr=False)
    _log: IO[str] = field(init=False, repr=False)

    def __enter__(self) -> Self:
        """Start it, and deploy. Raises DevChainError, ToolsError."""
        program = anvil(self.say)
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")
        with tempfile.NamedTemporaryFile("r", suffix=".json", encoding="utf-8") as config:
            self._start(program, config.name)
            try:
                self.rpc_url = f"http://{self._wait_until_it_listens()}"
                wallet = json.load(config)
                self.accounts = tuple(wallet["available_accounts"])
                self.secrets = tuple(wallet["private_keys"])
                self.chain_id = int(self.request("eth_chainId"), 16)
                if self.deploys:
                    self.contract = self.deploy()
            except BaseException:
                self.__exit__(None, None, None)
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        self._log.close()

    def _start(self, program: Path, config: str) -> None:
        words = ["--host", "127.0.0.1", "--port", str(self.port), "--config-out", config]
        self.process = subprocess.Popen(  # noqa: S603 - what npm installed
            [str(program), *words, *self.options],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _wait_until_it_listens(self) -> str:
        """Host and port."""
        deadline = time.monotonic() + _START
        while time.monotonic() < deadline and self.process.poll() is None:
            self._log.seek(0)
            for line in self._log:
                if line.startswith(_LISTENING) and line.endswith("\n"):
                    return line.removeprefix(_LISTENING).strip()
            time.sleep(_STEP)
        self._log.seek(0)
        raise DevChainError(f"anvil did not start: {self._log.read()}")

    def deploy(self) -> str:
        """Put one more registry on the chain; its address. Raises DevChainError."""
        artifact = json.loads(ARTIFACT.read_text(encoding="utf-8"))
        receipt = self.send({"from": self.accounts[0], "data": artifact["bytecode"]})
        address: str = receipt["contractAddress"]
        if self.request("eth_getCode", address, "latest") != artifact["deployedBytecode"]:
            raise DevChainError("the code on the chain is not that of the artefact")
        return address

    def send(self, transaction: dict[str, str]) -> dict[str, Any]:
        """Send a transaction of one of `accounts`; its receipt. Raises DevChainError where it reverts."""
        sent = self.request("eth_sendTransaction", transaction)
        deadline = time.monotonic() + _START
        while time.monotonic() < deadline:
            receipt: dict[str, Any] | None = self.request("eth_getTransactionReceipt", sent)
            if receipt is not None:
                if receipt["status"] != "0x1":
                    raise DevChainError(f"the transaction {sent} reverted")
                return receipt
            time.sleep(_STEP)
        raise DevChainError(f"the transaction {sent} was not mined")

    def request(self, method: str, *parameters: object) -> Any:  # noqa: ANN401 - whatever the method answers
        """Ask by JSON-RPC. Raises DevChainError with the node's message."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        connection = HTTPConnection(self.rpc_url.removeprefix("http://"), timeout=_START)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/", json.dumps(body).encode(), headers)
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "error" in answer:
            raise DevChainError(f"{method}: {answer['error'].get('message')}")
        return answer["result"]


def main(arguments: list[str]) -> int:
    """Run a chain until it is interrupted; the exit code."""
    parser = argparse.ArgumentParser("python -m simulator.devchain", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: one that the system chooses")
    parser.add_argument("--block-time", type=int, help="seconds; a block per transaction without")
    chosen = parser.parse_args(arguments)
    options = ("--block-time", str(chosen.block_time)) if chosen.block_time else ()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with DevChain(options=options, port=chosen.port) as chain:
            sys.stdout.write(
                f"rpc {chain.rpc_url}\nchain-id {chain.chain_id}\ncontract {chain.contract}\n"
            )
            sys.stdout.flush()
            return chain.process.wait()
    except KeyboardInterrupt:
        return 0
    except (DevChainError, ToolsError) as error:
        tell(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
