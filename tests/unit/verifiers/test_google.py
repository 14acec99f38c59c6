# SPDX-License-Identifier: Apache-2.0
"""A machine that shows Google's vTPM beside its CPU's evidence: what joins the two, and everything that does not."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from simulator import pki
from simulator.amd_keys import SHARED
from simulator.eventlog import grub_boot
from simulator.google import GoogleCvm, GoogleTd
from simulator.google_certificates import Pkcs1
from simulator.pki import pem
from simulator.vtpm import SHA256, SHA384, FakeTpm
from tests.google_lab import CERTIFICATE, GoogleLab
from tests.snp_lab import BINDING, NOW
from tests.tpm_lab import Quote, ecdsa
from verifiers import google, registry
from verifiers.anchors import builtin
from verifiers.endorsements import Fetch, Response, Revocation
from verifiers.errors import Reason, VerificationError
from verifiers.eventlog.events import Register
from verifiers.eventlog.replay import ReplayState
from verifiers.evidence import Evidence, EvidenceKind, Provider, Tee
from verifiers.files import identify
from verifiers.google import GoogleCvm as Parsed
from verifiers.google import GoogleEndorsements, GoogleSource
from verifiers.logs import booted
from verifiers.snp.claims import SnpClaims
from verifiers.snp.endorsements import SnpEndorsements
from verifiers.tdx.claims import TdxClaims
from verifiers.tdx.endorsements import MAX_BUNDLE_BYTES, TdxEndorsements
from verifiers.vtpm.certified import read_certificates
from verifiers.vtpm.claims import PcrBank

if TYPE_CHECKING:
    from collections.abc import Callable

    from verifiers.endorsements import Gather
    from verifiers.google_ca import GoogleRoot

ATTEST, SIGNATURE, PCRS = (
    EvidenceKind.TPM_ATTEST,
    EvidenceKind.TPM_SIGNATURE,
    EvidenceKind.TPM_PCRS,
)
KINDS = {"td": GoogleLab.td, "snp": GoogleLab.snp}


@pytest.fixture(params=KINDS)
def lab(request: pytest.FixtureRequest) -> GoogleLab:
    """A VM on each processor."""
    return KINDS[request.param]()


@pytest.fixture
def td() -> GoogleLab:
    return GoogleLab.td()


def quoted(lab: GoogleLab, quote: object) -> None:
    """Another quote of the vTPM."""
    for kind, name in ((ATTEST, "attest"), (SIGNATURE, "signature"), (PCRS, "pcrs")):
        lab.piece(kind, getattr(quote, name))


# what is believed


def test_what_a_machine_shows(lab: GoogleLab) -> None:
    claims = lab.verify()
    assert isinstance(claims, SnpClaims if isinstance(lab.vm, GoogleCvm) else TdxClaims)
    assert (claims.provider, claims.bound) == (Provider.GOOGLE, True)
    assert claims.tpm is not None
    assert claims.tpm.extra_data == BINDING.tpm_extra
    assert [value for _, _, value in claims.tpm.pcrs] == lab.vm.tpm.pcrs
    assert claims.gce is not None
    assert claims.gce.instance_name == lab.vm.instance.name
    assert claims.gce.revocation is Revocation.GOOD
    assert claims.gce.certificates_expire == lab.vm.ak.spec.not_after
    assert claims.collateral[-1].part == "google_root_crl"
    assert claims.hcl is None


def test_the_rest_is_said_as_without_it(lab: GoogleLab) -> None:
    """Nothing of the CPU's part is changed by what stands beside it."""
    beside = lab.verify()
    for kind in google.KINDS:
        lab.piece(kind, None)
    lab.listed = False
    alone = lab.verify()
    assert (alone.provider, alone.tpm, alone.gce) == (Provider.DIRECT, None, None)
    again = replace(
        beside,
        provider=alone.provider,
        tpm=None,
        gce=None,
        collateral=beside.collateral[:-1],
        expires=alone.expires,
        collateral_sha256=alone.collateral_sha256,
        evidence_sha256=alone.evidence_sha256,
    )
    assert again == alone


def test_without_a_list(lab: GoogleLab) -> None:
    """Verified; the claims say that nobody looked, and policies judge it."""
    lab.listed = False
    claims = lab.verify()
    assert claims.gce is not None
    assert claims.gce.revocation is Revocation.NOT_CHECKED
    assert all(part.part != "google_root_crl" for part in claims.collateral)


def test_a_list_past_its_end_is_a_fact_for_the_policy(lab: GoogleLab) -> None:
    end = NOW - timedelta(minutes=1)
    lab.google.crl.alter(next_update=end)
    claims = lab.verify()
    assert claims.collateral[-1].expired_since == end
    assert claims.expires == end
    assert claims.gce is not None
    assert claims.gce.revocation is Revocation.GOOD


def test_the_earliest_end_counts(lab: GoogleLab) -> None:
    lab.vm.ak.alter(not_after=NOW + timedelta(hours=1))
    claims = lab.verify()
    assert claims.certificates_expire == claims.expires == NOW + timedelta(hours=1)
    lab.vm.ak.alter(not_after=NOW + timedelta(days=365 * 90))
    lab.google.crl.alter(next_update=NOW + timedelta(days=365 * 90))
    claims = lab.verify()
    for kind in google.KINDS:
        lab.piece(kind, None)
    lab.listed = False
    alone = lab.verify()
    assert claims.certificates_expire == alone.certificates_expire
    assert claims.expires == alone.expires


def test_an_attestation_key_on_a_curve(td: GoogleLab) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    td.vm.ak.alter(spki=public)
    quote = Quote(extra=BINDING.tpm_extra)
    td.piece(ATTEST, quote.attest)
    td.piece(SIGNATURE, ecdsa(key, quote.attest))
    td.piece(PCRS, quote.pcrs)
    claims = td.verify()
    assert claims.tpm is not None
    assert claims.tpm.extra_data == BINDING.tpm_extra


def test_a_signature_in_the_tpms_own_form(td: GoogleLab) -> None:
    quote = td.vm.tpm.quote(BINDING.tpm_extra)
    quoted(td, quote)
    td.piece(SIGNATURE, quote.tpmt_signature)
    assert td.verify().tpm is not None


def test_the_authority_comes_along(lab: GoogleLab) -> None:
    lab.knowing, lab.listed = False, False
    assert lab.refused().reason is Reason.CHAIN
    lab.vm.beside = [lab.google.intermediate().der]
    first = lab.verify().gce
    lab.vm.beside.append(lab.google.root.der)
    assert lab.verify().gce == first


def test_logs_speak_of_what_the_cpu_signs(lab: GoogleLab) -> None:
    """Of a TD the RTMRs, of a VM on SEV-SNP the PCRs; each the log that such a machine has."""
    lab.vm.boot(grub_boot())
    claims = lab.verify()
    logs = [Evidence(EvidenceKind(kind), data) for kind, data in lab.vm.logs]
    boot = booted(claims, logs)
    assert boot is not None
    on_snp = isinstance(claims, SnpClaims)
    register = Register.PCR4 if on_snp else Register.RTMR1
    assert boot.replayed[register].state is ReplayState.REPLAYED
    assert (Register.PCR4 in boot.replayed) is on_snp
    assert (Register.RTMR1 in boot.replayed) is not on_snp


def test_nothing_bound_is_asked_for_offline(lab: GoogleLab) -> None:
    lab.binding = None
    assert lab.verify().bound is False


# what is not


def other_vm(lab: GoogleLab) -> None:
    """The quote of another VM's vTPM, over the same binding, with this one's certificate."""
    quoted(lab, FakeTpm.create("another vtpm").quote(BINDING.tpm_extra))


def other_certificate(lab: GoogleLab) -> None:
    """This vTPM's quote with the certificate of another VM's key."""
    spki = SHARED.get("another vtpm ak", 2048).spki
    lab.piece(CERTIFICATE, lab.google.certify(spki, lab.vm.instance).der)


def unbound(lab: GoogleLab) -> None:
    quoted(lab, lab.vm.tpm.quote(bytes(32)))


def longer_binding(lab: GoogleLab) -> None:
    quoted(lab, lab.vm.tpm.quote(BINDING.tpm_extra + b"\0"))


def other_values(lab: GoogleLab) -> None:
    lab.piece(PCRS, bytes(24 * 32))


def by_sha1(lab: GoogleLab) -> None:
    quote = lab.vm.tpm.quote(BINDING.tpm_extra)
    lab.piece(SIGNATURE, b"\x00\x14\x00\x04\x01\x00" + quote.signature)


def bank_of_sha1(lab: GoogleLab) -> None:
    tpm = lab.vm.tpm
    tpm.banks[4] = [bytes(20)] * 24
    quoted(lab, tpm.quote(BINDING.tpm_extra, selection=((4, (0,)),)))


def too_long(kind: EvidenceKind, lab: GoogleLab) -> None:
    lab.piece(kind, bytes(16 * 1024 + 1))


def endorsement_key(lab: GoogleLab) -> None:
    lab.piece(CERTIFICATE, lab.vm.ek.der)


def by_a_stranger(lab: GoogleLab) -> None:
    lab.vm.ak.signer = Pkcs1(SHARED.get("stranger Google root", 2048))


def revoked(lab: GoogleLab) -> None:
    lab.google.crl.revoke(lab.google.intermediate().spec.serial)


def of_another(lab: GoogleLab) -> None:
    lab.google.crl.alter(issuer=lab.google.intermediate().spec.subject)


def of_a_part(lab: GoogleLab) -> None:
    lab.google.crl.put(pki.Extension("2.5.29.28", b"\x30\x00", critical=True))


def issued_later(lab: GoogleLab) -> None:
    lab.google.crl.alter(this_update=NOW + timedelta(seconds=1))


def dated(**ends: timedelta) -> Callable[[GoogleLab], None]:
    def spoil(lab: GoogleLab) -> None:
        lab.vm.ak.alter(**{name: NOW + after for name, after in ends.items()})

    return spoil


SECOND = timedelta(seconds=1)
STALE: dict[type, dict[str, int | bytes]] = {  # fields of reports that no collateral makes good
    GoogleTd: {"qe_isvsvn": 0, "qe_isvprodid": 9},
    GoogleCvm: {"committed_tcb": bytes(8)},
}
REFUSED: dict[str, tuple[Callable[[GoogleLab], None], Reason]] = {
    "the quote of another vTPM": (other_vm, Reason.SIGNATURE),
    "the certificate of another vTPM": (other_certificate, Reason.SIGNATURE),
    "another binding": (unbound, Reason.BINDING_MISMATCH),
    "more than the binding": (longer_binding, Reason.BINDING_MISMATCH),
    "other values": (other_values, Reason.SIGNATURE),
    "signed by SHA-1": (by_sha1, Reason.UNSUPPORTED_FORMAT),
    "a bank of SHA-1": (bank_of_sha1, Reason.UNSUPPORTED_FORMAT),
    "an endorsement key": (endorsement_key, Reason.CHAIN),
    "certified by a stranger": (by_a_stranger, Reason.CHAIN),
    "expired": (dated(not_after=-SECOND), Reason.CERTIFICATE_EXPIRED),
    "not yet valid": (dated(not_before=SECOND), Reason.CERTIFICATE_NOT_YET_VALID),
    "a certificate that is too long": (partial(too_long, CERTIFICATE), Reason.TOO_LARGE),
    "a quote that is too long": (partial(too_long, ATTEST), Reason.TOO_LARGE),
    "a signature that is too long": (partial(too_long, SIGNATURE), Reason.TOO_LARGE),
    "values that are too long": (partial(too_long, PCRS), Reason.TOO_LARGE),
}
PARSING = {"a bank of SHA-1", *(case for case in REFUSED if case.endswith("too long"))}
AUTHENTIC: dict[str, tuple[Callable[[GoogleLab], None], Reason]] = {
    "revoked": (revoked, Reason.CERTIFICATE_REVOKED),
    "the list of another": (of_another, Reason.CRL_INVALID),
    "the list of a part": (of_a_part, Reason.CRL_INVALID),
    "a list that was issued later": (issued_later, Reason.COLLATERAL_NOT_YET_VALID),
}


@pytest.mark.parametrize("case", [*REFUSED, *AUTHENTIC])
def test_what_is_refused(lab: GoogleLab, case: str) -> None:
    spoil, reason = (REFUSED | AUTHENTIC)[case]
    spoil(lab)
    error = lab.refused()
    assert (error.reason, error.authentic) == (reason, case in AUTHENTIC), error.detail
    assert error.brought is (case in REFUSED and case not in PARSING)


def test_the_cpus_part_is_refused_as_ever(lab: GoogleLab) -> None:
    """The quote of the vTPM is good; that of the CPU carries another binding."""
    replayed = lab.vm.evidence(bytes(64), BINDING.tpm_extra)[0][1]
    lab.piece(lab.pieces()[0].kind, replayed)
    error = lab.refused()
    assert error.reason is Reason.BINDING_MISMATCH
    assert "report_data" in error.detail


def test_no_root_is_pinned(lab: GoogleLab) -> None:
    parsed = registry.parse(lab.pieces())
    endorsements = registry.parse_bundle(parsed, lab.bundle())
    anchors = replace(lab.anchors(), google=None)
    calls: tuple[Callable[[], object], ...] = (
        lambda: registry.verify(parsed, endorsements, anchors, BINDING, NOW),
        lambda: registry.evaluations(parsed, endorsements, registry.Sources(), anchors),
        lambda: next(registry.gather(parsed, registry.Sources(), anchors)),
    )
    for call in calls:
        with pytest.raises(VerificationError) as caught:
            call()
        assert caught.value.reason is Reason.UNTRUSTED_ROOT


def test_all_signatures_come_before_what_was_fetched(lab: GoogleLab) -> None:
    """A refusal for what the CPU's vendor says is of evidence that is authentic as a whole."""
    lab.vm.machine.fields.update(STALE[type(lab.vm)])
    refused = lab.refused()
    assert (refused.authentic, refused.brought) == (True, False)
    other_vm(lab)
    refused = lab.refused()
    assert (refused.reason, refused.authentic, refused.brought) == (Reason.SIGNATURE, False, True)


# pieces


@pytest.mark.parametrize(
    ("left_out", "reason"),
    [
        ((CERTIFICATE,), Reason.AK_NOT_BOUND),
        ((ATTEST,), Reason.EVIDENCE),
        ((SIGNATURE,), Reason.EVIDENCE),
        ((PCRS,), Reason.EVIDENCE),
        ((CERTIFICATE, PCRS), Reason.EVIDENCE),
        ((ATTEST, SIGNATURE, PCRS), Reason.EVIDENCE),
    ],
)
def test_a_piece_is_missing(
    lab: GoogleLab, left_out: tuple[EvidenceKind, ...], reason: Reason
) -> None:
    for kind in left_out:
        lab.piece(kind, None)
    error = lab.refused()
    assert error.reason is reason
    assert str(left_out[0]) in error.detail


def test_a_piece_stands_twice(lab: GoogleLab) -> None:
    pieces = lab.pieces()
    with pytest.raises(VerificationError) as caught:
        registry.parse([*pieces, pieces[-1]])
    assert caught.value.reason is Reason.EVIDENCE


@pytest.mark.parametrize("with_certificate", [False, True])
def test_a_vtpm_alone(
    td: GoogleLab,
    with_certificate: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    pieces = [piece for piece in td.pieces() if piece.kind is not EvidenceKind.TDX_QUOTE]
    with pytest.raises(VerificationError) as caught:
        registry.parse(pieces if with_certificate else pieces[:-1])
    assert caught.value.reason is Reason.AK_NOT_BOUND


def test_a_certificate_beside_a_paravisors_report(td: GoogleLab) -> None:
    """Azure's evidence takes no certificate: its key is vouched for by the CPU."""
    for cpu in ([td.pieces()[0]], []):
        hcl = Evidence(EvidenceKind.HCL_REPORT, b"HCLA" + bytes(2596))
        with pytest.raises(VerificationError) as caught:
            registry.parse([*cpu, hcl, *td.pieces()[1:]])
        assert caught.value.reason is Reason.EVIDENCE


def test_the_table_knows_it(lab: GoogleLab) -> None:
    lab.vm.beside = [lab.google.intermediate().der]
    pieces = lab.pieces()
    parsed = registry.parse(pieces)
    on_snp = isinstance(lab.vm, GoogleCvm)
    assert isinstance(parsed, Parsed)
    assert registry.tee_of(parsed) is (Tee.SNP if on_snp else Tee.TDX)
    assert registry.pieces_of(parsed) == pieces
    assert registry.parse(registry.pieces_of(parsed)) == parsed
    assert registry.signer_came_along(parsed) is not on_snp
    empty = registry.no_endorsements(parsed)
    assert isinstance(empty, GoogleEndorsements)
    assert empty.missing == (*empty.cpu.missing, "google_root_crl")
    assert empty.to_bundle() == {}


def test_files_are_told_apart(lab: GoogleLab) -> None:
    lab.vm.boot(grub_boot())
    above = lab.google.intermediate().der
    right, (log,) = lab.pieces(), lab.vm.logs
    files = [*(piece.data for piece in right), log[1], above, lab.google.crl.der]
    for order in (files, files[::-1]):
        found = identify(order)
        assert found.collateral == (lab.google.crl.der,)
        kinds = {piece.kind: piece.data for piece in found.evidence}
        both = (right[-1].data, above) if order is files else (above, right[-1].data)
        assert read_certificates(kinds.pop(CERTIFICATE)) == both
        others = {piece.kind: piece.data for piece in right[:-1]}
        assert kinds == {**others, EvidenceKind(log[0]): log[1]}


def test_certificates_of_both_vendors() -> None:
    """AMD's beside Google's: two pieces."""
    lab = GoogleLab.snp()
    assert isinstance(lab.vm, GoogleCvm)
    vcek = lab.vm.machine.vek().der
    files = [*(piece.data for piece in lab.pieces()), vcek]
    kinds = {piece.kind: piece.data for piece in identify(files).evidence}
    assert (kinds[EvidenceKind.SNP_CERTIFICATES], kinds[CERTIFICATE]) == (vcek, lab.vm.ak.der)
    parsed = registry.parse(identify(files).evidence)
    assert registry.signer_came_along(parsed)


# collateral


def of_amd(lab: GoogleLab, fetch: Fetch) -> Response:
    """What AMD and Google answer."""
    assert isinstance(lab.vm, GoogleCvm)
    line, vek = lab.vm.machine.line, lab.vm.machine.vek()
    bodies = {"vcek": vek.der, "crl": line.vcek_crl.der, "google_root_crl": lab.google.crl.der}
    return Response(200, bodies[fetch.part], {})


def test_the_list_is_asked_for_with_the_cpus_collateral() -> None:
    lab = GoogleLab.snp()
    parsed = registry.parse(lab.pieces())
    sources = registry.Sources(google=GoogleSource("https://mirror.example/crl"))
    asking = registry.gather(parsed, sources, lab.anchors())
    wanted = next(asking)
    assert [fetch.part for fetch in wanted] == ["vcek", "crl", "google_root_crl"]
    assert wanted[2].url == "https://mirror.example/crl"
    with pytest.raises(StopIteration) as stop:
        asking.send(tuple(of_amd(lab, fetch) for fetch in wanted))
    found = stop.value.value
    assert found == registry.parse_bundle(parsed, lab.bundle())
    assert registry.parse_bundle(parsed, json.dumps(found.to_bundle()).encode()) == found
    assert found.missing == ()


def test_where_google_publishes_it() -> None:
    """As the packaged intermediate names it, by the other of the bucket's two addresses, which TLS has names for."""
    bucket = "privateca-content-62d71773-0000-21da-852e-f4f5e80d7778"
    path = "/032bf9d39db4fa06aade/crl.crl"
    assert GoogleSource().root_crl_url == f"https://storage.googleapis.com/{bucket}{path}"
    (known,) = google_root().known
    assert f"http://{bucket}.storage.googleapis.com{path}".encode() in known.der


def google_root() -> GoogleRoot:
    root = builtin().google
    assert root is not None
    return root


def test_nobody_is_asked_for_a_certificate_of_a_stranger(lab: GoogleLab) -> None:
    by_a_stranger(lab)
    asking = registry.gather(registry.parse(lab.pieces()), registry.Sources(), lab.anchors())
    with pytest.raises(VerificationError) as caught:
        next(asking)
    assert caught.value.reason is Reason.CHAIN


def test_a_list_that_is_not_there(td: GoogleLab) -> None:
    asking = registry.gather(registry.parse(td.pieces()), registry.Sources(), td.anchors())
    wanted = next(asking)
    with pytest.raises(VerificationError, match="google_root_crl: answered 404") as caught:
        asking.send(tuple(Response(404, b"", {}) for _ in wanted))
    assert caught.value.reason is Reason.INCOMPLETE


def of_rounds(*parts: str) -> Gather[tuple[bytes, ...]]:
    """A vendor that is asked for one part after the other."""
    found = []
    for part in parts:
        (answer,) = yield (Fetch(part, f"https://vendor.example/{part}"),)
        found.append(answer.body)
    return tuple(found)


def test_a_vendor_who_is_asked_more_than_once(td: GoogleLab) -> None:
    evidence = registry.parse(td.pieces())
    assert isinstance(evidence, Parsed)
    asking = google.gather(of_rounds("a", "b", "c"), evidence, GoogleSource(), td.anchors())
    assert [fetch.part for fetch in next(asking)] == ["a", "google_root_crl"]
    second = asking.send((Response(200, b"A", {}), Response(200, b"list", {})))
    assert [fetch.part for fetch in second] == ["b"]
    assert [fetch.part for fetch in asking.send((Response(200, b"B", {}),))] == ["c"]
    with pytest.raises(StopIteration) as stop:
        asking.send((Response(200, b"C", {}),))
    assert stop.value.value == ((b"A", b"B", b"C"), b"list")


def test_collateral_is_named_by_all_its_parts(lab: GoogleLab) -> None:
    parsed = registry.parse(lab.pieces())
    whole = registry.parse_bundle(parsed, lab.bundle())
    assert isinstance(whole, GoogleEndorsements)
    lab.google.crl.put(pki.crl_number(2))
    newer = registry.parse_bundle(parsed, lab.bundle())
    without = replace(whole, root_crl=None)
    other_cpu = GoogleEndorsements(TdxEndorsements(), whole.root_crl)
    names = {one.sha256 for one in (whole, newer, without, other_cpu, whole.cpu)}
    assert len(names) == 5


def test_lists_follow_each_other_by_when_they_were_issued(lab: GoogleLab) -> None:
    """A number may be larger than what a database keeps."""
    lab.google.crl.put(pki.crl_number((1 << 159) - 1))
    parsed, anchors, sources = registry.parse(lab.pieces()), lab.anchors(), registry.Sources()

    def lines() -> dict[str, int]:
        endorsements = registry.parse_bundle(parsed, lab.bundle())
        return registry.evaluations(parsed, endorsements, sources, anchors)

    with_list = lines()
    lab.listed = False
    issued = int(lab.google.crl.spec.this_update.timestamp())
    assert with_list == {**lines(), "google/root-crl": issued}
    assert lines()


def test_a_platform_that_is_refused_before_the_list_is_looked_at(lab: GoogleLab) -> None:
    """What the mirror gave in the list's place is no fault of the evidence, and stops no record of it."""
    lab.vm.machine.fields.update(STALE[type(lab.vm)])
    assert lab.refused().authentic
    parsed, anchors, sources = registry.parse(lab.pieces()), lab.anchors(), registry.Sources()
    right = registry.parse_bundle(parsed, lab.bundle())
    assert isinstance(right, GoogleEndorsements)
    wrong, none = (replace(right, root_crl=crl) for crl in (b"<html>", None))
    numbers = registry.evaluations(parsed, wrong, sources, anchors)
    assert numbers == registry.evaluations(parsed, none, sources, anchors)
    assert registry.evaluations(parsed, right, sources, anchors).keys() - numbers == {
        "google/root-crl"
    }


def test_a_list_alone_is_whose_it_says() -> None:
    lab = GoogleLab.snp()
    assert isinstance(lab.vm, GoogleCvm)
    parsed = registry.parse(lab.pieces())
    of_google, of_amds = lab.google.crl.der, lab.vm.machine.line.vcek_crl.der
    for crl, found in (
        (of_google, GoogleEndorsements(SnpEndorsements(), of_google)),
        (
            pem(of_google, label="X509 CRL").encode(),
            GoogleEndorsements(SnpEndorsements(), of_google),
        ),
        (of_amds, GoogleEndorsements(SnpEndorsements(crl=of_amds))),
    ):
        assert registry.parse_bundle(parsed, crl) == found


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"no bundle", Reason.COLLATERAL_MALFORMED),
        (b"[]", Reason.COLLATERAL_MALFORMED),
        (b'{"google_root_crl": 7}', Reason.COLLATERAL_MALFORMED),
        (b'{"google_root_crl": "xx"}', Reason.COLLATERAL_MALFORMED),
        (b'{"google_root_crl": "", "google_root_crl": ""}', Reason.COLLATERAL_MALFORMED),
        (b'{"another": "00"}', Reason.COLLATERAL_MALFORMED),
        (b"-----BEGIN X509 CRL-----", Reason.CRL_INVALID),
        (b" " * MAX_BUNDLE_BYTES, Reason.COLLATERAL_MALFORMED),
        (b" " * (MAX_BUNDLE_BYTES + 1), Reason.TOO_LARGE),
    ],
)
def test_bundles_that_are_none(lab: GoogleLab, text: bytes, reason: Reason) -> None:
    with pytest.raises(VerificationError) as caught:
        registry.parse_bundle(registry.parse(lab.pieces()), text)
    assert caught.value.reason is reason


def test_a_list_may_be_left_out_by_name(td: GoogleLab) -> None:
    found = registry.parse_bundle(registry.parse(td.pieces()), b'{"google_root_crl": null}')
    assert found == GoogleEndorsements(TdxEndorsements())


def test_collateral_of_another_kind_is_a_fault_of_the_caller(td: GoogleLab) -> None:
    parsed = registry.parse(td.pieces())
    assert isinstance(parsed, Parsed)
    cpu = registry.parse_bundle(parsed.cpu, json.dumps(td.cpu_bundle()).encode())
    whole = registry.parse_bundle(parsed, td.bundle())
    for one, endorsements in ((parsed, cpu), (parsed.cpu, whole)):
        with pytest.raises(TypeError, match="are not for"):
            registry.verify(one, endorsements, td.anchors(), BINDING, NOW)
        with pytest.raises(TypeError, match="are not for"):
            registry.evaluations(one, endorsements, registry.Sources(), td.anchors())


def test_banks_of_the_vtpm(td: GoogleLab) -> None:
    td.vm.tpm.banks[SHA384] = [bytes([index]) * 48 for index in range(24)]
    both = ((SHA256, (0, 7)), (SHA384, (4,)))
    quoted(td, td.vm.tpm.quote(BINDING.tpm_extra, selection=both))
    claims = td.verify()
    assert claims.tpm is not None
    assert claims.tpm.pcr(4, PcrBank.SHA384) == b"\4" * 48
    assert claims.tpm.pcr(4) is None


@given(
    st.one_of(
        st.binary(max_size=300),
        st.dictionaries(
            st.sampled_from(("google_root_crl", "tcb_info", "x")),
            st.one_of(st.none(), st.integers(), st.text(), st.just("00ff")),
        ).map(lambda members: json.dumps(members).encode()),
    )
)
def test_any_text_is_split_or_refused(text: bytes) -> None:
    reasons = set()
    try:
        crl, rest = google.split_bundle(text)
    except VerificationError as error:
        reasons.add(error.reason)
    else:
        assert crl is None or isinstance(crl, bytes)
        assert b"google_root_crl" not in rest
    assert reasons <= {Reason.COLLATERAL_MALFORMED, Reason.CRL_INVALID}
