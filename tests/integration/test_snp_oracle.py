# SPDX-License-Identifier: Apache-2.0
"""An independent checker, the OpenSSL command line, is shown the same SEV-SNP evidence and must say the same.

It judges the chain to AMD's real root, the dates, the revocation list and the report's signature. What it cannot know
and we refuse stands in one file with the reason, and is tested to differ, so that the file cannot grow stale.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cases.snp import vectors
from tests.cases.snp.index import CORPUS
from tests.cases.snp.known_differences import CORPUS_DIFFERENCES, LINES, LISTED
from tests.cases.snp.openssl import Question, accepts
from tests.snp_lab import SnpExhibit
from tests.tdx_vectors import NOTICE
from verifiers.amd import builtin_hierarchies
from verifiers.anchors import builtin
from verifiers.errors import Verdict
from verifiers.evidence import Evidence, EvidenceKind, Product

if TYPE_CHECKING:
    from tests.cases.snp.vectors import Vector
    from tests.snp_lab import SnpLab

FOLDERS = 22
CHANGES = 44


def openssl_accepts(vector: Vector) -> bool:
    """What OpenSSL says of this evidence under the root that was sent, which must be AMD's."""
    return vector.ark in pinned_roots() and accepts(
        Question(vector.report, vector.vek, vector.ica, vector.ark, vector.crl, vector.at)
    )


def pinned_roots() -> set[bytes]:
    """The DER of the three ARKs, by the digests that the list of roots gives."""
    listed = json.loads(vectors.root_file("roots.json"))["certificates"]
    digests = {each["sha256_der"]: each["file"] for each in listed if each["role"] == "ARK"}
    roots = {vectors.certificate(file) for file in digests.values()}
    assert {hashlib.sha256(root).hexdigest() for root in roots} == set(digests)
    return roots


def we_accept(vector: Vector) -> bool:
    """What we say of the same: all certificates beside the report, judged by the built-in authorities."""
    pieces = (
        Evidence(EvidenceKind.SNP_REPORT, vector.report),
        Evidence(EvidenceKind.SNP_CERTIFICATES, vectors.pem(vector.vek, vector.ica, vector.ark)),
    )
    bundle = {} if vector.crl is None else {"crl": vector.crl.hex()}
    exhibit = SnpExhibit(pieces, json.dumps(bundle).encode(), builtin(), vector.at)
    return exhibit.outcome() is Verdict.VERIFIED


@pytest.mark.parametrize("name", vectors.names())
def test_real_evidence(name: str) -> None:
    vector = vectors.load(name)
    assert openssl_accepts(vector) == we_accept(vector) == (vector.expected["verdict"] == "accept")


@pytest.mark.parametrize("negative", vectors.negatives())
def test_listed_change(negative: dict[str, Any]) -> None:
    vector = vectors.changed(negative)
    ours, theirs = we_accept(vector), openssl_accepts(vector)
    if negative["name"] in LISTED:
        assert (ours, theirs) == (False, True), LISTED[negative["name"]]
    else:
        assert ours == theirs == (negative["expect"] == "accept")


def question(lab: SnpLab) -> Question:
    """Evidence and collateral of the workbench, with the authorities that are pinned there."""
    (report,) = lab.evidence()
    parts = {name: bytes.fromhex(text) for name, text in json.loads(lab.bundle()).items()}
    issuer = lab.line.issuer(lab.signing_key)
    return Question(
        report.data, parts["vek"], issuer.der, lab.line.ark.der, parts.get("crl"), lab.at
    )


def is_plain(lab: SnpLab) -> bool:
    """Whether a case is about the fake AMD, and sends nothing but a report."""
    return lab.genuine is None and lab.cvm is None and lab.certificates is None


@pytest.mark.parametrize("line", LINES)
def test_corpus(line: int) -> None:
    """Every case of a line about signature, chain, dates or lists that OpenSSL can be asked about."""
    asked = 0
    for case in (case for case in CORPUS if case.line == line):
        lab = case.altered()
        if not is_plain(lab):
            continue
        asked += 1
        ours = lab.exhibit().outcome() is Verdict.VERIFIED
        verdicts, why = CORPUS_DIFFERENCES.get(
            (line, case.why), ((ours, ours), "they should agree")
        )
        assert (ours, accepts(question(lab))) == verdicts, f"{case.why}: {why}"
    assert asked


def test_nothing_is_left_out() -> None:
    names = [name for name in vectors.names() if isinstance(name, str)]
    if not names:
        pytest.skip(NOTICE)
    assert (len(names), len(vectors.negatives())) == (FOLDERS, CHANGES)
    assert set(CORPUS_DIFFERENCES) <= {(case.line, case.why) for case in CORPUS}
    assert set(LISTED) <= {negative.id for negative in vectors.negatives()}


def test_what_we_pin_is_what_openssl_was_shown() -> None:
    """The authorities of the package are those of the vectors: the same keys, and the same certificates."""
    for hierarchy in builtin_hierarchies():
        for role in ("ark", "ask", "asvk"):
            certificate = vectors.certificate(f"{hierarchy.product.lower()}_{role}.pem")
            pinned = getattr(hierarchy, role).certificate_sha256
            assert hashlib.sha256(certificate).digest() == pinned, (hierarchy.product, role)
    assert {hierarchy.product for hierarchy in builtin_hierarchies()} == set(Product)
