# SPDX-License-Identifier: Apache-2.0
"""Stand-in silicon: a fake Intel with roots of its own, for tests, benchmarks and the demo. Never shipped.

Writes bytes from its own layout tables and shares no code with the verifiers.
"""

from __future__ import annotations
