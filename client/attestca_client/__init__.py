# SPDX-License-Identifier: Apache-2.0
"""attestca-client: enrolls a confidential VM with an attestca authority. cryptography and the standard library only."""

from __future__ import annotations
