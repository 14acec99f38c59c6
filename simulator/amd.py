# SPDX-License-Identifier: Apache-2.0
"""A fake AMD: for each product line ARK, ASK and ASVK, two revocation lists, and VCEKs and VLEKs for any TCB.

A line is made when it is first asked for (`line`). Everything it signs can be altered by a test before it is signed
(`alter`, `put`, `drop`), signed by another key (`signer`) or edited afterwards (`edit`), and stays so: machines and the
key distribution service give the same objects. Names are AMD's, keys are its own: no verifier that trusts the real
roots accepts any of it. The clock is the `now` of `create`.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from simulator import amd_certificates
from simulator.amd_keys import SHARED, P384Key, RsaKeys
from simulator.pki import pem
from simulator.products import PRODUCTS
from simulator.snp import SnpMachine

if TYPE_CHECKING:
    from datetime import datetime

    from simulator.amd_certificates import Authority, Vek
    from simulator.pki import Crl
    from simulator.products import Product, Tcb, Version


@dataclass(slots=True)
class Line:
    """The authorities of one product line; `vcek_crl`, `vlek_crl`: what its two CRL addresses give, both by the ARK."""

    product: Product
    ark: Authority
    ask: Authority
    asvk: Authority
    vcek_crl: Crl
    vlek_crl: Crl

    @property
    def pem(self) -> str:
        """ARK, ASK and ASVK."""
        return pem(self.ark.der, self.ask.der, self.asvk.der)

    def issuer(self, kind: str) -> Authority:
        """Who signs "vcek" or "vlek"."""
        return self.asvk if kind == "vlek" else self.ask

    def crl(self, kind: str) -> Crl:
        """The revocation list at the address for "vcek" or "vlek"."""
        return self.vlek_crl if kind == "vlek" else self.vcek_crl


@dataclass(slots=True)
class FakeAmd:
    """See the module's docstring.

    Attributes:
        now: the instant everything was made for. seed: keys of chips and providers come from it.
        keys: the authorities' RSA keys, labelled "Milan ark" and so on.
        chips: (product line, hwid) of every machine made here; the key distribution service knows no other.
    """

    now: datetime
    seed: bytes
    keys: RsaKeys
    chips: set[tuple[str, bytes]] = field(default_factory=set)
    _lines: dict[str, Line] = field(default_factory=dict, repr=False)
    _veks: dict[tuple[str, str, bytes, Tcb], Vek] = field(default_factory=dict, repr=False)
    _machines: int = field(default=0, repr=False)

    @classmethod
    def create(
        cls, now: datetime, *, seed: bytes | None = None, keys: RsaKeys | None = None
    ) -> FakeAmd:
        """A vendor whose every part is valid at `now` (UTC).

        Args:
            now: revocation lists are issued a day before, certificates of chips 60 days before.
            seed: the same seed gives the same chips and P-384 keys, random where None.
            keys: RSA keys of the authorities; those that all vendors of this process share where None. A vendor that
                must differ from the others gets `RsaKeys()`.
        """
        seed = secrets.token_bytes(32) if seed is None else seed
        return cls(now.replace(microsecond=0), seed, SHARED if keys is None else keys)

    def line(self, name: str) -> Line:
        """The authorities of "Milan", "Genoa" or "Turin"."""
        if name not in self._lines:
            product = PRODUCTS[name]
            key = {role: self.keys.get(f"{name} {role}") for role in ("ark", "ask", "asvk")}
            root = amd_certificates.ark(self.now, product, key["ark"])
            issued = self.now - timedelta(days=1)
            self._lines[name] = Line(
                product=product,
                ark=root,
                ask=amd_certificates.ask(self.now, product, root, key["ask"]),
                asvk=amd_certificates.asvk(self.now, product, root, key["asvk"]),
                vcek_crl=amd_certificates.crl(root, issued),
                vlek_crl=amd_certificates.crl(root, issued),
            )
        return self._lines[name]

    def vcek(self, name: str, hwid: bytes, tcb: Tcb) -> Vek:
        """The one VCEK of a chip at a TCB; `hwid` is 64 bytes, 8 on Turin. Tests may alter it."""
        line = self.line(name)
        where = ("vcek", name, hwid, tcb)
        if where not in self._veks:
            key = self._key(*where)
            self._veks[where] = amd_certificates.vcek(
                self.now, line.product, line.ask, key, hwid, tcb
            )
        return self._veks[where]

    def vlek(self, name: str, csp_id: str, tcb: Tcb) -> Vek:
        """The one VLEK of a cloud provider at a TCB. Tests may alter it."""
        line = self.line(name)
        where = ("vlek", name, csp_id.encode("ascii"), tcb)
        if where not in self._veks:
            key = self._key(*where)
            self._veks[where] = amd_certificates.vlek(
                self.now, line.product, line.asvk, key, csp_id, tcb
            )
        return self._veks[where]

    def machine(
        self,
        name: str = "Genoa",
        *,
        cpu: Version | None = None,
        tcb: Tcb | None = None,
        chip_id: bytes | None = None,
    ) -> SnpMachine:
        """A new machine with a chip of its own. `chip_id` is its 64 bytes, for those who want a certain one."""
        product = PRODUCTS[name]
        self._machines += 1
        if chip_id is None:
            label = f"chip {self._machines}".encode()
            chip_id = hashlib.shake_256(self.seed + label).digest(product.hwid_size)
        self.chips.add((name, chip_id[: product.hwid_size]))
        return SnpMachine(
            amd=self,
            product=product,
            chip_id=chip_id.ljust(64, b"\0"),
            cpu=product.cpu if cpu is None else cpu,
            tcb=product.tcb if tcb is None else tcb,
            firmware=product.firmware,
        )

    def _key(self, kind: str, name: str, owner: bytes, tcb: Tcb) -> P384Key:
        """The key of a chip or provider at a TCB: another one for each, as the firmware derives them."""
        level = PRODUCTS[name].encode(tcb)
        return P384Key.derive(self.seed, f"{kind} {name} {owner.hex()} {level.hex()}")
