# SPDX-License-Identifier: Apache-2.0
"""Asks NVIDIA's own verifier about one GPU. Run as a program by the interpreter that has nv-local-gpu-verifier 2.7.3.

    python nvidia_peer.py FOLDER NONCE AT DRIVER VBIOS

FOLDER holds report.bin, chain.pem, driver_rim.xml, vbios_rim.xml and ocsp/*.der. It has no option for a clock or for
recorded answers: the time at which its certificates are judged, the function that asks the OCSP service, and the one
question that it has for the driver of this machine are replaced; nothing else is. The last line printed is JSON.
"""

# mypy: ignore-errors
# what it imports is in another environment

from __future__ import annotations

import json
import sys
import time
from datetime import datetime
from pathlib import Path

from cryptography.x509 import ocsp
from OpenSSL import crypto
from verifier import cc_admin
from verifier.cc_admin_utils import CcAdminUtils
from verifier.config import HopperSettings
from verifier.nvml import NvmlHandler

ARCHITECTURE = 9  # Hopper
PEM_END = b"-----END CERTIFICATE-----\n"


class Gpu:
    """What it asks of a GPU's driver."""

    def __init__(self, folder: Path, driver: str, vbios: str) -> None:
        self.report = (folder / "report.bin").read_bytes()
        self.chain = (folder / "chain.pem").read_bytes()
        self.driver, self.vbios = driver, vbios

    def get_gpu_architecture(self) -> int:
        return ARCHITECTURE

    def get_uuid(self) -> str:
        return "GPU"

    def get_driver_version(self) -> str:
        return self.driver

    def get_vbios_version(self) -> str:
        return self.vbios

    def get_attestation_report(self) -> bytes:
        return self.report

    def get_attestation_cert_chain(self) -> list[crypto.X509]:
        blocks = [block + PEM_END for block in self.chain.split(PEM_END) if block.strip()]
        return [crypto.load_certificate(crypto.FILETYPE_PEM, block) for block in blocks]


def replay(folder: Path, at: datetime) -> None:
    """Its certificates are judged at `at`, and its questions answered by the recorded answers."""
    answers = {}
    for path in (folder / "ocsp").glob("*.der"):
        answer = ocsp.load_der_ocsp_response(path.read_bytes())
        answers[answer.serial_number] = answer

    class Context(crypto.X509StoreContext):
        def __init__(self, store: crypto.X509Store, certificate: crypto.X509) -> None:
            store.set_time(at.replace(tzinfo=None))
            super().__init__(store, certificate)

    crypto.X509StoreContext = Context
    CcAdminUtils.send_ocsp_request = staticmethod(
        lambda request: answers[ocsp.load_der_ocsp_request(request).serial_number]
    )


def main(folder: Path, nonce: str, at: str, driver: str, vbios: str) -> None:
    replay(folder, datetime.fromisoformat(at))
    NvmlHandler.is_cc_dev_mode = staticmethod(lambda: False)
    HopperSettings.set_driver_rim_path(str(folder / "driver_rim.xml"))
    HopperSettings.set_vbios_rim_path(str(folder / "vbios_rim.xml"))
    arguments = {
        "allow_hold_cert": False,
        "claims_version": "3.0",
        "driver_rim": HopperSettings.DRIVER_RIM_PATH,
        "ocsp_nonce_disabled": True,  # the answers were recorded for other requests
        "ocsp_url": None,
        "rim_service_url": None,
        "service_key": None,
        "test_no_gpu": False,
        "user_mode": True,  # it tells no GPU that it may start
        "vbios_rim": HopperSettings.VBIOS_RIM_PATH,
        "verbose": False,
    }
    start = time.process_time()
    accepted, _ = cc_admin.attest(arguments, nonce, [Gpu(folder, driver, vbios)])
    spent = time.process_time() - start
    print(json.dumps({"accepted": accepted, "cpu_seconds": spent}))  # noqa: T201 - how it answers


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
