# SPDX-License-Identifier: Apache-2.0
"""R-03, where it is fetched: without every part there are no endorsements; addresses come from configuration only."""

from __future__ import annotations

import datetime as dt
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from ca.errors import CollateralUnusable, Unavailable
from ca.fetch.cache import CacheLimits, CollateralCache
from ca.fetch.client import ClientLimits, FetchClient, tls_context
from ca.fetch.endorser import CachingEndorser
from ca.fetch.origins import Origin
from simulator.intel import FakeIntel
from simulator.pcs import FakePcs, Fault, running
from tests.vendor_lab import START, Clock, MemoryStore
from verifiers.anchors import Anchor, Anchors
from verifiers.errors import Reason, VerificationError
from verifiers.tcb import TcbStatus
from verifiers.tdx.endorsements import PcsSource, TdxEndorsements, gather
from verifiers.tdx.quote import parse_quote
from verifiers.tdx.verify import verify

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PARTS = ["tcb_info", "qe_identity", "pck_crl", "root_ca_crl"]
INTEL = FakeIntel.create(START, seed=b"R-03")
ANCHORS = Anchors(Anchor.from_der(INTEL.root_der))
QUOTE = parse_quote(INTEL.platform().quote())


class World:
    """A fake PCS and an endorser that may ask it and nobody else."""

    def __init__(self, pcs: FakePcs, cache: CollateralCache) -> None:
        self.pcs, self.cache = pcs, cache
        self.source = PcsSource(pcs.base_url, pcs.root_crl_url)

    async def endorsements(
        self, source: PcsSource | None = None, *, budget: float = 5
    ) -> TdxEndorsements:
        endorser = CachingEndorser(self.cache, budget=budget)
        return await endorser.run(gather(QUOTE, source or self.source, ANCHORS))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        pcs = await stack.enter_async_context(running(INTEL))
        origin = Origin.of(pcs.base_url, private_hosts=["127.0.0.1"])
        client = FetchClient([origin], ClientLimits(), tls_context())
        await stack.enter_async_context(client)
        ages = CacheLimits(dict.fromkeys(PARTS, dt.timedelta(hours=6)))
        cache = CollateralCache(client, MemoryStore(), ages, Clock())
        stack.push_async_callback(cache.close)
        yield World(pcs, cache)


async def test_all_parts_verify(world: World) -> None:
    endorsements = await world.endorsements()
    assert not endorsements.missing
    claims = verify(QUOTE, endorsements, ANCHORS, None, START)
    assert claims.tcb.status is TcbStatus.UP_TO_DATE
    assert len(world.pcs.requests) == len(PARTS)
    assert await world.endorsements() == endorsements
    assert len(world.pcs.requests) == len(PARTS)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("status", [404, 410])
async def test_a_part_that_the_vendor_does_not_have(world: World, part: str, status: int) -> None:
    """Of a platform that it does not know that is the attester's fault, of any other part the vendor's."""
    world.pcs.faults[part] = Fault(status=status)
    if part == "tcb_info":
        with pytest.raises(VerificationError) as refused:
            await world.endorsements()
        assert refused.value.reason is Reason.PLATFORM_UNKNOWN
    else:
        with pytest.raises(CollateralUnusable, match=f"{part}: answered {status}"):
            await world.endorsements()


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500),
        Fault(status=429),
        Fault(location="https://collateral.example/"),
        Fault(body=b" " * 300_000),
        Fault(delay=30),
    ],
    ids=["error", "busy", "redirect", "too-large", "silent"],
)
async def test_a_part_that_cannot_be_had(world: World, part: str, fault: Fault) -> None:
    world.pcs.faults[part] = fault
    with pytest.raises(Unavailable, match=part) as caught:
        await world.endorsements(budget=0.2 if fault.delay else 5)
    assert caught.value.retry_after > 0


@pytest.mark.parametrize(
    "source",
    [
        PcsSource("https://collateral.example", "https://collateral.example/root"),
        PcsSource("http://127.0.0.1:9", "http://127.0.0.1:9/root"),
        PcsSource("http://127.0.0.1:9@collateral.example", "file:///etc/passwd"),
    ],
)
async def test_nobody_else_is_asked(world: World, source: PcsSource) -> None:
    with pytest.raises(Unavailable, match="not a configured address"):
        await world.endorsements(source)
    assert not world.pcs.requests


async def test_what_a_quote_says_chooses_no_address(world: World) -> None:
    """The platform's certificates name distribution points of Intel's; nothing is asked but the configured paths."""
    await world.endorsements()
    leaf = x509.load_pem_x509_certificates(QUOTE.pck_chain_pem)[0]
    points = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert [str(name.value) for point in points for name in point.full_name or ()]
    assert sorted(path.split("?")[0] for path in world.pcs.requests) == [
        "/IntelSGXRootCA.der",
        "/sgx/certification/v4/pckcrl",
        "/tdx/certification/v4/qe/identity",
        "/tdx/certification/v4/tcb",
    ]
