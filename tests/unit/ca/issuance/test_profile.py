# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.errors import Unavailable
from ca.issuance import profile
from tests.authority_lab import (
    NOW,
    Lab,
    make_device,
    make_lab,
    make_platform,
    make_request,
    with_devices,
)

DAY = timedelta(days=1)
LAB = make_lab()


def test_lifetime_counts_from_now_and_starts_a_minute_before(lab: Lab) -> None:
    later = NOW + timedelta(hours=2, microseconds=7)
    start, end = profile.validity(make_request(), lab.issuer.certificate, later)
    assert start == NOW + timedelta(hours=2) - timedelta(seconds=60)
    assert end == NOW + timedelta(hours=26)


def test_not_before_the_issuer(lab: Lab) -> None:
    start, _ = profile.validity(make_request(), lab.issuer.certificate, NOW)
    assert start == NOW == lab.issuer.certificate.not_valid_before_utc


def test_other_time_zones_are_the_same_instant(lab: Lab) -> None:
    east = (NOW + DAY).astimezone(timezone(timedelta(hours=9)))
    expected = profile.validity(make_request(), lab.issuer.certificate, NOW + DAY)
    assert profile.validity(make_request(), lab.issuer.certificate, east) == expected


@pytest.mark.parametrize(
    ("what", "now"),
    [
        ("the issuing CA certificate", NOW + timedelta(days=90, seconds=-59)),
        ("the issuing CA certificate", NOW + timedelta(days=91)),
        ("the vendor's collateral", NOW + timedelta(days=20)),
        ("the policy's lifetime", NOW - timedelta(seconds=1)),  # before the issuer's notBefore
    ],
)
def test_too_little_time(lab: Lab, what: str, now: datetime) -> None:
    request = make_request(
        collateral_expires=NOW
        + (timedelta(days=20) if "collateral" in what else timedelta(days=999))
    )
    with pytest.raises(Unavailable, match=what) as error:
        profile.validity(request, lab.issuer.certificate, now)
    assert error.value.code == "validity-too-short"
    assert error.value.retry_after == 300


def test_a_minute_is_enough(lab: Lab) -> None:
    request = make_request(lifetime=timedelta(minutes=1))
    start, end = profile.validity(request, lab.issuer.certificate, NOW + DAY)
    assert end - start == timedelta(minutes=2)
    with pytest.raises(Unavailable, match="policy's lifetime"):
        profile.validity(make_request(lifetime=timedelta(seconds=59)), lab.issuer.certificate, NOW)


minutes = st.integers(6, 60 * 24 * 400).map(lambda each: timedelta(minutes=each))


@given(minutes, minutes, minutes, st.integers(0, 60 * 24 * 89))
def test_never_past_any_bound(
    lifetime: timedelta, collateral: timedelta, vendor: timedelta, age: int
) -> None:
    issuer = LAB.issuer.certificate
    now = NOW + timedelta(minutes=age)
    request = make_request(
        lifetime=lifetime,
        collateral_expires=now + collateral,
        platform=make_platform(certificates_expire=now + vendor),
    )
    start, end = profile.validity(request, issuer, now)
    assert end <= min(now + lifetime, now + collateral, now + vendor, issuer.not_valid_after_utc)
    assert end - start <= timedelta(days=7)
    assert issuer.not_valid_before_utc <= start <= now


@given(st.binary(min_size=16, max_size=16))
def test_serials_have_one_length_and_keep_the_entropy(entropy: bytes) -> None:
    number = profile.serial(entropy)
    data = number.to_bytes(16, "big")
    assert 0 < number < 1 << 127
    assert data[0] >> 6 == 1
    assert data[0] & 0x3F == entropy[0] & 0x3F
    assert data[1:] == entropy[1:]


@pytest.mark.parametrize("entropy", [b"", bytes(15), bytes(17)])
def test_serials_want_16_bytes(entropy: bytes) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        profile.serial(entropy)


def test_a_devices_certificates_bound_the_leaf_too(lab: Lab) -> None:
    soon = NOW + timedelta(hours=5)
    request = make_request(**with_devices(make_device(0), make_device(1, certificates_expire=soon)))
    assert profile.validity(request, lab.issuer.certificate, NOW)[1] == soon
    with pytest.raises(Unavailable, match="a vendor's certificate"):
        profile.validity(request, lab.issuer.certificate, soon)
