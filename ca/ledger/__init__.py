# SPDX-License-Identifier: Apache-2.0
"""The chain: nodes that are asked, the registry contract, accounts.

The only package that imports web3, which is slow: who has a chain imports it, when it is needed.
"""
