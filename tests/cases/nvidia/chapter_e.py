# SPDX-License-Identifier: Apache-2.0
"""A chapter."""

from __future__ import annotations

from tests.cases.nvidia.case import Case

CASES: list[Case] = []
