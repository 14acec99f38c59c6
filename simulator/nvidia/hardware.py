# SPDX-License-Identifier: Apache-2.0
r"""A GPU or NVSwitch of the fake NVIDIA: answers a nonce with a signed report, beside its certificates.

Made by `FakeNvidia.gpu` and `.switch`. The report before it is signed and the certificates are attributes, to be
altered: `gpu.written = gpu.written.having({3: b"1.2\0"})`, `gpu.device = gpu.device.having(1, serial_name=…)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.nvidia.devices import Device
    from simulator.nvidia.products import Product
    from simulator.nvidia.reports import Written

_REQUEST, _SLOT = bytes.fromhex("11e001ff"), b"\0"


@dataclass(slots=True)
class NvidiaDevice:
    """See the module's docstring.

    Attributes:
        device: its certificates and keys. written: its report but for the nonce.
        rim_ids: the manifests that it needs, driver before VBIOS.
    """

    product: Product
    device: Device
    written: Written
    rim_ids: tuple[str, ...]

    @property
    def serial(self) -> str:
        """The serialNumber in the subject of L4, 18 upper-case hexadecimal digits."""
        return self.device.levels[1].serial_name or ""

    @property
    def pdi(self) -> bytes:
        """The 8 bytes by which other devices of its machine name it."""
        return self.device.pdi

    @property
    def chain(self) -> bytes:
        """The five certificates as PEM, leaf first."""
        return self.device.chain_pem

    def report(self, nonce: bytes) -> bytes:
        """Request and answer, signed. `nonce`: 32 bytes."""
        return self.device.sign(self.written.but(request=_REQUEST + nonce + _SLOT))

    def evidence(self, nonce: bytes) -> bytes:
        """Report and chain as an enrollment carries them: each behind its length, u32 big-endian."""
        return evidence(self.report(nonce), self.chain)


def evidence(report: bytes, chain: bytes) -> bytes:
    """One piece of evidence of any two parts."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in (report, chain))
