# SPDX-License-Identifier: Apache-2.0
"""Exhibits: what a verdict on devices of the fake NVIDIA depends on, as the verifiers take it.

All of it is made by `simulator.nvidia`; here is what hands it to what is tested.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from asn1crypto import ocsp as asn1_ocsp
from cryptography import x509

from simulator.nvidia.answers import answers, wrapped
from simulator.nvidia.certificates import NOW, Party
from simulator.nvidia.devices import ROOT, Device, certify, device, switch
from simulator.nvidia.reports import GPU, NONCE, SWITCH, Written
from simulator.nvidia.rims import CHAIN, DRIVER, RIM_ROOT, SWITCH_BIOS, VBIOS, Manifest, document
from tests.tdx_lab import Lab
from verifiers.anchors import Anchor, Anchors, NvidiaRoots
from verifiers.certificate import EXTENDED_KEY_USAGE, P384, Certificate, parse_certificate
from verifiers.nvidia.endorsements import NvidiaEndorsements
from verifiers.nvidia.evidence import NvidiaEvidence
from verifiers.nvidia.system import verify_set
from verifiers.nvidia.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric import ec

    from simulator.nvidia.devices import Level
    from verifiers.nvidia.claims import NvidiaClaims, NvidiaSetClaims

ANCHOR = Anchor.from_der(RIM_ROOT.der, P384)


def parsed(one: Party) -> Certificate:
    """A certificate as the verifiers read it."""
    return parse_certificate(one.der, P384, understood=frozenset({EXTENDED_KEY_USAGE}))


def unchanged(_: Any) -> None:  # noqa: ANN401 - asn1crypto has no types
    """The part of an answer that is signed, as it is."""


def resigned(
    data: bytes, by: ec.EllipticCurvePrivateKey, change: Callable[[Any], None] = unchanged
) -> bytes:
    """An answer whose signed part was changed (as asn1crypto reads it), under a new signature of any key."""
    basic = asn1_ocsp.OCSPResponse.load(data)["response_bytes"]["response"].parsed
    change(basic["tbs_response_data"])
    signed: bytes = basic["tbs_response_data"].dump(force=True)
    certificates = [x509.load_der_x509_certificate(one.dump()) for one in basic["certs"]]
    return wrapped(signed, by, certificates)


def anchors(root: Level = ROOT, rim_root: Party = CHAIN[-1]) -> Anchors:
    """The two roots of the fake NVIDIA as the only ones that count."""
    return anchors_of(certify(root, None), rim_root)


def anchors_of(device_root: Party, rim_root: Party) -> Anchors:
    """Any two certificates as the roots of devices and of manifests."""
    roots = NvidiaRoots.from_ders(device_root.der, rim_root.der)
    return Anchors(_intel(), nvidia=roots)


@lru_cache(maxsize=1)
def _intel() -> Anchor:
    return Anchor.from_der(Lab.create().intel.root_der)


@dataclass(frozen=True)
class Exhibit:
    """All that a verdict on one device depends on.

    Attributes:
        written: the report before it is signed. report, chain_pem: instead of what is made of it and of the device.
        nonce: that was asked for.
    """

    device: Device = field(default_factory=device)
    written: Written = GPU
    report: bytes | None = None
    chain_pem: bytes | None = None
    rims: tuple[Manifest | bytes, ...] = (DRIVER, VBIOS)
    ocsp: tuple[bytes, ...] = ()
    nonce: bytes | None = NONCE
    at: datetime = NOW
    anchors: Anchors = field(default_factory=anchors)

    def but(self, **changes: Any) -> Exhibit:  # noqa: ANN401 - of its own fields
        return replace(self, **changes)

    def having(self, fields: dict[int, bytes | None]) -> Exhibit:
        """The same with these opaque fields, signed; None takes one away."""
        return self.but(written=self.written.having(fields))

    def answered(self) -> Exhibit:
        """The same with GOOD answers about everything."""
        chains = (self.device.parties[1:], CHAIN)
        return self.but(ocsp=tuple(one.der for chain in chains for one in answers(chain)))

    @property
    def evidence(self) -> NvidiaEvidence:
        report = self.device.sign(self.written) if self.report is None else self.report
        return NvidiaEvidence(
            report, self.device.chain_pem if self.chain_pem is None else self.chain_pem
        )

    @property
    def endorsements(self) -> NvidiaEndorsements:
        documents = tuple(one if isinstance(one, bytes) else document(one) for one in self.rims)
        return NvidiaEndorsements(documents, self.ocsp)

    def verify(self) -> NvidiaClaims:
        return verify(self.evidence, self.endorsements, self.anchors, self.nonce, self.at)


def a_switch(number: int = 0) -> Exhibit:
    one = switch(number)
    written = SWITCH.having({22: one.pdi})
    return Exhibit(device=one, written=written, rims=(SWITCH_BIOS,))


@dataclass(frozen=True)
class System:
    """Devices of one machine."""

    exhibits: tuple[Exhibit, ...]
    nonce: bytes | None = NONCE

    def verify(self) -> NvidiaSetClaims:
        rims = {document_ for one in self.exhibits for document_ in one.endorsements.rims}
        return verify_set(
            [one.evidence for one in self.exhibits],
            NvidiaEndorsements(tuple(sorted(rims))),
            anchors(),
            self.nonce,
            NOW,
        )

    def having(self, place: int, exhibit: Exhibit) -> System:
        exhibits = list(self.exhibits)
        exhibits[place] = exhibit
        return replace(self, exhibits=tuple(exhibits))

    def without(self, *places: int) -> System:
        kept = tuple(one for place, one in enumerate(self.exhibits) if place not in places)
        return replace(self, exhibits=kept)


def ppcie() -> System:
    """Eight GPUs and four switches, each naming the others."""
    gpus, switches = [device(n) for n in range(8)], [switch(n) for n in range(4)]
    behind_links = [switches[link % 4].pdi[::-1] for link in range(18)]
    gpu = GPU.having({21: b"\xaa", 22: b"".join(behind_links), 34: b"\1\0", 36: b"\2\0"})
    listed = b"".join(one.pdi for one in gpus) + bytes(64)
    return System(
        (
            *(Exhibit(device=one, written=gpu) for one in gpus),
            *(
                Exhibit(
                    device=one,
                    written=SWITCH.having({22: one.pdi, 26: listed}),
                    rims=(SWITCH_BIOS,),
                )
                for one in switches
            ),
        )
    )
