# SPDX-License-Identifier: Apache-2.0
"""Where every field of a quote or of an SEV-SNP report lies: the simulator's own tables, and how they become bytes.

Names are those of Intel's DCAP quoting library in lower case (`sgx_quote4_header_t`, `sgx_report2_body_t` and its
successors 1.5 and 1.5ex, `sgx_report_body_t`) and of AMD's SEV-SNP firmware ABI (publication 56860, ATTESTATION_REPORT;
"flags" is the word with AUTHOR_KEY_EN, MASK_CHIP_KEY and SIGNING_KEY). Lengths are bytes. Reserved ranges are fields
too, so that tests can set them. Nothing is parsed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Value: TypeAlias = bytes | int
Layout: TypeAlias = tuple[tuple[str, int], ...]

HEADER: Layout = (
    ("version", 2),
    ("att_key_type", 2),
    ("tee_type", 4),
    ("qe_svn", 2),
    ("pce_svn", 2),
    ("vendor_id", 16),
    ("user_data", 20),
)
BODY_DESCRIPTOR: Layout = (("body_type", 2), ("body_size", 4))

TD_REPORT_10: Layout = (
    ("tee_tcb_svn", 16),
    ("mr_seam", 48),
    ("mrsigner_seam", 48),
    ("seam_attributes", 8),
    ("td_attributes", 8),
    ("xfam", 8),
    ("mr_td", 48),
    ("mr_config_id", 48),
    ("mr_owner", 48),
    ("mr_owner_config", 48),
    ("rtmr0", 48),
    ("rtmr1", 48),
    ("rtmr2", 48),
    ("rtmr3", 48),
    ("report_data", 64),
)
TD_REPORT_15: Layout = (*TD_REPORT_10, ("tee_tcb_svn2", 16), ("mr_service_td", 48))
TD_REPORT_15_EX: Layout = (
    *TD_REPORT_15,
    ("vm_id", 1),
    ("td_id", 32),
    ("dev_info", 48),
    ("init_service_td_hash", 48),
    ("init_service_td_attributes", 8),
    ("init_cpu_svn", 16),
    ("init_tee_tcb_svn", 16),
    ("init_tee_fmspc", 12),
    ("cur_service_td_hash", 48),
    ("cur_service_td_attributes", 8),
)
SGX_REPORT: Layout = (
    ("cpusvn", 16),
    ("miscselect", 4),
    ("reserved1", 12),
    ("isvextprodid", 16),
    ("attributes", 16),
    ("mrenclave", 32),
    ("reserved2", 32),
    ("mrsigner", 32),
    ("reserved3", 32),
    ("configid", 64),
    ("isvprodid", 2),
    ("isvsvn", 2),
    ("configsvn", 2),
    ("reserved4", 42),
    ("isvfamilyid", 16),
    ("report_data", 64),
)
SNP_REPORT: Layout = (
    ("version", 4),
    ("guest_svn", 4),
    ("policy", 8),
    ("family_id", 16),
    ("image_id", 16),
    ("vmpl", 4),
    ("signature_algo", 4),
    ("current_tcb", 8),
    ("platform_info", 8),
    ("flags", 4),
    ("reserved1", 4),
    ("report_data", 64),
    ("measurement", 48),
    ("host_data", 32),
    ("id_key_digest", 48),
    ("author_key_digest", 48),
    ("report_id", 32),
    ("report_id_ma", 32),
    ("reported_tcb", 8),
    ("cpuid_family", 1),
    ("cpuid_model", 1),
    ("cpuid_stepping", 1),
    ("reserved2", 21),
    ("chip_id", 64),
    ("committed_tcb", 8),
    ("current_build", 1),
    ("current_minor", 1),
    ("current_major", 1),
    ("reserved3", 1),
    ("committed_build", 1),
    ("committed_minor", 1),
    ("committed_major", 1),
    ("reserved4", 1),
    ("launch_tcb", 8),
    ("launch_mit_vector", 8),
    ("current_mit_vector", 8),
    ("reserved5", 152),
)
SNP_SIGNATURE: Layout = (("signature_r", 72), ("signature_s", 72), ("reserved6", 368))
BODIES: dict[int, Layout] = {1: SGX_REPORT, 2: TD_REPORT_10, 3: TD_REPORT_15, 4: TD_REPORT_15_EX}


def size(layout: Layout) -> int:
    """Bytes of a whole structure."""
    return sum(length for _, length in layout)


def encode(layout: Layout, values: Mapping[str, Value]) -> bytes:
    """The structure: integers little-endian, fields without a value zero.

    Raises ValueError where bytes have another length than their field, OverflowError where an integer is too big.
    """
    return b"".join(_field(name, length, values.get(name, 0)) for name, length in layout)


def offsets(version: int, body_type: int) -> dict[str, slice]:
    """Where each field of header and body lies in a quote of this version and body type."""
    return places(HEADER + (BODY_DESCRIPTOR if version >= 5 else ()) + BODIES[body_type])


def places(layout: Layout) -> dict[str, slice]:
    """Where each field of a structure lies."""
    found = {}
    start = 0
    for name, length in layout:
        found[name] = slice(start, start + length)
        start += length
    return found


def _field(name: str, length: int, value: Value) -> bytes:
    if isinstance(value, int):
        return value.to_bytes(length, "little")
    if len(value) != length:
        raise ValueError(f"{name} has {length} bytes, not {len(value)}")
    return value
