# SPDX-License-Identifier: Apache-2.0
"""A fresh fake NVIDIA per test, and what asks its services. The RSA key is that of the process."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from simulator.nvidia.vendor import FakeNvidia

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.nvidia.hardware import NvidiaDevice

NOW = datetime(2026, 10, 25, 12, 30, 0, tzinfo=UTC)


@pytest.fixture
def nvidia() -> FakeNvidia:
    return FakeNvidia.create(NOW, seed=b"unit tests of the simulator")


@pytest.fixture
def ask() -> Callable[..., bytes]:
    """ask(nonce, *devices, **members) gives a request to the attestation service; members None are left out."""

    def request(nonce: bytes, /, *devices: NvidiaDevice, **members: Any) -> bytes:  # noqa: ANN401 - JSON
        right = {
            "nonce": nonce.hex(),
            "arch": devices[0].product.arch,
            "claims_version": "3.0",
            "evidence_list": [
                {
                    "evidence": base64.b64encode(one.report(nonce)).decode(),
                    "certificate": base64.b64encode(one.chain).decode(),
                }
                for one in devices
            ],
        }
        said = {name: value for name, value in (right | members).items() if value is not None}
        return json.dumps(said).encode()

    return request


@pytest.fixture
def claims() -> Callable[[str], dict[str, Any]]:
    """claims(token) gives what a token says; its signature is not looked at."""

    def read(token: str) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        return said

    return read
