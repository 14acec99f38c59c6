# SPDX-License-Identifier: Apache-2.0
"""The one place of everything that both sides compute: framing, labels, the binding, handles, object identifiers.

Rules: every hash is over length-framed fields, each an unsigned 32-bit big-endian length followed by the bytes; the
first field is a label from `Label`. A label, an order or a field never changes its meaning: a new meaning is a new
label ("attestca/2 …"). Pure functions; the standard library and cryptography only.

`protocol.log` has the entries of the log that a relying party makes or reads itself, `protocol.checkpoint` the signed
head of the log, `protocol.revocations` the tree of what is revoked.
"""

from __future__ import annotations

import hashlib
import hmac
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VERSION = 1


class Label(StrEnum):
    """First field of every framed hash. The list is closed."""

    ENROLL = "attestca/1 enroll"
    GPU = "attestca/1 gpu"
    TPM = "attestca/1 tpm"
    ATTACHMENT = "attestca/1 attachment"
    HANDLE = "attestca/1 handle"
    NONCE = "attestca/1 nonce"  # keyed; the authority alone computes it
    SEALED = "attestca/1 secret"  # what a sealed box is bound to; the authority alone
    GROUP = "attestca/1 group"  # a reference group of a policy; the authority alone
    INSPECT = "attestca/1 inspect"  # evidence to look at: bound to no key, good for no certificate
    LOG = "attestca/1 log"  # an entry of the public log, framed and not hashed; see `ca.audit`
    RECORD = "attestca/1 record"  # what an entry commits to without telling
    CRLS = "attestca/1 crls"  # all revocation lists as they are served; see `crls_digest`


class HandleKind(StrEnum):
    """What a revocation can name."""

    CERTIFICATE = "certificate"
    KEY = "key"
    MEASUREMENT = "measurement"
    CHIP = "chip"
    PRODUCT = "product"
    TCB = "tcb"
    FIRMWARE = "firmware"
    POLICY = "policy"
    ISSUER = "issuer"


def frame(*fields: bytes) -> bytes:
    """The fields, each behind its length as u32 big-endian. No two field lists give the same bytes."""
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)


def ca_id(root_spki_der: bytes) -> bytes:
    """32 bytes that name one authority: SHA-256 of its root's DER SubjectPublicKeyInfo."""
    return hashlib.sha256(root_spki_der).digest()


def attachment(kind: str, evidence: bytes) -> bytes:
    """32 bytes that stand for one device report in the binding."""
    return hashlib.sha256(frame(Label.ATTACHMENT.encode(), kind.encode(), evidence)).digest()


def binding(
    *, ca_id: bytes, profile: str, nonce: bytes, spki_der: bytes, attachments: Sequence[bytes] = ()
) -> bytes:
    """The 64 bytes that the CPU evidence must carry as report_data.

    Args:
        ca_id: SHA-256 of the root's SubjectPublicKeyInfo, 32 bytes.
        profile: name of the certificate profile asked for.
        nonce: the authority's nonce, decoded.
        spki_der: DER SubjectPublicKeyInfo of the key to be certified, in canonical encoding.
        attachments: `attachment()` of each device report, in any order: they are sorted bytewise here.
    """
    fields = (Label.ENROLL.encode(), ca_id, profile.encode(), nonce, spki_der, *sorted(attachments))
    return hashlib.sha512(frame(*fields)).digest()


def gpu_nonce(*, ca_id: bytes, profile: str, nonce: bytes, spki_der: bytes) -> bytes:
    """The 32-byte SPDM nonce that each GPU report must carry."""
    fields = (Label.GPU.encode(), ca_id, profile.encode(), nonce, spki_der)
    return hashlib.sha256(frame(*fields)).digest()


def tpm_extra(binding_: bytes) -> bytes:
    """The 32-byte extraData that a vTPM quote must carry where a paravisor owns report_data."""
    return hashlib.sha256(frame(Label.TPM.encode(), binding_)).digest()


def inspect_report_data(nonce: bytes) -> bytes:
    """The 64 bytes that CPU evidence made for inspection carries as report_data: never those of an enrollment."""
    return hashlib.sha512(frame(Label.INSPECT.encode(), nonce)).digest()


def inspect_gpu_nonce(nonce: bytes) -> bytes:
    """The 32-byte SPDM nonce of device reports made for inspection: never that of an enrollment."""
    return hashlib.sha256(frame(Label.INSPECT.encode(), nonce)).digest()


def handle(kind: HandleKind, *value: bytes) -> bytes:
    """The 32-byte handle of one thing that can be revoked. `value`: the exact fields of the table in the docs."""
    return hashlib.sha256(frame(Label.HANDLE.encode(), kind.encode(), *value)).digest()


def certificate_handle(issuer_key_id: bytes, serial: int) -> bytes:
    """The 32-byte handle of one certificate: its issuer's key id, its serial big-endian without leading zeros."""
    number = serial.to_bytes((serial.bit_length() + 7) // 8, "big")
    return handle(HandleKind.CERTIFICATE, issuer_key_id, number)


def chip_id(chip_key: bytes, kind: str, hardware_id: bytes) -> bytes:
    """The value of a chip handle: keyed, so that it identifies no hardware to others."""
    return hmac.digest(chip_key, frame(kind.encode(), hardware_id), "sha256")


def crls_digest(lists: Mapping[str, bytes]) -> bytes:
    """32 bytes for all revocation lists that are served at one time. `lists`: URL -> SHA-256 of the DER list."""
    fields = (field for url, digest in sorted(lists.items()) for field in (url.encode(), digest))
    return hashlib.sha256(frame(Label.CRLS.encode(), *fields)).digest()


# The log's Merkle tree: RFC 9162, section 2.1, with SHA-256. Hashes are 32 bytes.
EMPTY_TREE = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one entry of the log."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash over two hashes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `leaf`, a `leaf_hash`, is number `index` (from 0) of the tree of `size` entries.

    RFC 9162, section 2.1.3.2: `proof` goes from the leaf's sibling up to the root's child. Size and `root` come from a
    checkpoint whose signature was checked.
    """
    if not 0 <= index < size:
        return False
    number, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if number & 1 or number == last:
            computed = node_hash(sibling, computed)
            number, last = _up_to_a_right_child(number, last)
        else:
            computed = node_hash(computed, sibling)
        number, last = number >> 1, last >> 1
    return last == 0 and hmac.compare_digest(computed, root)


def is_consistent(
    old_size: int, new_size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> bool:
    """Whether the new tree begins with all of the old one (RFC 9162, section 2.1.4.2).

    Every tree begins with the empty one; that needs no proof, and takes none.
    """
    if not 0 <= old_size <= new_size:
        return False
    if old_size in {0, new_size}:
        same = old_root == (new_root if old_size else EMPTY_TREE)
        return not proof and same
    path = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    if not path:
        return False
    number, last = old_size - 1, new_size - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if number & 1 or number == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            number, last = _up_to_a_right_child(number, last)
        else:
            new = node_hash(new, sibling)
        number, last = number >> 1, last >> 1
    return last == 0 and (old, new) == (old_root, new_root)


def _up_to_a_right_child(number: int, last: int) -> tuple[int, int]:
    """At the right edge a node has no sibling until it is a right child; those levels have no hash of their own."""
    while number and not number & 1:
        number, last = number >> 1, last >> 1
    return number, last


# Object identifiers. The arc is RFC 5612's documentation number until an enterprise number is registered; every
# component stays below 2^31, because Go and GnuTLS cannot parse larger ones.
DEFAULT_OID_ARC = "1.3.6.1.4.1.32473"
OID_ATTESTATION_INFO = "1.1"  # below the arc: certificate extension AttestationInfo
OID_POLICY_VERIFIED = (
    "2.1"  # certificate policy: hardware evidence verified, not all registers pinned
)
OID_POLICY_PINNED = "2.2"  # … and every register that the policy must pin is pinned
OID_POLICY_SIMULATED = "2.9"  # simulated evidence: proves nothing, chains to a root that says so
OID_PE_CMW = "1.3.6.1.5.5.7.1.35"  # id-pe-cmw (draft-ietf-rats-msg-wrap)
OID_EKU_EAR = "3.1"  # below the arc: the key signs attestation results, and nothing else
