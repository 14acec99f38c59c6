# SPDX-License-Identifier: Apache-2.0
"""A fake Google: the authority for keys of virtual TPMs, and confidential VMs of Compute Engine on either processor.

Everything that it signs can be altered by a test before it is signed, signed by another key or edited afterwards, and
stays so. There is an intermediate for each region, all of one name.

The vTPM of such a VM is the host's: nothing of the CPU's report names it. What both carry is the binding alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from simulator import google_certificates
from simulator.amd_keys import SHARED, RsaKeys
from simulator.google_certificates import (
    DIGITAL_SIGNATURE,
    KEY_ENCIPHERMENT,
    REGION,
    Authority,
    Instance,
)
from simulator.machine import Platform
from simulator.pki import CertificateSpec, Crl, Signed, pem
from simulator.snp import SnpMachine
from simulator.tpm_eventlog import KIND, of_tpm
from simulator.vtpm import FakeTpm

if TYPE_CHECKING:
    from datetime import datetime

    from simulator.eventlog import Boot

Machine = TypeVar("Machine")

_SNP: Final = Instance()
_TDX: Final = Instance(instance_id=2_718_281_828_459_045_235, name="confidential-2")


@dataclass(slots=True)
class FakeGoogle:
    """See the module's docstring. Everything may be altered.

    Attributes:
        now: the instant everything was made for. keys: of the authorities, labelled "Google root" and by region.
        root: the root. crl: what it has revoked: nothing yet.
    """

    now: datetime
    keys: RsaKeys
    root: Authority
    crl: Crl
    _regions: dict[str, Authority] = field(default_factory=dict, repr=False)

    @classmethod
    def create(cls, now: datetime, *, keys: RsaKeys | None = None) -> FakeGoogle:
        """An authority whose every part is valid at `now` (UTC); its list was issued a day before.

        `keys`: those that all vendors of this process share where None. One that must differ gets `RsaKeys()`.
        """
        now, keys = now.replace(microsecond=0), SHARED if keys is None else keys
        root = google_certificates.root(now, keys.get("Google root"))
        return cls(now, keys, root, google_certificates.crl(now, root))

    def intermediate(self, region: str = REGION) -> Authority:
        """The one of a region. Tests may alter it."""
        if region not in self._regions:
            key = self.keys.get(f"Google {region}")
            self._regions[region] = google_certificates.intermediate(self.now, self.root, key)
        return self._regions[region]

    @property
    def pem(self) -> str:
        """The root and the usual intermediate."""
        return pem(self.root.der, self.intermediate().der)

    def certify(
        self, spki: bytes, instance: Instance, usage: bytes = DIGITAL_SIGNATURE
    ) -> Signed[CertificateSpec]:
        """The certificate of a key of this VM: an attestation key, or by `KEY_ENCIPHERMENT` an endorsement key."""
        return google_certificates.of_key(self.now, self.intermediate(), spki, instance, usage)

    def cvm(self, machine: SnpMachine, instance: Instance = _SNP, tpm: str = "vtpm") -> GoogleCvm:
        """A confidential VM on SEV-SNP. `tpm`: the label of its virtual TPM's keys in this process."""
        return GoogleCvm(*self._parts(instance, tpm), machine)

    def td(self, machine: Platform, instance: Instance = _TDX, tpm: str = "vtpm") -> GoogleTd:
        """A confidential VM on TDX, likewise."""
        return GoogleTd(*self._parts(instance, tpm), machine)

    def _parts(
        self, instance: Instance, label: str
    ) -> tuple[Instance, FakeTpm, Signed[CertificateSpec], Signed[CertificateSpec]]:
        tpm = FakeTpm.create(label)
        ek = self.certify(tpm.ek.spki, instance, KEY_ENCIPHERMENT)
        return instance, tpm, self.certify(tpm.ak.spki, instance), ek


@dataclass(slots=True)
class GoogleVm(Generic[Machine]):
    """What is the same for one VM on either processor.

    Attributes:
        instance: what its certificates were made to name. tpm: its virtual TPM, which the host runs.
        ak, ek: certificates of the TPM's attestation and endorsement key.
        machine: the hardware below.
        beside: certificates (DER) that come with that of the attestation key, which is in PEM then; else in DER.
        logs: (kind of evidence, bytes) of each log of its boot; none of a VM that `boot` did not boot.
    """

    instance: Instance
    tpm: FakeTpm
    ak: Signed[CertificateSpec]
    ek: Signed[CertificateSpec]
    machine: Machine
    beside: list[bytes] = field(default_factory=list)
    logs: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def certificate(self) -> bytes:
        """The piece `tpm-ak-certificate`."""
        return pem(self.ak.der, *self.beside).encode("ascii") if self.beside else self.ak.der

    def tpm_pieces(self, extra_data: bytes) -> list[tuple[str, bytes]]:
        """The vTPM's quote over `extra_data`, and the certificate of its key: kind and bytes."""
        quote = self.tpm.quote(extra_data)
        return [
            ("tpm-attest", quote.attest),
            ("tpm-signature", quote.signature),
            ("tpm-pcrs", quote.pcrs),
            ("tpm-ak-certificate", self.certificate),
        ]


class GoogleCvm(GoogleVm[SnpMachine]):
    """One VM on SEV-SNP: what was booted is in PCRs."""

    __slots__ = ()

    def boot(self, made: Boot) -> None:
        """Boot it: PCRs are what is measured, the TPM's log tells of it."""
        booted = of_tpm(made)
        self.tpm.pcrs, self.logs = booted.pcrs, [(KIND, booted.log)]

    def evidence(
        self,
        report_data: bytes,
        extra_data: bytes,
        /,
        **changes: Any,  # noqa: ANN401 - as SnpMachine.report has them
    ) -> list[tuple[str, bytes]]:
        """The pieces of an attestation over report_data (64 bytes) and extraData (32): kind and bytes."""
        report = self.machine.report(**{"report_data": report_data, **changes})
        return [("snp-report", report), *self.tpm_pieces(extra_data)]


class GoogleTd(GoogleVm[Platform]):
    """One VM on TDX: what was booted is in RTMRs, and in PCRs as well."""

    __slots__ = ()

    def boot(self, made: Boot) -> None:
        """Boot it: registers of both are what is measured, the log of the firmware (CCEL) tells of the CPU's."""
        self.machine.boot(made)
        self.tpm.pcrs, self.logs = of_tpm(made).pcrs, made.logs()

    def evidence(
        self,
        report_data: bytes,
        extra_data: bytes,
        /,
        **changes: Any,  # noqa: ANN401 - as Platform.quote has them
    ) -> list[tuple[str, bytes]]:
        """The pieces of an attestation over report_data (64 bytes) and extraData (32): kind and bytes."""
        quote = self.machine.quote(**{"report_data": report_data, **changes})
        return [("tdx-quote", quote), *self.tpm_pieces(extra_data)]
