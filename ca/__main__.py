# SPDX-License-Identifier: Apache-2.0
"""`attestca` and `python -m ca`."""

from __future__ import annotations

from ca.cli import main

if __name__ == "__main__":
    main()
