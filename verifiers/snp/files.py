# SPDX-License-Identifier: Apache-2.0
"""What files of an SEV-SNP attester are, by their content; nothing is believed for it, every reader looks again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from verifiers import der
from verifiers.evidence import Evidence, EvidenceKind
from verifiers.snp.certificates import is_table
from verifiers.snp.crl import PEM_START, crl_der
from verifiers.snp.report import REPORT_BYTES
from verifiers.vtpm.attest import TPM_GENERATED, parse_attest, values_by_hash
from verifiers.vtpm.certified import pem_of
from verifiers.vtpm.hcl import SIGNATURE as HCL_SIGNATURE

if TYPE_CHECKING:
    from collections.abc import Sequence

# Versions that a file is taken for a report by: a TDX quote has the number of an algorithm in these four bytes as well.
_PLAUSIBLE_VERSIONS: Final = range(1, 10)
_PEM: Final = b"-----BEGIN"
_DER_CERTIFICATE: Final = (
    b"\x30\x82"  # a SEQUENCE of 256 bytes and more; "0" alone begins hexadecimal text as well
)
_TIMES: Final = (0x17, 0x18)  # UTCTime, GeneralizedTime


def kind_of(data: bytes) -> EvidenceKind | None:
    """What evidence a file is; None if it is none of SEV-SNP's. A report that is cut short is still meant as one."""
    if data.startswith(HCL_SIGNATURE):
        return EvidenceKind.HCL_REPORT
    if data.startswith(TPM_GENERATED):
        return EvidenceKind.TPM_ATTEST
    if _is_pem(data) or data.startswith(_DER_CERTIFICATE) or is_table(data):
        return EvidenceKind.SNP_CERTIFICATES
    version = int.from_bytes(data[:4], "little")
    if version in _PLAUSIBLE_VERSIONS and len(data) < 2 * REPORT_BYTES:
        return EvidenceKind.SNP_REPORT
    return None


def revocation_list(data: bytes) -> bytes | None:
    """The DER of a file that is a CRL in DER or PEM, else None.

    Raises:
        VerificationError: `crl-invalid` for PEM that says it is a CRL and is none.
    """
    if data.lstrip().startswith(PEM_START):
        return crl_der(data)
    try:
        tbs, _, _ = der.signed(data)
        fields = der.elements(der.only(tbs, der.SEQUENCE))
    except ValueError:
        return None
    # version, algorithm, issuer, thisUpdate; where a certificate has its validity, a SEQUENCE
    return data if any(tag in _TIMES for tag, _ in fields[:4]) else None


def certificate_pieces(
    files: Sequence[bytes], kind: EvidenceKind = EvidenceKind.SNP_CERTIFICATES
) -> tuple[Evidence, ...]:
    """Files of certificates as one piece, in PEM if there are several. A table of a host stays a piece of its own."""
    tables = [data for data in files if is_table(data)]
    others = [data for data in files if not is_table(data)]
    joined = [pem_of(others)] if others else []
    return tuple(Evidence(kind, data) for data in tables + joined)


def tpm_pieces(attest: bytes, files: Sequence[bytes]) -> tuple[Evidence, ...]:
    """Files that nothing else is, beside a TPM's quote: the PCR values that it is over, and its signature.

    Neither begins with anything certain. The values have the digest that was quoted; if no file has it, the quoted
    length. Raises VerificationError for a quote that cannot be parsed.
    """
    values = values_by_hash(parse_attest(attest), files)
    return tuple(
        Evidence(EvidenceKind.TPM_PCRS if data in values else EvidenceKind.TPM_SIGNATURE, data)
        for data in files
    )


def _is_pem(data: bytes) -> bool:
    return data.lstrip().startswith(_PEM)
