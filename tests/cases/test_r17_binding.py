# SPDX-License-Identifier: Apache-2.0
"""R-17: changing any one input of the binding changes the binding: label, authority, profile, nonce, key, devices.

The order of the devices changes nothing. Devices that were asked for another enrollment are refused, and so is a CPU's
evidence that covers other devices than came, or other bytes of them. That the service asks its verifiers so is shown by
whole enrollments elsewhere.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestca_client import protocol
from simulator.nvidia.certificates import NOW as MADE_AT
from simulator.nvidia.devices import device
from simulator.nvidia.reports import GPU
from tests.nvidia_devices import anchors
from tests.tdx_lab import Lab
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.device import authenticate
from verifiers.nvidia.evidence import NvidiaEvidence, piece

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Inputs:
    ca_id: bytes = b"\x01" * 32
    profile: str = "default"
    nonce: bytes = b"\x02" * 32
    spki_der: bytes = b"\x03" * 91
    devices: tuple[tuple[str, bytes], ...] = (
        ("nvidia-device", b"a" * 40),
        ("nvidia-device", b"b" * 40),
    )

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
    "device-added": replace(GOOD, devices=(*GOOD.devices, ("nvidia-device", b"c" * 40))),
    "device-twice": replace(GOOD, devices=(*GOOD.devices, GOOD.devices[0])),
    "device-bytes": replace(GOOD, devices=(GOOD.devices[0], ("nvidia-device", b"b" * 39 + b"c"))),
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
            "INSPECT": "attestca/1 inspect",
        }
        == values
    )
    assert len({str(label) for label in protocol.Label}) == len(protocol.Label.__members__)


@given(st.permutations([b"a", b"b", b"c", b"d"]))
def test_the_order_of_devices_changes_nothing(order: list[bytes]) -> None:
    devices = tuple(("nvidia-device", data) for data in order)
    first = tuple(sorted(devices))
    assert replace(GOOD, devices=devices).binding() == replace(GOOD, devices=first).binding()


@given(st.binary(max_size=200))
def test_no_nonce_to_inspect_gives_a_value_of_an_enrollment(nonce: bytes) -> None:
    """Even one that is the whole frame of an enrollment, for it is framed itself."""
    fields = (GOOD.ca_id, GOOD.profile.encode(), GOOD.nonce, GOOD.spki_der)
    enroll = protocol.frame(protocol.Label.ENROLL.encode(), *fields)
    gpu = protocol.frame(protocol.Label.GPU.encode(), *fields)
    values = {replace(GOOD, devices=()).binding(), GOOD.gpu_nonce(), nonce}
    values |= {hashlib.sha512(enroll).digest(), hashlib.sha256(gpu).digest()}
    for one in (nonce, enroll, gpu, GOOD.binding(), GOOD.gpu_nonce()):
        assert protocol.inspect_report_data(one) not in values
        assert protocol.inspect_gpu_nonce(one) not in values


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


# What the verifiers say of evidence that was made for something else: a simulated TDX machine with GPUs.

LAB = Lab.create()
Sent = tuple[NvidiaEvidence, ...]


def gpus(inputs: Inputs, *numbers: int) -> Sent:
    """Evidence of these GPUs, made for the enrollment that `inputs` tell of."""
    written = GPU.but(request=bytes.fromhex("11e001ff") + inputs.gpu_nonce() + b"\0")
    boards = [device(number) for number in numbers]
    return tuple(NvidiaEvidence(board.sign(written), board.chain_pem) for board in boards)


def having(inputs: Inputs, devices: Sent) -> Inputs:
    return replace(inputs, devices=tuple(("nvidia-device", piece(one)) for one in devices))


def quote(inputs: Inputs, devices: Sent) -> bytes:
    """The CPU's evidence over all of it."""
    return LAB.platform.quote(report_data=having(inputs, devices).binding())


def refusals(cpu: bytes, devices: Sent, inputs: Inputs = GOOD) -> tuple[Reason | None, ...]:
    """What is said of the CPU's evidence, then of each device, of a request of `inputs` that brings these."""
    exhibit = replace(LAB.exhibit(), quote=cpu, binding=having(inputs, devices).binding())
    checks: list[Callable[[], object]] = [exhibit.verify]
    checks += [
        partial(authenticate, one, anchors(), inputs.gpu_nonce(), MADE_AT) for one in devices
    ]
    return tuple(map(refusal, checks))


def refusal(check: Callable[[], object]) -> Reason | None:
    try:
        check()
    except VerificationError as error:
        return error.reason
    return None


MISMATCH = Reason.BINDING_MISMATCH
TWO = gpus(GOOD, 0, 1)
ANOTHER_KEY = ONE_CHANGE["key"]


@pytest.mark.parametrize("devices", [(), TWO[:1], TWO], ids=len)
def test_evidence_for_this_enrollment_is_accepted(devices: Sent) -> None:
    assert set(refusals(quote(GOOD, devices), devices)) == {None}


def test_devices_in_another_order_are_the_same_devices() -> None:
    assert refusals(quote(GOOD, TWO), TWO[::-1]) == (None, None, None)


@pytest.mark.parametrize(
    "sent",
    [(), TWO[:1], (*TWO, *gpus(GOOD, 2)), (TWO[0], TWO[0]), (TWO[0], *gpus(GOOD, 2))],
    ids=["none", "one-less", "one-more", "one-twice", "another"],
)
def test_other_devices_than_the_quote_covers(sent: Sent) -> None:
    """Each of them genuine, and made for this very enrollment."""
    cpu, *devices = refusals(quote(GOOD, TWO), sent)
    assert cpu is MISMATCH
    assert devices == [None] * len(sent)


def test_a_byte_of_a_chain_that_no_signature_covers_is_covered_by_the_quote() -> None:
    changed = (replace(TWO[0], chain_pem=TWO[0].chain_pem + b"\n"), TWO[1])
    assert refusals(quote(GOOD, TWO), changed) == (MISMATCH, None, None)


@pytest.mark.parametrize("name", ["ca_id", "profile", "nonce", "key"])
def test_devices_for_another_enrollment(name: str) -> None:
    """Even where the CPU's evidence covers them, as a machine's would that was handed them."""
    recorded = gpus(ONE_CHANGE[name], 0, 1)
    assert refusals(quote(GOOD, recorded), recorded) == (None, MISMATCH, MISMATCH)


def test_one_device_of_several_for_another_key() -> None:
    mixed = (TWO[0], *gpus(ANOTHER_KEY, 1))
    assert refusals(quote(GOOD, mixed), mixed) == (None, None, MISMATCH)


def test_a_whole_set_for_another_key() -> None:
    sent = gpus(ANOTHER_KEY, 0, 1)
    assert refusals(quote(ANOTHER_KEY, sent), sent) == (MISMATCH, MISMATCH, MISMATCH)


def test_a_set_that_was_made_to_be_looked_at() -> None:
    nonce = protocol.gpu_nonce(
        ca_id=GOOD.ca_id, profile=GOOD.profile, nonce=GOOD.nonce, spki_der=GOOD.spki_der
    )
    written = GPU.but(request=bytes.fromhex("11e001ff") + protocol.inspect_gpu_nonce(nonce) + b"\0")
    board = device()
    sent = (NvidiaEvidence(board.sign(written), board.chain_pem),)
    cpu = LAB.platform.quote(report_data=protocol.inspect_report_data(having(GOOD, sent).binding()))
    assert refusals(cpu, sent) == (MISMATCH, MISMATCH)


def test_a_genuine_device_elsewhere_that_is_asked_live_is_accepted() -> None:
    """What no binding can see: that the GPU is another machine's. It is why certificates name the binding's level."""
    relayed = gpus(GOOD, 77)
    assert refusals(quote(GOOD, relayed), relayed) == (None, None)
