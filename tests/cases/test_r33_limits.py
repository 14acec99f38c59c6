# SPDX-License-Identifier: Apache-2.0
"""R-33, at the verifier: limits come before cryptography, and what is refused early costs little.

Memory is measured by tracemalloc, work by counting signature checks and by the time that a good quote costs in the same
process; nothing here depends on how fast the machine is.
"""

from __future__ import annotations

import json
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from simulator import der, pki
from simulator.pki import pem
from tests.tdx_lab import Exhibit, Lab, clear_caches
from verifiers import chain, signatures
from verifiers.certificate import P256
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import MAX_BYTES, EvidenceKind
from verifiers.tdx import collateral, pck
from verifiers.tdx.endorsements import MAX_BUNDLE_BYTES, parse_bundle
from verifiers.tdx.quote import parse_quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KIB = 1024
MIB = 1024 * KIB
LIMIT = MAX_BYTES[EvidenceKind.TDX_QUOTE]


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Grows by one with every signature that is really checked."""
    done: list[int] = []
    real = signatures.p256_signed

    def counted(*arguments: object) -> bool:
        done.append(1)
        return real(*arguments)  # type: ignore[arg-type] # passed on as they are

    monkeypatch.setattr(signatures, "p256_signed", counted)
    object.__setattr__(P256, "signed", counted)  # of certificates and lists; it is frozen
    clear_caches()
    yield done
    object.__setattr__(P256, "signed", real)


def reason(work: Callable[[], object]) -> Reason:
    with pytest.raises(VerificationError) as caught:
        work()
    return caught.value.reason


def peak(work: Callable[[], object]) -> int:
    """Bytes at the peak of what `work` allocates."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def seconds(work: Callable[[], object], *, times: int = 5) -> float:
    """The best of some runs."""
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def test_a_good_quote_costs_nine_checks_cold_and_two_warm(checks: list[int]) -> None:
    exhibit = Lab.create().exhibit()
    exhibit.anchors  # noqa: B018 - the root is pinned once, at start
    checks.clear()
    exhibit.verify()
    assert len(checks) == 9
    checks.clear()
    exhibit.verify()
    assert len(checks) == 2


@pytest.mark.parametrize("size", [LIMIT + 1, 1 * MIB, 16 * MIB])
def test_too_large_a_quote(size: int) -> None:
    quote = Lab.create().platform.quote()
    data = quote + bytes(size - len(quote))
    assert reason(lambda: parse_quote(data)) is Reason.TOO_LARGE
    assert peak(lambda: reason(lambda: parse_quote(data))) < 256 * KIB
    good = seconds(Lab.create().exhibit().verify)
    assert seconds(lambda: reason(lambda: parse_quote(data))) < good


def test_the_largest_quote_is_still_read() -> None:
    quote = Lab.create().platform.quote()
    assert parse_quote(quote + bytes(LIMIT - len(quote))).raw == quote


@pytest.mark.parametrize("size", [MAX_BUNDLE_BYTES + 1, 16 * MIB])
def test_too_large_a_bundle(size: int) -> None:
    data = b'{"tcb_info": "' + b"x" * (size - 16) + b'"}'
    assert reason(lambda: parse_bundle(data)) is Reason.TOO_LARGE
    assert peak(lambda: reason(lambda: parse_bundle(data))) < 256 * KIB


def test_the_largest_bundle_costs_a_few_times_its_size() -> None:
    text = json.dumps({"tcb_info": "x" * (MAX_BUNDLE_BYTES - 20)}).encode()
    assert peak(lambda: parse_bundle(text)) < 6 * MAX_BUNDLE_BYTES


@pytest.mark.parametrize("depth", [1000, 100_000, 2_000_000])
@pytest.mark.parametrize("text", ["[", '{"a":', '{"tcb_info":['])
def test_a_deep_bundle(depth: int, text: str) -> None:
    data = (text * depth).encode()[:MAX_BUNDLE_BYTES]
    assert reason(lambda: parse_bundle(data)) is Reason.COLLATERAL_MALFORMED


FULL = LIMIT - 2 * KIB  # of the chain text, so that the quote stays within its limit


def certificate_of(size: int) -> bytes:
    """A certificate that reads well, with an extension of about this many bytes."""
    lab = Lab.create()
    lab.platform.pck.put(pki.Extension("1.2.3.4", der.octet_string(bytes(size))))
    return lab.platform.pck.der


HOSTILE_CHAINS = {
    "white space": b"\n" * FULL,
    "begins": b"-----BEGIN CERTIFICATE-----" * (FULL // 27),
    "ends": b"-----END CERTIFICATE-----" * (FULL // 25),
    "small certificates": pem(*[b"0"] * 900).encode(),
    "three large certificates": pem(*[certificate_of(14 * KIB)] * 3).encode(),
    "zeros in three certificates": pem(*[bytes(15 * KIB)] * 3).encode(),
    "nested": pem(*[b"\x30\x80" * 7000] * 3).encode(),
}


@pytest.mark.parametrize("name", HOSTILE_CHAINS)
def test_a_hostile_chain(checks: list[int], name: str) -> None:
    """As large as a quote may be, and refused with at most the one check that finds it out."""
    lab = Lab.create()
    lab.quote(certification_data=HOSTILE_CHAINS[name])
    exhibit = lab.exhibit()
    assert len(exhibit.quote) <= LIMIT
    exhibit.anchors  # noqa: B018 - the root is pinned once, at start
    checks.clear()
    assert exhibit.outcome() in {Reason.CHAIN, Reason.UNTRUSTED_ROOT}
    assert not checks
    assert peak(exhibit.outcome) < 2 * MIB


def test_what_strangers_send_is_not_remembered() -> None:
    """Certificates that a stranger signs for himself cost no memory after the refusal."""
    clear_caches()
    mine = Lab.create().exhibit()
    for number in range(20):
        foreign = Lab.create(b"stranger %d" % number).exhibit()
        shown = Exhibit(foreign.quote, foreign.bundle, mine.root_der, mine.at)
        assert shown.outcome() is Reason.UNTRUSTED_ROOT
        leaf_of_mine = Lab.create()
        leaf_of_mine.platform.pck.alter(serial=number + 1)
        leaf_of_mine.platform.pck.signer = leaf_of_mine.platform.attestation_key
        assert leaf_of_mine.exhibit().outcome() is Reason.CHAIN
    remembered = chain._issued.cache_info().currsize
    assert remembered == 1  # the genuine PCK CA, above the forged leaves
    assert collateral._authenticate.cache_info().currsize == 0


def test_other_spellings_of_a_chain_are_not_remembered_apart() -> None:
    clear_caches()
    for line in (b"\n", b"\r\n", b"\n\n", b"\n\r\n\n"):
        lab = Lab.create()
        lab.quote(certification_data=lambda text, line=line: text.replace(b"\n", line))
        lab.exhibit().verify()
    assert pck._verify_pck_chain.cache_info().currsize == 1
    assert chain._issued.cache_info().currsize == 3  # leaf, CA, TCB signing
