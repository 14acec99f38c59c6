# SPDX-License-Identifier: Apache-2.0
"""What an attester may send: kinds of evidence, technologies, and the one table of their limits.

Limits hold before any parsing or cryptography. A new kind gets its line here and nowhere else.

One attester's evidence is a set of pieces: exactly one is the CPU's own (`CPU_KINDS`), and every other belongs to it.
What those others hold is believed by hash or by signature only, never because they were sent. Devices (`DEVICE_KINDS`)
have signatures of their own and may be several of one kind; what ties them to the CPU is the binding, which the CPU's
evidence carries and every device's report is hashed into. Event logs (`LOG_KINDS`) have none and are in no binding: of
them is believed what replays to the registers of the CPU's evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Tee(StrEnum):
    """Technologies, as policies and certificates name them."""

    TDX = "tdx"
    SNP = "snp"


class Provider(StrEnum):
    """How the evidence reached us, as far as verified claims prove it.

    `direct`: the CPU's own report carries the binding in report_data, no paravisor or cloud vTPM between.
    `azure`: a paravisor owns report_data and vouches for a vTPM, whose quote carries the binding.
    `google`: as `direct`, and beside it a vTPM of the host's, outside the CPU's protection: its quote carries the
    binding too, by a key that Google certifies. That it is this machine's vTPM is Google's and the guest's word.
    """

    DIRECT = "direct"
    AZURE = "azure"
    GOOGLE = "google"


class Product(StrEnum):
    """AMD's product lines, as its key distribution service names them; each has a hierarchy of its own."""

    MILAN = "Milan"
    GENOA = "Genoa"  # Bergamo and Siena too
    TURIN = "Turin"


class EvidenceKind(StrEnum):
    """The `kind` of one piece of evidence in an enrollment request."""

    TDX_QUOTE = "tdx-quote"
    SNP_REPORT = "snp-report"  # ATTESTATION_REPORT, 1184 bytes
    HCL_REPORT = "hcl-report"  # Azure: vTPM NV index 0x01400001, a report and the runtime data it vouches for
    SNP_CERTIFICATES = "snp-certificates"  # GHCB certificate table, PEM, or one DER certificate
    TPM_ATTEST = "tpm-attest"  # TPMS_ATTEST of a quote
    TPM_SIGNATURE = "tpm-signature"  # TPMT_SIGNATURE, or the bare RSASSA signature that Azure gives
    TPM_PCRS = (
        "tpm-pcrs"  # the quoted PCR values, one behind the other in the order of the selection
    )
    TPM_AK_CERTIFICATE = (
        "tpm-ak-certificate"  # Google's, of the attestation key: DER, or PEM with its issuer's
    )
    NVIDIA_DEVICE = "nvidia-device"  # SPDM report and PEM chain, each behind its length (u32, BE)
    CCEL = "ccel"  # event log of a confidential VM's firmware: /sys/firmware/acpi/tables/data/CCEL
    TPM_EVENT_LOG = "tpm-event-log"  # that of a TPM's: binary_bios_measurements, crypto agile
    DSTACK_EVENT_LOG = (
        "dstack-event-log"  # dstack's JSON, the guest agent's reply, or its attestation
    )
    CEL = "cel"  # TCG's canonical event log in TLV, of Confidential Space
    IMA_LOG = "ima-log"  # ascii_runtime_measurements, or one that names its hash behind


CPU_KINDS = frozenset({EvidenceKind.TDX_QUOTE, EvidenceKind.SNP_REPORT, EvidenceKind.HCL_REPORT})
DEVICE_KINDS = frozenset({EvidenceKind.NVIDIA_DEVICE})
LOG_KINDS = frozenset(
    {
        EvidenceKind.CCEL,
        EvidenceKind.TPM_EVENT_LOG,
        EvidenceKind.DSTACK_EVENT_LOG,
        EvidenceKind.CEL,
        EvidenceKind.IMA_LOG,
    }
)
MAX_DEVICES = 16  # of one attester; every other kind occurs once at most
MAX_LOG_BYTES = 1024 * 1024  # of all logs of one attester together

MAX_BYTES: dict[EvidenceKind, int] = {
    EvidenceKind.TDX_QUOTE: 64 * 1024,
    EvidenceKind.SNP_REPORT: 1184,
    EvidenceKind.HCL_REPORT: 16 * 1024,
    EvidenceKind.SNP_CERTIFICATES: 64 * 1024,
    EvidenceKind.TPM_ATTEST: 1024,
    EvidenceKind.TPM_SIGNATURE: 1024,
    EvidenceKind.TPM_PCRS: 3 * 24 * 64,
    EvidenceKind.TPM_AK_CERTIFICATE: 16 * 1024,
    EvidenceKind.NVIDIA_DEVICE: 2 * (4 + 16 * 1024),
    **dict.fromkeys(sorted(LOG_KINDS), MAX_LOG_BYTES),
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """One piece of evidence as received: trusted by nobody."""

    kind: EvidenceKind
    data: bytes


@dataclass(frozen=True, slots=True)
class Binding:
    """What fresh evidence must carry: the nonce, the key and all that was asked for, hashed.

    Attributes:
        report_data: 64 bytes, where the CPU's report is the attester's own. The devices' evidence is hashed into it.
        tpm_extra: 32 bytes, extraData of the vTPM quote where a paravisor owns report_data.
        gpu_nonce: 32 bytes, the nonce of the request that each device's report answers.
    """

    report_data: bytes
    tpm_extra: bytes
    gpu_nonce: bytes
