# SPDX-License-Identifier: Apache-2.0
"""AMD SEV-SNP: report v2 to v5 signed by a VCEK or a VLEK (AMD publication 56860, SEV-SNP firmware ABI)."""
