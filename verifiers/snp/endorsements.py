# SPDX-License-Identifier: Apache-2.0
"""AMD's collateral for one report, unverified: what to ask for, and how the answers are taken apart.

Source: AMD publication 57230 (key distribution service, KDS). Two parts: the VCEK of this chip at this TCB, unless the
evidence brought one (a VLEK always comes with it, for AMD gives it to cloud providers alone), and the revocation list
of the product line. The authorities' certificates are pinned and never asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from verifiers import jsontext
from verifiers.endorsements import Fetch, Gather, Response, digest
from verifiers.errors import Reason, VerificationError
from verifiers.snp.claims import SigningKey
from verifiers.snp.crl import PEM_START, crl_der
from verifiers.snp.report import has_fmc, report_tcb
from verifiers.snp.signer import authenticate, check_chip_id, check_company, hierarchy_of

if TYPE_CHECKING:
    from verifiers.anchors import Anchors
    from verifiers.evidence import Product
    from verifiers.snp.evidence import SnpEvidence
    from verifiers.snp.report import SnpReport

AMD_KDS: Final = "https://kdsintf.amd.com"
MAX_BUNDLE_BYTES: Final = 1024 * 1024  # a real one has 5 KiB
MAX_VEK_BYTES: Final = 16 * 1024  # a real one has 1.4 KiB

_TURIN_HWID_BYTES: Final = 8
_STATUS_UNKNOWN: Final = (404, 410)


@dataclass(frozen=True, slots=True)
class SnpEndorsements:
    """The parts as received, DER; None where a part is missing. Hashable: equal bytes are the same collateral.

    Attributes:
        vek: the VCEK or VLEK. Without it nothing is verified.
        crl: the revocation list of the ARK. Without it revocation is not checked, which the claims say.
    """

    vek: bytes | None = None
    crl: bytes | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the parts that are not there."""
        return tuple(name for name in PARTS if getattr(self, name) is None)

    @property
    def sha256(self) -> bytes:
        """32 bytes that name this collateral."""
        return digest((self.vek, self.crl))

    def to_bundle(self) -> dict[str, str]:
        """The JSON bundle's members, for storing what a verdict was made with."""
        parts = {"vek": self.vek, "crl": self.crl}
        return {name: part.hex() for name, part in parts.items() if part is not None}


PARTS: Final = ("vek", "crl")


def no_endorsements(evidence: SnpEvidence) -> SnpEndorsements:
    """What the evidence itself brought."""
    return SnpEndorsements(vek=evidence.vek)


def parse_bundle(evidence: SnpEvidence, text: bytes) -> SnpEndorsements:
    """Read a JSON bundle, an object with the members "vek" and "crl" in hexadecimal, or one CRL in DER or PEM.

    A certificate that came with the evidence goes before one of the bundle.

    Raises:
        VerificationError: `too-large`, `collateral-malformed`, `crl-invalid`. A missing part is no error here.
    """
    if len(text) > MAX_BUNDLE_BYTES:
        raise VerificationError(
            Reason.TOO_LARGE, f"bundle: {len(text)} bytes, at most {MAX_BUNDLE_BYTES}"
        )
    if text.lstrip().startswith((b"\x30", PEM_START)):
        return SnpEndorsements(vek=evidence.vek, crl=crl_der(text))
    try:
        parts = {name: _part(name, value) for name, value in jsontext.parse(text).items()}
    except ValueError as error:
        raise VerificationError(Reason.COLLATERAL_MALFORMED, f"bundle: {error}") from error
    return SnpEndorsements(evidence.vek or parts.get("vek"), parts.get("crl"))


def _part(name: str, value: jsontext.Json) -> bytes | None:
    if name not in PARTS:
        raise ValueError(f"unknown member {name!r}")
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"{name} is not a string")  # noqa: TRY004 - one exception type for bad text
    return bytes.fromhex(value)


@dataclass(frozen=True, slots=True)
class KdsSource:
    """Where AMD's key distribution service is, or a mirror of its paths; no trailing slash."""

    base_url: str = AMD_KDS

    def vcek_url(self, report: SnpReport, product: Product) -> str:
        """The address of a report's VCEK: chip and REPORTED_TCB, with numbers of two digits or more.

        Raises:
            VerificationError: `malformed` for a TCB version, `endorsement-mismatch` for a chip id, that the product
                line does not have.
        """
        tcb = report_tcb(report.reported_tcb, product)
        fmc = "" if tcb.fmc is None else f"fmcSPL={tcb.fmc:02d}&"
        return (
            f"{self.base_url}/vcek/v1/{product}/{_hwid(report, product).hex()}?{fmc}"
            f"blSPL={tcb.bootloader:02d}&teeSPL={tcb.tee:02d}"
            f"&snpSPL={tcb.snp:02d}&ucodeSPL={tcb.microcode:02d}"
        )

    def crl_url(self, kind: SigningKey, product: Product) -> str:
        """The address of the revocation list for one kind of certificates."""
        return f"{self.base_url}/{kind}/v1/{product}/crl"


def gather(evidence: SnpEvidence, source: KdsSource, anchors: Anchors) -> Gather[SnpEndorsements]:
    """Ask for the VCEK, unless the evidence brought one, and the revocation list, in one round.

    Evidence that brought its certificate causes a request only if its signatures lead to the pinned root.

    Raises:
        VerificationError: `platform-unknown` for a chip that AMD does not know, `incomplete`; of a report's own faults
            what `hierarchy_of`, `check_company`, `authenticate` and `KdsSource.vcek_url` raise.
    """
    report = evidence.report
    hierarchy = hierarchy_of(report, evidence.vek, anchors)
    check_company(evidence, evidence.vek, hierarchy)
    crl = Fetch("crl", source.crl_url(report.signing_key, hierarchy.product))
    if evidence.vek is not None:
        authenticate(report, evidence.vek, hierarchy)
        answers = yield (crl,)
        return SnpEndorsements(evidence.vek, _body("crl", answers[0]))
    if report.signing_key is SigningKey.VLEK:
        raise VerificationError(
            Reason.INCOMPLETE, "the report is signed by a VLEK: send the VLEK with it"
        )
    check_chip_id(report)
    url, chip = source.vcek_url(report, hierarchy.product), _hwid(report, hierarchy.product).hex()
    vcek = Fetch("vcek", url, max_bytes=MAX_VEK_BYTES, hardware_id=chip)
    answers = yield vcek, crl
    if answers[0].status in _STATUS_UNKNOWN:
        raise VerificationError(
            Reason.PLATFORM_UNKNOWN, f"AMD has no VCEK of this {hierarchy.product} chip and TCB"
        )
    return SnpEndorsements(_body("vcek", answers[0]), _body("crl", answers[1]))


def _hwid(report: SnpReport, product: Product) -> bytes:
    chip_id = report.body.chip_id
    if not has_fmc(product):
        return chip_id
    if any(chip_id[_TURIN_HWID_BYTES:]):
        raise VerificationError(
            Reason.ENDORSEMENT_MISMATCH, f"CHIP_ID is longer than one of {product}"
        )
    return chip_id[:_TURIN_HWID_BYTES]


def _body(part: str, answer: Response) -> bytes:
    if answer.status != 200:
        raise VerificationError(Reason.INCOMPLETE, f"{part}: answered {answer.status}")
    return answer.body
