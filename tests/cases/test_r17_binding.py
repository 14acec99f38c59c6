# SPDX-License-Identifier: Apache-2.0
"""R-17: changing any one input of the binding changes the binding: label, authority, profile, nonce, key, devices.

That the authority refuses evidence which carries another binding is shown where the evidence is verified.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestca_client import protocol


@dataclass(frozen=True)
class Inputs:
    ca_id: bytes = b"\x01" * 32
    profile: str = "default"
    nonce: bytes = b"\x02" * 32
    spki_der: bytes = b"\x03" * 91
    devices: tuple[tuple[str, bytes], ...] = (("gpu-report", b"a" * 40), ("gpu-report", b"b" * 40))

    def binding(self) -> bytes:
        return protocol.binding(
            ca_id=self.ca_id,
            profile=self.profile,
            nonce=self.nonce,
            spki_der=self.spki_der,
            attachments=[protocol.attachment(*device) for device in self.devices],
        )

    def gpu_nonce(self) -> bytes:
        return protocol.gpu_nonce(
            ca_id=self.ca_id, profile=self.profile, nonce=self.nonce, spki_der=self.spki_der
        )


GOOD = Inputs()
ONE_CHANGE = {
    "ca_id": replace(GOOD, ca_id=b"\x01" * 31 + b"\x00"),
    "profile": replace(GOOD, profile="Default"),
    "nonce": replace(GOOD, nonce=b"\x02" * 31 + b"\x03"),
    "nonce-longer": replace(GOOD, nonce=GOOD.nonce + b"\0"),
    "key": replace(GOOD, spki_der=b"\x03" * 90 + b"\x04"),
    "device-missing": replace(GOOD, devices=GOOD.devices[:1]),
    "device-added": replace(GOOD, devices=(*GOOD.devices, ("gpu-report", b"c" * 40))),
    "device-twice": replace(GOOD, devices=(*GOOD.devices, GOOD.devices[0])),
    "device-bytes": replace(GOOD, devices=(GOOD.devices[0], ("gpu-report", b"b" * 39 + b"c"))),
    "device-kind": replace(GOOD, devices=(GOOD.devices[0], ("nic-report", b"b" * 40))),
    "nonce-and-ca-swapped": replace(GOOD, ca_id=GOOD.nonce, nonce=GOOD.ca_id),
    "nonce-moved-into-key": replace(
        GOOD, nonce=GOOD.nonce[:-1], spki_der=GOOD.nonce[-1:] + GOOD.spki_der
    ),
}


@pytest.mark.parametrize("changed", ONE_CHANGE.values(), ids=ONE_CHANGE.keys())
def test_one_change_changes_the_binding(changed: Inputs) -> None:
    assert changed.binding() != GOOD.binding()


@pytest.mark.parametrize("name", ["ca_id", "profile", "nonce", "key", "nonce-and-ca-swapped"])
def test_one_change_changes_the_gpu_nonce(name: str) -> None:
    assert ONE_CHANGE[name].gpu_nonce() != GOOD.gpu_nonce()


def test_all_changes_differ_from_each_other() -> None:
    assert len({i.binding() for i in ONE_CHANGE.values()}) == len(ONE_CHANGE)


@pytest.mark.parametrize("label", list(protocol.Label))
def test_another_label_gives_another_binding(label: protocol.Label) -> None:
    fields = (GOOD.ca_id, GOOD.profile.encode(), GOOD.nonce, GOOD.spki_der)
    attachments = sorted(protocol.attachment(*device) for device in GOOD.devices)
    framed = hashlib.sha512(protocol.frame(label.encode(), *fields, *attachments)).digest()
    assert (framed == GOOD.binding()) == (label is protocol.Label.ENROLL)


def test_labels_never_change_and_none_is_another_ones() -> None:
    values = {label.name: str(label) for label in protocol.Label}
    assert (
        values
        | {
            "ENROLL": "attestca/1 enroll",
            "GPU": "attestca/1 gpu",
            "TPM": "attestca/1 tpm",
            "ATTACHMENT": "attestca/1 attachment",
            "HANDLE": "attestca/1 handle",
        }
        == values
    )
    assert len({str(label) for label in protocol.Label}) == len(protocol.Label.__members__)


@given(st.data())
def test_any_flipped_bit_changes_the_binding(data: st.DataObject) -> None:
    def flipped(value: bytes) -> bytes:
        bit = data.draw(st.integers(min_value=0, max_value=len(value) * 8 - 1))
        return bytes(b ^ (1 << bit % 8 if i == bit // 8 else 0) for i, b in enumerate(value))

    changed = data.draw(
        st.sampled_from(
            [
                replace(GOOD, ca_id=flipped(GOOD.ca_id)),
                replace(GOOD, nonce=flipped(GOOD.nonce)),
                replace(GOOD, spki_der=flipped(GOOD.spki_der)),
            ]
        )
    )
    assert changed.binding() != GOOD.binding()
