# SPDX-License-Identifier: Apache-2.0
"""The form of a case: how the workbench is altered, and what the verifier must say.

Real evidence with changed bytes shows what is refused for its structure, before any signature is looked at, and that
signed bytes cannot be changed. What only a valid signature can show comes from the fake AMD of `tests.snp_lab`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.cases.snp import vectors
from tests.snp_lab import SnpLab, flipped
from verifiers.errors import Reason, Verdict
from verifiers.evidence import Evidence, EvidenceKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from tests.snp_lab import Expectation, SnpExhibit
    from verifiers.snp.claims import SnpClaims

    Alteration: TypeAlias = "Callable[[SnpLab], object]"

VERIFIED = Verdict.VERIFIED
MALFORMED, FORMAT, SIGNATURE = Reason.MALFORMED, Reason.UNSUPPORTED_FORMAT, Reason.SIGNATURE
CHAIN, MISMATCH = Reason.CHAIN, Reason.ENDORSEMENT_MISMATCH

# Folders of real evidence.
PLAIN = "milan-v3-azure-aci"
TURIN = "turin-v5-azure-aci"
GENOA = "genoa-v5-mitigation-vector"
BERGAMO = "genoa-v5-siena-bergamo-model-a0"
VLEK = "milan-v3-vlek-aws-vmpl1"


@dataclass(frozen=True)
class Case:
    """One case of the corpus.

    Attributes:
        line: number in the list of what verifiers of SNP evidence must reject (and must not).
        why: one line. expect: the reason of the refusal, or `verified`.
        make: alters a fresh lab. fact: what the claims must show of verified evidence.
        product: line of the simulated machine.
        id: "snp-07", with a letter where a line has several cases; set by the index.
    """

    line: int
    why: str
    expect: Expectation
    make: Alteration
    fact: Callable[[SnpClaims], object] | None = None
    product: str = "Genoa"
    id: str = ""

    def altered(self) -> SnpLab:
        lab = SnpLab.create(self.product)
        self.make(lab)
        return lab

    def exhibit(self) -> SnpExhibit:
        return self.altered().exhibit()


def both(*alterations: Alteration) -> Alteration:
    """A case that alters several things, in this order."""

    def make(lab: SnpLab) -> None:
        for alter in alterations:
            alter(lab)

    return make


def reported(**fields: Any) -> Alteration:  # noqa: ANN401 - as SnpLab.report has them
    """A case that alters fields of the report before it is signed."""
    return lambda lab: lab.report(**fields)


def vlek(lab: SnpLab) -> None:
    """A report under a VLEK."""
    lab.report(signing_key="vlek")


def real(name: str = PLAIN, *changes: Callable[[bytes], bytes]) -> Alteration:
    """Real evidence, its report changed by each of `changes`."""

    def make(lab: SnpLab) -> None:
        lab.real(name)
        assert lab.genuine is not None
        (report,) = lab.genuine.pieces
        data = report.data
        for change in changes:
            data = change(data)
        lab.genuine = replace(lab.genuine, pieces=(replace(report, data=data),))

    return make


def beside(certificates: Callable[[], bytes]) -> Alteration:
    """A case that sends certificates beside a real report, as PEM, one DER or a table."""

    def make(lab: SnpLab) -> None:
        assert lab.genuine is not None
        piece = Evidence(EvidenceKind.SNP_CERTIFICATES, certificates())
        lab.genuine = replace(lab.genuine, pieces=(*lab.genuine.pieces, piece))

    return make


def with_crl(file: str) -> Alteration:
    """A case that judges real evidence with a list of the roots."""

    def make(lab: SnpLab) -> None:
        assert lab.genuine is not None
        assert lab.genuine.bundle is not None
        parts = json.loads(lab.genuine.bundle) | {"crl": vectors.root_file(file).hex()}
        lab.genuine = replace(lab.genuine, bundle=json.dumps(parts).encode())

    return make


def flipping(at: int) -> Alteration:
    """A case that turns over one bit of the finished report."""
    return lambda lab: lab.flip(at)


def put(at: int, value: bytes) -> Callable[[bytes], bytes]:
    """A change of a report: these bytes at this offset."""
    return lambda report: report[:at] + value + report[at + len(value) :]


def turned(at: int, bits: int = 1) -> Callable[[bytes], bytes]:
    """A change of a report: bits of one byte turned over."""
    return lambda report: flipped(report, at, bits)
