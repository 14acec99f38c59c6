# SPDX-License-Identifier: Apache-2.0
"""A confidential VM of Google's that shows its vTPM as well: the CPU's evidence, a TPM's quote, its key's certificate.

The CPU's part is that of any machine and is verified by its own rules; report_data carries the binding. The vTPM stands
outside the CPU's protection: its quote carries the binding too, and its key is believed for Google's certificate. What
the two have in common is the binding alone, so a guest that has another VM of Google's can show that one's registers.
Policies say whose VMs will do (section `google`), and what of the vTPM counts.

Nothing of the CPU's is done here: `verifiers.registry` asks the functions of its technology, and these for the rest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, TypeVar

from verifiers import jsontext
from verifiers.endorsements import Fetch, Revocation, digest
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Evidence, EvidenceKind, Provider
from verifiers.google_ca import NAME, verify_crl
from verifiers.snp.endorsements import SnpEndorsements
from verifiers.snp.evidence import SnpEvidence
from verifiers.snp.files import revocation_list
from verifiers.tdx.endorsements import MAX_BUNDLE_BYTES, TdxEndorsements
from verifiers.tdx.quote import TdxQuote
from verifiers.vtpm.attest import verify_quote
from verifiers.vtpm.certified import ROOT_CRL, authenticate, check_dates, check_revocation
from verifiers.vtpm.evidence import TPM_KINDS, TpmQuote, demand_size, parse_tpm
from verifiers.vtpm.paravisor import check_bound

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from verifiers.anchors import Anchors
    from verifiers.claims import Claims
    from verifiers.endorsements import Gather, PartValidity
    from verifiers.evidence import Binding
    from verifiers.google_ca import GoogleRoot
    from verifiers.vtpm.certified import Certified
    from verifiers.vtpm.claims import TpmClaims

T = TypeVar("T")
Cpu: TypeAlias = TdxQuote | SnpEvidence
CpuEndorsements: TypeAlias = TdxEndorsements | SnpEndorsements

# Where Google's Certificate Authority Service publishes the list of the root, as its intermediates name it.
GOOGLE_ROOT_CRL: Final = (
    "https://storage.googleapis.com/privateca-content-62d71773-0000-21da-852e-f4f5e80d7778"
    "/032bf9d39db4fa06aade/crl.crl"
)
KINDS: Final = TPM_KINDS | {EvidenceKind.TPM_AK_CERTIFICATE}


@dataclass(frozen=True, slots=True)
class GoogleSource:
    """Where Google's revocation list is asked for; from configuration."""

    root_crl_url: str = GOOGLE_ROOT_CRL


@dataclass(frozen=True, slots=True)
class GoogleCvm:
    """Parsed evidence, trusted by nobody. `ak_certificate`: DER, or PEM with the certificate of who signed it."""

    cpu: Cpu
    tpm: TpmQuote
    ak_certificate: bytes

    @property
    def pieces(self) -> tuple[Evidence, ...]:
        """What a record keeps behind the CPU's own pieces."""
        return (
            *self.tpm.pieces,
            Evidence(EvidenceKind.TPM_AK_CERTIFICATE, self.ak_certificate),
        )


@dataclass(frozen=True, slots=True)
class GoogleEndorsements:
    """What the CPU's vendor says, and the revocation list of Google's root (DER), None where it is missing."""

    cpu: CpuEndorsements
    root_crl: bytes | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the parts that are not there."""
        return (*self.cpu.missing, *((ROOT_CRL,) if self.root_crl is None else ()))

    @property
    def sha256(self) -> bytes:
        """32 bytes that name this collateral."""
        return digest((self.cpu.sha256, self.root_crl))

    def to_bundle(self) -> dict[str, str]:
        """The JSON bundle's members: those of the CPU's, and the list in hexadecimal."""
        of_google = {} if self.root_crl is None else {ROOT_CRL: self.root_crl.hex()}
        return {**self.cpu.to_bundle(), **of_google}


def parse_beside(parts: Mapping[EvidenceKind, bytes]) -> tuple[TpmQuote, bytes]:
    """What stands beside the CPU's pieces: the TPM's quote, and the certificate of its key.

    Raises:
        VerificationError: `ak-not-bound` for a quote without a certificate, `evidence` for a certificate without a
            whole quote, `too-large`; what the parser of the quote raises.
    """
    if parts.keys() == TPM_KINDS:
        raise VerificationError(
            Reason.AK_NOT_BOUND,
            "a TPM's quote beside the CPU's evidence, and nothing that ties its key to a platform"
            " (tpm-ak-certificate, or an HCL report)",
        )
    if lacking := sorted(KINDS - parts.keys()):
        raise VerificationError(
            Reason.EVIDENCE,
            f"{', '.join(sorted(parts))} beside the CPU's evidence want {', '.join(lacking)} as well",
        )
    certificate = parts[EvidenceKind.TPM_AK_CERTIFICATE]
    demand_size(EvidenceKind.TPM_AK_CERTIFICATE, certificate)
    return parse_tpm(parts), certificate


def gather(
    of_cpu: Gather[T], evidence: GoogleCvm, source: GoogleSource, anchors: Anchors
) -> Gather[tuple[T, bytes]]:
    """Ask for the list of Google's root in the first round of what the CPU's vendor is asked; what both gave.

    Nobody is asked unless both signatures lead to their pinned roots.

    Raises:
        VerificationError: what `of_cpu` and `authenticate` raise; `incomplete` where there is no list.
    """
    wanted = next(of_cpu)  # every vendor of CPUs is asked for something
    authenticate(evidence.ak_certificate, _root(anchors))
    *answers, crl = yield (*wanted, Fetch(ROOT_CRL, source.root_crl_url))
    if crl.status != 200:
        raise VerificationError(Reason.INCOMPLETE, f"{ROOT_CRL}: answered {crl.status}")
    try:
        wanted = of_cpu.send(tuple(answers))
        while True:
            wanted = of_cpu.send((yield wanted))
    except StopIteration as end:
        return end.value, crl.body


def split_bundle(text: bytes) -> tuple[bytes | None, bytes]:
    """The list in a JSON bundle, and the bundle of the CPU's vendor without it. One list alone is whose it says.

    Raises:
        VerificationError: `too-large`, `collateral-malformed`, `crl-invalid`.
    """
    if len(text) > MAX_BUNDLE_BYTES:
        raise VerificationError(
            Reason.TOO_LARGE, f"bundle: {len(text)} bytes, at most {MAX_BUNDLE_BYTES}"
        )
    if (alone := revocation_list(text)) is not None:
        return (alone, b"{}") if NAME in alone else (None, text)
    try:
        members = jsontext.parse(text)
        crl = members.pop(ROOT_CRL, None)
        found = None if crl is None else bytes.fromhex(_text(crl))
    except ValueError as error:
        raise VerificationError(Reason.COLLATERAL_MALFORMED, f"bundle: {error}") from error
    return found, json.dumps(members).encode()


def _text(value: jsontext.Json) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{ROOT_CRL} is not a string")  # noqa: TRY004 - one exception type for bad text
    return value


class Beside(NamedTuple):
    """What stands beside the CPU's evidence, authentic and bound."""

    certified: Certified
    tpm: TpmClaims


def verify_beside(
    evidence: GoogleCvm, anchors: Anchors, binding: Binding | None, now: datetime
) -> Beside:
    """Verify what stands beside the CPU's evidence, but for what was fetched about it.

    Args:
        evidence: whole; nothing of the CPU's is looked at.
        anchors: the roots that count.
        binding: what the quote must carry; None only where nothing is issued.
        now: the instant to judge at, timezone-aware.

    Raises:
        VerificationError: with the first fault found; its `brought` is true.
    """
    quote = evidence.tpm
    try:
        # 1 Google certified the key, for a VM that it names
        certified = authenticate(evidence.ak_certificate, _root(anchors))
        check_dates(certified, now)
        # 2 the vTPM's quote is signed by it, and carries the binding
        tpm = verify_quote(quote.attest, quote.signature, quote.pcrs, certified.key)
        if binding is not None:
            check_bound(tpm, binding.tpm_extra)
    except VerificationError as error:
        error.brought = True
        raise
    return Beside(certified, tpm)


def join(
    claims: Claims,
    beside: Beside,
    endorsements: GoogleEndorsements,
    anchors: Anchors,
    now: datetime,
) -> Claims:
    """Add what stands beside the CPU's evidence to the claims of that.

    Args:
        claims: of the CPU's evidence, verified and bound.
        beside: of the same evidence.
        endorsements: whole; without the root's list the claims say so.
        anchors: those that both were made with.
        now: the same instant.

    Raises:
        VerificationError: `crl-invalid`, `collateral-not-yet-valid`, `certificate-revoked`; its `authentic` is true.
    """
    # 3 Google has not taken back the authority that certified it
    certified, crl = beside.certified, endorsements.root_crl
    window = () if crl is None else (_checked(certified, _root(anchors), crl, now),)
    gce = certified.claims
    if window:
        gce = replace(gce, revocation=Revocation.GOOD)
    return replace(
        claims,
        provider=Provider.GOOGLE,
        tpm=beside.tpm,
        gce=gce,
        collateral=(*claims.collateral, *window),
        certificates_expire=min(claims.certificates_expire, gce.certificates_expire),
        expires=min(
            (claims.expires, gce.certificates_expire, *(part.next_update for part in window))
        ),
        collateral_sha256=endorsements.sha256,
    )


def _checked(certified: Certified, root: GoogleRoot, crl: bytes, now: datetime) -> PartValidity:
    """The evidence is authentic by then, and a fault says so."""
    try:
        return check_revocation(certified, root, crl, now)
    except VerificationError as error:
        error.authentic = True
        raise


def evaluations(endorsements: GoogleEndorsements, anchors: Anchors) -> dict[str, int]:
    """The second in which the root's list was issued; nothing without a list, or for what is no list of the root's.

    It rises with the list's number, which may have 20 octets (RFC 5280, 5.2.3), more than anybody keeps. A platform
    that its CPU's vendor refuses is refused before the list is looked at. Raises VerificationError.
    """
    root, crl = _root(anchors), endorsements.root_crl
    if crl is None:
        return {}
    try:
        issued = verify_crl(crl, root.authority).this_update
    except VerificationError:
        return {}
    return {"google/root-crl": int(issued.timestamp())}


def _root(anchors: Anchors) -> GoogleRoot:
    if anchors.google is None:
        raise VerificationError(
            Reason.UNTRUSTED_ROOT, "no root of Google's is among the trust anchors"
        )
    return anchors.google
