# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
from dataclasses import replace

from attestca_client.protocol import certificate_handle
from ca.issuance import handles
from ca.issuance.request import Register
from tests.authority_lab import digest, make_platform, make_request

ISSUER = b"i" * 20
SERIAL = 0x41 << 120


def by_hand(kind: str, *value: bytes) -> tuple[str, bytes]:
    fields = (b"attestca/1 handle", kind.encode(), *value)
    framed = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    return kind, hashlib.sha256(framed).digest()


def test_the_table_row_by_row() -> None:
    request = make_request(platform=make_platform(firmware=("driver 590.1", "VBIOS 97")))
    expected = [
        by_hand("certificate", ISSUER, b"\x41" + bytes(15)),
        by_hand("key", hashlib.sha256(request.key.spki_der).digest()),
        *(by_hand("measurement", each.name.encode(), each.value) for each in request.registers),
        by_hand("measurement", b"release-7", digest("release-7")),
        by_hand("chip", digest("chip")),
        by_hand("product", b"fmspc:50806f000000"),
        by_hand("tcb", bytes(range(34))),
        by_hand("firmware", b"driver 590.1"),
        by_hand("firmware", b"VBIOS 97"),
        by_hand("policy", digest("policy")),
        by_hand("issuer", ISSUER),
    ]
    assert list(handles.of_leaf(request, ISSUER, SERIAL)) == expected


def test_no_chip_where_the_policy_leaves_it_out() -> None:
    request = make_request(platform=make_platform(chip_ids=()))
    assert "chip" not in dict(handles.of_leaf(request, ISSUER, SERIAL))


def test_repeats_are_one_handle() -> None:
    request = make_request()
    twice = replace(request, registers=(Register("mr_td", b"m" * 48),) * 2, groups=())
    kinds = [kind for kind, _ in handles.of_leaf(twice, ISSUER, SERIAL)]
    assert kinds.count("measurement") == 1


def test_a_serial_is_in_its_shortest_form() -> None:
    assert certificate_handle(ISSUER, 0x80) == by_hand("certificate", ISSUER, b"\x80")[1]
