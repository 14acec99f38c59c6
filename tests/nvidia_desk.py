# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's services within the process: what a verifier asks is answered out of the fake NVIDIA's hand, and noted.

Requests are read by the library, not by what wrote them; HTTP servers of the same are in `simulator.nvidia`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from cryptography.x509 import ocsp

from simulator.nvidia.answers import Answer, responder
from simulator.nvidia.certificates import NOW
from simulator.nvidia.rims import CHAIN, DRIVER, SWITCH_BIOS, VBIOS, Manifest, document, envelope
from tests.nvidia_devices import Exhibit, System, anchors
from verifiers.endorsements import Response
from verifiers.nvidia.claims import AppraisedBy
from verifiers.nvidia.endorsements import NvidiaEndorsements, NvidiaSource
from verifiers.nvidia.gather import gather
from verifiers.nvidia.system import DeviceSet, authenticate_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from simulator.nvidia.certificates import Party
    from verifiers.endorsements import Fetch, Gather

T = TypeVar("T")

SOURCE = NvidiaSource("https://rim.test", "https://ocsp.test/ocsp", "https://nras.test")
DRIVER_ID = "NV_GPU_DRIVER_GH100_550.90.07"
VBIOS_ID = "NV_GPU_VBIOS_1010_0200_882_96009F0001"
SWITCH_ID = "NV_SWITCH_BIOS_5612_0002_890_9610550001"
RIMS: dict[str, Manifest] = {DRIVER_ID: DRIVER, VBIOS_ID: VBIOS, SWITCH_ID: SWITCH_BIOS}
JWKS = b'{"keys": []}'


def wrapped(rim_id: str, one: Manifest | bytes) -> bytes:
    """What the RIM service answers to this name."""
    xml = one if isinstance(one, bytes) else document(one)
    return envelope(xml, id=rim_id)


@dataclass
class Desk:
    """Answers questions.

    Attributes:
        chains: whose certificates may be asked about.
        rims: by name; what is not here is not found.
        changed: makes another of the last answer to a part in each round.
        rounds: what was asked, round after round.
    """

    chains: tuple[tuple[Party, ...], ...]
    rims: dict[str, bytes] = field(
        default_factory=lambda: {name: wrapped(name, one) for name, one in RIMS.items()}
    )
    changed: dict[str, Callable[[Response], Response]] = field(default_factory=dict)
    rounds: list[tuple[Fetch, ...]] = field(default_factory=list)

    @classmethod
    def of(cls, exhibits: Iterable[Exhibit]) -> Desk:
        return cls((*(one.device.parties[1:] for one in exhibits), CHAIN))

    @property
    def asked(self) -> list[Fetch]:
        return [fetch for asked in self.rounds for fetch in asked]

    @property
    def parts(self) -> list[str]:
        return [fetch.part for fetch in self.asked]

    def run(self, gathering: Gather[T]) -> T:
        """What a verifier returns that is given these answers."""
        try:
            wanted = next(gathering)
            while True:
                self.rounds.append(wanted)
                wanted = gathering.send(self._round(wanted))
        except StopIteration as end:
            value: T = end.value
            return value

    def _round(self, wanted: tuple[Fetch, ...]) -> tuple[Response, ...]:
        """The last of a part that is to be changed is."""
        answers = [self.answer(fetch) for fetch in wanted]
        for place, fetch in enumerate(wanted):
            if fetch.part not in [later.part for later in wanted[place + 1 :]]:
                answers[place] = self.changed.get(fetch.part, _same)(answers[place])
        return tuple(answers)

    def answer(self, fetch: Fetch) -> Response:
        """What NVIDIA answers to one question."""
        if fetch.part == "rim":
            name = fetch.url.removeprefix(f"{SOURCE.rim_base_url}/v1/rim/")
            return _ok(self.rims[name]) if name in self.rims else Response(404, b"", {})
        if fetch.part == "nras-jwks":
            return _ok(JWKS)
        assert fetch.question is not None
        if fetch.url == SOURCE.ocsp_url:
            return _ok(self.about(fetch.question.body).der)
        return _ok(b"tokens for " + hashlib.sha256(fetch.question.body).hexdigest().encode())

    def about(self, question: bytes) -> Answer:
        """The answer to a DER request."""
        asked = ocsp.load_der_ocsp_request(question)
        for chain in self.chains:
            for one, issuer in pairwise(chain):
                name = hashlib.sha384(issuer.certificate.subject.public_bytes()).digest()
                if (asked.serial_number, asked.issuer_name_hash) == (
                    one.certificate.serial_number,
                    name,
                ):
                    return Answer(one, issuer, responder(issuer))
        raise AssertionError("asked about a certificate of nobody")


def found(system: System) -> DeviceSet:
    """The devices of a system, authentic."""
    evidence = [one.evidence for one in system.exhibits]
    return authenticate_set(evidence, anchors(), system.nonce, NOW)


def gathered(
    system: System, desk: Desk | None = None, by: AppraisedBy = AppraisedBy.LOCAL
) -> NvidiaEndorsements:
    """What NVIDIA says of a system."""
    desk = desk or Desk.of(system.exhibits)
    return desk.run(gather(found(system), SOURCE, anchors(), by))


def _ok(body: bytes) -> Response:
    return Response(200, body, {})


def _same(answer: Response) -> Response:
    return answer
