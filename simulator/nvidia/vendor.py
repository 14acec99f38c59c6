# SPDX-License-Identifier: Apache-2.0
"""A fake NVIDIA: roots, GPUs and switches, reference manifests, answers about certificates, an attestation service.

Everything can be altered before it is signed: a device's `written` report and its certificates (`device`), each
manifest in `manifests`, the chains of their signers, each answer about a certificate (`status`), and what the
attestation service says (`nras`). What is given follows the present state. Names are NVIDIA's, those of the anchors
with "Simulated " in front; keys are its own: no verifier that trusts the real roots accepts any of it.

Common names of the anchors:
    Simulated NVIDIA Device Identity CA                                    of devices
    Simulated NVIDIA CoRIM signing Root CA                                 of signers of manifests
    Simulated NVIDIA Attestation Service GPU Intermediate 001              of keys of the attestation service
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.x509 import ocsp

from simulator.amd_keys import SHARED
from simulator.nvidia import products
from simulator.nvidia.answers import Answer, responder
from simulator.nvidia.certificates import CA, RESPONDER, YEAR, Party, Terms, issue
from simulator.nvidia.devices import certify, composite_device_id, device, fwid, tcb_info
from simulator.nvidia.hardware import NvidiaDevice
from simulator.nvidia.nras import FakeNras
from simulator.nvidia.products import PRODUCTS, Product
from simulator.nvidia.reports import Written
from simulator.nvidia.rims import Manifest, document, resource
from simulator.pki import pem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from simulator.amd_keys import RsaKeys
    from simulator.nvidia.devices import Device, Level

DEVICE_ROOT = "Simulated NVIDIA Device Identity CA"
RIM_ROOT = "Simulated NVIDIA CoRIM signing Root CA"
FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # so devices are certified

GPUS, SWITCHES, LINKS = 8, 4, 18  # of a PPCIE system; the links of each of its GPUs

GOOD: dict[str, Any] = {}
REVOKED: dict[str, Any] = {
    "status": ocsp.OCSPCertStatus.REVOKED,
    "reason": x509.ReasonFlags.key_compromise,
}
ON_HOLD = REVOKED | {"reason": x509.ReasonFlags.certificate_hold}
UNKNOWN: dict[str, Any] = {"status": ocsp.OCSPCertStatus.UNKNOWN}


@dataclass(slots=True)
class FakeNvidia:
    """See the module's docstring.

    Attributes:
        now: the instant that certificates were made for. seed: keys come from it, but the RSA key.
        keys: the RSA key of the attestation service's intermediate, labelled "nras intermediate".
        clock: the instant that answers and tokens are of; always `now` unless changed.
        devices: every GPU and switch made here. The attestation service and OCSP know no others.
        manifests: by the name under which the RIM service has them; tests alter them, add and delete some.
        signers: by family, the chain of those who sign its manifests, signer first.
        changed: by serial number of a certificate, members of `Answer` that differ in answers about it; see `status`.
        nras: the attestation service.
    """

    now: datetime
    seed: bytes
    keys: RsaKeys
    clock: Callable[[], datetime]
    devices: list[NvidiaDevice] = field(default_factory=list)
    manifests: dict[str, Manifest] = field(default_factory=dict)
    signers: dict[str, tuple[Party, ...]] = field(default_factory=dict)
    changed: dict[int, dict[str, Any]] = field(default_factory=dict)
    nras: FakeNras = field(init=False)

    @classmethod
    def create(
        cls, now: datetime, *, seed: bytes | None = None, keys: RsaKeys | None = None
    ) -> FakeNvidia:
        """A vendor whose every part is valid at `now` (UTC).

        Args:
            now: certificates begin two years before.
            seed: the same seed gives the same keys and, in the same order, the same devices; random where None.
            keys: the RSA key; the one that all vendors of this process share where None.
        """
        now = now.replace(microsecond=0)
        seed = secrets.token_bytes(32) if seed is None else seed
        made = cls(now, seed, SHARED if keys is None else keys, lambda: now)
        made.nras = FakeNras(made)
        return made

    @property
    def device_root(self) -> Level:
        """The root of devices, before it is signed."""
        return self._own(device().levels[-1], DEVICE_ROOT)

    @property
    def device_root_der(self) -> bytes:
        """The root of devices."""
        return certify(self.device_root, None).der

    @property
    def rim_root(self) -> Party:
        """The root of those who sign manifests."""
        return self.issue(RIM_ROOT, None, CA)

    @property
    def rim_root_der(self) -> bytes:
        """The root of those who sign manifests."""
        return self.rim_root.der

    @property
    def nras_pins(self) -> tuple[bytes, ...]:
        """SHA-256 of the SubjectPublicKeyInfo of the intermediate that certifies keys of the attestation service."""
        return (hashlib.sha256(self.nras.intermediate_key.spki).digest(),)

    @property
    def pem(self) -> str:
        """The three anchors."""
        return pem(self.device_root_der, self.rim_root_der, self.nras.intermediate_der)

    def gpu(
        self,
        model: str = "H100",
        *,
        driver: str | None = None,
        vbios: str | None = None,
        mode: str = products.SPT,
        firmware: bytes | None = None,
    ) -> NvidiaDevice:
        """A new GPU, its manifests published.

        Args:
            model: "H100", "B200" or "RTX PRO 6000".
            driver: a version, that of `PRODUCTS` where None.
            vbios: likewise.
            mode: "spt", "mpt" or "ppcie".
            firmware: 48 bytes, its FWID; by default it follows from the driver.
        """
        product = PRODUCTS[model]
        driver, vbios = driver or product.driver or "", vbios or product.vbios
        firmware = firmware or hashlib.sha384(f"firmware {driver}".encode()).digest()
        rim_ids = self._publish(product, driver, vbios)
        written = Written(
            fields=products.gpu_fields(product, driver, vbios, mode, firmware),
            blocks=products.measured(products.GPU_BLOCKS, rim_ids),
        )
        return self._add(product, firmware, written, rim_ids)

    def switch(self, *, bios: str | None = None) -> NvidiaDevice:
        """A new NVSwitch, its manifest published."""
        product = PRODUCTS["NVSwitch"]
        bios = bios or product.vbios
        rim_ids = self._publish(product, None, bios)
        blocks = products.measured(products.SWITCH_BLOCKS, rim_ids)
        firmware = hashlib.sha384(f"firmware {bios}".encode()).digest()
        made = self._add(product, firmware, Written(fields={}, blocks=blocks), rim_ids)
        made.written = made.written.but(fields=products.switch_fields(bios, made.pdi))
        return made

    def ppcie(self) -> tuple[NvidiaDevice, ...]:
        """Eight H100s and four switches of one machine, each naming the others."""
        gpus = [self.gpu(mode=products.PPCIE) for _ in range(GPUS)]
        switches = [self.switch() for _ in range(SWITCHES)]
        behind_links = b"".join(switches[link % SWITCHES].pdi[::-1] for link in range(LINKS))
        for gpu in gpus:
            gpu.written = gpu.written.having({products.SWITCH_PDI: behind_links})
        listed = b"".join(gpu.pdi for gpu in gpus) + bytes(64)
        for switch in switches:
            switch.written = switch.written.having({products.SWITCH_GPU_PDIS: listed})
        return (*gpus, *switches)

    def status(self, about: Party, status: dict[str, Any]) -> None:
        """Answer about a certificate from now on with GOOD, REVOKED, ON_HOLD, UNKNOWN, `stale` or other changes."""
        self.changed[about.certificate.serial_number] = status

    def stale(self) -> dict[str, Any]:
        """A status: GOOD, in an answer that is three days old and was good for one."""
        issued = self.clock() - timedelta(days=3)
        return {"this_update": issued, "next_update": issued + timedelta(days=1)}

    def answer(self, about: Party, issuer: Party, algorithm: str = "sha384") -> Answer:
        """What OCSP says of a certificate: of this second, good for a day."""
        issued = self.clock().replace(microsecond=0)
        name = issuer.certificate.subject.rfc4514_string()
        by = responder(issuer, self._terms(RESPONDER, f"responder of {name}"))
        made = Answer(
            *(about, issuer, by),
            this_update=issued,
            next_update=issued + timedelta(days=1),
            algorithm=algorithm,
        )
        return replace(made, **self.changed.get(about.certificate.serial_number, GOOD))

    def issued(self) -> Iterator[tuple[Party, Party]]:
        """Every certificate of devices and of signers of manifests but the roots, with its issuer."""
        for chain in (*(one.device.parties for one in self.devices), *self._rim_chains()):
            yield from pairwise(chain)

    def bundle(
        self, devices: Iterable[NvidiaDevice] | None = None
    ) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        """(signed manifests, OCSP answers about every certificate but leaves and roots) of devices, all by default."""
        chosen = self.devices if devices is None else list(devices)
        wanted = dict.fromkeys(rim_id for one in chosen for rim_id in one.rim_ids)
        manifests = [self.manifests[rim_id] for rim_id in wanted]
        chains = [*(one.device.parties[1:] for one in chosen), *(one.chain for one in manifests)]
        answers = dict.fromkeys(
            self.answer(about, issuer).der for chain in chains for about, issuer in pairwise(chain)
        )
        return tuple(document(one) for one in manifests), tuple(answers)

    def issue(self, name: str, by: Party | None, terms: Terms) -> Party:
        """A certificate that is none of a device's, with a key of this vendor's."""
        return issue(name, by, self._terms(terms, name))

    def _terms(self, terms: Terms, label: str) -> Terms:
        """The same for this vendor: its time, unless the end is set, and its key."""
        begin, end = self.now - 2 * YEAR, self.now + YEAR
        return replace(
            terms, not_before=begin, not_after=end, key=f"{self.seed.hex()} {terms.key or label}"
        )

    def _own(self, level: Level, common_name: str | None = None) -> Level:
        """A level of a device chain with a key and the dates of this vendor."""
        name = common_name or level.common_name
        label = f"{name} {level.serial_name} {level.extensions}"
        terms = replace(self._terms(level.terms, label), not_after=FOREVER)
        return replace(level, common_name=name, terms=terms)

    def _add(
        self, product: Product, firmware: bytes, written: Written, rim_ids: tuple[str, ...]
    ) -> NvidiaDevice:
        number = int.from_bytes(self.seed[:8], "big") + len(self.devices)
        certified = fwid(firmware)
        made: Device = device(
            number,
            product.chip,
            engine=product.engine,
            provisioner=product.provisioner,
            identity=product.identity,
            extension=tcb_info(certified, fwid(bytes(48)))
            if product.dice
            else composite_device_id(certified),
        )
        own = type(made)((*(self._own(level) for level in made.levels[:-1]), self.device_root))
        self.devices.append(NvidiaDevice(product, own, written, rim_ids))
        return self.devices[-1]

    def _publish(self, product: Product, driver: str | None, vbios: str) -> tuple[str, ...]:
        """Have manifests for this driver and firmware; those that are there stay. Returns their names."""
        rim_ids = product.rim_ids(driver, vbios)
        versions = (vbios,) if driver is None else (driver, vbios)
        for rim_id, version in zip(rim_ids, versions, strict=True):
            if rim_id not in self.manifests:
                self.manifests[rim_id] = Manifest(
                    product=product.family,
                    version=version,
                    edition="SWITCH" if product.is_switch else "GPU",
                    tag_id=f"com.nvidia.simulated.{rim_id}",
                    resources=tuple(
                        resource(index, products.golden(rim_id, index).hex())
                        for index in products.indexes(rim_id)
                    ),
                    chain=self._signers(product.family),
                )
        return rim_ids

    def _signers(self, family: str) -> tuple[Party, ...]:
        """Those who sign the manifests of a family."""
        if family not in self.signers:
            root = self.rim_root
            second = self.issue(f"NVIDIA Reference Value {family} CA", root, CA)
            third = self.issue(
                f"NVIDIA Reference Value L3 {family} 001", second, replace(CA, path_length=0)
            )
            signer = self.issue(f"NVIDIA {family} RIM L4 Signer", third, Terms())
            self.signers[family] = (signer, third, second, root)
        return self.signers[family]

    def _rim_chains(self) -> list[tuple[Party, ...]]:
        """Of all manifests there are, each once."""
        return list(dict.fromkeys(one.chain for one in self.manifests.values()))
