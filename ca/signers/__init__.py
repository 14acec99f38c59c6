# SPDX-License-Identifier: Apache-2.0
"""Where keys live. Each module is one kind of place; all give `ca.ports.Signer`."""

from __future__ import annotations
