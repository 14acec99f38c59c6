# SPDX-License-Identifier: Apache-2.0
"""Lines 21 to 25: the certificates of a device."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from simulator.nvidia import devices as fake
from simulator.nvidia import rims
from simulator.nvidia.certificates import CA, DAY, NOW, SECOND, Terms
from simulator.nvidia.devices import ROOT, Device, certify
from simulator.nvidia.rims import CHAIN
from simulator.pki import pem
from tests import nvidia_devices as lab
from tests import nvidia_vectors as vectors
from tests.cases.nvidia.case import Case
from tests.nvidia_devices import Exhibit
from verifiers.anchors import builtin
from verifiers.errors import Reason
from verifiers.nvidia.device import authenticate
from verifiers.nvidia.rim import read_rim

if TYPE_CHECKING:
    from datetime import datetime

REFUSED, UNTRUSTED = Reason.CHAIN, Reason.UNTRUSTED_ROOT
PLAIN = Exhibit()
LEAF, DEVICE, PROVISIONER, IDENTITY, TOP = PLAIN.device.parties


def chained(*parties: object) -> object:
    """The verdict with exactly these certificates."""
    text = pem(*(one.der for one in parties)).encode()  # type: ignore[attr-defined]  # parties
    return PLAIN.but(chain_pem=text).verify().bound


def of(device: Device) -> object:
    return PLAIN.but(device=device).verify().bound


def real(file: str) -> object:
    """A real report with a part of its own chain."""
    vector = vectors.variant("h100-580.95.05-trailing-byte", f"negative/{file}")
    return authenticate(vector.devices[0], builtin(), None, vector.at)


def another_root(**changes: object) -> Device:
    return Device((*PLAIN.device.levels[:4], replace(ROOT, **changes)))  # type: ignore[arg-type]  # of a Level


LENGTHS = [
    Case(21, why, expect, partial(chained, *parties))
    for why, expect, parties in (
        ("all five", True, (LEAF, DEVICE, PROVISIONER, IDENTITY, TOP)),
        ("the root alone", REFUSED, (TOP,)),
        ("no leaf", REFUSED, (DEVICE, PROVISIONER, IDENTITY, TOP)),
        ("no device", REFUSED, (LEAF, PROVISIONER, IDENTITY, TOP)),
        ("no provisioner", REFUSED, (LEAF, DEVICE, IDENTITY, TOP)),
        ("no root", REFUSED, (LEAF, DEVICE, PROVISIONER, IDENTITY)),
        ("a certificate twice", REFUSED, (LEAF, DEVICE, DEVICE, PROVISIONER, IDENTITY, TOP)),
        ("one twice, another missing", REFUSED, (LEAF, DEVICE, DEVICE, IDENTITY, TOP)),
        ("another order", REFUSED, (LEAF, PROVISIONER, DEVICE, IDENTITY, TOP)),
        ("the root first", UNTRUSTED, (TOP, IDENTITY, PROVISIONER, DEVICE, LEAF)),
        (
            "a leaf of another board",
            REFUSED,
            (fake.device(1).parties[0], *PLAIN.device.parties[1:]),
        ),
    )
]
ROOTS = [
    Case(
        21,
        "a root of the same name",
        UNTRUSTED,
        partial(of, another_root(terms=replace(CA, key="stranger"))),
    ),
    Case(
        21, "another certificate of the root's key", UNTRUSTED, partial(of, another_root(number=9))
    ),
    *(
        Case(21, f"{file} of a real device", REFUSED, partial(real, file))
        for file in ("chain_case2.pem", "chain_case3.pem", "chain_case4.pem")
    ),
    Case(
        21,
        "text beside the certificates",
        REFUSED,
        lambda: PLAIN.but(chain_pem=b"x" + PLAIN.device.chain_pem).verify(),
    ),
]

AK_WITH_RIGHTS = certify(replace(PLAIN.device.levels[0], terms=CA), DEVICE)
MADE_UP = certify(replace(PLAIN.device.levels[0], number=3), AK_WITH_RIGHTS)
RIGHTS = [
    Case(
        22,
        "a device made up by a key of firmware",
        REFUSED,
        partial(chained, MADE_UP, AK_WITH_RIGHTS, DEVICE, PROVISIONER, IDENTITY, TOP),
    ),
    Case(
        22,
        "the same in five certificates",
        REFUSED,
        partial(chained, MADE_UP, AK_WITH_RIGHTS, PROVISIONER, IDENTITY, TOP),
    ),
    *(
        Case(22, why, REFUSED, partial(of, PLAIN.device.having(place, terms=terms)))
        for why, place, terms in (
            ("a leaf that is a CA", 0, CA),
            (
                "a leaf that may sign certificates",
                0,
                Terms(usage=("digital_signature", "key_cert_sign")),
            ),
            ("a leaf without digitalSignature", 0, Terms(usage=("key_agreement",))),
            (
                "a device that may sign anything",
                1,
                Terms(ca=True, usage=("digital_signature", "key_cert_sign")),
            ),
            ("a device that is no CA", 1, Terms(usage=("key_cert_sign",))),
            (
                "a provisioner that may not sign certificates",
                2,
                Terms(ca=True, usage=("crl_sign",)),
            ),
            ("an identity that allows no CA below", 3, replace(CA, path_length=0)),
        )
    ),
]


def mixed(place: int, name: str) -> object:
    return of(PLAIN.device.having(place, common_name=name))


FAMILIES = [
    Case(23, f"{name} in the place {place}", REFUSED, partial(mixed, place, name))
    for place, name in (
        (0, "GB100 A01 GSP FMC LF"),
        (0, "LS_10 A01 FSP FMC LF"),
        (1, "GB100 A01 GSP BROM"),
        (2, "NVIDIA LS_10 Provisioner ICA 1"),
        (2, "NVIDIA GB100 Provisioner ICA 00000"),
        (3, "NVIDIA GB100 Identity"),
        (3, "NVIDIA GB20X Identity"),
    )
]
UNKNOWN_FAMILIES = [
    Case(
        23,
        "a family that is not known here",
        Reason.PRODUCT_UNKNOWN,
        lambda: of(fake.device(chip="GR100", identity="GR1XX", extension=fake.tcb_info())),
    ),
    Case(
        23,
        "a switch is certified under the identity of GH100",
        "LS10",
        lambda: lab.a_switch().verify().family,
    ),
    Case(
        23,
        "a GB202 is certified under the identity of GB20X",
        Reason.INCOMPLETE,
        lambda: Exhibit(device=fake.workstation()).having({35: b"GB202\0"}).verify(),
    ),
]


def dated(place: int, at: datetime) -> object:
    device = PLAIN.device.on_terms(place, not_before=NOW - DAY, not_after=NOW + DAY)
    return PLAIN.but(device=device, at=at).verify().bound


DATES = [
    Case(24, f"place {place}, {why}", expect, partial(dated, place, at))
    for place in range(4)
    for why, at, expect in (
        ("its first second", NOW - DAY, True),
        ("its last second", NOW + DAY, True),
        ("a second earlier", NOW - DAY - SECOND, Reason.CERTIFICATE_NOT_YET_VALID),
        ("a second later", NOW + DAY + SECOND, Reason.CERTIFICATE_EXPIRED),
    )
]

SWAPPED_ROOTS = [
    Case(
        25,
        "a device chain that ends in the root of manifests",
        UNTRUSTED,
        partial(chained, LEAF, DEVICE, PROVISIONER, IDENTITY, CHAIN[-1]),
    ),
    Case(
        25,
        "the root of manifests pinned for devices",
        UNTRUSTED,
        lambda: PLAIN.but(anchors=lab.anchors_of(CHAIN[-1], TOP)).verify(),
    ),
    Case(
        25,
        "a manifest under the root of devices",
        Reason.RIM_SIGNATURE,
        lambda: read_rim(rims.DRIVER.xml, lab.anchors_of(TOP, TOP).nvidia.rim),  # type: ignore[union-attr]  # given
    ),
]

CASES = [*LENGTHS, *ROOTS, *RIGHTS, *FAMILIES, *UNKNOWN_FAMILIES, *DATES, *SWAPPED_ROOTS]
