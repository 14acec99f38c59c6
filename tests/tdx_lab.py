# SPDX-License-Identifier: Apache-2.0
"""A workbench for tests of the TDX verifier: one fake Intel and machine, altered by a case, judged by our verifier.

A case alters a `Lab`; its `exhibit()` is what both verifiers are then shown: bytes, bundle, root, instant. `fields`,
`edits` and `patches` come last, in this order: arguments of the quote, parts of the bundle as text, the finished bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from simulator.intel import FakeIntel
from simulator.pki import pem
from tests.tdx_vectors import load
from verifiers import anchors as pinned
from verifiers import chain, google_ca, signatures
from verifiers.anchors import Anchor, Anchors, builtin
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia import jwks, ocsp, rim
from verifiers.snp import crl, vek
from verifiers.tdx import collateral, pck
from verifiers.tdx import verify as judge
from verifiers.tdx.endorsements import TdxEndorsements, parse_bundle
from verifiers.tdx.quote import parse_quote
from verifiers.vtpm import certified

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.machine import Platform
    from simulator.pki import Entity
    from tests.tdx_vectors import Vector
    from verifiers.tcb import TcbStatus
    from verifiers.tdx.claims import TdxClaims

NOW = datetime(2026, 10, 25, 12, 0, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SEED = b"the laboratory of the TDX verifier"

Bundle: TypeAlias = "dict[str, str]"
Edit: TypeAlias = "str | Callable[[str], str] | None"
Alteration: TypeAlias = "Callable[[Lab], object]"
Expectation: TypeAlias = "Reason | TcbStatus"

# Everything in the verifiers that remembers. A test demands that this list is complete.
CACHES = (
    chain._issued,
    chain._pem_body,
    collateral._authenticate,
    judge._attributes,
    pck._verify_pck_chain,
    signatures.p256_point,
    crl.verify_crl,
    vek.verify_vek,
    ocsp._authenticated,
    ocsp.certificate_ids,
    ocsp.read_answers,
    rim.read_rim,
    jwks.read_keys,
    google_ca.verify_crl,
    certified._authenticated,
    pinned._names,
)


def clear_caches() -> None:
    """Forget all that was authenticated."""
    for cache in CACHES:
        cache.cache_clear()


@lru_cache(maxsize=64)
def anchors(root_der: bytes, known: tuple[bytes, ...] = ()) -> Anchors:
    """The root of a fake Intel as the only one that counts, with certificates under it that are known beforehand."""
    return Anchors(Anchor.from_der(root_der).knowing(*known))


@dataclass(frozen=True)
class Exhibit:
    """All that a verdict depends on."""

    quote: bytes
    bundle: Bundle
    root_der: bytes
    at: datetime
    binding: bytes | None = None

    @property
    def anchors(self) -> Anchors:
        genuine = builtin()
        real = self.root_der == genuine.intel_sgx_root.certificate.der
        return genuine if real else anchors(self.root_der)

    @property
    def endorsements(self) -> TdxEndorsements:
        return parse_bundle(json.dumps(self.bundle).encode())

    def verify(self) -> TdxClaims:
        quote = parse_quote(self.quote)
        return judge.verify(quote, self.endorsements, self.anchors, self.binding, self.at)

    def outcome(self) -> Expectation:
        """The reason of the refusal, or the status."""
        try:
            status = self.verify().tcb.status
        except VerificationError as error:
            return error.reason
        assert status is not None
        return status


@dataclass
class Lab:
    """See the module's docstring. Everything is UpToDate until a case alters it."""

    intel: FakeIntel
    platform: Platform
    at: datetime = NOW
    binding: bytes | None = None
    root_der: bytes | None = None
    vector: Vector | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    edits: dict[str, Edit] = field(default_factory=dict)
    patches: list[Callable[[bytes], bytes]] = field(default_factory=list)

    @classmethod
    def create(cls, seed: bytes = SEED, **options: str) -> Lab:
        intel = FakeIntel.create(NOW, seed=seed, **options)
        return cls(intel, intel.platform())

    # what a case calls

    def quote(self, **fields: Any) -> None:  # noqa: ANN401 - as Platform.quote has them
        """Fields and framing of the quote."""
        self.fields.update(fields)

    def edit(self, **parts: Edit) -> None:
        """Parts of the bundle after signing: other text, a function of the right text, None for leaving it out."""
        self.edits.update(parts)

    def patch(self, change: Callable[[bytes], bytes]) -> None:
        """A change of the finished quote."""
        self.patches.append(change)

    def flip(self, at: int, bit: int = 1) -> None:
        """One bit of the finished quote."""
        self.patch(lambda quote: flipped(quote, at, bit))

    def chain(self, *entities: Entity) -> None:
        """Other certificates in the quote, leaf first."""
        self.quote(certification_data=pem(*(entity.der for entity in entities)).encode())

    def info(self, **members: object) -> None:
        """Members of TCB info, before signing."""
        self.intel.tcb_info.update(members)

    def identity(self, **members: object) -> None:
        """Members of the QE identity, before signing."""
        self.intel.qe_identity.update(members)

    def level(self, index: int = 0, **members: object) -> None:
        """Members of a platform level, before signing."""
        self.intel.tcb_info["tcbLevels"][index].update(members)

    def module(self, index: int = 1, **members: object) -> None:
        """Members of a TDX module identity (1 is TDX_01, the lab's), before signing."""
        self.intel.tcb_info["tdxModuleIdentities"][index].update(members)

    def sgx(self, **changes: Any) -> None:  # noqa: ANN401 - fields of SgxExtension
        """Values of the PCK certificate's SGX extension; `components` may be shorter than 16."""
        if "components" in changes:
            changes["components"] += (0,) * (16 - len(changes["components"]))
        self.platform.certify(replace(self.platform.sgx, **changes))

    def later(self, **units: float) -> None:
        """Judge at another instant."""
        self.at += timedelta(**units)

    def real(self, name: str) -> None:
        """A real quote and Intel's collateral, at the instant it is kept for."""
        self.vector = load(name)
        self.at = self.vector.at
        self.root_der = builtin().intel_sgx_root.certificate.der

    # what a test calls

    def exhibit(self) -> Exhibit:
        if self.vector is not None:
            quote, bundle = self.vector.quote, dict(self.vector.bundle)
        else:
            quote = self.platform.quote(**self.fields)
            bundle = self.intel.bundle(self.platform)
        for change in self.patches:
            quote = change(quote)
        for part, edit in self.edits.items():
            text = edit(bundle[part]) if callable(edit) else edit
            bundle.pop(part, None)
            if text is not None:
                bundle[part] = text
        return Exhibit(quote, bundle, self.root_der or self.intel.root_der, self.at, self.binding)


@dataclass(frozen=True)
class Case:
    """One case of the corpus.

    Attributes:
        line: number in the list of what verifiers of TDX evidence must reject (and must not).
        why: one line. expect: the reason of the refusal, or the status of the accepted quote.
        make: alters a fresh lab. fact: what the claims must show of an accepted quote.
        id: "tdx-017", with a letter where a line has several cases; set by the index.
    """

    line: int
    why: str
    expect: Expectation
    make: Alteration
    fact: Callable[[TdxClaims], object] | None = None
    id: str = ""

    def exhibit(self) -> Exhibit:
        lab = Lab.create()
        self.make(lab)
        return lab.exhibit()


def both(*alterations: Alteration) -> Alteration:
    """A case that alters several things, in this order."""

    def make(lab: Lab) -> None:
        for alter in alterations:
            alter(lab)

    return make


def shown(name: str) -> Alteration:
    """A real quote as it is."""
    return lambda lab: lab.real(name)


def quoted(**fields: Any) -> Alteration:  # noqa: ANN401 - as Platform.quote has them
    """A case that alters the quote alone."""
    return lambda lab: lab.quote(**fields)


def edited(**parts: Edit) -> Alteration:
    """A case that alters parts of the bundle after signing."""
    return lambda lab: lab.edit(**parts)


def stated(**members: object) -> Alteration:
    """A case that alters TCB info before signing."""
    return lambda lab: lab.info(**members)


def identified(**members: object) -> Alteration:
    """A case that alters the QE identity before signing."""
    return lambda lab: lab.identity(**members)


def flipped(data: bytes, at: int, bit: int = 1) -> bytes:
    """`data` with bits of one byte turned over."""
    changed = bytearray(data)
    changed[at] ^= bit
    return bytes(changed)


def svn(*first: int) -> bytes:
    """16 SVNs, zeros after the given ones."""
    return bytes(first).ljust(16, b"\0")


def expired(*parts: str) -> Callable[[TdxClaims], bool]:
    """Whether exactly these parts of the collateral are past their next update."""
    return lambda claims: (
        tuple(sorted(p.part for p in claims.expired_parts)) == tuple(sorted(parts))
    )
