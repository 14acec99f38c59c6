# SPDX-License-Identifier: Apache-2.0
"""Appraisal: Claims + policy + reference values -> AttestationResult. Pure; no I/O, no clock."""

from __future__ import annotations
