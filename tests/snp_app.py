# SPDX-License-Identifier: Apache-2.0
"""The service of `tests.app_lab` with a fake AMD at hand: SEV-SNP machines, bare and under Azure's paravisor.

async with open_snp_app(folder, database_url, clock) as snp:
    reply = await snp.enroll(snp.amd.machine("Milan"))
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec

from attestca_client.protocol import binding, tpm_extra
from ca.issuance import csr
from simulator import kds
from simulator.amd import FakeAmd
from simulator.azure import AzureCvm
from simulator.snp import register
from simulator.vtpm import boot_pcrs
from tests.app_lab import open_app
from tests.authority_lab import make_csr
from tests.service_lab import Reply, body_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from ca.ports import PolicyRecord
    from simulator.kds import FakeKds
    from simulator.snp import SnpMachine
    from tests.app_lab import App
    from tests.vendor_lab import Clock

MEASUREMENT = register("simulated SNP guest")
LINES = ("Milan", "Genoa", "Turin")
NO_FLOOR = "{no_floor: the simulated machine has no flaws}"
POLICY = """\
name: {name}
version: {version}
match: {{tee: snp, provider: {provider}}}
reference_sets:
  release:
    - id: image-1
      values: {{{values}}}
      source: {{kind: computed}}
snp:
  measurements: [release]
  tcb: {tcb}
{rules}
issue:
  profile: {profile}
  lifetime: 1h
  san:
    uri: ["spiffe://example.org/snp/{{measurement_32}}"]
  shared_name: every machine that boots this image serves the same name
"""


def policy(
    name: str = "snp",
    *,
    version: int = 1,
    provider: str = "direct",
    profile: str = "default",
    tcb: str = NO_FLOOR,
    rules: str = "",
    **values: str,
) -> str:
    """A policy for what simulated machines run. `rules`: more lines of the section `snp`; `values`: other registers."""
    registers = {"measurement": MEASUREMENT.hex()}
    if provider == "azure":
        registers |= {f"pcr{index}": boot_pcrs()[index].hex() for index in (4, 8, 9, 11, 12)}
    said = ", ".join(f'{register}: "{value}"' for register, value in (registers | values).items())
    return POLICY.format(
        name=name,
        version=version,
        provider=provider,
        profile=profile,
        tcb=tcb,
        rules=rules,
        values=said,
    )


@dataclass(repr=False)
class SnpApp:
    """A running service with what the vendor has. `app.machine` is its TDX machine."""

    app: App
    amd: FakeAmd
    kds: FakeKds

    @property
    def fetched(self) -> list[str]:
        """What AMD was asked for, in AMD's words: each "crl", then each "vcek"."""
        return sorted("crl" if path.endswith("/crl") else "vcek" for path in self.kds.requests)

    async def accept(self, **fields: Any) -> PolicyRecord:  # noqa: ANN401 - of `policy`
        """That policy, in force."""
        return await self.app.accept_image(policy(**fields))

    async def enroll(self, machine: SnpMachine | AzureCvm, **fields: Any) -> Reply:  # noqa: ANN401 - of `body`
        """A whole enrollment."""
        return await self.app.post(self.body(await self.app.nonce(), machine, **fields))

    def body(
        self,
        nonce: bytes,
        machine: SnpMachine | AzureCvm,
        *,
        key: ec.EllipticCurvePrivateKey | None = None,
        profile: str = "default",
        certificates: bytes | None = None,
        logs: Sequence[tuple[str, bytes]] = (),
        **fields: Any,  # noqa: ANN401 - of the report
    ) -> bytes:
        """What an honest client sends; `certificates` and `logs` come as pieces of their own."""
        request_der = make_csr(key or ec.generate_private_key(ec.SECP256R1()))
        report_data = binding(
            ca_id=self.app.service.authority.ca_id,
            profile=profile,
            nonce=nonce,
            spki_der=csr.parse(request_der).spki_der,
        )
        pieces = pieces_of(machine, report_data, **fields)
        if certificates is not None:
            pieces.append(("snp-certificates", certificates))
        pieces += logs
        return body_of(nonce, request_der, pieces, profile=profile)


def pieces_of(
    machine: SnpMachine | AzureCvm,
    bound: bytes,
    /,
    **fields: Any,  # noqa: ANN401 - of the report
) -> list[tuple[str, bytes]]:
    """A report over the binding (64 bytes), or the paravisor's report and its vTPM's quote over it."""
    if isinstance(machine, AzureCvm):
        return machine.evidence(tpm_extra(bound), **fields)
    return [("snp-report", machine.report(**{"report_data": bound} | fields))]


@asynccontextmanager
async def open_snp_app(
    folder: Path,
    database_url: str,
    clock: Clock,
    lines: tuple[str, ...] = LINES,
    **sections: dict[str, object],
) -> AsyncIterator[SnpApp]:
    """A simulated authority that trusts these product lines too. `sections`: more of the configuration."""
    amd = FakeAmd.create(clock(), seed=b"snp app")
    anchors = ["intel.pem"]
    for name in lines:
        anchors.append(f"{name}.pem")
        (folder / anchors[-1]).write_text(amd.line(name).pem)
    async with kds.running(amd) as service:
        more: dict[str, dict[str, object]] = {
            "ca": {"simulated_anchors": anchors},
            "collateral": {"kds_base_url": service.base_url},
            **sections,
        }
        async with open_app(folder, database_url, clock, more) as app:
            yield SnpApp(app, amd, service)
