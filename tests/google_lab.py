# SPDX-License-Identifier: Apache-2.0
"""A workbench for tests of Google's part: one fake Google with a VM on either processor, judged by our verifier.

A case alters what the fake Google signs (`lab.vm.ak`, `lab.google`), or a piece of evidence as it is sent (`piece`).
Everything verifies until then.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning

from simulator import der, pki
from simulator.amd import FakeAmd
from simulator.amd_keys import SHARED, RsaKeys
from simulator.google import FakeGoogle, GoogleCvm
from simulator.intel import FakeIntel
from simulator.pki import CertificateSpec, Extension, Signed
from tests.snp_lab import BINDING, NOW, SEED, applied, hierarchy
from verifiers import registry
from verifiers.anchors import Anchor, Anchors
from verifiers.errors import VerificationError
from verifiers.evidence import Binding, Evidence, EvidenceKind
from verifiers.google_ca import GoogleRoot

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from simulator.google import GoogleTd
    from tests.snp_lab import Edit
    from verifiers.claims import Claims

CERTIFICATE = EvidenceKind.TPM_AK_CERTIFICATE


def root_of(google: FakeGoogle, *, knowing: bool = True) -> GoogleRoot:
    """Its root, pinned as it is now, with the usual intermediate known beforehand or not."""
    known = (google.intermediate().der,) if knowing else ()
    return GoogleRoot.from_der(google.root.der, *known)


def stranger() -> FakeGoogle:
    """A Google of the same names and other keys, which are short: no authority of its own stands on them."""
    labels = ("Google root", "Google us-central1")
    keys = {label: SHARED.get(f"stranger {label}", 2048) for label in labels}
    return FakeGoogle.create(NOW, keys=RsaKeys(keys))


def read_by_library(data: bytes) -> tuple[x509.Name, x509.Extensions]:
    """All of a certificate's subject and extensions, as the library `cryptography` reads them."""
    certificate = x509.load_der_x509_certificate(data)
    return certificate.subject, certificate.extensions


def _name(kind: str, value: bytes) -> bytes:
    return der.sequence(der.set_of(der.sequence(der.oid(kind), value)))


def _of_long_country(one: Signed[CertificateSpec]) -> None:
    one.alter(subject=_name("2.5.4.6", der.printable_string("USA")))


def _issuer_number_zero(one: Signed[CertificateSpec]) -> None:
    """The key's identifier stays; the issuer's name and a serial number come behind it."""
    key_id = next(e.value for e in one.spec.extensions if e.oid == pki.AUTHORITY_KEY_IDENTIFIER)[2:]
    name = der.explicit(1, der.explicit(4, _name("2.5.4.3", der.utf8_string("x"))))
    value = der.sequence(key_id, name, der.implicit(2, b"\0"))
    one.put(Extension(pki.AUTHORITY_KEY_IDENTIFIER, value))


def _also_named(general_name: bytes) -> Callable[[Signed[CertificateSpec]], None]:
    return lambda one: one.put(Extension("2.5.29.17", der.sequence(general_name)))


def _has_feature(one: Signed[CertificateSpec]) -> None:
    one.put(Extension("1.3.6.1.5.5.7.1.24", der.sequence(der.integer(7))))


# What nobody here reads of a certificate, and what the library raises on it where warnings are errors.
UNREAD: dict[str, tuple[Callable[[Signed[CertificateSpec]], None], type[Exception]]] = {
    "a country of three letters": (_of_long_country, UserWarning),
    "an issuer's number of zero": (_issuer_number_zero, CryptographyDeprecationWarning),
    "another name in a form that is not read": (
        _also_named(der.explicit(3, der.sequence())),
        x509.UnsupportedGeneralNameType,
    ),
    "another name with bits where text belongs": (
        _also_named(der.explicit(4, _name("2.5.4.3", der.bit_string(b"x")))),
        TypeError,
    ),
    "another name with a number where text belongs": (
        _also_named(der.explicit(4, _name("2.5.4.3", der.integer(1)))),
        ValueError,
    ),
    "a feature of TLS that is not known": (_has_feature, KeyError),
}


@dataclass
class GoogleLab:
    """See the module's docstring.

    Attributes:
        knowing: whether the intermediate is known beforehand. listed: whether the root's list is there.
        edits: of pieces as they are sent. fields: of the CPU's report.
    """

    google: FakeGoogle
    intel: FakeIntel
    vm: GoogleCvm | GoogleTd
    at: datetime = NOW
    binding: Binding | None = BINDING
    knowing: bool = True
    listed: bool = True
    edits: dict[EvidenceKind, Edit] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def td(cls) -> GoogleLab:
        """A VM on TDX."""
        google, intel = FakeGoogle.create(NOW), FakeIntel.create(NOW, seed=SEED)
        return cls(google, intel, google.td(intel.platform()))

    @classmethod
    def snp(cls) -> GoogleLab:
        """A VM on SEV-SNP."""
        google, amd = FakeGoogle.create(NOW), FakeAmd.create(NOW, seed=SEED)
        return cls(google, FakeIntel.create(NOW, seed=SEED), google.cvm(amd.machine("Milan")))

    def piece(self, kind: EvidenceKind, edit: Edit) -> None:
        """A piece as it is sent: other bytes, a function of the right ones, None to leave it out."""
        self.edits[kind] = edit

    def pieces(self) -> tuple[Evidence, ...]:
        """The evidence as it is sent."""
        bound = self.binding or Binding(bytes(64), bytes(32), bytes(32))
        right = self.vm.evidence(bound.report_data, bound.tpm_extra, **self.fields)
        found = [Evidence(EvidenceKind(kind), data) for kind, data in right]
        sent = ((piece, applied(self.edits, piece.kind, piece.data)) for piece in found)
        return tuple(replace(piece, data=data) for piece, data in sent if data is not None)

    def anchors(self) -> Anchors:
        """The pinned roots."""
        vm = self.vm
        amd = (hierarchy(vm.machine.line),) if isinstance(vm, GoogleCvm) else ()
        root = root_of(self.google, knowing=self.knowing)
        return Anchors(Anchor.from_der(self.intel.root_der), amd=amd, google=root)

    def cpu_bundle(self) -> dict[str, Any]:
        """What the CPU's vendor says."""
        if isinstance(self.vm, GoogleCvm):
            return dict(self.vm.machine.bundle())
        return dict(self.intel.bundle(self.vm.machine))

    def bundle(self) -> bytes:
        """The offline bundle."""
        of_google = {"google_root_crl": self.google.crl.der.hex()} if self.listed else {}
        return json.dumps({**self.cpu_bundle(), **of_google}).encode()

    def verify(self) -> Claims:
        """What our verifier makes of it. Raises VerificationError."""
        parsed = registry.parse(self.pieces())
        endorsements = registry.parse_bundle(parsed, self.bundle())
        return registry.verify(parsed, endorsements, self.anchors(), self.binding, self.at)

    def refused(self) -> VerificationError:
        """What it is refused by."""
        with pytest.raises(VerificationError) as caught:
            self.verify()
        return caught.value
