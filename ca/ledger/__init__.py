# SPDX-License-Identifier: Apache-2.0
"""The chain: nodes that are asked, the registry contract, accounts.

The only package that imports web3, which is slow: who has a chain imports it, when it is needed. Something that web3
brings lets Python recurse a hundred times deeper than it should: a body of nothing but `[` would then end the process
instead of being refused. So the limit is put back here, before anything of web3 is used.
"""

from __future__ import annotations

import sys

_LIMIT = sys.getrecursionlimit()
import web3  # noqa: E402, F401 - for what it does when it is imported first

sys.setrecursionlimit(_LIMIT)
