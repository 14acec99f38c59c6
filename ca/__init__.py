# SPDX-License-Identifier: Apache-2.0
"""The authority: the only package with I/O. Start reading at `ca.enrollment.enroll`."""

from __future__ import annotations
