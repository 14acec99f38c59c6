# SPDX-License-Identifier: Apache-2.0
"""Event logs of measured boot: the digests behind the registers of a quote, and what of the logs may be believed."""
