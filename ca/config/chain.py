# SPDX-License-Identifier: Apache-2.0
"""The section [chain]: where the log is anchored. Without a contract nothing is."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    field_serializer,
    field_validator,
    model_validator,
)

from ca.config.fields import (
    Count,
    Passphrase,
    PassphraseSource,
    PathFromFile,
    Seconds,
    Section,
    list_of,
)

Urls = Annotated[tuple[SecretStr, ...], BeforeValidator(list_of)]
Address = Annotated[str, Field(pattern="^0x[0-9a-fA-F]{40}$")]
GWEI: Final = 10**9
_NEEDED: Final = ("rpc", "chain_id", "admin", "gas_keystore")


class Chain(Section):
    """The chain on which heads of the log are anchored; see docs/chain.md."""

    rpc: Urls | None = Field(
        default=None,
        description="Nodes (JSON-RPC). Two must say the same, so name three; of one alone everything is believed. Their"
        " URLs may hold keys: they are shown nowhere.",
        examples=[["https://node-1.example.org", "https://node-2.example.org"]],
    )
    chain_id: int | None = Field(
        default=None,
        ge=1,
        description="Of the chain: 56 BNB Smart Chain, 204 opBNB.",
        examples=[204],
    )
    contract: Address | None = Field(
        default=None,
        description="Address of the registry; `attestca chain deploy` makes one. Without it nothing is anchored.",
        examples=["0x0000000000000000000000000000000000000000"],
    )
    admin: Address | None = Field(
        default=None,
        description="Who registered the namespace, and signs what is above the caps: a key kept elsewhere.",
        examples=["0x0000000000000000000000000000000000000000"],
    )
    gas_keystore: PathFromFile | None = Field(
        default=None,
        description="Encrypted key (keystore, version 3) of the account that pays. It can do nothing else.",
        examples=["gas.json"],
    )
    gas_passphrase: Passphrase = Field(
        default=PassphraseSource("env", "ATTESTCA_GAS_PASSPHRASE"),
        description="Where its passphrase is: env:NAME, file:PATH or fd:NUMBER.",
    )
    heartbeat_minutes: float = Field(
        default=10, gt=0, le=24 * 60, description="The newest head is anchored at least so often."
    )
    max_fee_gwei: float = Field(
        default=5,
        gt=0,
        le=10_000,
        description="What a unit of gas may cost at most. Above it anchors wait.",
    )
    tombstones_per_transaction: Count = Field(
        default=200, le=500, description="More revocations follow in the next transaction."
    )
    poll_seconds: Seconds = Field(
        default=5, description="Between two looks at the chain while something is under way."
    )
    explorer: str | None = Field(
        default=None,
        description="Where people look at a transaction; {hash} stands for it.",
        examples=["https://opbnb.bscscan.com/tx/{hash}"],
    )

    @field_validator("rpc")
    @classmethod
    def _check_rpc(cls, urls: tuple[SecretStr, ...] | None) -> tuple[SecretStr, ...] | None:
        found = [url.get_secret_value() for url in urls or ()]
        if not all(
            re.fullmatch(r"https?://[^\s/?#]+[^\s#]*", url) and _has_host(url) for url in found
        ):
            raise ValueError("each must be http://… or https://…")
        if len(set(found)) < len(found):
            raise ValueError("one node named twice cannot contradict itself")
        return urls

    @field_validator("explorer")
    @classmethod
    def _check_explorer(cls, template: str | None) -> str | None:
        if template is not None and "{hash}" not in template:
            raise ValueError("must hold {hash}")
        return template

    @model_validator(mode="after")
    def _check_whole(self) -> Chain:
        missing = [name for name in _NEEDED if not getattr(self, name)]
        if self.contract is not None and missing:
            raise ValueError(f"with a contract, {', '.join(missing)} must be given too")
        return self

    @field_serializer("rpc")
    def _hide_urls(self, urls: tuple[SecretStr, ...] | None) -> list[str]:
        return [urlsplit(url.get_secret_value()).netloc.rpartition("@")[2] for url in urls or ()]

    @property
    def urls(self) -> tuple[str, ...]:
        """Of the nodes."""
        return tuple(url.get_secret_value() for url in self.rpc or ())

    @property
    def max_fee(self) -> int:
        """Wei."""
        return int(self.max_fee_gwei * GWEI)

    @property
    def heartbeat(self) -> timedelta:
        """See `ca.anchoring.Rules`."""
        return timedelta(minutes=self.heartbeat_minutes)


def _has_host(url: str) -> bool:
    try:
        return bool(urlsplit(url).hostname)
    except ValueError:
        return False
