# SPDX-License-Identifier: Apache-2.0
"""Collateral of the vendors: bounded requests (`client`), a cache (`cache`), a verifier's questions (`endorser`)."""

from __future__ import annotations
