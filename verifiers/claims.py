# SPDX-License-Identifier: Apache-2.0
"""The closed union of what verifiers return. A new technology adds its claims type here."""

from __future__ import annotations

from typing import TypeAlias

from verifiers.tdx.claims import TdxClaims

Claims: TypeAlias = TdxClaims
