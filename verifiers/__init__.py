# SPDX-License-Identifier: Apache-2.0
"""Verifiers: evidence bytes in, Claims out.

One folder per technology. Every verifier is a pure function of (evidence, collateral, anchors, binding, now): no clock,
no entropy, no network, no files but the package data read once by `verifiers.anchors`.
"""

from __future__ import annotations
