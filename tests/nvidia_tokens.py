# SPDX-License-Identifier: Apache-2.0
"""Hearings: what a verdict on tokens of the fake attestation service depends on, each part settable.

Tokens are made by `simulator.nvidia.nras`, with a service of its own for each hearing; the devices are shared.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from simulator.nvidia.certificates import NOW
from simulator.nvidia.nras import FakeNras, write
from simulator.nvidia.reports import NONCE
from simulator.nvidia.vendor import FakeNvidia
from tests import nvidia_vectors as vectors
from tests.nvidia_devices import _intel
from verifiers.anchors import NVIDIA_NRAS_ISSUER, Anchors, NvidiaRoots, builtin
from verifiers.nvidia.eat import find_answers
from verifiers.nvidia.endorsements import NvidiaEndorsements
from verifiers.nvidia.evidence import NvidiaEvidence
from verifiers.nvidia.nras import verify_tokens
from verifiers.nvidia.system import authenticate_set, verify_set
from verifiers.nvidia.tokens import TokenIssuer

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.nvidia.hardware import NvidiaDevice
    from simulator.nvidia.nras import NrasKey
    from verifiers.nvidia.claims import AppraisedBy, NvidiaSetClaims
    from verifiers.nvidia.nras import Appraisal

Claims = dict[str, Any]
ABSENT = object()  # a claim that is taken away


def vendor(*, gpus: int = 0, switches: int = 0) -> FakeNvidia:
    """A vendor of its own, to be altered."""
    made = FakeNvidia.create(NOW, seed=b"attestation service")
    for _ in range(gpus):
        made.gpu()
    for _ in range(switches):
        made.switch()
    return made


@lru_cache(maxsize=8)
def one_gpu() -> FakeNvidia:
    """Not to be altered, like the next."""
    return vendor(gpus=1)


@lru_cache(maxsize=8)
def two_gpus() -> FakeNvidia:
    return vendor(gpus=2)


@lru_cache(maxsize=8)
def one_switch() -> FakeNvidia:
    return vendor(switches=1)


@lru_cache(maxsize=8)
def system() -> FakeNvidia:
    """Eight GPUs and four switches in PPCIE mode."""
    made = vendor()
    made.ppcie()
    return made


def changed(**changes: object) -> Callable[[Claims], Claims]:
    """Claims with these instead."""
    return having(changes)


def having(changes: dict[str, object]) -> Callable[[Claims], Claims]:
    """Likewise, where names have hyphens."""

    def edit(claims: Claims) -> Claims:
        return {name: v for name, v in {**claims, **changes}.items() if v is not ABSENT}

    return edit


@dataclass(frozen=True)
class Hearing:
    """See the module's docstring.

    Attributes:
        nvidia: whose devices, and whose service.
        present: the devices that are at hand; all by default.
        edits: of `FakeNras`.
        asked: the nonce that the service is given. nonce: the one that is wanted; None without devices alone.
        answers, jwks: instead of what the service gives.
    """

    nvidia: FakeNvidia = field(default_factory=one_gpu)
    present: tuple[NvidiaDevice, ...] | None = None
    edits: dict[str, Any] = field(default_factory=dict)
    asked: bytes = NONCE
    nonce: bytes | None = NONCE
    at: datetime = NOW
    issuer: str = NVIDIA_NRAS_ISSUER
    pins: tuple[bytes, ...] | None = None
    answers: tuple[bytes, ...] | None = None
    jwks: Callable[[bytes], bytes | None] = lambda text: text

    def but(self, **changes: Any) -> Hearing:  # noqa: ANN401 - of its own fields
        return replace(self, **changes)

    def edited(self, **edits: Any) -> Hearing:  # noqa: ANN401 - of FakeNras
        return replace(self, edits={**self.edits, **edits})

    @property
    def devices(self) -> tuple[NvidiaDevice, ...]:
        return tuple(self.nvidia.devices) if self.present is None else self.present

    @property
    def service(self) -> FakeNras:
        return FakeNras(self.nvidia, **self.edits)

    @property
    def said(self) -> tuple[bytes, ...]:
        """The answers about all devices of the vendor, GPUs before switches."""
        if self.answers is not None:
            return self.answers
        kinds = [
            ("gpu", [one for one in self.nvidia.devices if not one.product.is_switch]),
            ("switch", [one for one in self.nvidia.devices if one.product.is_switch]),
        ]
        service = self.service
        return tuple(
            service.attest(kind, request(devices, self.asked)) for kind, devices in kinds if devices
        )

    @property
    def key_set(self) -> bytes | None:
        return self.jwks(self.service.jwks())

    @property
    def anchors(self) -> Anchors:
        pins = self.nvidia.nras_pins if self.pins is None else self.pins
        roots = NvidiaRoots.from_ders(
            self.nvidia.device_root_der, self.nvidia.rim_root_der, pins, self.issuer
        )
        return Anchors(_intel(), nvidia=roots)

    @property
    def evidence(self) -> list[NvidiaEvidence]:
        return [NvidiaEvidence(one.report(NONCE), one.chain) for one in self.devices]

    @property
    def token_issuer(self) -> TokenIssuer:
        roots = self.anchors.nvidia
        assert roots is not None
        return TokenIssuer(roots.nras_issuer, self.key_set, roots.nras)

    def judge(self) -> tuple[Appraisal, ...]:
        """The tokens against the devices."""
        found = authenticate_set(self.evidence, self.anchors, NONCE, self.at)
        return verify_tokens(self.said, self.token_issuer, found.devices, self.nonce, self.at)

    def inspect(self) -> tuple[Appraisal, ...]:
        """The tokens alone."""
        return verify_tokens(self.said, self.token_issuer, None, self.nonce, self.at)

    @property
    def endorsements(self) -> NvidiaEndorsements:
        rims, answers = self.nvidia.bundle()
        return NvidiaEndorsements(rims, answers, self.said, self.key_set)

    def verify(
        self, by: AppraisedBy, endorsements: NvidiaEndorsements | None = None
    ) -> NvidiaSetClaims:
        """The whole set."""
        given = self.endorsements if endorsements is None else endorsements
        return verify_set(self.evidence, given, self.anchors, self.nonce, self.at, by)


def request(devices: list[NvidiaDevice], nonce: bytes, version: str = "3.0") -> bytes:
    """What the service is asked, about devices that answered `NONCE`."""
    return json.dumps(
        {
            "nonce": nonce.hex(),
            "arch": devices[0].product.arch,
            "claims_version": version,
            "evidence_list": [
                {
                    "evidence": base64.b64encode(one.report(NONCE)).decode(),
                    "certificate": base64.b64encode(one.chain).decode(),
                }
                for one in devices
            ],
        }
    ).encode()


def part(value: object) -> str:
    """A header or claims, as a token has them."""
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def unsigned(_: NrasKey, header: Claims, claims: Claims) -> str:
    """As NVIDIA's local verifier in C++ writes it."""
    return f"{part(header | {'alg': 'none'})}.{part(claims)}."


def with_secret(secret: bytes) -> Callable[[NrasKey, Claims, Claims], str]:
    """As NVIDIA's local verifier in Python writes it."""

    def written(_: NrasKey, header: Claims, claims: Claims) -> str:
        signed = f"{part(header | {'alg': 'HS256'})}.{part(claims)}"
        digest = hmac.digest(secret, signed.encode(), "sha256")
        return f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"

    return written


def under(header: Claims) -> Callable[[NrasKey, Claims, Claims], str]:
    """A right signature, whatever the header says; members that are None are taken away."""

    def written(signer: NrasKey, right: Claims, claims: Claims) -> str:
        said = {name: value for name, value in {**right, **header}.items() if value is not None}
        return write(signer, said, claims)

    return written


def digest(token: str) -> list[Any]:
    """How an overall token names a device's."""
    return ["DIGEST", ["SHA-256", hashlib.sha256(token.encode()).hexdigest()]]


def ueid(nvidia: FakeNvidia, place: int) -> str:
    """Decimal, as tokens have it."""
    return str(nvidia.devices[place].device.parties[0].certificate.serial_number)


def real(
    folder: str, file: str, jwks: str | None, later: timedelta = timedelta()
) -> tuple[Appraisal, ...]:
    """What a real answer says, which is a file of NVIDIA's tools, at the instant of its folder; none has devices."""
    expected = json.loads(vectors.document(f"{folder}/expected.json"))
    nonce = bytes.fromhex(expected["nonce"]) if "nonce" in expected else None
    at = datetime.fromisoformat(expected["at"]) if "at" in expected else NOW
    roots = builtin().nvidia
    assert roots is not None
    key_set = None if jwks is None else vectors.document(jwks)
    issuer = TokenIssuer(roots.nras_issuer, key_set, roots.nras)
    answers = find_answers(vectors.document(f"{folder}/{file}"))
    return verify_tokens(answers, issuer, None, nonce, at + later)
