# SPDX-License-Identifier: Apache-2.0
"""The exception carries data; codes are stable and read well in a URL, a log and a metric."""

from __future__ import annotations

import re

from verifiers.errors import Reason, VerificationError
from verifiers.tcb import TcbReport


def test_fields() -> None:
    report = TcbReport(status=None)
    error = VerificationError(Reason.CHAIN, "no chain", tcb=report)
    assert (error.reason, error.detail, error.tcb) == (Reason.CHAIN, "no chain", report)
    assert str(error) == "chain: no chain"
    assert VerificationError(Reason.CHAIN, "no chain").tcb is None


def test_codes() -> None:
    assert all(re.fullmatch("[a-z]+(-[a-z0-9]+)*", reason.value) for reason in Reason)
