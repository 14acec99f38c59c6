# SPDX-License-Identifier: Apache-2.0
"""R-18, the client's side: TLS session resumption never skips a check, because no session is ever resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from attestca_client.enroll import enroll
from attestca_client.errors import Untrusted
from attestca_client.transport import Address, Transport
from tests.unit.client.fake_authority import FakeAuthority, Pki, fake_quote, serve

if TYPE_CHECKING:
    from pathlib import Path


def test_every_exchange_is_a_full_handshake(tmp_path: Path) -> None:
    with serve(FakeAuthority()) as authority:
        for _ in range(3):
            enroll(authority.url, authority.root_pem, "default", fake_quote, tmp_path / "out")
    assert len(authority.seen) == 6
    assert not any(request.session_reused for request in authority.seen)


def test_a_good_exchange_before_does_not_help_under_another_pin() -> None:
    with serve(FakeAuthority()) as authority:
        address = Address.parse(authority.url)
        assert Transport(address, authority.pki.root).get("/v1/nonce").status == 200
        with pytest.raises(Untrusted):
            Transport(address, Pki().root).get("/v1/nonce")
    assert len(authority.seen) == 1
