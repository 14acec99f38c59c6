# SPDX-License-Identifier: Apache-2.0
"""The demo's chain: anvil with the registry, and the authority's namespace in it, made before the service starts.

The keys of its accounts are public and its coins worth nothing; the contract is the committed one, and the authority
does with it what it would do with any chain. The admin's key is on no machine of the authority's: the chain's node
signs for it, as a wallet does. Where Node.js or anvil cannot be had the demo goes on without a chain, and says so.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from eth_account import Account

from simulator.devchain import DevChain, DevChainError
from simulator.node import ToolsError
from simulator.stage import Stage, StageError

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

    from simulator.stage import Say
    from simulator.teller import Teller

THE_CHAIN: Final = "the chain"
_NOT_SHOWN: Final = (
    "  So it is not shown that the log is anchored, that a revocation becomes a transaction, and that the chain alone\n"
    "  tells of it. All else is."
)
_LONGEST: Final = 160  # characters of what npm has to say
# A block each second and for each transaction; the fourth before the newest is final.
_OPTIONS: Final = ("--slots-in-an-epoch", "2", "--block-time", "1", "--mixed-mining")
_PAYER, _ADMIN = 1, 2  # of the chain's accounts; the first one deploys
_PASSPHRASE: Final = "the coins are worth nothing"  # noqa: S105 - and their keys are public
_MANY: Final = {  # attesters, relying parties and auditors have one address here
    "ATTESTCA_LIMITS__REQUESTS_PER_MINUTE": "600",
    "ATTESTCA_LIMITS__BURST": "200",
}
_WAITS: Final = {  # for npm, where somebody watches: its own are minutes
    "npm_config_fetch_retries": "1",
    "npm_config_fetch_timeout": "60000",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the authority anchors."""

    chain: DevChain

    def settings(self, folder: Path) -> dict[str, str]:
        """The section [chain], as variables. Writes the payer's keystore into the folder."""
        keystore, passphrase = folder / "gas.json", folder / "gas.passphrase"
        secret = bytes.fromhex(self.chain.secrets[_PAYER].removeprefix("0x"))
        box = Account.encrypt(secret, _PASSPHRASE, kdf="pbkdf2", iterations=2)
        keystore.write_text(json.dumps(box), encoding="ascii")
        passphrase.touch(mode=0o600)
        passphrase.write_text(_PASSPHRASE, encoding="ascii")
        section = {
            "RPC": self.chain.rpc_url,
            "CHAIN_ID": str(self.chain.chain_id),
            "CONTRACT": self.chain.contract,
            "ADMIN": self.chain.accounts[_ADMIN],
            "GAS_KEYSTORE": str(keystore),
            "GAS_PASSPHRASE": f"file:{passphrase}",
            "POLL_SECONDS": "0.5",
        }
        return {f"ATTESTCA_CHAIN__{name}": value for name, value in section.items()}

    def register(self, stage: Stage) -> None:
        """Make the authority's namespace. Raises StageError, DevChainError."""
        config = ("--config", str(stage.config))
        stage.attestca("chain", "key", "--make", *config)
        typed = stage.attestca("chain", "register", *config)
        admin = self.chain.accounts[_ADMIN]
        signature = self.chain.request("eth_signTypedData_v4", admin, json.loads(typed))
        stage.attestca("chain", "register", "--signature", signature, *config)

    def receipt(self, transaction: str) -> dict[str, Any]:
        """Of a transaction that is in a block."""
        found: dict[str, Any] = self.chain.request("eth_getTransactionReceipt", transaction)
        return found

    def final_events(self, handle: str) -> list[dict[str, Any]]:
        """What the registry told of this handle (hexadecimal digits), in final blocks."""
        asked = {
            "address": self.chain.contract,
            "topics": [None, None, f"0x{handle}"],
            "fromBlock": "0x0",
            "toBlock": "finalized",
        }
        events: list[dict[str, Any]] = self.chain.request("eth_getLogs", asked)
        return events


def start_chain(stack: ExitStack, teller: Teller) -> Place | None:
    """A chain until the stack ends; None where its tools cannot be had. Raises StageError where it does not start."""
    teller.chapter("a chain on this machine, with the registry contract on it")
    teller.command("python -m simulator.devchain")
    for name, value in _WAITS.items():
        os.environ.setdefault(name, value)
    try:
        chain = stack.enter_context(DevChain(options=_OPTIONS, say=teller.line))
    except ToolsError as error:
        teller.leave_out(THE_CHAIN, " ".join(str(error).split())[:_LONGEST])
        teller.line(_NOT_SHOWN)
        return None
    except DevChainError as error:
        raise StageError(str(error)) from error
    teller.output(f"rpc {chain.rpc_url}\nchain-id {chain.chain_id}\ncontract {chain.contract}")
    return Place(chain)


def make_stage(folder: Path, place: Place | None, say: Say) -> Stage:
    """The authority, which anchors there by itself from its start on. Not entered yet."""
    settings = {} if place is None else place.settings(folder)
    return Stage(
        folder, say=say, overrides=_MANY | settings, prepare=lambda stage: _found(stage, place)
    )


def _found(stage: Stage, place: Place | None) -> None:
    """Before the service starts: the namespace, and the trust bundle that names it and the log's key."""
    if place is not None:
        try:
            place.register(stage)
        except DevChainError as error:
            raise StageError(str(error)) from error
    bundle = stage.folder / "trust.json"
    stage.attestca("trust", "sign", "-o", str(bundle), "--config", str(stage.config))
    stage.attestca("trust", "install", str(bundle), "--config", str(stage.config))
