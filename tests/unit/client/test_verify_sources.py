# SPDX-License-Identifier: Apache-2.0
"""`verify`: what each source of revocation says, alone and together, and each of its checks failing alone."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from attestca_client.checks import Name, Outcome, Verdict
from attestca_client.protocol import HandleKind, certificate_handle, handle
from attestca_client.protocol.checkpoint import Verifier
from attestca_client.sources import Bytes
from attestca_client.verify import Rules, Sources, Trust, verify
from ca.issuance import crl, tbs
from ca.issuance.crl import Revoked
from ca.issuance.reasons import RevocationReason
from tests.authority_lab import NOW, digest
from tests.relying_lab import (
    ORIGIN,
    SECONDS,
    FakeChain,
    Leaf,
    World,
    b64,
    make_world,
    measurement,
    node,
    outcomes,
)

FAILED, UNDECIDED = Outcome.FAILED, Outcome.UNDECIDED
WITHOUT = Rules(no_revocation=True)


@pytest.fixture
def world() -> World:
    return make_world()


# revoked, seen by one source alone


def test_a_measurement_is_revoked_as_the_staple_tells(world: World) -> None:
    leaf, other = world.issue(), world.issue(registers=())
    world.revoke(measurement(leaf))
    result = world.check(leaf, staple=world.staple(leaf))
    assert outcomes(result) == {Name.STAPLE_REVOKED: FAILED}
    assert result.verdict is Verdict.REFUSED
    seen = result.reasons[0].seen
    assert seen.startswith(f"revoked, measurement {measurement(leaf).hex()}: 2026-")
    assert seen.endswith("keyCompromise")
    assert world.check(other, staple=world.staple(other)).accepted


def test_a_measurement_is_revoked_as_the_chain_tells(world: World) -> None:
    leaf, other = world.issue(), world.issue(registers=())
    world.revoke(measurement(leaf))
    with node(FakeChain(world)) as one:
        result = world.check(leaf, nodes=[one])
        assert outcomes(result) == {Name.REGISTRY_REVOKED: FAILED}
        assert measurement(leaf).hex() in result.reasons[0].seen
        assert world.check(other, nodes=[one]).accepted


def test_a_certificate_is_on_its_list(world: World) -> None:
    leaf = world.issue()
    revoked = Revoked(leaf.serial, NOW, RevocationReason.KEY_COMPROMISE)
    result = world.check(leaf, crls=[world.crl(leaf, revoked)])
    assert outcomes(result) == {Name.CRL_REVOKED: FAILED}
    assert result.reasons[0].seen == "revoked, 2026-11-25T13:00:00Z, keyCompromise"
    plain = world.check(leaf, crls=[world.crl(leaf, Revoked(leaf.serial, NOW))])
    assert plain.reasons[0].seen.endswith("unspecified")


@pytest.mark.parametrize("kind", ["certificate", "key", "policy", "issuer", "chip", "tcb"])
def test_every_handle_is_looked_up(world: World, kind: str) -> None:
    leaf = world.issue()
    info = world.check(leaf, rules=WITHOUT).info
    assert info is not None
    listed = dict(info.handles)
    computed = {"certificate": certificate_handle(world.lab.issuer.key_id, leaf.serial)}
    computed["issuer"] = handle(HandleKind.ISSUER, world.lab.issuer.key_id)
    world.revoke(computed.get(kind, listed[kind]), kind)
    assert outcomes(world.check(leaf, staple=world.staple(leaf))) == {Name.STAPLE_REVOKED: FAILED}
    with node(FakeChain(world)) as one:
        assert outcomes(world.check(leaf, nodes=[one])) == {Name.REGISTRY_REVOKED: FAILED}


def test_one_source_that_says_revoked_refuses_whatever_others_say(world: World) -> None:
    leaf = world.issue()
    old = world.staple(leaf)
    revoked = Revoked(leaf.serial, NOW)
    with node(FakeChain(world)) as one:
        result = world.check(leaf, staple=old, nodes=[one], crls=[world.crl(leaf, revoked)])
        assert outcomes(result) == {Name.CRL_REVOKED: FAILED}


# the staple


def test_a_staple_that_is_too_old(world: World) -> None:
    leaf = world.issue()
    world.time = SECONDS - 3601
    assert outcomes(world.check(leaf, staple=world.staple(leaf))) == {Name.STAPLE_TIME: UNDECIDED}
    longer = Rules(max_staleness=timedelta(seconds=3601))
    assert world.check(leaf, staple=world.staple(leaf), rules=longer).accepted


def test_a_staple_of_the_future(world: World) -> None:
    leaf = world.issue()
    world.time = SECONDS + 300
    assert world.check(leaf, staple=world.staple(leaf)).accepted
    world.time = SECONDS + 301
    assert outcomes(world.check(leaf, staple=world.staple(leaf))) == {Name.STAPLE_TIME: UNDECIDED}


def test_a_staple_of_a_foreign_log(world: World) -> None:
    leaf = world.issue()
    note = world.note(key=Ed25519PrivateKey.generate())
    result = world.check(leaf, staple=world.staple(leaf, checkpoint=note))
    assert outcomes(result) == {Name.STAPLE_CHECKPOINT: UNDECIDED}


def test_a_staple_of_a_former_key(world: World) -> None:
    leaf = world.issue()
    newer = Verifier(f"{ORIGIN}/2", Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    trust = replace(world.trust, log=(newer, world.verifier))
    result = world.check(leaf, staple=world.staple(leaf), trust=trust)
    assert outcomes(result) == {Name.STAPLE_CHECKPOINT: UNDECIDED}
    assert result.reasons[0].seen == f"signed by a former key of the log, {ORIGIN}"


def test_a_staple_where_no_log_is_trusted(world: World) -> None:
    leaf = world.issue()
    result = world.check(leaf, staple=world.staple(leaf), trust=Trust(world.lab.root))
    assert outcomes(result) == {Name.STAPLE_CHECKPOINT: UNDECIDED}


def test_a_staple_of_another_certificate(world: World) -> None:
    leaf, other = world.issue(), world.issue()
    result = world.check(leaf, staple=world.staple(other))
    assert outcomes(result) == {Name.STAPLE_LOG: UNDECIDED}
    # with nothing in the tree any proof shows everything; with something it does not
    for number in range(300):
        world.revoke(digest(f"other {number}"))
    result = world.check(leaf, staple=world.staple(other))
    assert outcomes(result) == dict.fromkeys((Name.STAPLE_LOG, Name.STAPLE_REVOKED), UNDECIDED)
    assert "says nothing of" in result.reasons[1].seen


def test_a_certificate_that_is_not_in_the_log(world: World) -> None:
    leaf, hidden = world.issue(), make_world()
    hidden.lab = world.lab
    secret = hidden.issue()
    staple = world.staple(leaf, time=secret.time, commitment=b64(secret.commitment))
    assert outcomes(world.check(secret, staple=staple)) == {Name.STAPLE_LOG: UNDECIDED}


def test_a_tree_that_was_not_signed(world: World) -> None:
    leaf = world.issue()
    world.revoke(measurement(leaf))
    empty = b64(b"\x00")
    result = world.check(leaf, staple=world.staple(leaf, revocations=empty))
    assert outcomes(result) == {Name.STAPLE_REVOKED: UNDECIDED}


def test_a_revocation_counts_without_its_entry(world: World) -> None:
    leaf = world.issue()
    world.revoke(measurement(leaf))
    result = world.check(leaf, staple=world.staple(leaf, revoked=[]))
    assert outcomes(result) == {Name.STAPLE_REVOKED: FAILED}
    assert "did not come along" in result.reasons[0].seen


# staple and chain


def _both(world: World, leaf: Leaf, staple: dict[str, Any]) -> dict[Name, Outcome]:
    with node(FakeChain(world)) as one:
        return outcomes(world.check(leaf, staple=staple, nodes=[one]))


def test_a_staple_newer_than_the_anchor(world: World) -> None:
    leaf = world.issue()
    anchored = replace(world, entries=list(world.entries))
    world.issue()
    with node(FakeChain(anchored)) as one:
        assert world.check(leaf, staple=world.staple(leaf), nodes=[one]).accepted


def test_two_histories_of_one_size(world: World) -> None:
    leaf = world.issue()
    forked = replace(world, entries=[world.entries[0] + b"x"])
    with node(FakeChain(forked)) as one:
        result = world.check(leaf, staple=world.staple(leaf), nodes=[one])
    assert outcomes(result) == {Name.ONE_HISTORY: FAILED}


def test_two_trees_of_one_count(world: World) -> None:
    leaf = world.issue()
    forked = replace(world, entries=list(world.entries), revocations={})
    forked.revoke(digest("one"))
    world.revoke(digest("another"))
    world.issue()
    assert _both(forked, leaf, world.staple(leaf)) == {Name.ONE_HISTORY: FAILED}


def test_fewer_revocations_in_a_longer_log(world: World) -> None:
    leaf = world.issue()
    anchored = replace(world, entries=list(world.entries), revocations={})
    anchored.revoke(digest("one"))
    world.issue()
    world.issue()
    assert _both(anchored, leaf, world.staple(leaf)) == {Name.ONE_HISTORY: FAILED}


@pytest.mark.parametrize("more_in", ["staple", "chain"])
def test_more_revocations_in_a_log_of_the_same_entries(world: World, more_in: str) -> None:
    leaf = world.issue()
    other = replace(world, entries=list(world.entries), revocations={})
    other.revoke(digest("one"))
    other.entries[:] = world.entries  # the same entries, and yet one revocation more
    chain, staple = (world, other) if more_in == "staple" else (other, world)
    assert _both(chain, leaf, staple.staple(leaf)) == {Name.ONE_HISTORY: FAILED}


def test_a_staple_that_does_not_know_of_the_latest_revocations(world: World) -> None:
    leaf = world.issue()
    old = world.staple(leaf)
    world.revoke(digest("another"))
    assert _both(world, leaf, old) == {Name.ONE_HISTORY: UNDECIDED}
    assert _both(world, leaf, world.staple(leaf)) == {}


# lists


def test_a_list_that_is_over(world: World) -> None:
    leaf = world.issue()
    old = world.crl(leaf, now=NOW - timedelta(days=1))
    assert outcomes(world.check(leaf, crls=[old])) == {Name.CRL_TIME: UNDECIDED}
    last = world.crl(leaf, now=NOW - timedelta(days=1) + timedelta(seconds=1))
    assert world.check(leaf, crls=[last]).accepted


def test_a_list_of_the_future(world: World) -> None:
    leaf = world.issue()
    assert world.check(leaf, crls=[world.crl(leaf, now=NOW + timedelta(minutes=5))]).accepted
    future = world.crl(leaf, now=NOW + timedelta(minutes=5, seconds=1))
    assert outcomes(world.check(leaf, crls=[future])) == {Name.CRL_TIME: UNDECIDED}


def test_the_list_of_another_day(world: World) -> None:
    leaf, later = world.issue(), world.issue(lifetime=timedelta(days=3))
    assert outcomes(world.check(leaf, crls=[world.crl(later)])) == {Name.CRL: UNDECIDED}


def test_the_list_of_another_authority(world: World) -> None:
    leaf, foreign = world.issue(), make_world()
    assert outcomes(world.check(leaf, crls=[foreign.crl(leaf)])) == {Name.CRL: UNDECIDED}
    assert outcomes(world.check(leaf, crls=[world.lab.root_crl()])) == {Name.CRL: UNDECIDED}


def test_a_list_that_another_key_signed(world: World) -> None:
    leaf = world.issue()
    der = bytearray(world.crl(leaf))
    der[-1] ^= 1
    assert outcomes(world.check(leaf, crls=[bytes(der)])) == {Name.CRL: UNDECIDED}


def test_the_issuing_ca_is_on_the_root_s_list(world: World) -> None:
    leaf = world.issue()
    prepared = crl.prepare(
        world.lab.root,
        [Revoked(leaf.issuing.serial_number, NOW)],
        number=2,
        this_update=NOW,
        next_update=NOW + timedelta(days=30),
    )
    der = crl.complete(prepared, tbs.sign(world.lab.root_key, prepared.tbs))
    pem = b"".join(
        x509.load_der_x509_crl(one).public_bytes(Encoding.PEM) for one in (world.crl(leaf), der)
    )
    result = world.check(leaf, crls=[pem])
    assert outcomes(result) == {Name.CRL_REVOKED: FAILED}


def test_the_root_s_list_is_wanted_too(world: World) -> None:
    """Who stole the issuing CA's key signs a list of his own, and is on no other."""
    leaf = world.issue()
    own, root = world.crl(leaf), world.lab.root_crl()
    result = world.check(leaf, crls=[own], root_list=False)
    assert outcomes(result) == {Name.CRL: UNDECIDED}
    assert [one.seen for one in result.reasons] == ["no list is for its issuing CA"]
    assert world.check(leaf, crls=[root, own], root_list=False).accepted
    over = world.lab.root_crl(NOW - timedelta(days=30))
    result = world.check(leaf, crls=[own, over], root_list=False)
    assert outcomes(result) == {Name.CRL_TIME: UNDECIDED}


def test_every_file_must_be_of_the_path(world: World) -> None:
    leaf, foreign = world.issue(), make_world()
    assert world.check(leaf, crls=[world.crl(leaf)]).accepted
    for other in (foreign.crl(leaf), foreign.lab.root_crl(), b"x"):
        result = world.check(leaf, crls=[world.crl(leaf), other])
        assert outcomes(result) == {Name.CRL: UNDECIDED}


@pytest.mark.parametrize("data", [b"", b"x", b"-----BEGIN X509 CRL-----\n-----END X509 CRL-----"])
def test_no_list(world: World, data: bytes) -> None:
    assert outcomes(world.check(world.issue(), crls=[data])) == {Name.CRL: UNDECIDED}


# nobody's certificate causes traffic


def test_no_source_is_asked_for_a_certificate_of_somebody_else(world: World) -> None:
    chain, foreign = FakeChain(world), make_world()
    with node(chain) as one:
        result = world.check(foreign.issue(), nodes=[one])
    assert result.verdict is Verdict.REFUSED
    assert not chain.asked


def test_staples_are_read_as_they_come(world: World) -> None:
    leaf = world.issue()
    data = json.dumps(world.staple(leaf)).encode()
    sources = Sources(staple=Bytes("the peer's", data))
    assert verify(leaf.pem, Trust.of(world.bundle()), sources, at=NOW).accepted
