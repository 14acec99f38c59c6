# SPDX-License-Identifier: Apache-2.0
"""In whose cloud this machine says that it is: what the firmware's tables (SMBIOS) read, as Linux shows them.

A hint for choosing what to ask, no proof of anything.
"""

from __future__ import annotations

from pathlib import Path

ASSET_TAG = Path("/sys/class/dmi/id/chassis_asset_tag")
AZURE_TAG = "7783-7084-3265-9085-8269-3286-77"  # every VM in Azure, and no other
PRODUCT_NAME = Path("/sys/class/dmi/id/product_name")
GOOGLE_PRODUCT = "Google Compute Engine"


def on_azure(asset_tag: Path = ASSET_TAG) -> bool:
    """Whether this machine says that it is a VM in Azure."""
    return _reads(asset_tag, AZURE_TAG)


def on_google(product_name: Path = PRODUCT_NAME) -> bool:
    """Whether this machine says that it is a VM of Google Compute Engine."""
    return _reads(product_name, GOOGLE_PRODUCT)


def _reads(path: Path, text: str) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(64).strip() == text.encode()
    except OSError:
        return False
