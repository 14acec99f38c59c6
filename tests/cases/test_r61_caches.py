# SPDX-License-Identifier: Apache-2.0
"""R-61: a cache never changes a verdict. Dates and CRLs are asked at every use, for every certificate and part."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import verifiers
from simulator.intel import FakeIntel
from tests.tdx_lab import CACHES, NOW, Exhibit, Lab, anchors, clear_caches, svn
from verifiers import anchors as anchors_module
from verifiers.errors import Reason, VerificationError
from verifiers.tcb import TcbStatus

if TYPE_CHECKING:
    from verifiers.tdx.claims import TdxClaims

DAY = timedelta(days=1)
INSTANTS = [NOW + days * DAY for days in (0, -1, -2, -100, 29, 30, 3000)]


def test_every_cache_is_known_here() -> None:
    """The tests that compare with the uncached path clear all of them."""
    found = set()
    for module in pkgutil.walk_packages(verifiers.__path__, "verifiers."):
        names = vars(importlib.import_module(module.name)).values()
        found |= {name for name in names if hasattr(name, "cache_clear")}
    assert found == {*CACHES, anchors_module.builtin}
    assert all(cache.cache_info().maxsize for cache in found)


def judged(exhibit: Exhibit) -> TdxClaims | tuple[Reason, str, object]:
    """The whole verdict, every field of it."""
    try:
        return exhibit.verify()
    except VerificationError as error:
        return error.reason, error.detail, error.tcb


def collaterals(intel: FakeIntel) -> list[dict[str, str]]:
    """Bundles that differ in one way each; the machine's own numbers are in them."""
    machine, other = intel.platform(), intel.platform(ca="processor")
    bundles = [intel.bundle(machine), intel.bundle(other)]
    intel.platform_crl.revoke(machine.pck.spec.serial)
    bundles.append(intel.bundle(machine))
    intel.root_crl.revoke(intel.tcb_signing.spec.serial)
    bundles.append(intel.bundle(machine))
    bundles.append(bundles[0] | {"tcb_info_signature": bundles[0]["qe_identity_signature"]})
    bundles.append(bundles[0] | {"pck_crl": bundles[0]["root_ca_crl"]})
    intel.platform_crl.alter(revoked=(), next_update=NOW - DAY)
    intel.root_crl.alter(revoked=())
    intel.tcb_info["tcbLevels"][0]["tcbStatus"] = "OutOfDate"
    bundles.append(intel.bundle(machine))
    intel.qe_identity["tcbLevels"][0]["tcbStatus"] = "Revoked"
    bundles.append(intel.bundle(machine))
    return bundles


def world() -> tuple[list[bytes], list[dict[str, str]], list[bytes]]:
    """(quotes, bundles, roots): of two vendors of the same names, and mixed without regard to whose they are."""
    quotes, bundles, roots = [], [], []
    for seed in (b"one vendor", b"another vendor"):
        intel = FakeIntel.create(NOW, seed=seed)
        for machine in (intel.platform(), intel.platform(ca="processor")):
            quotes += [
                machine.quote(),
                machine.quote(version=5, body_type=3, tee_tcb_svn=svn(11, 1, 3)),
                machine.quote(signature=bytes(64)),
            ]
        twin = intel.platform()
        twin.pck.alter(not_after=NOW + DAY)
        quotes.append(twin.quote())
        bundles += collaterals(intel)
        roots.append(intel.root_der)
    return quotes, bundles, roots


QUOTES, BUNDLES, ROOTS = world()
EXHIBITS = st.builds(
    Exhibit,
    st.sampled_from(QUOTES),
    st.sampled_from(BUNDLES),
    st.sampled_from(ROOTS),
    st.sampled_from(INSTANTS),
)
LIKELY = st.builds(  # of one vendor, so that all steps are reached often
    Exhibit,
    st.sampled_from(QUOTES[: len(QUOTES) // 2]),
    st.sampled_from(BUNDLES[: len(BUNDLES) // 2]),
    st.just(ROOTS[0]),
    st.sampled_from(INSTANTS[:2]),
)


@settings(max_examples=60, deadline=None)
@given(shown=st.lists(EXHIBITS | LIKELY, min_size=2, max_size=12))
def test_the_cached_verdict_is_the_uncached_one(shown: list[Exhibit]) -> None:
    apart = []
    for exhibit in shown:
        clear_caches()
        apart.append(judged(exhibit))
    clear_caches()
    for _ in range(2):
        assert [judged(exhibit) for exhibit in shown] == apart


def test_many_outcomes_take_part() -> None:
    """The property above would be idle if all exhibits ended alike."""
    outcomes = {
        Exhibit(quote, bundle, ROOTS[0], at).outcome()
        for quote in QUOTES[:7]
        for bundle in BUNDLES
        for at in INSTANTS
    }
    assert outcomes >= {
        TcbStatus.UP_TO_DATE,
        TcbStatus.OUT_OF_DATE,
        TcbStatus.TD_RELAUNCH_ADVISED,
        Reason.SIGNATURE,
        Reason.CERTIFICATE_REVOKED,
        Reason.CERTIFICATE_EXPIRED,
        Reason.CERTIFICATE_NOT_YET_VALID,
        Reason.COLLATERAL_NOT_YET_VALID,
        Reason.COLLATERAL_SIGNATURE,
        Reason.CRL_INVALID,
        Reason.UNTRUSTED_ROOT,
        Reason.TCB_REVOKED,
    }


@pytest.fixture
def warm() -> Lab:
    """A lab whose chain and collateral have just been accepted."""
    clear_caches()
    lab = Lab.create()
    assert lab.exhibit().outcome() is TcbStatus.UP_TO_DATE
    return lab


def test_a_later_list_revokes_a_remembered_chain(warm: Lab) -> None:
    warm.intel.platform_crl.revoke(warm.platform.pck.spec.serial)
    assert warm.exhibit().outcome() is Reason.CERTIFICATE_REVOKED


def test_a_later_root_list_revokes_remembered_signers(warm: Lab) -> None:
    warm.intel.root_crl.revoke(warm.intel.tcb_signing.spec.serial)
    assert warm.exhibit().outcome() is Reason.CERTIFICATE_REVOKED


def test_time_ends_a_remembered_chain(warm: Lab) -> None:
    warm.later(days=8 * 365)
    assert warm.exhibit().outcome() is Reason.CERTIFICATE_EXPIRED


def test_time_ends_remembered_collateral(warm: Lab) -> None:
    warm.later(days=30)
    claims = warm.exhibit().verify()
    assert {part.part for part in claims.expired_parts} == {"tcb_info", "qe_identity", "pck_crl"}


def test_what_one_root_vouches_for_another_does_not(warm: Lab) -> None:
    other = FakeIntel.create(NOW, seed=b"another root")
    exhibit = replace(warm.exhibit(), root_der=other.root_der)
    assert exhibit.outcome() is Reason.UNTRUSTED_ROOT
    assert anchors(other.root_der) != anchors(warm.intel.root_der)


def test_a_remembered_quote_must_still_bind(warm: Lab) -> None:
    assert replace(warm.exhibit(), binding=bytes(64)).outcome() is TcbStatus.UP_TO_DATE
    assert replace(warm.exhibit(), binding=b"\1" * 64).outcome() is Reason.BINDING_MISMATCH
