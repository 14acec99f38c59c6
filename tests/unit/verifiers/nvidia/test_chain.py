# SPDX-License-Identifier: Apache-2.0
"""Device chains: exactly five to the very root, one family, no key with more rights than it needs, FWID by its DER."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulator import der
from simulator.nvidia import devices as fake
from simulator.nvidia.certificates import CA, Terms
from simulator.nvidia.devices import ROOT, Device, Level, certify
from simulator.nvidia.rims import CHAIN
from simulator.pki import pem
from verifiers.anchors import Anchor
from verifiers.certificate import P384
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.chain import MAX_CHAIN_BYTES, DeviceChain, verify_device_chain
from verifiers.nvidia.claims import DeviceKind, Family
from verifiers.nvidia.report import Shape

CHAIN_REASON, UNKNOWN = Reason.CHAIN, Reason.PRODUCT_UNKNOWN
ANCHOR = Anchor.from_der(certify(ROOT, None).der, P384)
HOPPER = fake.device()


def verified(device: Device) -> DeviceChain:
    return verify_device_chain(device.chain_pem, ANCHOR)


def refusal(device: Device | bytes) -> Reason:
    text = device if isinstance(device, bytes) else device.chain_pem
    with pytest.raises(VerificationError) as caught:
        verify_device_chain(text, ANCHOR)
    return caught.value.reason


@pytest.mark.parametrize(
    ("device", "family", "shape", "kind"),
    [
        (fake.device(), Family.GH100, Shape.GPU, DeviceKind.GPU),
        (fake.blackwell(), Family.GB100, Shape.GPU, DeviceKind.GPU),
        (fake.fsp(), Family.GB100, Shape.FSP, DeviceKind.GPU),
        (fake.workstation(), Family.GB202, Shape.GPU, DeviceKind.GPU),
        (fake.switch(), Family.LS10, Shape.SWITCH, DeviceKind.SWITCH),
    ],
    ids=["GH100", "GB100", "FSP", "GB202", "LS10"],
)
def test_families(device: Device, family: Family, shape: Shape, kind: DeviceKind) -> None:
    chain = verified(device)
    assert (chain.family, chain.shape, chain.family.kind) == (family, shape, kind)
    assert [one.der for one in chain.certificates] == [party.der for party in device.parties]
    assert chain.leaf == chain.certificates[0]
    assert chain.model == device.levels[1].common_name
    assert (chain.serial, chain.pdi) == (device.levels[1].serial_name, device.pdi)
    assert (chain.fwid, len(chain.pdi)) == (fake.FWID, 8)


def blocks(*places: int) -> bytes:
    return pem(*(HOPPER.parties[place].der for place in places)).encode()


@pytest.mark.parametrize(
    "places",
    [(4,), (0, 1, 3, 4), (1, 2, 3, 4), (0, 1, 2, 3), (0, 1, 2, 3, 4, 4), (0, 0, 1, 2, 3, 4)],
    ids=str,
)
def test_not_five(places: tuple[int, ...]) -> None:
    assert refusal(blocks(*places)) is CHAIN_REASON


@pytest.mark.parametrize(
    "places", [(1, 0, 2, 3, 4), (0, 2, 1, 3, 4), (0, 0, 2, 3, 4), (0, 1, 1, 3, 4), (1, 1, 2, 3, 4)]
)
def test_out_of_order(places: tuple[int, ...]) -> None:
    assert refusal(blocks(*places)) is CHAIN_REASON


def test_no_certificates() -> None:
    assert refusal(b"") is CHAIN_REASON
    assert refusal(HOPPER.chain_pem + b"x") is CHAIN_REASON
    assert refusal(pem(*[b"0\0"] * 4, ANCHOR.certificate.der).encode()) is CHAIN_REASON


def test_the_size_is_bounded() -> None:
    text = HOPPER.chain_pem
    padded = text + b"\n" * (MAX_CHAIN_BYTES - len(text))
    assert verify_device_chain(padded, ANCHOR).serial == HOPPER.levels[1].serial_name
    assert refusal(padded + b"\n") is Reason.TOO_LARGE


def test_a_key_of_firmware_certifies_nothing() -> None:
    """L4 limits no path: were the number of certificates free, an AK with the right to sign could make devices."""
    parties = HOPPER.parties
    ak = certify(replace(HOPPER.levels[0], terms=CA), parties[1])
    child = certify(replace(HOPPER.levels[0], number=7), ak)
    longer = pem(child.der, ak.der, *(party.der for party in parties[1:])).encode()
    assert refusal(longer) is CHAIN_REASON
    instead = pem(child.der, ak.der, *(party.der for party in parties[2:])).encode()
    assert refusal(instead) is CHAIN_REASON


@pytest.mark.parametrize(
    "root",
    [
        replace(ROOT, terms=replace(CA, key="another")),  # the name alone
        replace(ROOT, number=77),  # the name and the key
    ],
    ids=["another key", "another certificate of the key"],
)
def test_another_root(root: Level) -> None:
    device = Device((*HOPPER.levels[:4], root))
    assert refusal(device) is Reason.UNTRUSTED_ROOT


def test_the_root_of_manifests_is_no_root_of_devices() -> None:
    rim = CHAIN[-1]
    assert refusal(pem(*(one.der for one in HOPPER.parties[:4]), rim.der).encode()) is (
        Reason.UNTRUSTED_ROOT
    )
    with pytest.raises(VerificationError) as caught:
        verify_device_chain(HOPPER.chain_pem, Anchor.from_der(rim.der, P384))
    assert caught.value.reason is Reason.UNTRUSTED_ROOT


@pytest.mark.parametrize("place", range(4))
def test_signed_by_another(place: int) -> None:
    assert refusal(HOPPER.having(place, signer="a stranger")) is CHAIN_REASON


@pytest.mark.parametrize("place", range(4))
def test_issued_by_another(place: int) -> None:
    assert refusal(HOPPER.having(place, issuer="Somebody Else")) is CHAIN_REASON


@pytest.mark.parametrize("place", [1, 2, 3])
def test_who_may_not_issue(place: int) -> None:
    assert refusal(HOPPER.on_terms(place, usage=("crl_sign",))) is CHAIN_REASON
    assert refusal(HOPPER.on_terms(place, ca=False)) is CHAIN_REASON


@pytest.mark.parametrize(("place", "least"), [(1, 0), (2, 1), (3, 2)])
def test_path_lengths(place: int, least: int) -> None:
    assert verified(HOPPER.on_terms(place, path_length=least)).family is Family.GH100
    for length in range(least):
        assert refusal(HOPPER.on_terms(place, path_length=length)) is CHAIN_REASON


@pytest.mark.parametrize(
    ("place", "terms"),
    [
        (0, Terms(usage=("digital_signature", "key_cert_sign"))),
        (0, Terms(usage=("key_agreement",))),
        (0, Terms(usage=("digital_signature", "content_commitment"))),
        (0, Terms(ca=True)),
        (1, Terms(ca=True, usage=("key_cert_sign", "digital_signature"))),
        (1, Terms(ca=True, usage=("key_cert_sign", "crl_sign"))),
    ],
)
def test_other_uses(place: int, terms: Terms) -> None:
    assert refusal(HOPPER.having(place, terms=terms)) is CHAIN_REASON


@pytest.mark.parametrize(
    ("place", "name", "reason"),
    [
        (0, "GB100 A01 GSP FMC LF", CHAIN_REASON),
        (0, "GH100 A02 GSP FMC LF", CHAIN_REASON),
        (0, "GH100 A01 GSP FMC", CHAIN_REASON),
        (0, "GH100 A01 GSP BROM", CHAIN_REASON),
        (1, "GH100 A01 GSP", CHAIN_REASON),
        (1, "GH100 GSP BROM", CHAIN_REASON),
        (2, "NVIDIA LS_10 Provisioner ICA 1", CHAIN_REASON),
        (2, "NVIDIA GB100 Provisioner ICA 00000", CHAIN_REASON),
        (2, "NVIDIA GH100 Provisioner ICA", CHAIN_REASON),
        (2, "NVIDIA GH100 Identity", CHAIN_REASON),
        (3, "NVIDIA GB100 Identity", CHAIN_REASON),
        (3, "NVIDIA GH100 Provisioner ICA 1", CHAIN_REASON),
    ],
)
def test_names(place: int, name: str, reason: Reason) -> None:
    assert refusal(HOPPER.having(place, common_name=name)) is reason


@pytest.mark.parametrize(
    "device",
    [
        fake.device(chip="LS_10", engine="FSP"),  # a switch is certified under Hopper's identity
        fake.device(chip="GB20X", extension=fake.tcb_info()),
        fake.device(chip="GB100", identity="GB20X", extension=fake.tcb_info()),
    ],
    ids=["LS10", "GB20X", "GB100"],
)
def test_names_of_other_families(device: Device) -> None:
    assert refusal(device) is CHAIN_REASON


@pytest.mark.parametrize(
    "device",
    [
        fake.device(chip="GR100", identity="GR1XX", extension=fake.tcb_info()),
        fake.device(engine="FSP"),
        fake.device(chip="LS_10", engine="GSP", identity="GH100"),
        fake.device(chip="GB20X", engine="FSP", provisioner="GB202", extension=fake.tcb_info()),
    ],
    ids=["GR100", "FSP of Hopper", "GSP of a switch", "FSP of GB202"],
)
def test_unknown_families(device: Device) -> None:
    assert refusal(device) is UNKNOWN


@pytest.mark.parametrize(
    "serial", [None, "41", "41" + "0" * 15, "41" + "0" * 17, "41" + "g" * 16, "41" + "a" * 16]
)
def test_serial_numbers(serial: str | None) -> None:
    assert refusal(HOPPER.having(1, serial_name=serial)) is CHAIN_REASON


OTHER_HASH = "2.16.840.1.101.3.4.2.1"


@pytest.mark.parametrize(
    "extensions",
    [
        (),
        (fake.composite_device_id(), fake.tcb_info()),
        ((fake.COMPOSITE_DEVICE_ID, b""),),
        ((fake.COMPOSITE_DEVICE_ID, fake.FWID),),
        ((fake.COMPOSITE_DEVICE_ID, der.sequence()),),
        (fake.composite_device_id(version=2),),
        (fake.composite_device_id(fake.fwid(), fake.fwid()),),
        (fake.composite_device_id(der.octet_string(fake.FWID)),),
        (fake.composite_device_id(fake.fwid(fake.FWID[:47])),),
        (fake.composite_device_id(fake.fwid(algorithm=OTHER_HASH)),),
        (fake.composite_device_id(der.sequence(der.octet_string(fake.FWID))),),
        (fake.composite_device_id(fake.fwid() + b"\0"),),
        (fake.tcb_info(b""),),
        (fake.tcb_info(der.octet_string(fake.FWID)),),
        (fake.tcb_info(fake.fwid(fake.FWID * 2)),),
        (fake.tcb_info(fake.fwid(algorithm=OTHER_HASH)),),
        ((fake.DICE_TCB_INFO, der.sequence(der.implicit(0, b"NVIDIA"))),),
        ((fake.DICE_TCB_INFO, der.sequence(*[der.tlv(0xA6, fake.fwid())] * 2)),),
        ((fake.DICE_TCB_INFO, der.sequence(der.tlv(0xA6, b""))),),
    ],
)
def test_no_firmware_id(extensions: tuple[tuple[str, bytes], ...]) -> None:
    assert refusal(HOPPER.having(0, extensions=extensions)) is CHAIN_REASON


def test_the_first_firmware_id_counts() -> None:
    device = HOPPER.having(0, extensions=(fake.tcb_info(fake.fwid(b"1" * 48), fake.fwid()),))
    assert verified(device).fwid == b"1" * 48
