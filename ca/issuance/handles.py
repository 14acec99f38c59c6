# SPDX-License-Identifier: Apache-2.0
"""The handles of a certificate: everything whose revocation takes the certificate with it.

Each is SHA-256 of the frame ("attestca/1 handle", kind, value…) by `attestca_client.protocol.handle`. Values:

    certificate   issuer key id (20 bytes), serial (unsigned big-endian, shortest form)
    key           SHA-256 of the canonical SubjectPublicKeyInfo
    measurement   register name, register value: one per pinned register
    measurement   group id, group digest: one per matched reference group
    chip          HMAC-SHA-256(chip_key, frame(kind, id)) by `protocol.chip_id`: of the CPU, of each device
    product       product line, UTF-8: of the CPU, of each family of devices
    tcb           TCB vector, by technology: see `ca.issuance.platform`
    firmware      identifier, UTF-8: of each device's driver, VBIOS and reference manifests; see `ca.issuance.platform`
    policy        SHA-256 of the policy document
    issuer        issuer key id

A kind never changes its value: certificates and revocations outlive releases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attestca_client.protocol import HandleKind, certificate_handle, handle

if TYPE_CHECKING:
    from ca.issuance.request import LeafRequest


def of_leaf(
    request: LeafRequest, issuer_key_id: bytes, serial: int
) -> tuple[tuple[str, bytes], ...]:
    """(kind, 32-byte handle) of everything that a leaf depends on, in the order of the table, without repeats."""
    platform = request.platform
    found: list[tuple[str, bytes]] = [
        (HandleKind.CERTIFICATE.value, certificate_handle(issuer_key_id, serial))
    ]

    def add(kind: HandleKind, *value: bytes) -> None:
        found.append((kind.value, handle(kind, *value)))

    add(HandleKind.KEY, request.key.sha256)
    for register in request.registers:
        add(HandleKind.MEASUREMENT, register.name.encode(), register.value)
    for group in request.groups:
        add(HandleKind.MEASUREMENT, group.id.encode(), group.digest)
    for chip_id in (
        *platform.chip_ids,
        *(one.chip_id for one in request.devices if one.chip_id is not None),
    ):
        add(HandleKind.CHIP, chip_id)
    for product in (platform.product, *(one.product for one in request.devices)):
        add(HandleKind.PRODUCT, product.encode())
    add(HandleKind.TCB, platform.tcb_vector)
    for identifier in (each for one in request.devices for each in one.firmware):
        add(HandleKind.FIRMWARE, identifier.encode())
    add(HandleKind.POLICY, request.policy.sha256)
    add(HandleKind.ISSUER, issuer_key_id)
    return tuple(dict.fromkeys(found))
