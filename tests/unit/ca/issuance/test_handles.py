# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
from dataclasses import replace

from attestca_client.protocol import certificate_handle
from ca.issuance import handles
from ca.issuance.profile import MAX_BYTES
from ca.issuance.request import MAX_DEVICES, MAX_HANDLES, Device, Group, Register
from policies.registers import Register as Name
from tests.authority_lab import (
    Lab,
    digest,
    make_device,
    make_platform,
    make_request,
    make_switch,
    with_devices,
)

ISSUER = b"i" * 20
SERIAL = 0x41 << 120


def by_hand(kind: str, *value: bytes) -> tuple[str, bytes]:
    fields = (b"attestca/1 handle", kind.encode(), *value)
    framed = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    return kind, hashlib.sha256(framed).digest()


def test_the_table_row_by_row() -> None:
    request = make_request()
    expected = [
        by_hand("certificate", ISSUER, b"\x41" + bytes(15)),
        by_hand("key", hashlib.sha256(request.key.spki_der).digest()),
        *(by_hand("measurement", each.name.encode(), each.value) for each in request.registers),
        by_hand("measurement", b"release-7", digest("release-7")),
        by_hand("chip", digest("chip")),
        by_hand("product", b"fmspc:50806f000000"),
        by_hand("tcb", bytes(range(34))),
        by_hand("policy", digest("policy")),
        by_hand("issuer", ISSUER),
    ]
    assert list(handles.of_leaf(request, ISSUER, SERIAL)) == expected


def test_what_devices_add() -> None:
    request = make_request(**with_devices(make_device(0), make_device(1), make_switch()))
    alone = handles.of_leaf(replace(request, devices=()), ISSUER, SERIAL)
    rims = {
        "NV_GPU_DRIVER_GH100_580.178.04": "driver",
        "NV_GPU_VBIOS_1010_0200_882_96.00.CF.00.01": "vbios",
        "NV_SWITCH_BIOS_5612_0002_890_96.10.6D.00.01": "bios",
    }
    expected = {
        *(by_hand("chip", digest(board)) for board in ("board 0", "board 1", "switch 0")),
        by_hand("product", b"nvidia:GH100"),
        by_hand("product", b"nvidia:LS10"),
        by_hand("firmware", b"nvidia-driver:580.178.04"),
        by_hand("firmware", b"nvidia-vbios:96.00.CF.00.01"),
        by_hand("firmware", b"nvidia-vbios:96.10.6D.00.01"),
        *(
            by_hand("firmware", f"nvidia-rim:{rim_id}:{digest(document).hex()}".encode())
            for rim_id, document in rims.items()
        ),
    }
    found = handles.of_leaf(request, ISSUER, SERIAL)
    assert set(found) - set(alone) == expected
    assert set(alone) < set(found)
    assert len(set(found)) == len(found)


def test_there_is_room_for_sixteen_devices_that_share_nothing(lab: Lab) -> None:
    """Beside every register that SEV-SNP in Azure can pin, which is the most, and several reference groups."""
    registers = [name for name in Name if not name.startswith(("rtmr", "mr"))]
    request = make_request(
        registers=tuple(Register(name.value, digest(name)) for name in registers),
        groups=tuple(Group(f"set/{number}", digest(str(number))) for number in range(9)),
        **with_devices(*map(unlike_all_others, range(MAX_DEVICES))),
    )
    assert len(registers) == 28
    issued = lab.issue(request)
    assert len(issued.prepared.handles) == MAX_HANDLES
    assert len(issued.der) < MAX_BYTES * 3 / 4


def unlike_all_others(number: int) -> Device:
    identifiers = (f"nvidia-{what}:{number}" for what in ("driver", "vbios", "rim", "other rim"))
    return make_device(
        number,
        product=f"nvidia:{number % 4}",  # as many as there are families
        firmware=tuple(identifiers),
    )


def test_no_chip_where_the_policy_leaves_it_out() -> None:
    request = make_request(platform=make_platform(chip_ids=()))
    assert "chip" not in dict(handles.of_leaf(request, ISSUER, SERIAL))
    withheld = replace(request, **with_devices(make_device(chip_id=None)))
    assert "chip" not in dict(handles.of_leaf(withheld, ISSUER, SERIAL))


def test_repeats_are_one_handle() -> None:
    request = make_request()
    twice = replace(request, registers=(Register("mr_td", b"m" * 48),) * 2, groups=())
    kinds = [kind for kind, _ in handles.of_leaf(twice, ISSUER, SERIAL)]
    assert kinds.count("measurement") == 1


def test_a_serial_is_in_its_shortest_form() -> None:
    assert certificate_handle(ISSUER, 0x80) == by_hand("certificate", ISSUER, b"\x80")[1]
