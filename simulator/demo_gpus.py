# SPDX-License-Identifier: Apache-2.0
"""The demo's chapters about GPUs: one certificate for CPU and GPUs, what is refused, and what no level proves.

The certificate's device list is read as a relying party reads it, by the ASN.1 module of its documentation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

from cryptography import x509
from cryptography.hazmat import asn1

from attestca_client.protocol import DEFAULT_OID_ARC, OID_ATTESTATION_INFO

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.stage import Stage
    from simulator.teller import Teller

LEVEL = "nonce+cpu-digest"
HONEST = "honest"
NOT_PROVEN = (
    f"Level {LEVEL} does not prove that these GPUs are attached to this machine: whoever controls the",
    "guest can have genuine ones elsewhere answer in time. What it proves is that genuine GPUs signed this very",
    "nonce, and that the measured guest named them. What keeps others out is the image, which must use no GPU",
    "but the one that its driver talks to, and a policy that lists the devices it accepts.",
)


@asn1.sequence
class Named:
    """A name and bytes."""

    name: str
    value: bytes


@asn1.sequence
class Device:
    """One GPU or switch."""

    kind: str
    model: str
    report_sha256: bytes
    handle: Annotated[bytes | None, asn1.Explicit(0)]
    driver: Annotated[str | None, asn1.Explicit(1)]
    vbios: str
    mode: Annotated[str | None, asn1.Explicit(2)]
    appraised_by: str


@asn1.sequence
class AttestationInfo:
    """The extension of attestca's certificates."""

    version: int
    tee: str
    product: str
    assurance: str
    binding: str
    registers: list[Named]
    tcb_status: str
    tolerated: list[str]
    policy_name: str
    policy_version: int
    policy_sha256: bytes
    devices: list[Device]
    evidence_sha256: bytes
    verified_at: asn1.GeneralizedTime
    handles: list[Named]


class Listed(NamedTuple):
    """What a certificate says of devices. `handles`: of those that have one, in their order."""

    binding: str
    lines: tuple[str, ...]
    handles: tuple[bytes, ...]


def listed(path: Path) -> Listed:
    """The devices of a certificate."""
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    oid = x509.ObjectIdentifier(f"{DEFAULT_OID_ARC}.{OID_ATTESTATION_INFO}")
    value = certificate.extensions.get_extension_for_oid(oid).value.public_bytes()
    info = asn1.decode_der(AttestationInfo, value)
    return Listed(
        info.binding,
        tuple(_line(one) for one in info.devices),
        tuple(one.handle for one in info.devices if one.handle is not None),
    )


def _line(device: Device) -> str:
    chip = "withheld" if device.handle is None else f"{device.handle.hex()[:16]}…"
    return (
        f"{device.kind}: {device.model}, driver {device.driver}, VBIOS {device.vbios}, mode {device.mode},"
        f" appraised by {device.appraised_by}, handle {chip}"
    )


def gpu_chapters(stage: Stage, teller: Teller) -> None:
    """A machine with two H100s enrolls; then those whose evidence is not of theirs."""
    teller.chapter("one certificate for CPU and GPUs: TDX with two H100s")
    own = _enroll(stage, teller, HONEST)
    if own is None:
        return
    _say(own, teller)
    teller.expect(
        "the certificate lists two GPUs that answered this nonce and that the CPU's quote names",
        good=(own.binding, len(own.lines), len(set(own.handles))) == (LEVEL, 2, 2),
    )
    for whose, title, said, why in (
        (
            "forged",
            "two GPUs that NVIDIA has not made",
            "untrusted-root",
            "refused: their certificates lead to a root of the same name, but not to the pinned one",
        ),
        (
            "recorded",
            "genuine reports of these GPUs, recorded in another enrollment",
            "binding-mismatch",
            "refused: they answer another nonce, so other keys, authorities and moments",
        ),
    ):
        teller.chapter(title)
        done = stage.enroll(stage.folder / whose, *_arguments(whose))
        teller.output(done.stdout + done.stderr, only=("refused", "missing", "fail"))
        teller.expect(why, good=done.returncode == 1 and said in done.stderr)
    teller.chapter("genuine GPUs of another machine, asked over the network while this one enrolls")
    relayed = _enroll(stage, teller, "relayed")
    if relayed is None:
        return
    _say(relayed, teller)
    teller.output("\n".join(NOT_PROVEN))
    teller.expect(
        f"accepted, at level {LEVEL}; that they are other devices than before only their handles tell",
        good=relayed.binding == LEVEL and not set(relayed.handles) & set(own.handles),
    )


def _arguments(whose: str) -> tuple[str, ...]:
    theirs = () if whose == HONEST else ("--gpu-evidence", whose)
    return "--profile", "gpu", "--gpus", "2", *theirs


def _enroll(stage: Stage, teller: Teller, whose: str) -> Listed | None:
    """What the certificate lists; None, and the demo failed, if there is none."""
    out = stage.folder / whose
    done = stage.enroll(out, *_arguments(whose))
    teller.output(done.stdout + done.stderr, only=("issued", "policy", "refused", "fail"))
    teller.expect("certificate issued", good=done.returncode == 0)
    return listed(out / "cert.pem") if done.returncode == 0 else None


def _say(found: Listed, teller: Teller) -> None:
    teller.output("\n".join((f"binding level: {found.binding}", *found.lines)))
