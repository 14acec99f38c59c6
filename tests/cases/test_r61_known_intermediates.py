# SPDX-License-Identifier: Apache-2.0
"""R-61 for what an anchor knows beforehand: Intel's intermediates spare signatures, and change no verdict.

Every scene is judged with an anchor that knows nothing and with one that knows some of the certificates that the root
has signed, the unfit ones among them: expired, revoked, of another key, no CA.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import hierarchy, pki
from simulator.intel import FakeIntel
from simulator.machine import Platform
from simulator.pki import Entity, Key
from tests import tdx_vectors
from tests.tdx_lab import NOW, anchors, clear_caches
from verifiers import chain
from verifiers.anchors import Anchor, Anchors, builtin
from verifiers.errors import Reason, VerificationError
from verifiers.tcb import TcbStatus
from verifiers.tdx.endorsements import parse_bundle
from verifiers.tdx.quote import parse_quote
from verifiers.tdx.verify import verify

if TYPE_CHECKING:
    from datetime import datetime

    from verifiers.tdx.claims import TdxClaims

DAY = timedelta(days=1)
INTEL = FakeIntel.create(NOW, seed=b"known beforehand")
OTHER = Key.derive(b"known beforehand", "other")
ROOT_DER = INTEL.root_der


def altered(entity: Entity, *extensions: pki.Extension, **changes: Any) -> Entity:  # noqa: ANN401 - fields of the content
    """Another certificate of the same key; the given one stays."""
    other = replace(entity)
    other.alter(**changes)
    other.put(*extensions)
    return other


def rekeyed(entity: Entity) -> Entity:
    """The same subject, another key, under the same root."""
    identifier = pki.subject_key_identifier(OTHER.key_id)
    return replace(altered(entity, identifier, spki=OTHER.spki), key=OTHER)


def variants(genuine: Entity) -> dict[str, Entity]:
    """One certificate under the root, and what could stand in its place."""
    return {
        "genuine": genuine,
        "of the same key": altered(genuine, serial=9),
        "expired soon": altered(genuine, not_after=NOW + DAY),
        "of another key": rekeyed(genuine),
        "without usage": altered(genuine, pki.key_usage(b"\x01")),
        "CA turned over": altered(genuine, pki.basic_constraints(ca=genuine is INTEL.tcb_signing)),
        "of another name": altered(genuine, subject=pki.name("Another Name")),
        "of another issuer": altered(genuine, issuer=pki.name("Another Root")),
        "forged": replace(rekeyed(genuine), signer=OTHER),
    }


ROOTS = {
    "pinned": INTEL.root,
    "of the same key": altered(INTEL.root, serial=9),
    "of another subject": altered(
        INTEL.root, subject=pki.name("Intel SGX Root CA", "Another Corporation")
    ),
}
CAS = variants(INTEL.platform_ca)
SIGNERS = variants(INTEL.tcb_signing)
NOT_UNDER_THE_ROOT = frozenset({"of another issuer", "forged"})
KNOWABLE = [
    entity.der
    for entities in (CAS, SIGNERS, {"genuine": INTEL.processor_ca})
    for name, entity in entities.items()
    if name not in NOT_UNDER_THE_ROOT
]


@dataclass(frozen=True)
class Scene:
    """Which certificates a platform and Intel's collateral show, which are revoked, and when it is judged."""

    ca: str = "genuine"
    crl_issuer: str = "genuine"
    signer: str = "genuine"
    root: str = "pinned"
    revoked: frozenset[str] = frozenset()
    at: datetime = NOW

    def judged(self, anchors_: Anchors) -> TdxClaims | tuple[Reason, str, object]:
        """The whole verdict, every field of it, with nothing remembered."""
        quote, bundle = exhibits(replace(self, at=NOW))
        return judged(quote, bundle, anchors_, self.at)

    def outcome(self, *known: bytes) -> Reason | TcbStatus | None:
        found = self.judged(anchors(ROOT_DER, known))
        return found[0] if isinstance(found, tuple) else found.tcb.status


@lru_cache(maxsize=4096)
def exhibits(scene: Scene) -> tuple[bytes, bytes]:
    """(quote, bundle) of a scene, whatever its instant."""
    ca, crl_issuer, root = CAS[scene.ca], CAS[scene.crl_issuer], ROOTS[scene.root]
    model = INTEL.platform()
    pck = hierarchy.pck(NOW, ca, Key.derive(INTEL.seed, "pck"), "platform", model.sgx)
    machine = Platform(ca, root, pck, model.sgx, Key.derive(INTEL.seed, "attestation"))
    intel = replace(
        INTEL,
        root=root,
        platform_ca=crl_issuer,
        platform_crl=hierarchy.crl(crl_issuer, NOW - DAY, NOW + 29 * DAY),
        root_crl=replace(INTEL.root_crl),
        tcb_info_signer=SIGNERS[scene.signer],
        qe_identity_signer=SIGNERS[scene.signer],
    )
    serials = {"ca": ca, "signer": SIGNERS[scene.signer], "other": INTEL.processor_ca}
    intel.root_crl.revoke(*(serials[name].spec.serial for name in sorted(scene.revoked)))
    return machine.quote(), json.dumps(intel.bundle(machine)).encode()


def judged(
    quote: bytes, bundle: bytes, anchors_: Anchors, at: datetime
) -> TdxClaims | tuple[Reason, str, object]:
    clear_caches()
    try:
        return verify(parse_quote(quote), parse_bundle(bundle), anchors_, None, at)
    except VerificationError as error:
        return error.reason, error.detail, error.tcb


def mostly(usual: str, others: dict[str, Entity]) -> st.SearchStrategy[str]:
    """So that what comes after a fault is reached often."""
    return st.just(usual) | st.sampled_from(sorted(others))


SCENES = st.builds(
    Scene,
    ca=mostly("genuine", CAS),
    crl_issuer=mostly("genuine", CAS),
    signer=mostly("genuine", SIGNERS),
    root=mostly("pinned", ROOTS),
    revoked=st.just(frozenset[str]()) | st.frozensets(st.sampled_from(["ca", "signer", "other"])),
    at=st.sampled_from([NOW, NOW, NOW + 2 * DAY, NOW - 400 * DAY, NOW + 3000 * DAY]),
)


@settings(max_examples=150, deadline=None)
@given(scene=SCENES, known=st.sets(st.sampled_from(KNOWABLE)))
def test_what_is_known_beforehand_changes_no_verdict(scene: Scene, known: set[bytes]) -> None:
    assert scene.judged(anchors(ROOT_DER, tuple(sorted(known)))) == scene.judged(anchors(ROOT_DER))


SAME_KEY = Scene(ca="of the same key", crl_issuer="of the same key")


@pytest.mark.parametrize(
    ("scene", "outcome"),
    [
        (Scene(), TcbStatus.UP_TO_DATE),
        (Scene(root="of the same key"), TcbStatus.UP_TO_DATE),
        (Scene(root="of another subject"), Reason.CHAIN),
        (SAME_KEY, TcbStatus.UP_TO_DATE),
        (Scene(ca="of another key", crl_issuer="of another key"), TcbStatus.UP_TO_DATE),
        (Scene(ca="of another key"), Reason.CRL_INVALID),
        (Scene(ca="forged", crl_issuer="forged"), Reason.CHAIN),
        (Scene(ca="of another issuer"), Reason.CHAIN),
        (Scene(ca="of another name"), Reason.CHAIN),
        (Scene(ca="without usage"), Reason.CHAIN),
        (Scene(ca="CA turned over"), Reason.CHAIN),
        (Scene(ca="expired soon"), TcbStatus.UP_TO_DATE),
        (Scene(ca="expired soon", at=NOW + 2 * DAY), Reason.CERTIFICATE_EXPIRED),
        (Scene(crl_issuer="expired soon", at=NOW + 2 * DAY), Reason.CERTIFICATE_EXPIRED),
        (Scene(at=NOW - 400 * DAY), Reason.CERTIFICATE_NOT_YET_VALID),
        (Scene(revoked=frozenset({"ca"})), Reason.CERTIFICATE_REVOKED),
        (Scene(revoked=frozenset({"signer"})), Reason.CERTIFICATE_REVOKED),
        (Scene(revoked=frozenset({"other"})), TcbStatus.UP_TO_DATE),
        (replace(SAME_KEY, revoked=frozenset({"ca"})), Reason.CERTIFICATE_REVOKED),
        (Scene(signer="of the same key"), TcbStatus.UP_TO_DATE),
        (Scene(signer="of another key"), TcbStatus.UP_TO_DATE),
        (Scene(signer="forged"), Reason.CHAIN),
        (Scene(signer="CA turned over"), Reason.CHAIN),
        (Scene(signer="expired soon", at=NOW + 2 * DAY), Reason.CERTIFICATE_EXPIRED),
    ],
    ids=repr,
)
def test_each_outcome_with_all_and_with_nothing_known(
    scene: Scene, outcome: Reason | TcbStatus
) -> None:
    """The property above would be idle if all scenes ended alike."""
    assert scene.outcome() is outcome
    assert scene.outcome(*KNOWABLE) is outcome


@pytest.mark.parametrize("name", sorted(NOT_UNDER_THE_ROOT))
@pytest.mark.parametrize("entities", [CAS, SIGNERS], ids=["CA", "signer"])
def test_nothing_is_known_that_the_root_has_not_signed(
    entities: dict[str, Entity], name: str
) -> None:
    with pytest.raises(VerificationError) as caught:
        Anchor.from_der(ROOT_DER).knowing(INTEL.platform_ca.der, entities[name].der)
    assert caught.value.reason is Reason.CHAIN


def test_only_what_is_known_is_spared() -> None:
    """Certificates that are authenticated during a verification: leaf, CA and signer, or those that are left."""
    ca, signer = INTEL.platform_ca.der, INTEL.tcb_signing.der
    for known, left in ((), 3), ((ca,), 2), ((ca, signer), 1):
        assert Scene().outcome(*known) is TcbStatus.UP_TO_DATE
        assert chain._issued.cache_info().misses == left
    assert SAME_KEY.outcome(ca) is TcbStatus.UP_TO_DATE
    assert chain._issued.cache_info().misses == 3


# the built-in anchor


def unknowing() -> Anchors:
    """The built-in roots, of which Intel's knows nothing beforehand."""
    return replace(builtin(), intel_sgx_root=replace(builtin().intel_sgx_root, issued={}))


@pytest.mark.parametrize("name", tdx_vectors.names("tdx"))
@pytest.mark.parametrize("days", [0, -3000, 3000, 9000])
def test_the_verdict_on_real_evidence(name: str, days: int) -> None:
    vector = tdx_vectors.load(name)
    bundle, at = json.dumps(vector.bundle).encode(), vector.at + days * DAY
    assert judged(vector.quote, bundle, builtin(), at) == judged(
        vector.quote, bundle, unknowing(), at
    )


def test_real_evidence_is_spared_two_signatures() -> None:
    vector = tdx_vectors.load("tdx4-b0c06f-uptodate")
    bundle = json.dumps(vector.bundle).encode()
    misses = []
    for pinned in (builtin(), unknowing()):
        assert not isinstance(judged(vector.quote, bundle, pinned, vector.at), tuple)
        misses.append(chain._issued.cache_info().misses)
    assert misses == [1, 3]
