# SPDX-License-Identifier: Apache-2.0
"""ATTESTATION_REPORT of SEV-SNP: exactly 1184 bytes to a typed report, versions 2 to 5; trusted by nobody yet.

Every field is read under its ABI name, at the offset of the specification; all integers are little-endian. What the
specification reserves must be zero, also behind the signed part, where nobody vouches for it. A report that says
itself that nobody signed it is refused here. Source: AMD publication 56860 (SEV-SNP firmware ABI), ATTESTATION_REPORT,
TCB_VERSION, GUEST_POLICY, ECDSA signature format; 55766 for CPUID.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Product
from verifiers.snp.claims import (
    CpuModel,
    FirmwareVersion,
    SigningKey,
    SnpReportBody,
    TcbVersion,
)

REPORT_BYTES: Final = 1184
SIGNED_BYTES: Final = 0x2A0
HOST_VMPL: Final = 0xFFFFFFFF  # the host asked for the report, not a guest

_VERSIONS: Final = range(2, 6)
_FIRST_WITH_CPUID: Final = 3
_FIRST_WITH_MITIGATIONS: Final = 5
_ECDSA_P384_SHA384: Final = 1
_SIGNING_KEYS: Final = {0: SigningKey.VCEK, 1: SigningKey.VLEK}
_NO_SIGNING_KEY: Final = 7

# (start, end) of bytes that are zero, whatever the version ...
_RESERVED: Final = (
    (0x04C, 0x050),
    (0x1EB, 0x1EC),
    (0x1EF, 0x1F0),
    (0x208, 0x2A0),
    (0x2D0, 0x2E8),  # R is 48 of its 72 bytes
    (0x318, 0x330),  # S likewise
    (0x330, 0x4A0),
)
# ... and in single versions: where CPUID will stand, and the mitigation vectors.
_RESERVED_IN: Final = {
    2: ((0x188, 0x1A0), (0x1F8, 0x208)),
    3: ((0x18B, 0x1A0), (0x1F8, 0x208)),
    4: ((0x18B, 0x1A0), (0x1F8, 0x208)),
    5: ((0x18B, 0x1A0),),
}
_POLICY_RESERVED_ONE: Final = 17
_POLICY_FIRST_RESERVED: Final = 26
_POLICY_PAGE_SWAP_DISABLE: Final = 25  # version 5; reserved before
_FLAGS_FIRST_RESERVED: Final = 5

# CPUID family -> (first, last model, product line). Bergamo and Siena have models A0 to AF and keys of Genoa's line.
_PRODUCTS: Final = {
    0x19: (
        (0x00, 0x0F, Product.MILAN),
        (0x10, 0x1F, Product.GENOA),
        (0xA0, 0xAF, Product.GENOA),
    ),
    0x1A: ((0x00, 0x11, Product.TURIN),),
}


@dataclass(frozen=True, slots=True)
class SnpReport:
    """One parsed report, trusted by nobody.

    Attributes:
        raw: all of it. signed: what the signature covers, exactly as received.
        cpu: None in version 2.
        reported_tcb, committed_tcb, current_tcb, launch_tcb: 8 bytes each; their layout depends on the product.
        r, s: the signature as numbers, of any size.
    """

    raw: bytes
    signed: bytes
    body: SnpReportBody
    cpu: CpuModel | None
    signing_key: SigningKey
    reported_tcb: bytes
    committed_tcb: bytes
    current_tcb: bytes
    launch_tcb: bytes
    r: int
    s: int

    @property
    def product(self) -> Product | None:
        """The product line by CPUID; None in version 2, which does not say.

        Raises:
            VerificationError: `product-unknown`.
        """
        return None if self.cpu is None else product_of(self.cpu)


def parse_report(data: bytes) -> SnpReport:
    """Parse one report.

    Raises:
        VerificationError: `malformed`; `unsupported-format` for another version or signature algorithm; `signature`
            for a report that nobody signed.
    """
    version = _check_layout(data)
    signing_key = _signing_key(_uint(data, 0x048, 4))
    r, s = _uint(data, 0x2A0, 72), _uint(data, 0x2E8, 72)
    if not r and not s:
        raise VerificationError(Reason.SIGNATURE, "the report is not signed: R and S are zero")
    return SnpReport(
        raw=data,
        signed=data[:SIGNED_BYTES],
        body=_body(data, version),
        cpu=CpuModel(*data[0x188:0x18B]) if version >= _FIRST_WITH_CPUID else None,
        signing_key=signing_key,
        reported_tcb=data[0x180:0x188],
        committed_tcb=data[0x1E0:0x1E8],
        current_tcb=data[0x038:0x040],
        launch_tcb=data[0x1F0:0x1F8],
        r=r,
        s=s,
    )


def product_of(cpu: CpuModel) -> Product:
    """The product line of a CPU. Raises VerificationError (`product-unknown`) for any that is not in the table."""
    for first, last, product in _PRODUCTS.get(cpu.family, ()):
        if first <= cpu.model <= last:
            return product
    raise VerificationError(
        Reason.PRODUCT_UNKNOWN, f"CPU {cpu} (family, model, stepping) is of no known product line"
    )


def tcb_version(raw: bytes, *, with_fmc: bool) -> TcbVersion:
    """The 8 bytes of a TCB_VERSION by their layout: with an FMC on Turin, without on Milan and Genoa.

    Raises:
        ValueError: a reserved byte is not zero.
    """
    if any(raw[4:7] if with_fmc else raw[2:6]):
        raise ValueError(f"TCB_VERSION {raw.hex()} has reserved bytes that are not zero")
    if with_fmc:
        return TcbVersion(raw, raw[0], raw[1], raw[2], raw[3], raw[7])
    return TcbVersion(raw, None, raw[0], raw[1], raw[6], raw[7])


def has_fmc(product: Product) -> bool:
    """Whether TCB versions of a product line have an FMC, and its hardware ids 8 bytes."""
    return product is Product.TURIN


def report_tcb(raw: bytes, product: Product) -> TcbVersion:
    """A TCB version of a report of this product line. Raises VerificationError (`malformed`)."""
    try:
        return tcb_version(raw, with_fmc=has_fmc(product))
    except ValueError as error:
        raise VerificationError(Reason.MALFORMED, f"{product}: {error}") from error


def _check_layout(data: bytes) -> int:
    """The version of a report whose length, version, algorithm and reserved parts are right."""
    if len(data) != REPORT_BYTES:
        raise VerificationError(
            Reason.MALFORMED, f"SNP report: {len(data)} bytes, not {REPORT_BYTES}"
        )
    version, algorithm = _uint(data, 0x000, 4), _uint(data, 0x034, 4)
    if version not in _VERSIONS:
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT, f"SNP report: version {version}, not 2 to 5"
        )
    if algorithm != _ECDSA_P384_SHA384:
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT, f"SNP report: SIGNATURE_ALGO {algorithm}, not 1"
        )
    for start, end in (*_RESERVED, *_RESERVED_IN[version]):
        if any(data[start:end]):
            raise VerificationError(
                Reason.MALFORMED, f"SNP report: reserved bytes {start:#x} to {end:#x} are not zero"
            )
    _check_policy(_uint(data, 0x008, 8), version)
    return version


def _check_policy(policy: int, version: int) -> None:
    """The guest's policy: a bit that must be one, and none that this version of the ABI does not have."""
    first_reserved = _POLICY_FIRST_RESERVED
    if version < _FIRST_WITH_MITIGATIONS:
        first_reserved = _POLICY_PAGE_SWAP_DISABLE
    if not policy >> _POLICY_RESERVED_ONE & 1 or policy >> first_reserved:
        raise VerificationError(
            Reason.MALFORMED,
            f"SNP report: POLICY {policy:#x} has bit 17 clear or one from {first_reserved} on set",
        )


def _signing_key(flags: int) -> SigningKey:
    """Which key the report names, from the flags at 0x48. Raises VerificationError."""
    if flags >> _FLAGS_FIRST_RESERVED:
        raise VerificationError(Reason.MALFORMED, f"SNP report: reserved flags are set: {flags:#x}")
    number, masked = flags >> 2 & 7, flags >> 1 & 1
    if number == _NO_SIGNING_KEY or masked:
        raise VerificationError(
            Reason.SIGNATURE, "the report is not signed: SIGNING_KEY is none, or MASK_CHIP_KEY set"
        )
    if number not in _SIGNING_KEYS:
        raise VerificationError(Reason.MALFORMED, f"SNP report: SIGNING_KEY {number} is reserved")
    return _SIGNING_KEYS[number]


def _body(data: bytes, version: int) -> SnpReportBody:
    vmpl = _uint(data, 0x030, 4)
    if vmpl > 3 and vmpl != HOST_VMPL:
        raise VerificationError(Reason.MALFORMED, f"SNP report: VMPL {vmpl}")
    policy = _uint(data, 0x008, 8)
    mitigations = version >= _FIRST_WITH_MITIGATIONS
    return SnpReportBody(
        version=version,
        guest_svn=_uint(data, 0x004, 4),
        policy=policy,
        abi_major=policy >> 8 & 0xFF,
        abi_minor=policy & 0xFF,
        family_id=data[0x010:0x020],
        image_id=data[0x020:0x030],
        vmpl=vmpl,
        platform_info=_uint(data, 0x040, 8),
        author_key_en=bool(data[0x048] & 1),
        report_data=data[0x050:0x090],
        measurement=data[0x090:0x0C0],
        host_data=data[0x0C0:0x0E0],
        id_key_digest=data[0x0E0:0x110],
        author_key_digest=data[0x110:0x140],
        report_id=data[0x140:0x160],
        report_id_ma=data[0x160:0x180],
        chip_id=data[0x1A0:0x1E0],
        current_version=_firmware(data, 0x1E8),
        committed_version=_firmware(data, 0x1EC),
        launch_mit_vector=_uint(data, 0x1F8, 8) if mitigations else None,
        current_mit_vector=_uint(data, 0x200, 8) if mitigations else None,
    )


def _firmware(data: bytes, offset: int) -> FirmwareVersion:
    build, minor, major = data[offset : offset + 3]
    return FirmwareVersion(major, minor, build)


def _uint(data: bytes, offset: int, size: int) -> int:
    return int.from_bytes(data[offset : offset + size], "little")
