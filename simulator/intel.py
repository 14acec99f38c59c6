# SPDX-License-Identifier: Apache-2.0
"""A fake Intel: root, intermediate authorities, TCB signing, revocation lists, TCB info, QE identity, platforms.

Everything it signs can be altered by a test before it is signed (dictionaries, `alter`, `put`, `drop`), signed by
another key (`signer`), or edited afterwards (`edit`, or the returned bytes and text). Nothing is frozen: what `bundle`,
`platform` and the collateral service give follows the present state. Names are Intel's, keys are its own: no verifier
that trusts the real root accepts any of it. The clock is the `now` of `create`.
"""

from __future__ import annotations

import copy
import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from simulator import collateral, hierarchy
from simulator.machine import Platform
from simulator.pck import SgxExtension
from simulator.pki import Crl, Entity, Key, pem

if TYPE_CHECKING:
    from datetime import datetime

    from simulator.collateral import Json


@dataclass(slots=True)
class Release:
    """The signed statements of one update channel: TCB info by FMSPC (lower-case hex) and the QE identity."""

    tcb_infos: dict[str, Json]
    qe_identity: Json


@dataclass(slots=True)
class FakeIntel:
    """See the module's docstring.

    Attributes:
        now: the instant everything was made for. seed: all keys come from it. fmspc, ca: defaults of `platform`.
        platform_ca, processor_ca: the two PCK authorities. tcb_signing: the genuine signer of statements.
        tcb_info_signer, qe_identity_signer: who signs the two kinds of statements; `tcb_signing` unless changed.
        root_crl, platform_crl, processor_crl: the revocation lists.
        standard, early: the update channels; `early` None means the same as standard.
    """

    now: datetime
    seed: bytes
    fmspc: str
    pceid: str
    ca: str
    root: Entity
    platform_ca: Entity
    processor_ca: Entity
    tcb_signing: Entity
    tcb_info_signer: Entity
    qe_identity_signer: Entity
    root_crl: Crl
    platform_crl: Crl
    processor_crl: Crl
    standard: Release
    early: Release | None = None
    _platforms: int = field(default=0, repr=False)

    @classmethod
    def create(
        cls,
        now: datetime,
        *,
        fmspc: str = "b0c06f000000",
        pceid: str = "0000",
        ca: str = "platform",
        seed: bytes | None = None,
    ) -> FakeIntel:
        """A vendor whose every part is valid at `now` (UTC).

        Args:
            now: statements and lists are issued a day before; lifetimes are Intel's (30 days, root CRL a year).
            fmspc: 12 hex digits, in the case that the TCB info shall have.
            pceid: 4 hex digits.
            ca: "platform" or "processor".
            seed: the same seed gives the same keys, random where None.
        """
        now = now.replace(microsecond=0)
        seed = secrets.token_bytes(32) if seed is None else seed
        root = hierarchy.root(now, Key.derive(seed, "root"))
        tcb_signing = hierarchy.tcb_signing(now, root, Key.derive(seed, "tcb signing"))
        platform_ca = hierarchy.pck_ca(now, root, Key.derive(seed, "platform"), "Platform")
        processor_ca = hierarchy.pck_ca(now, root, Key.derive(seed, "processor"), "Processor")
        month = (now - timedelta(days=1), now + timedelta(days=29))
        return cls(
            now=now,
            seed=seed,
            fmspc=fmspc.lower(),
            pceid=pceid,
            ca=ca,
            root=root,
            platform_ca=platform_ca,
            processor_ca=processor_ca,
            tcb_signing=tcb_signing,
            tcb_info_signer=tcb_signing,
            qe_identity_signer=tcb_signing,
            root_crl=hierarchy.crl(root, month[0], month[0] + hierarchy.YEAR),
            platform_crl=hierarchy.crl(platform_ca, *month),
            processor_crl=hierarchy.crl(processor_ca, *month),
            standard=Release(
                {fmspc.lower(): collateral.tcb_info(*month, fmspc, pceid)},
                collateral.qe_identity(*month),
            ),
        )

    @property
    def root_der(self) -> bytes:
        """The root certificate, DER."""
        return self.root.der

    @property
    def root_spki(self) -> bytes:
        """The root's SubjectPublicKeyInfo, DER."""
        return self.root.key.spki

    @property
    def tcb_info(self) -> Json:
        """The TCB info of the default FMSPC, to be altered in place."""
        return self.standard.tcb_infos[self.fmspc]

    @property
    def qe_identity(self) -> Json:
        """The QE identity, to be altered in place."""
        return self.standard.qe_identity

    def release(self, update: str = "standard") -> Release:
        """The channel "standard" or "early"."""
        return self.early if update == "early" and self.early is not None else self.standard

    def start_early(self) -> Release:
        """Open the early channel with a copy of standard whose evaluation numbers are one higher; returns it."""
        self.early = copy.deepcopy(self.standard)
        for statement in (*self.early.tcb_infos.values(), self.early.qe_identity):
            statement["tcbEvaluationDataNumber"] += 1
        return self.early

    def authority(self, ca: str) -> tuple[Entity, Crl]:
        """The PCK authority "platform" or "processor" and its revocation list."""
        authorities = {
            "platform": (self.platform_ca, self.platform_crl),
            "processor": (self.processor_ca, self.processor_crl),
        }
        return authorities[ca]

    def platform(
        self,
        *,
        ca: str | None = None,
        fmspc: str | None = None,
        sgx: SgxExtension | None = None,
    ) -> Platform:
        """A new machine with its own PCK key, PPID and attestation key. `sgx` replaces its whole SGX extension."""
        self._platforms += 1
        label = f"machine {self._platforms}"
        ca = ca or self.ca
        issuer, _ = self.authority(ca)
        sgx = sgx or self._sgx(label, ca, fmspc or self.fmspc)
        key = Key.derive(self.seed, label + " pck")
        return Platform(
            ca=issuer,
            root=self.root,
            pck=hierarchy.pck(self.now, issuer, key, ca, sgx),
            sgx=sgx,
            attestation_key=Key.derive(self.seed, label + " attestation"),
        )

    def bundle(
        self, platform: Platform | None = None, *, update: str = "standard"
    ) -> dict[str, str]:
        """The collateral of one machine (default: of the default FMSPC and authority) as one flat dictionary.

        Chains are PEM, signer first; `root_ca_crl` and `pck_crl` are DER in hex; signatures are r||s in hex; `tcb_info`
        and `qe_identity` are the exact signed texts. Raises KeyError where no TCB info for the FMSPC exists.
        """
        ca = self.ca if platform is None else self._ca_of(platform)
        release = self.release(update)
        fmspc = self.fmspc if platform is None else platform.fmspc
        info, info_signature = self.sign_tcb_info(release.tcb_infos[fmspc])
        identity, identity_signature = self.sign_qe_identity(release.qe_identity)
        issuer, crl = self.authority(ca)
        return {
            "pck_crl_issuer_chain": pem(issuer.der, self.root.der),
            "root_ca_crl": self.root_crl.der.hex(),
            "pck_crl": crl.der.hex(),
            "tcb_info_issuer_chain": pem(self.tcb_info_signer.der, self.root.der),
            "tcb_info": info,
            "tcb_info_signature": info_signature,
            "qe_identity_issuer_chain": pem(self.qe_identity_signer.der, self.root.der),
            "qe_identity": identity,
            "qe_identity_signature": identity_signature,
        }

    def sign_tcb_info(self, info: Json | str) -> tuple[str, str]:
        """Text and signature (hex) of a TCB info; a string is signed as it is."""
        return collateral.signed(info, self.tcb_info_signer.key)

    def sign_qe_identity(self, identity: Json | str) -> tuple[str, str]:
        """Text and signature (hex) of a QE identity; a string is signed as it is."""
        return collateral.signed(identity, self.qe_identity_signer.key)

    def _ca_of(self, platform: Platform) -> str:
        return "processor" if platform.ca is self.processor_ca else "platform"

    def _sgx(self, label: str, ca: str, fmspc: str) -> SgxExtension:
        """Values of a machine: instance id and flags exist with the Platform CA only."""
        identity = hashlib.sha256(self.seed + label.encode()).digest()
        multi = ca == "platform"
        flag = True if multi else None
        return SgxExtension(
            ppid=identity[:16],
            components=collateral.SGX_COMPONENTS,
            pcesvn=collateral.PCESVN,
            pceid=bytes.fromhex(self.pceid),
            fmspc=bytes.fromhex(fmspc),
            sgx_type=1 if multi else 0,
            platform_instance_id=identity[16:] if multi else None,
            dynamic_platform=flag,
            cached_keys=flag,
            smt_enabled=flag,
        )
