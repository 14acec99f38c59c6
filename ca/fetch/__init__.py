# SPDX-License-Identifier: Apache-2.0
"""Collateral of the vendors: bounded GETs (`client`), their cache (`cache`), a verifier's questions (`endorser`)."""

from __future__ import annotations
