# SPDX-License-Identifier: Apache-2.0
"""A workbench for tests of the SEV-SNP verifier: one fake AMD and machine, altered by a case, judged by our verifier.

A case alters a `SnpLab`; its `exhibit()` is what a verifier is shown: pieces of evidence, bundle, anchors, instant.
Of a report `fields` come first, then `patches` of the finished bytes; of the collateral `edits`, last of all. What the
fake AMD signs is altered on `lab.amd`, `lab.line`, `lab.vek`, before signing. `azure()` puts a paravisor between.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import pytest

from simulator import azure, snp_report
from simulator.amd import FakeAmd
from simulator.amd_keys import RsaKeys
from simulator.azure import AzureCvm
from simulator.intel import FakeIntel
from simulator.pki import pem
from tests import known_keys
from tests.tdx_vectors import NOTICE, ROOT
from verifiers import registry
from verifiers.amd import AmdHierarchy
from verifiers.anchors import Anchor, Anchors, builtin
from verifiers.errors import Reason, Verdict, VerificationError
from verifiers.evidence import Binding, Evidence, EvidenceKind, Product
from verifiers.snp.claims import SnpClaims

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulator.amd import Line
    from simulator.amd_certificates import Vek
    from simulator.snp import SnpMachine

NOW = datetime(2026, 10, 25, 12, 0, 0, tzinfo=UTC)
SEED = b"the laboratory of the SEV-SNP verifier"
BINDING = Binding(bytes(range(64)), bytes(range(100, 132)), bytes(range(32)))

K = TypeVar("K")
Edit: TypeAlias = "bytes | Callable[[bytes], bytes] | None"
Expectation: TypeAlias = "Reason | Verdict"
OTHER_KEYS = RsaKeys(known_keys.keys("other "))  # of vendors that nobody trusts


@lru_cache(maxsize=1)
def intel_root() -> Anchor:
    """The root of a fake Intel, for anchors must have one."""
    return Anchor.from_der(FakeIntel.create(NOW, seed=SEED).root_der)


def hierarchy(line: Line) -> AmdHierarchy:
    """The authorities of one simulated product line, as they are now."""
    product = Product(line.product.name)
    return AmdHierarchy.from_certificates(product, line.ark.der, line.ask.der, line.asvk.der)


def anchors(amd: FakeAmd, *products: str) -> Anchors:
    """These product lines of a fake AMD, and nothing else of AMD's."""
    lines = tuple(hierarchy(amd.line(name)) for name in products)
    return Anchors(intel_sgx_root=intel_root(), amd=lines)


@dataclass(frozen=True)
class SnpExhibit:
    """All that a verdict depends on.

    `bundle` is an offline bundle ({"vek": hex, "crl": hex}); None: no collateral but what the evidence brings.
    """

    pieces: tuple[Evidence, ...]
    bundle: bytes | None
    anchors: Anchors
    at: datetime
    binding: Binding | None = None

    def verify(self) -> SnpClaims:
        """What our verifier makes of it. Raises VerificationError."""
        parsed = registry.parse(self.pieces)
        endorsements = (
            registry.no_endorsements(parsed)
            if self.bundle is None
            else registry.parse_bundle(parsed, self.bundle)
        )
        claims = registry.verify(parsed, endorsements, self.anchors, self.binding, self.at)
        assert isinstance(claims, SnpClaims)
        return claims

    def outcome(self) -> Expectation:
        """The reason of the refusal, or `verified`."""
        try:
            self.verify()
        except VerificationError as error:
            return error.reason
        return Verdict.VERIFIED


@dataclass
class SnpLab:
    """See the module's docstring. Everything verifies until a case alters it.

    Attributes:
        signing_key: "vcek" or "vlek". version: of the report.
        pinned: product lines among the anchors; that of the machine alone, unless a case says otherwise.
        certificates: what comes as `snp-certificates`: "table", "pem", "der", bytes, or None for no such piece.
        offline: whether the bundle is there; without it, VCEK and CRL are missing unless evidence brings the VCEK.
        cvm: set by `azure`. quote_options: arguments of the vTPM's quote. hcl_options: of the HCL report.
        runtime_data: in place of the paravisor's own. pieces: edits of evidence as it is sent, see `piece`.
    """

    amd: FakeAmd
    machine: SnpMachine
    at: datetime = NOW
    binding: Binding | None = BINDING
    signing_key: str = "vcek"
    version: int = 5
    pinned: tuple[str, ...] = ()
    certificates: str | bytes | None = None
    offline: bool = True
    fields: dict[str, Any] = field(default_factory=dict)
    patches: list[Callable[[bytes], bytes]] = field(default_factory=list)
    edits: dict[str, Edit] = field(default_factory=dict)
    cvm: AzureCvm | None = None
    quote_options: dict[str, Any] = field(default_factory=dict)
    hcl_options: dict[str, Any] = field(default_factory=dict)
    runtime_data: dict[str, Any] | bytes | None = None
    pieces: dict[EvidenceKind, Edit] = field(default_factory=dict)
    genuine: SnpExhibit | None = None

    @classmethod
    def create(cls, product: str = "Genoa", **machine: Any) -> SnpLab:  # noqa: ANN401 - as FakeAmd.machine has them
        amd = FakeAmd.create(NOW, seed=SEED)
        return cls(amd, amd.machine(product, **machine))

    # what a case calls

    @property
    def line(self) -> Line:
        """The authorities above the machine."""
        return self.machine.line

    @property
    def vek(self) -> Vek:
        """The certificate that the report is signed under, before and after signing open to change."""
        reported = self.fields.get("reported_tcb", self.machine.tcb)
        if isinstance(reported, bytes):
            reported = self.machine.product.decode(reported)
        return self.machine.vek(self.signing_key, reported)

    def report(self, **fields: Any) -> None:  # noqa: ANN401 - as SnpMachine.report has them
        """Fields and sealing of the report; `version` and `signing_key` too."""
        self.version = fields.pop("version", self.version)
        self.signing_key = fields.pop("signing_key", self.signing_key)
        self.fields.update(fields)

    def patch(self, change: Callable[[bytes], bytes]) -> None:
        """A change of the finished report."""
        self.patches.append(change)

    def write(self, at: int, data: bytes) -> None:
        """Bytes of the finished report."""
        self.patch(lambda report: report[:at] + data + report[at + len(data) :])

    def flip(self, at: int, bit: int = 1) -> None:
        """One bit of the finished report."""
        self.patch(lambda report: flipped(report, at, bit))

    def edit(self, **parts: Edit) -> None:
        """`vek`, `crl` of the bundle after signing: other bytes, a function of the right ones, None to leave it out."""
        self.edits.update(parts)

    def piece(self, kind: EvidenceKind, edit: Edit) -> None:
        """A piece of evidence as it is sent: other bytes, a function of the right ones, None to leave it out."""
        self.pieces[kind] = edit

    def azure(self, **quote: Any) -> AzureCvm:  # noqa: ANN401 - as FakeTpm.quote has them
        """Evidence of a confidential VM of Azure on this machine; `quote` are arguments of its vTPM's quote."""
        self.cvm = self.cvm or AzureCvm(self.machine)
        self.quote_options.update(quote)
        return self.cvm

    def later(self, **units: float) -> None:
        """Judge at another instant."""
        self.at += timedelta(**units)

    def stranger(self) -> FakeAmd:
        """An AMD of the same names and other keys."""
        return FakeAmd.create(NOW, seed=SEED + b" of others", keys=OTHER_KEYS)

    def real(self, name: str) -> None:
        """Real evidence as its folder has it, under AMD's real authorities, at the instant it is kept for."""
        self.genuine = genuine(name)

    # what a test calls

    def exhibit(self) -> SnpExhibit:
        """What is judged."""
        if self.genuine is not None:
            return self.genuine
        bundle = self.bundle() if self.offline else None
        return SnpExhibit(self.evidence(), bundle, self.anchors(), self.at, self.binding)

    def anchors(self) -> Anchors:
        """The pinned product lines."""
        return anchors(self.amd, *(self.pinned or (self.machine.product.name,)))

    def report_bytes(self, report_data: bytes | None = None) -> bytes:
        """The report with all its alterations; over the binding's report_data unless told."""
        if report_data is None:
            report_data = bytes(64) if self.binding is None else self.binding.report_data
        fields = {"report_data": report_data, **self.fields}
        report = self.machine.report(version=self.version, signing_key=self.signing_key, **fields)
        for change in self.patches:
            report = change(report)
        return report

    def evidence(self) -> tuple[Evidence, ...]:
        """The pieces as they are sent."""
        if self.cvm is None:
            found = [Evidence(EvidenceKind.SNP_REPORT, self.report_bytes())]
        else:
            found = self._azure_pieces(self.cvm)
        carried = self._certificates()
        if carried is not None:
            found.append(Evidence(EvidenceKind.SNP_CERTIFICATES, carried))
        sent = ((piece, applied(self.pieces, piece.kind, piece.data)) for piece in found)
        return tuple(replace(piece, data=data) for piece, data in sent if data is not None)

    def bundle(self) -> bytes:
        """The offline bundle: JSON."""
        right = {"vek": self.vek.der, "crl": self.line.crl(self.signing_key).der}
        parts = {name: applied(self.edits, name, data) for name, data in right.items()}
        return json.dumps(
            {name: data.hex() for name, data in parts.items() if data is not None}
        ).encode()

    def _azure_pieces(self, cvm: AzureCvm) -> list[Evidence]:
        extra = bytes(32) if self.binding is None else self.binding.tpm_extra
        quote = cvm.tpm.quote(**{"extra_data": extra, **self.quote_options})
        data = cvm.runtime_data() if self.runtime_data is None else self.runtime_data
        report = self.report_bytes(azure.report_data_of(data))
        return [
            Evidence(EvidenceKind.HCL_REPORT, azure.write(report, data, **self.hcl_options)),
            Evidence(EvidenceKind.TPM_ATTEST, quote.attest),
            Evidence(EvidenceKind.TPM_SIGNATURE, quote.signature),
            Evidence(EvidenceKind.TPM_PCRS, quote.pcrs),
        ]

    def _certificates(self) -> bytes | None:
        """What comes as `snp-certificates`."""
        leaf, issuer, root = self.vek.der, self.line.issuer(self.signing_key).der, self.line.ark.der
        match self.certificates:
            case "table":
                guid = snp_report.VLEK if self.signing_key == "vlek" else snp_report.VCEK
                items = ((guid, leaf), (snp_report.ASK, issuer), (snp_report.ARK, root))
                return snp_report.certificate_table(items)
            case "pem":
                return pem(leaf, issuer, root).encode("ascii")
            case "der":
                return leaf
            case bytes() | None as given:
                return given
            case other:
                raise ValueError(other)


def applied(edits: Mapping[K, Edit], name: K, right: bytes) -> bytes | None:
    """The right bytes, or what an edit of this name makes of them."""
    edit = edits.get(name, right)
    return edit(right) if callable(edit) else edit


def flipped(data: bytes, at: int, bit: int = 1) -> bytes:
    """`data` with bits of one byte turned over."""
    changed = bytearray(data)
    changed[at] ^= bit
    return bytes(changed)


@lru_cache(maxsize=64)
def genuine(name: str) -> SnpExhibit:
    """A real report as its folder has it, with its certificate and CRL; skips the test where there are no vectors."""
    folder = ROOT / "snp" / name
    if not folder.is_dir():
        pytest.skip(NOTICE)
    at = datetime.fromisoformat(json.loads((folder / "expected.json").read_text())["at"])
    parts = {"vek": ("vcek.der", "vlek.der"), "crl": ("crl.der",)}
    bundle = {
        part: (folder / file).read_bytes().hex()
        for part, files in parts.items()
        for file in files
        if (folder / file).exists()
    }
    report = Evidence(EvidenceKind.SNP_REPORT, (folder / "report.bin").read_bytes())
    return SnpExhibit((report,), json.dumps(bundle).encode(), builtin(), at)
