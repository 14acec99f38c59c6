# SPDX-License-Identifier: Apache-2.0
"""Intel TDX: quotes v4 and v5 (ECDSA P-256). Start reading at `verifiers.tdx.verify.verify`."""

from __future__ import annotations
