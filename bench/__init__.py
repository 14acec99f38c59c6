# SPDX-License-Identifier: Apache-2.0
"""What the README's performance table is made with: ratios within one run, never absolute times to be relied on."""

from __future__ import annotations
