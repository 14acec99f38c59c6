# SPDX-License-Identifier: Apache-2.0
"""R-31, at the SEV-SNP verifier: whatever bytes come, only VerificationError escapes.

Random bytes alone are refused at the first field; so most inputs are right ones that were changed, and what is signed
is signed again after the change, so that the readers behind the signature meet it too. Warnings are errors here.
"""

from __future__ import annotations

import json
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.pki import pem
from tests.fuzz.test_verifier_parsers import mutated, signed_again
from tests.snp_lab import NOW, SnpLab, hierarchy
from verifiers import registry
from verifiers.endorsements import Response
from verifiers.errors import VerificationError
from verifiers.evidence import Evidence, EvidenceKind
from verifiers.files import identify
from verifiers.snp.certificates import check_authorities, parse_certificates
from verifiers.snp.claims import SigningKey, SnpClaims
from verifiers.snp.crl import crl_der, verify_crl
from verifiers.snp.endorsements import KdsSource, SnpEndorsements, gather, parse_bundle
from verifiers.snp.evidence import SnpEvidence, parse_evidence
from verifiers.snp.report import parse_report
from verifiers.snp.vek import read_vek, verify_vek
from verifiers.snp.verify import verify

BENCH = SnpLab.create("Genoa")
REPORT, VEK, CRL = BENCH.report_bytes(), BENCH.vek, BENCH.line.vcek_crl
EVIDENCE = parse_evidence(BENCH.evidence())
WHOLE = SnpEndorsements(VEK.der, CRL.der)
ANCHORS, PINNED = BENCH.anchors(), hierarchy(BENCH.line)
TABLE = BENCH.machine.certificate_table().rstrip(b"\0")
CHAIN = pem(VEK.der, BENCH.line.ask.der, BENCH.line.ark.der).encode()
AZURE = SnpLab.create("Milan")
AZURE.azure()
PIECES = AZURE.evidence()
MODERATE = settings(max_examples=150, deadline=None)


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=1300) | mutated(REPORT))
def test_reports(data: bytes) -> None:
    with suppress(VerificationError):
        parsed = parse_report(data)
        assert parsed.raw == data


@MODERATE
@given(st.integers(0, 0x29F), st.binary(min_size=1, max_size=8))
def test_reports_signed_again(at: int, new: bytes) -> None:
    """A field of any value under a right signature is judged, or refused, and nothing else."""
    bench = SnpLab.create("Genoa")
    patched = REPORT[:at] + new + REPORT[at + len(new) :]
    signed = patched[:0x2A0]
    bench.patch(lambda _: signed + VEK.key.sign_report(signed) + bytes(368))
    with suppress(VerificationError):
        assert isinstance(bench.exhibit().verify(), SnpClaims)


@MODERATE
@given(st.binary(max_size=300) | mutated(TABLE) | mutated(CHAIN) | mutated(VEK.der))
def test_certificates_that_come_along(data: bytes) -> None:
    with suppress(VerificationError):
        found = parse_certificates(data)
        for kind in SigningKey:
            found.endorsement(kind)
        check_authorities(found.others + found.candidates, PINNED, SigningKey.VCEK)


CERTIFICATES = signed_again(VEK.spec.tbs(), VEK.signer, VEK.spec.algorithm)
LISTS = signed_again(CRL.spec.tbs(), CRL.signer, CRL.spec.algorithm)
CRL.revoke(1, 2, -3)
LONGER_LISTS = signed_again(CRL.spec.tbs(), CRL.signer, CRL.spec.algorithm)


@settings(max_examples=400, deadline=None)
@given(mutated(VEK.der) | st.binary(max_size=200))
def test_leaves(data: bytes) -> None:
    with suppress(VerificationError):
        read_vek(data)
    with suppress(VerificationError):
        check_authorities((data,), PINNED, SigningKey.VCEK, frozenset({1}))


@MODERATE
@given(CERTIFICATES)
def test_leaves_signed_again(data: bytes) -> None:
    with suppress(VerificationError):
        verify_vek(data, SigningKey.VCEK, PINNED)
    with suppress(VerificationError):
        verify(EVIDENCE, SnpEndorsements(data, WHOLE.crl), ANCHORS, None, NOW)


@MODERATE
@given(LISTS | LONGER_LISTS | mutated(CRL.der))
def test_lists(data: bytes) -> None:
    with suppress(VerificationError):
        verify_crl(data, PINNED.ark)
    with suppress(VerificationError):
        verify(EVIDENCE, SnpEndorsements(WHOLE.vek, data), ANCHORS, None, NOW)


@MODERATE
@given(st.binary(max_size=60) | mutated(pem(CRL.der, label="X509 CRL").encode()))
def test_lists_in_pem(data: bytes) -> None:
    with suppress(VerificationError):
        crl_der(data)


@MODERATE
@given(st.binary(max_size=200) | mutated(json.dumps(WHOLE.to_bundle()).encode()))
def test_bundles(data: bytes) -> None:
    with suppress(VerificationError):
        parse_bundle(EVIDENCE, data).to_bundle()


RESPONSES = st.builds(
    Response,
    st.sampled_from([200, 200, 200, 404, 410]),
    st.binary(max_size=40) | mutated(VEK.der) | st.just(VEK.der) | st.just(CRL.der),
    st.just({}),
)


@MODERATE
@given(st.tuples(RESPONSES, RESPONSES))
def test_answers(responses: tuple[Response, ...]) -> None:
    asking = gather(EVIDENCE, KdsSource(), ANCHORS)
    next(asking)
    with suppress(VerificationError):
        try:
            asking.send(responses)
        except StopIteration as stop:
            stop.value.to_bundle()  # whatever was accepted can be stored
            verify(EVIDENCE, stop.value, ANCHORS, None, NOW)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(range(len(PIECES))), st.data())
def test_pieces_of_azure(which: int, data: st.DataObject) -> None:
    changed = list(PIECES)
    piece = changed[which]
    changed[which] = Evidence(piece.kind, data.draw(mutated(piece.data)))
    with suppress(VerificationError):
        parsed = registry.parse(changed)
        assert isinstance(parsed, SnpEvidence)
        endorsements = SnpEndorsements(AZURE.vek.der)
        verify(parsed, endorsements, AZURE.anchors(), AZURE.binding, NOW)


@MODERATE
@given(
    st.lists(
        st.binary(max_size=60)
        | mutated(REPORT)
        | mutated(CHAIN)
        | mutated(CRL.der)
        | st.sampled_from([REPORT, VEK.der, CRL.der, TABLE, CHAIN, *(p.data for p in PIECES)]),
        max_size=4,
    )
)
def test_files(files: list[bytes]) -> None:
    """Whatever is identified can be parsed or is refused; nothing is lost on the way."""
    with suppress(VerificationError):
        found = identify(files)
        kept = len(found.evidence) + len(found.collateral)
        merged = [p for p in found.evidence if p.kind is EvidenceKind.SNP_CERTIFICATES]
        assert kept <= len(files)
        assert kept == len(files) or merged
        registry.parse(found.evidence)
