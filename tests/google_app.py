# SPDX-License-Identifier: Apache-2.0
"""The service of `tests.app_lab` with a fake Google and a fake AMD at hand: its confidential VMs on either processor.

async with open_google_app(folder, database_url, clock) as google:
    reply = await google.enroll(google.cvm())
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec

from attestca_client.protocol import binding, tpm_extra
from ca.issuance import csr
from simulator import bucket, kds
from simulator.amd import FakeAmd
from simulator.eventlog import grub_boot
from simulator.google import FakeGoogle, GoogleCvm
from simulator.google_certificates import Instance
from simulator.machine import register
from simulator.snp import MEASUREMENT
from simulator.tpm_eventlog import of_tpm
from tests.app_lab import open_app
from tests.authority_lab import make_csr
from tests.service_lab import Reply, body_of
from tests.snp_app import NO_FLOOR

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from simulator.bucket import FakeBucket
    from simulator.google import GoogleTd
    from simulator.kds import FakeKds
    from tests.app_lab import App
    from tests.vendor_lab import Clock

BOOT = grub_boot()
USUAL = Instance()
PROJECT = USUAL.project_id
_POLICY = """\
name: google-{tee}
version: {version}
match: {{tee: {tee}, provider: google}}
reference_sets:
  release:
    - id: image-1
      values: {{{values}}}
      source: {{kind: computed}}
{tee}: {{measurements: [release]{more}}}
google: {{projects: [{project}]{google}}}
{boot}
issue:
  profile: google-{tee}
  lifetime: 1h
  san: {{uri: ["spiffe://example.org/google/{tee}"]}}
  shared_name: every machine that boots this image serves the same name
"""


def policy(
    tee: str,
    *,
    version: int = 1,
    project: str = PROJECT,
    google: str = "",
    boot: str = "",
    more: str = "",
) -> str:
    """A policy of the profile google-`tee` for what these VMs boot.

    `google`, `more`: more members of the sections `google` and of the technology. `boot`: a section of that name.
    """
    if tee == "snp":
        pcrs = of_tpm(BOOT).pcrs
        values = {f"pcr{index}": pcrs[index] for index in (4, 8, 9, 11, 12)}
        values["measurement"], floor = MEASUREMENT, f", tcb: {NO_FLOOR}"
    else:
        values = {one: BOOT.registers[one] for one in ("rtmr0", "rtmr1", "rtmr2")}
        values["mr_td"], floor = register("simulated firmware"), ""
    said = ", ".join(f'{name}: "{value.hex()}"' for name, value in values.items())
    return _POLICY.format(
        tee=tee,
        version=version,
        values=said,
        more=floor + more,
        project=project,
        google=google,
        boot=boot,
    )


@dataclass
class GoogleApp:
    """A running service with what the vendors have."""

    app: App
    amd: FakeAmd
    google: FakeGoogle
    bucket: FakeBucket
    kds: FakeKds

    def cvm(self, instance: Instance = USUAL, tpm: str = "vtpm") -> GoogleCvm:
        """A VM on SEV-SNP that booted the image."""
        cvm = self.google.cvm(self.amd.machine("Milan"), instance, tpm)
        cvm.boot(BOOT)
        return cvm

    def td(self) -> GoogleTd:
        """A VM on TDX that booted the image."""
        td = self.google.td(self.app.intel.platform())
        td.boot(BOOT)
        return td

    async def enroll(self, vm: GoogleCvm | GoogleTd, **options: Any) -> Reply:  # noqa: ANN401 - of `body`
        """A whole enrollment under the profile of its technology."""
        return await self.app.post(self.body(await self.app.nonce(), vm, **options))

    def body(
        self,
        nonce: bytes,
        vm: GoogleCvm | GoogleTd,
        *,
        without: tuple[str, ...] = (),
        vtpm: GoogleCvm | GoogleTd | None = None,
        logs: bool = False,
        **fields: Any,  # noqa: ANN401 - of the CPU's report
    ) -> bytes:
        """What a VM sends.

        Args:
            nonce: of the service.
            vm: whose CPU reports. vtpm: whose vTPM is shown; its own where None.
            without: kinds of evidence that are left out. logs: whether those of its boot come along.
            fields: of the CPU's report.
        """
        request = make_csr(ec.generate_private_key(ec.SECP256R1()))
        profile = "google-snp" if isinstance(vm, GoogleCvm) else "google-tdx"
        bound = binding(
            ca_id=self.app.service.authority.ca_id,
            profile=profile,
            nonce=nonce,
            spki_der=csr.parse(request).spki_der,
        )
        cpu, *_ = vm.evidence(bound, tpm_extra(bound), **fields)
        pieces = [cpu, *(vtpm or vm).tpm_pieces(tpm_extra(bound)), *(vm.logs if logs else ())]
        sent = [one for one in pieces if one[0] not in without]
        return body_of(nonce, request, sent, profile=profile)


@asynccontextmanager
async def open_google_app(
    folder: Path, database_url: str, clock: Clock
) -> AsyncIterator[GoogleApp]:
    """A simulated authority that trusts a fake Google, one product line of a fake AMD, and a fake Intel."""
    google, amd = FakeGoogle.create(clock()), FakeAmd.create(clock(), seed=b"google app")
    (folder / "google.pem").write_text(google.pem)
    (folder / "milan.pem").write_text(amd.line("Milan").pem)
    async with bucket.running(google) as lists, kds.running(amd) as keys:
        more: dict[str, dict[str, object]] = {
            "ca": {"simulated_anchors": ["intel.pem", "milan.pem", "google.pem"]},
            "collateral": {
                "kds_base_url": keys.base_url,
                "google_root_crl_url": lists.crl_url,
            },
        }
        async with open_app(folder, database_url, clock, more) as app:
            yield GoogleApp(app, amd, google, lists, keys)
