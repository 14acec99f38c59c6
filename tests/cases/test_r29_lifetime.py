# SPDX-License-Identifier: Apache-2.0
"""R-29: a certificate ends with the first of what it rests on, and after seven days whatever is configured."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from cryptography import x509

from ca.errors import LintFailed, Unavailable
from tests.authority_lab import NOW, make_lab, make_platform, make_request

LAB = make_lab()
ISSUER_END = LAB.issuer.certificate.not_valid_after_utc
FAR = NOW + timedelta(days=4000)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def issue(
    now: datetime, lifetime: timedelta, *, collateral: datetime = FAR, vendor: datetime = FAR
) -> x509.Certificate:
    request = make_request(
        lifetime=lifetime,
        collateral_expires=collateral,
        platform=make_platform(certificates_expire=vendor),
    )
    return x509.load_der_x509_certificate(LAB.issue(request, now).der)


@pytest.mark.parametrize(
    ("what", "now", "lifetime", "collateral", "vendor", "end"),
    [
        ("the policy", NOW + DAY, 24 * HOUR, FAR, FAR, NOW + 2 * DAY),
        ("a shorter policy", NOW + DAY, HOUR, FAR, FAR, NOW + DAY + HOUR),
        ("the collateral", NOW + DAY, 24 * HOUR, NOW + DAY + 3 * HOUR, FAR, NOW + DAY + 3 * HOUR),
        (
            "the platform's certificate",
            NOW + DAY,
            24 * HOUR,
            FAR,
            NOW + DAY + 2 * HOUR,
            NOW + DAY + 2 * HOUR,
        ),
        ("the issuing CA", ISSUER_END - HOUR, 24 * HOUR, FAR, FAR, ISSUER_END),
        ("seven days", NOW + DAY, 400 * DAY, FAR, FAR, NOW + 8 * DAY - timedelta(seconds=60)),
        (
            "seven days exactly asked for",
            NOW + DAY,
            7 * DAY,
            FAR,
            FAR,
            NOW + 8 * DAY - timedelta(seconds=60),
        ),
    ],
)
def test_the_first_end_counts(
    what: str,
    now: datetime,
    lifetime: timedelta,
    collateral: datetime,
    vendor: datetime,
    end: datetime,
) -> None:
    found = issue(now, lifetime, collateral=collateral, vendor=vendor)
    assert found.not_valid_after_utc == end, what
    assert found.not_valid_after_utc - found.not_valid_before_utc <= timedelta(days=7)


@pytest.mark.parametrize("left", [timedelta(seconds=59), timedelta(0), -DAY])
def test_no_certificate_that_is_as_good_as_over(left: timedelta) -> None:
    now = NOW + DAY
    for bounds in ({"collateral": now + left}, {"vendor": now + left}):
        with pytest.raises(Unavailable) as error:
            issue(now, 24 * HOUR, **bounds)
        assert error.value.code == "validity-too-short"
    with pytest.raises(Unavailable):
        issue(ISSUER_END - left, 24 * HOUR)


def test_no_wildcard() -> None:
    with pytest.raises(LintFailed, match="names"):
        LAB.issue(make_request(names=("dns:*.example.org",)))
