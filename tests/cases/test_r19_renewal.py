# SPDX-License-Identifier: Apache-2.0
"""R-19, the client's side: a renewal is a new enrollment. Fresh nonce, fresh evidence, new key; the certificate
before is not shown, not named and not needed."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from attestca_client.enroll import enroll
from attestca_client.files import KeyDirectory
from tests.unit.client.fake_authority import (
    QUOTE_PREFIX,
    FakeAuthority,
    csr_key,
    fake_quote,
    serve,
    spki_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from attestca_client.wire import Evidence


def test_a_renewal_has_everything_new(tmp_path: Path) -> None:
    asked: list[bytes] = []

    def source(report_data: bytes) -> list[Evidence]:
        asked.append(report_data)
        return fake_quote(report_data)

    with serve(FakeAuthority()) as authority:
        for _ in range(3):
            enroll(authority.url, authority.root_pem, "default", source, tmp_path / "out")
    posts = authority.posts()
    bodies = [request.json() for request in posts]
    assert len({body["nonce"] for body in bodies}) == 3
    assert len({spki_of(csr_key(request)) for request in posts}) == 3
    assert len(set(asked)) == 3  # the platform was asked anew each time
    sent = [base64.b64decode(body["evidence"][0]["data"]) for body in bodies]
    assert sent == [QUOTE_PREFIX + report_data for report_data in asked]


def test_the_certificate_before_plays_no_part(tmp_path: Path) -> None:
    with serve(FakeAuthority()) as authority:
        first = enroll(
            authority.url, authority.root_pem, "default", fake_quote, tmp_path / "out"
        ).certificate
        before = KeyDirectory.open(tmp_path / "out").read()
        assert before is not None
        enroll(authority.url, authority.root_pem, "default", fake_quote, tmp_path / "out")
    second = authority.posts()[1]
    assert second.client_certificate is None  # no mutual TLS with the old one
    assert set(second.json()) == {"nonce", "profile", "csr", "evidence"}
    assert spki_of(csr_key(second)) != spki_of(before.key.public_key())
    assert f"{first.serial_number:x}".encode() not in second.body
    after = KeyDirectory.open(tmp_path / "out").read()
    assert after is not None
    assert after.key.private_numbers() != before.key.private_numbers()
