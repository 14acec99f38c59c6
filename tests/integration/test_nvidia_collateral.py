# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's services as the verifier of devices meets them: what is asked, kept, and asked anew; never a pass."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from ca.config.model import Collateral
from ca.errors import CollateralUnusable, Unavailable
from ca.fetch.cache import CacheLimits, CollateralCache
from ca.fetch.client import FetchOutcome
from ca.fetch.endorser import CachingEndorser
from simulator.nvidia import services as parts
from simulator.nvidia.services import Fault, NvidiaServices, running
from simulator.nvidia.vendor import ON_HOLD, REVOKED, UNKNOWN, FakeNvidia
from tests.tdx_lab import Lab as TdxLab
from tests.vendor_lab import START, Clock, Lab, open_lab
from verifiers.anchors import Anchor, Anchors, NvidiaRoots
from verifiers.endorsements import Revocation
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.claims import AppraisedBy
from verifiers.nvidia.endorsements import NvidiaSource
from verifiers.nvidia.evidence import parse_piece
from verifiers.nvidia.gather import gather
from verifiers.nvidia.system import DeviceSet, appraise_set, authenticate_set

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ca.store.sql import SqlStore
    from simulator.nvidia.hardware import NvidiaDevice
    from verifiers.nvidia.claims import NvidiaSetClaims
    from verifiers.nvidia.endorsements import NvidiaEndorsements

LOCAL, NRAS, BOTH = AppraisedBy.LOCAL, AppraisedBy.NRAS, AppraisedBy.BOTH
DAY = timedelta(days=1)


class Bench:
    """A verifier before a fake NVIDIA, with the service's own client, cache and ages between them."""

    def __init__(self, services: NvidiaServices, store: SqlStore, lab: Lab, clock: Clock) -> None:
        self.services, self.store, self.lab, self.clock = services, store, lab, clock
        self.nvidia = services.nvidia
        self.source = NvidiaSource(*[services.base_url] * 3)
        self.anchors = Anchors(
            Anchor.from_der(TdxLab.create().intel.root_der),
            nvidia=NvidiaRoots.from_ders(
                self.nvidia.device_root_der,
                self.nvidia.rim_root_der,
                self.nvidia.nras_pins,
            ),
        )
        self.nonces = 0
        self.caches: list[CollateralCache] = []

    async def start(self) -> None:
        """A process of the service, after the one before has ended: nothing in memory."""
        await self.stop()
        ages = Collateral().refresh_after
        unkept = frozenset({"nras-gpu", "nras-switch"})
        client = await self.lab.client(self.services.base_url)
        limits = CacheLimits(ages, unkept=unkept)
        self.caches.append(CollateralCache(client, self.store, limits, self.clock))
        self.endorser = CachingEndorser(self.caches[-1], budget=5)

    async def stop(self) -> None:
        """Until the store has been told everything."""
        for cache in self.caches:
            await cache.close()

    @property
    def counters(self) -> Counter[str]:
        """Requests by part."""
        found: Counter[str] = Counter()
        for (part, _), count in self.caches[-1].counters.fetches.items():
            found[part] += count
        return found

    def found(self, devices: tuple[NvidiaDevice, ...]) -> DeviceSet:
        """Devices that have answered a new nonce."""
        self.nonces += 1
        nonce = hashlib.sha256(str(self.nonces).encode()).digest()
        evidence = [parse_piece(one.evidence(nonce)) for one in devices]
        return authenticate_set(evidence, self.anchors, nonce, self.clock())

    async def endorsed(self, *devices: NvidiaDevice, by: AppraisedBy = LOCAL) -> NvidiaEndorsements:
        """What is got for them."""
        return await self.endorser.run(gather(self.found(devices), self.source, self.anchors, by))

    async def verified(self, *devices: NvidiaDevice, by: AppraisedBy = LOCAL) -> NvidiaSetClaims:
        """The verdict."""
        found = self.found(devices)
        got = await self.endorser.run(gather(found, self.source, self.anchors, by))
        return appraise_set(found, got, self.anchors, by, self.clock())

    async def refused(self, *devices: NvidiaDevice, by: AppraisedBy = LOCAL) -> VerificationError:
        with pytest.raises(VerificationError) as caught:
            await self.verified(*devices, by=by)
        return caught.value


@pytest.fixture
async def bench(store: SqlStore) -> AsyncIterator[Bench]:
    clock = Clock()
    nvidia = FakeNvidia.create(START - DAY, seed=b"collateral of devices")
    nvidia.clock = clock
    async with open_lab() as lab, running(nvidia) as services:
        made = Bench(services, store, lab, clock)
        await made.start()
        yield made
        await made.stop()


# what is asked, and how often


async def test_a_whole_machine_is_asked_about_once(bench: Bench) -> None:
    """Not for its next certificate, not after a restart; and all of it is what a verdict takes."""
    machine = bench.nvidia.ppcie()
    claims = await bench.verified(*machine)
    assert {one.revocation for one in claims.devices} == {Revocation.GOOD}
    first = Counter(request.split("/v1")[0] for request in bench.services.requests)
    assert first == {
        "GET ": 3,
        "POST /": bench.counters["ocsp-device"] + bench.counters["ocsp-rim"],
    }
    assert bench.counters["ocsp-device"] == 12 + 2 + 1, "boards, provisioners, one identity"
    await bench.verified(*machine)
    await bench.start()
    await bench.verified(*machine)
    assert len(bench.services.requests) == first.total()


async def test_another_machine_of_the_same_kind_costs_the_status_of_its_boards(
    bench: Bench,
) -> None:
    await bench.verified(bench.nvidia.gpu())
    before = len(bench.services.requests)
    await bench.verified(bench.nvidia.gpu(), bench.nvidia.gpu())
    assert bench.services.requests[before:] == ["POST /"] * 2


async def test_the_service_is_asked_about_every_nonce_and_its_keys_are_kept(bench: Bench) -> None:
    machine = bench.nvidia.ppcie()
    for _ in range(2):
        claims = await bench.verified(*machine, by=NRAS)
        assert {one.appraised_by for one in claims.devices} == {NRAS}
    assert Counter(bench.services.requests) == {
        "POST /v4/attest/gpu": 2,
        "POST /v4/attest/switch": 2,
        "GET /.well-known/jwks.json": 1,
    }
    said = [json.loads(body) for body in bench.services.bodies]
    assert len({one["nonce"] for one in said}) == 2
    assert bench.counters == {"nras-gpu": 2, "nras-switch": 2, "nras-jwks": 1}


async def test_both_are_asked_at_once(bench: Bench) -> None:
    claims = await bench.verified(bench.nvidia.gpu(), by=BOTH)
    assert claims.devices[0].appraised_by is BOTH
    assert set(bench.counters) == {"rim", "ocsp-device", "ocsp-rim", "nras-gpu", "nras-jwks"}


async def test_gpus_of_two_architectures(bench: Bench) -> None:
    devices = (bench.nvidia.gpu(), bench.nvidia.gpu("B200"), bench.nvidia.gpu())
    endorsements = await bench.endorsed(*devices, by=NRAS)
    assert len(endorsements.nras) == 2
    said = [json.loads(body) for body in bench.services.bodies]
    counts = {one["arch"]: len(one["evidence_list"]) for one in said}
    assert counts == {"HOPPER": 2, "BLACKWELL": 1}


# statuses


async def test_a_status_is_asked_for_again_after_an_hour(bench: Bench) -> None:
    gpu = bench.nvidia.gpu()
    await bench.verified(gpu)
    for status in (ON_HOLD, UNKNOWN, REVOKED):
        bench.nvidia.status(gpu.device.parties[1], status)
    bench.clock.advance(minutes=59)
    await bench.verified(gpu)
    bench.clock.advance(minutes=1)
    error = await bench.refused(gpu)
    assert (error.reason, error.authentic) == (Reason.CERTIFICATE_REVOKED, True)


async def test_an_answer_is_not_used_past_its_end_while_a_fresh_one_can_be_had(
    bench: Bench,
) -> None:
    """It names its end itself: an age of an hour is no reason to use one that ended half an hour ago."""
    gpu = bench.nvidia.gpu()
    about = gpu.device.parties[1]
    bench.nvidia.status(about, {"next_update": bench.clock() + timedelta(minutes=10)})
    await bench.verified(gpu)
    bench.nvidia.status(about, {})
    before = len(bench.services.requests)
    bench.clock.advance(minutes=9)
    await bench.verified(gpu)
    assert len(bench.services.requests) == before
    bench.clock.advance(minutes=1)
    (device,) = (await bench.verified(gpu)).devices
    assert not device.expired_parts
    assert bench.services.requests[before:] == ["POST /"]


async def test_an_answer_past_its_end_says_so_where_no_other_can_be_had(bench: Bench) -> None:
    gpu = bench.nvidia.gpu()
    await bench.verified(gpu)
    bench.services.faults[parts.OCSP] = Fault(status=500)
    bench.clock.advance(hours=30)
    (device,) = (await bench.verified(gpu)).devices
    assert {part.part for part in device.expired_parts} == {
        "ocsp-device",
        "ocsp-rim-driver",
        "ocsp-rim-vbios",
    }
    assert all(part.expired_since for part in device.expired_parts)
    bench.clock.advance(hours=50)
    with pytest.raises(Unavailable):
        await bench.verified(gpu)


@pytest.mark.parametrize("status", ["TRY_LATER", "INTERNAL_ERROR", "UNAUTHORIZED"])
async def test_a_responder_that_does_not_answer_is_asked_again(bench: Bench, status: str) -> None:
    gpu = bench.nvidia.gpu()
    refusal = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus[status])
    bench.services.faults[parts.OCSP] = Fault(body=refusal.public_bytes(Encoding.DER))
    with pytest.raises(Unavailable, match=r"ocsp-device: .*what came is no answer"):
        await bench.verified(gpu)
    bench.services.faults.clear()
    bench.clock.advance(minutes=1)
    await bench.verified(gpu)


@pytest.mark.parametrize("part", [parts.RIM, parts.OCSP, parts.JWKS])
@pytest.mark.parametrize("came", ["page", "half", "refusal"])
async def test_what_is_no_answer_displaces_none_that_is_kept(
    bench: Bench, part: str, came: str
) -> None:
    """Neither in memory nor in the store: it is as if the service did not answer."""
    refusal = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    bodies: dict[str, bytes | Callable[[bytes], bytes]] = {
        "page": b"<html>back soon</html>",
        "half": lambda whole: whole[: len(whole) // 2],
        "refusal": refusal.public_bytes(Encoding.DER),
    }
    gpu = bench.nvidia.gpu()
    await bench.verified(gpu, by=BOTH)
    bench.services.faults[part] = Fault(body=bodies[came])
    bench.clock.advance(hours=7)
    for _ in range(2):
        await bench.verified(gpu, by=BOTH)
        fetches = bench.caches[-1].counters.fetches
        failed = {name for name, outcome in fetches if outcome is FetchOutcome.MALFORMED}
        assert failed
        assert all(name.endswith(part) or name.startswith(part) for name in failed)
        await bench.start()


async def test_an_answer_about_another_certificate_is_replaced(bench: Bench) -> None:
    """Found in its round, so the copy that is kept goes."""
    gpu, other = bench.nvidia.gpu(), bench.nvidia.gpu()
    wrong = bench.nvidia.answer(other.device.parties[1], other.device.parties[2]).der
    bench.services.faults[parts.OCSP] = Fault(body=wrong)
    assert (await bench.refused(gpu)).reason is Reason.OCSP_INVALID
    bench.services.faults.clear()
    assert (await bench.refused(gpu)).reason is Reason.OCSP_INVALID, "not more than once a minute"
    bench.clock.advance(minutes=1)
    await bench.verified(gpu)


# manifests


async def test_a_manifest_that_the_service_does_not_have(bench: Bench) -> None:
    gpu = bench.nvidia.gpu()
    missing = gpu.rim_ids[1]
    del bench.nvidia.manifests[missing]
    error = await bench.refused(gpu)
    assert (error.reason, error.authentic) == (Reason.INCOMPLETE, True)
    assert error.detail == f"device 0: missing: vbios manifest {missing}"
    assert bench.counters["ocsp-rim"] == 3, "of the one that it has"


@pytest.mark.parametrize("part", [parts.RIM, parts.OCSP, parts.NRAS, parts.JWKS])
async def test_a_service_that_takes_too_long_is_no_pass(bench: Bench, part: str) -> None:
    hasty = CachingEndorser(bench.caches[0], budget=0.3)
    found = bench.found((bench.nvidia.gpu(),))
    bench.services.faults[part] = Fault(delay=30)
    with pytest.raises(Unavailable, match=f"{part}.*no answer within"):
        await hasty.run(gather(found, bench.source, bench.anchors, BOTH))


@pytest.mark.parametrize("part", [parts.RIM, parts.OCSP, parts.NRAS, parts.JWKS])
async def test_redirects_lead_nowhere(bench: Bench, part: str) -> None:
    bench.services.faults[part] = Fault(location=bench.services.base_url + "/latest/meta-data")
    with pytest.raises(Unavailable, match="redirects are not followed"):
        await bench.verified(bench.nvidia.gpu(), by=BOTH)
    assert not any("meta-data" in request for request in bench.services.requests)


async def test_a_manifest_that_was_changed_on_its_way_is_replaced(bench: Bench) -> None:
    """The copy in the store too: the next process does not start from it."""
    gpu = bench.nvidia.gpu()
    bench.services.faults[parts.RIM] = Fault(body=forged)
    error = await bench.refused(gpu)
    assert (error.reason, error.authentic) == (Reason.RIM_SIGNATURE, True)
    assert not bench.counters["ocsp-rim"]
    bench.services.faults.clear()
    bench.clock.advance(minutes=1)
    await bench.verified(gpu)
    await bench.start()
    await bench.verified(gpu)
    assert not bench.counters["rim"]


def forged(answer: bytes) -> bytes:
    """Another golden value, in an envelope that fits it."""
    members = json.loads(answer)
    xml = base64.b64decode(members["rim"]).replace(b'alternatives="1"', b'alternatives="2"', 1)
    members["rim"] = base64.b64encode(xml).decode()
    members["sha256"] = hashlib.sha256(xml).hexdigest()
    return json.dumps(members).encode()


async def test_a_manifest_of_another_version_is_none_of_this(bench: Bench) -> None:
    """Signed by NVIDIA, under a name that it is not for."""
    gpu = bench.nvidia.gpu()
    other = bench.nvidia.gpu(driver="580.1")
    bench.nvidia.manifests[gpu.rim_ids[0]] = bench.nvidia.manifests[other.rim_ids[0]]
    with pytest.raises(CollateralUnusable, match="under this name"):
        await bench.verified(gpu)


async def test_what_is_kept_names_no_device(bench: Bench) -> None:
    """Neither URL nor key: of what is posted there is a digest."""
    gpu = bench.nvidia.gpu()
    await bench.verified(gpu, by=BOTH)
    await bench.stop()
    fetches = next(gather(bench.found((gpu,)), bench.source, bench.anchors, BOTH))
    kept = {one.key: await bench.store.cached_response(one.key) for one in fetches}
    assert {one.part for one in fetches if kept[one.key] is None} == {"nras-gpu"}
    assert not any(gpu.serial in key.upper() for key in kept)
