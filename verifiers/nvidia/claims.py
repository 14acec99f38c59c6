# SPDX-License-Identifier: Apache-2.0
"""What a verified report of an NVIDIA GPU or NVSwitch says. Made by `verifiers.nvidia.verify` alone; read by policies.

A report is genuine and its measurements equal the golden values of NVIDIA's reference manifests (RIM): anything else is
no claim but a refusal. Names are NVIDIA's, in lower case. Imports the vocabulary only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from verifiers.endorsements import PartValidity, Revocation

MEASUREMENT_BYTES = 48  # SHA-384


class DeviceKind(StrEnum):
    """What a device is, by its certificates and the shape of its report; never by what a sender calls it."""

    GPU = "gpu"
    SWITCH = "switch"


class Family(StrEnum):
    """Families of devices, by the names in their certificate chain. GB20X is what the chain of a GB202 says."""

    GH100 = "GH100"  # Hopper
    GB100 = "GB100"  # Blackwell, data centre
    GB202 = "GB202"  # Blackwell, RTX PRO
    LS10 = "LS10"  # NVSwitch of Hopper systems

    @property
    def kind(self) -> DeviceKind:
        """Switch or GPU."""
        return DeviceKind.SWITCH if self is Family.LS10 else DeviceKind.GPU


class Mode(StrEnum):
    """Confidential computing mode of a GPU: FEATURE_FLAG, before it existed PROTECTED_PCIE_STATUS.

    0 is SPT and 1 is MPT, as reports of real machines show; an enumeration of NVIDIA's own software swaps them.
    """

    SPT = "spt"  # one GPU passed through
    MPT = "mpt"  # several GPUs, NVLink encrypted
    PPCIE = "ppcie"  # eight GPUs and four switches, NVLink in clear text


class RimKind(StrEnum):
    """What a reference manifest (RIM) vouches for."""

    DRIVER = "driver"
    VBIOS = "vbios"
    SWITCH_BIOS = "switch-bios"


class OpaqueId(IntEnum):
    """Fields of the opaque data of a report (type u16, length u16, value). Others are kept under their number."""

    CERT_ISSUER_NAME = 1
    CERT_AUTHORITY_KEY_IDENTIFIER = 2
    DRIVER_VERSION = 3
    GPU_INFO = 4
    SKU = 5
    VBIOS_VERSION = 6
    MANUFACTURER_ID = 7
    TAMPER_DETECTION = 8
    SMC = 9
    VPR = 10
    NVDEC0_STATUS = 11
    MSRSCNT = 12
    CPRINFO = 13
    BOARD_ID = 14
    CHIP_SKU = 15
    CHIP_SKU_MOD = 16
    PROJECT = 17
    PROJECT_SKU = 18
    PROJECT_SKU_MOD = 19
    FWID = 20
    PROTECTED_PCIE_STATUS = 21
    SWITCH_PDI = 22  # in a switch its own identity, in a GPU those of the switches behind its links
    FLOORSWEPT_PORTS = 23
    POSITION_ID = 24
    LOCK_SWITCH_STATUS = 25
    SWITCH_GPU_PDIS = 26
    SWITCH_PORTS = 27
    GPU_LINK_CONN = 32
    SYS_ENABLE_STATUS = 33
    OPAQUE_DATA_VERSION = 34
    CHIP_INFO = 35
    FEATURE_FLAG = 36
    INVALID = 255


class Topology(StrEnum):
    """What the devices of a set prove of each other."""

    INDEPENDENT = "independent"  # nothing: each is genuine for itself
    PPCIE = "ppcie"  # eight GPUs and four switches, each naming exactly the certified identities of the others


class AppraisedBy(StrEnum):
    """Whose comparison with the reference manifests counts; a policy chooses. All before it is always ours."""

    LOCAL = "local"  # ours
    NRAS = "nras"  # that of NVIDIA's Remote Attestation Service
    BOTH = "both"  # both, and they must agree


@dataclass(frozen=True, slots=True)
class NrasClaims:
    """What a token of NVIDIA's Remote Attestation Service adds about one device that it accepts.

    The token says nothing of mode, topology, or whether a version is old; those come from the report itself.

    Attributes:
        claims_version: x-nvidia-ver, "2.0" or "3.0".
        token_sha256: of the device's token, 32 bytes.
        issued, expires: UTC, of the device's token and of the one about all that names it: the later iat, the earlier
            exp.
        revocation: GOOD where the token says that the status of every chain is good (claims 3.0), else NOT_CHECKED.
    """

    claims_version: str
    token_sha256: bytes
    issued: datetime
    expires: datetime
    revocation: Revocation


@dataclass(frozen=True, slots=True)
class OpaqueField:
    """One field of the opaque data. `name` is that of `OpaqueId` in lower case, or "unknown-<id>"."""

    id: int
    name: str
    value: bytes


@dataclass(frozen=True, slots=True)
class RimClaims:
    """One reference manifest that the report was compared with.

    Attributes:
        rim_id: the name under which NVIDIA's service keeps what the report needs, from signed fields of the report. It
            names a board, which the manifest itself does not: documents of other boards have the same product and
            version. What came from the service came under this name; of a bare document only its golden values say it.
        tag_id: its own. NVIDIA has issued differing manifests under one tag; `sha256` (32 bytes) names the document.
        product, version: as the manifest says; equal to the report's.
        signer_not_after: end of its signer's certificate.
        indexes: of the measurements that it has golden values for, from 0.
        revocation: of the certificates that it was signed under, roots excepted.
    """

    kind: RimKind
    rim_id: str
    tag_id: str
    product: str
    version: str
    sha256: bytes
    signer_not_after: datetime
    indexes: tuple[int, ...]
    revocation: Revocation


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which measurements had a golden value and were equal to one of them, and which nobody vouches for; from 0."""

    compared: tuple[int, ...]
    not_covered: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NvidiaClaims:
    """One device whose report, chain, dates and measurements hold at `verified_at`.

    Attributes:
        model: common name of the device certificate (L4), e.g. "GH100 A01 GSP BROM".
        chip_info: CHIP_INFO; None where the report has none (Hopper, switches, first Blackwell drivers).
        driver_version: None for a switch. vbios_version: "96.00.9F.00.01", for a switch its BIOS.
        device_serial: serialNumber in the subject of L4, upper-case hexadecimal; fused, it names the board.
        ueid: serial number of the leaf, whose key is another after an update of driver or firmware.
        fwid: 48 bytes, equal to the one certified in the leaf; None where the report has none (switches, and drivers
            before 550: such a report is not tied to the firmware that its key was certified for).
        mode: None where the report does not say (switches, first drivers).
        opaque: every field, in the order of the report. measurements: 48 bytes each, in the order of their index.
        rims: by kind; for a GPU driver and VBIOS, for a switch its BIOS.
        revocation: of the device's chain, L2 to L4.
        collateral: windows of the manifests' signers and of the OCSP answers that counted.
        certificates_expire: earliest end of all certificates used. expires: of those and of the collateral.
        nonce: 32 bytes of the request. bound: whether it was compared with the one that was asked for.
        evidence_sha256: of the report. collateral_sha256: over the parts of the collateral. 32 bytes each.
        nras: what NVIDIA's service says of it; None where it was not asked. Where it alone was, `rims` is empty,
            nothing is covered by a comparison of ours, and `revocation` is the service's word.
    """

    kind: DeviceKind
    family: Family
    model: str
    chip_info: str | None
    driver_version: str | None
    vbios_version: str
    device_serial: str
    ueid: int
    fwid: bytes | None
    mode: Mode | None
    opaque: tuple[OpaqueField, ...]
    measurements: tuple[bytes, ...]
    rims: tuple[RimClaims, ...]
    coverage: Coverage
    revocation: Revocation
    collateral: tuple[PartValidity, ...]
    certificates_expire: datetime
    expires: datetime
    nonce: bytes
    bound: bool
    evidence_sha256: bytes
    collateral_sha256: bytes
    verified_at: datetime
    nras: NrasClaims | None = None

    @property
    def appraised_by(self) -> AppraisedBy:
        """Whose comparison with the manifests these claims rest on."""
        if self.nras is None:
            return AppraisedBy.LOCAL
        return AppraisedBy.BOTH if self.rims else AppraisedBy.NRAS

    @property
    def expired_parts(self) -> tuple[PartValidity, ...]:
        """The parts of the collateral that were past their next update at `verified_at`."""
        return tuple(part for part in self.collateral if part.expired_since is not None)


@dataclass(frozen=True, slots=True)
class NvidiaSetClaims:
    """Devices of one system, each verified, that answered one nonce; none is counted twice.

    Attributes:
        devices: in the order of the evidence.
        mode: of every GPU; None where there is no GPU, or none that says it.
        topology: what they prove of each other.
    """

    devices: tuple[NvidiaClaims, ...]
    mode: Mode | None
    topology: Topology
    nonce: bytes
    bound: bool

    @property
    def gpus(self) -> tuple[NvidiaClaims, ...]:
        """The devices that are GPUs."""
        return tuple(one for one in self.devices if one.kind is DeviceKind.GPU)

    @property
    def switches(self) -> tuple[NvidiaClaims, ...]:
        """The devices that are switches."""
        return tuple(one for one in self.devices if one.kind is DeviceKind.SWITCH)
