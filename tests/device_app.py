# SPDX-License-Identifier: Apache-2.0
"""The service of `tests.app_lab` with a fake NVIDIA at hand: a TDX machine with GPUs and switches.

async with open_device_app(folder, database_url, clock) as lab:
    reply = await lab.enroll(lab.nvidia.gpu(), lab.nvidia.gpu())
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec

from attestca_client.protocol import attachment, binding, gpu_nonce
from ca.issuance import csr
from simulator.machine import register
from simulator.nvidia import services
from simulator.nvidia.vendor import FakeNvidia
from tests.app_lab import IMAGE, open_app
from tests.authority_lab import make_csr
from tests.service_lab import body_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from ca.ports import PolicyRecord
    from simulator.nvidia.hardware import NvidiaDevice
    from simulator.nvidia.services import NvidiaServices
    from tests.app_lab import App
    from tests.service_lab import Reply
    from tests.vendor_lab import Clock

PROFILE = "gpu"
KIND = "nvidia-device"

POLICY = """\
name: {name}
version: {version}
match: {{tee: tdx}}
reference_sets:
  release:
    - {{id: image-1, values: {{{values}}}}}
tdx:
  measurements: [release]
nvidia:
  appraisal: {appraisal}
  gpus: {gpus}
  switches: {switches}
  models: [GH100, LS10]
  modes: {modes}
  driver: {driver}
  vbios: {{no_minimum: simulated devices have no bulletins}}
{rules}
issue:
  profile: gpu
  lifetime: 1h
  san:
    dns: ["gpu.example.org"]
  shared_name: every machine that boots this image serves the same name
"""


def policy(
    name: str = "gpu",
    *,
    version: int = 1,
    appraisal: str = "local",
    gpus: object = "{min: 1, max: 8}",
    switches: object = "{min: 0, max: 4}",
    modes: str = "[spt, ppcie]",
    driver: str = '{minimum: {"580": 580.178.04}}',
    rules: str = "",
) -> str:
    """A policy for the image of the machine and devices beside it. `rules`: more lines of the section `nvidia`."""
    values = {name: register(f"simulated {what}").hex() for name, what in IMAGE.items()}
    return POLICY.format(
        name=name,
        version=version,
        values=", ".join(f'{register}: "{value}"' for register, value in values.items()),
        appraisal=appraisal,
        gpus=gpus,
        switches=switches,
        modes=modes,
        driver=driver,
        rules=rules,
    )


@dataclass(repr=False)
class DeviceApp:
    """A running service with what the vendor has. `app.machine` is its TDX machine."""

    app: App
    nvidia: FakeNvidia
    services: NvidiaServices

    async def accept(self, **fields: Any) -> PolicyRecord:  # noqa: ANN401 - of `policy`
        """That policy, in force."""
        return await self.app.accept_image(policy(**fields))

    async def enroll(self, *devices: NvidiaDevice, **fields: Any) -> Reply:  # noqa: ANN401 - of `body`
        """A whole enrollment."""
        return await self.app.post(self.body(await self.app.nonce(), devices, **fields))

    def body(
        self,
        nonce: bytes,
        devices: Sequence[NvidiaDevice],
        *,
        profile: str = PROFILE,
        sent: Callable[[list[bytes]], list[bytes]] = list,
        bound: Callable[[list[bytes]], list[bytes]] = list,
        asked: Callable[[bytes], bytes] = bytes,
        **fields: Any,  # noqa: ANN401 - go to Platform.quote
    ) -> bytes:
        """What an honest client sends.

        Not so honest: `sent` alters the devices' evidence that is sent, `bound` what the quote covers of it, `asked`
        the nonce that the devices are given; `fields` the quote.
        """
        request_der = make_csr(ec.generate_private_key(ec.SECP256R1()))
        about: Any = {
            "ca_id": self.app.service.authority.ca_id,
            "profile": profile,
            "nonce": nonce,
            "spki_der": csr.parse(request_der).spki_der,
        }
        answered = [device.evidence(asked(gpu_nonce(**about))) for device in devices]
        pieces = sent(answered)
        attachments = [attachment(KIND, piece) for piece in bound(pieces)]
        report_data = binding(**about, attachments=attachments)
        quote = self.app.machine.quote(**{"report_data": report_data} | fields)
        evidence = [("tdx-quote", quote), *((KIND, piece) for piece in pieces)]
        return body_of(nonce, request_der, evidence, profile=profile)


@asynccontextmanager
async def open_device_app(
    folder: Path, database_url: str, clock: Clock, **sections: dict[str, object]
) -> AsyncIterator[DeviceApp]:
    """A simulated authority that trusts a fake NVIDIA too. `sections`: more of the configuration."""
    nvidia = FakeNvidia.create(clock(), seed=b"device app " * 3)
    nvidia.clock = clock
    (folder / "nvidia.pem").write_text(nvidia.pem)
    async with services.running(nvidia) as service:
        more: dict[str, dict[str, object]] = {
            "ca": {"simulated_anchors": ["intel.pem", "nvidia.pem"]},
            "collateral": {
                "nvidia_rim_base_url": service.base_url,
                "nvidia_ocsp_url": service.base_url,
                "nras_base_url": service.base_url,
            },
        }
        for section, values in sections.items():
            more[section] = more.get(section, {}) | values
        async with open_app(folder, database_url, clock, more) as app:
            yield DeviceApp(app, nvidia, service)
