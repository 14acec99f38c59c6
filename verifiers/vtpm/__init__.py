# SPDX-License-Identifier: Apache-2.0
"""Virtual TPMs: quotes by TPM 2.0 rules, and the HCL envelope that ties Azure's vTPM to the CPU's own report."""
