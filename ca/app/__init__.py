# SPDX-License-Identifier: Apache-2.0
"""Composition root: configuration -> adapters -> use cases -> listeners. The service reads clock and entropy here.

A second start finds all as it was: keys in the folder, everything else in the database. Nothing is imported here, so
that a command which wants a part does not load the service.
"""
