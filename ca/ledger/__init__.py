# SPDX-License-Identifier: Apache-2.0
"""The chain: nodes that are asked, the registry contract, accounts.

The only package that imports web3, which is slow: who has a chain imports it, when it is needed. Something that web3
brings lets Python recurse a hundred times deeper than by default: a body of nothing but `[` would then end the process
instead of being refused. So the limit is put back here, before anything of web3 is used.
"""

from __future__ import annotations

import sys

import web3  # noqa: F401 - for what it does when it is imported first

sys.setrecursionlimit(1000)  # as Python has it
