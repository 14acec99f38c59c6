# SPDX-License-Identifier: Apache-2.0
"""READ THIS FIRST: one enrollment, from a new key to a certificate on disk.

`enroll` is the whole of it, in numbered steps. Renewal is the same function again: a new key, a new nonce and new
evidence; the certificate before plays no part in it, so one that was stolen or has expired neither helps nor harms.

The sources of evidence are arguments for the sake of the simulator and of tests. The command line always passes
`machine.MachineQuoteSource` and `nvidia.NvmlDeviceSource`: evidence from a file or an address would let whoever feeds
it pass another machine off as ours. Event logs alone may come from files (`sent_logs`): they prove nothing that the
registers of the evidence do not confirm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from attestca_client import wire
from attestca_client.chain import check_issued, load_root, root_id, spki
from attestca_client.errors import BadAnswer, Refused, Unavailable, Untrusted
from attestca_client.files import KeyDirectory, KeySet
from attestca_client.protocol import attachment, binding, gpu_nonce
from attestca_client.runtime import SYSTEM, Runtime
from attestca_client.sent_logs import advice
from attestca_client.transport import Address, Answer, Transport

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

QuoteSource = Callable[[bytes], Sequence[wire.Evidence]]
"""64 bytes of report_data -> evidence that carries them. May raise EvidenceError."""

DeviceSource = Callable[[bytes], Sequence[wire.Evidence]]
"""The 32-byte nonce for devices -> evidence of each device, which answers it. May raise EvidenceError."""

REPEAT_DELAYS = (
    1.0,
    3.0,
)  # seconds before the same request is sent again, where its answer was lost


@dataclass(frozen=True, slots=True)
class Enrollment:
    """A certificate in place in `directory`. Holds no secret."""

    certificate: x509.Certificate
    directory: KeyDirectory
    policy: str  # "name@version"; empty where the certificate was found in place, not issued now
    assurance: str  # "verified", "simulated", or empty likewise

    @property
    def serial(self) -> str:
        """Lower-case hexadecimal, as the authority's interface writes it."""
        return f"{self.certificate.serial_number:x}"

    @property
    def not_before(self) -> datetime:
        """UTC."""
        return self.certificate.not_valid_before_utc

    @property
    def not_after(self) -> datetime:
        """UTC."""
        return self.certificate.not_valid_after_utc


def enroll(  # noqa: PLR0913 - all that an enrollment is about, once
    ca_url: str,
    ca_root: bytes,
    profile: str,
    quote_source: QuoteSource,
    out: Path,
    runtime: Runtime = SYSTEM,
    *,
    device_source: DeviceSource | None = None,
) -> Enrollment:
    """Enroll this machine and write key.pem, cert.pem, chain.pem and fullchain.pem to `out`.

    Args:
        ca_url: https://host[:port][/prefix] of the authority; http:// for loopback only.
        ca_root: PEM of its root certificate: the one anchor for TLS, for ca_id and for the chain.
        profile: name of the certificate profile.
        quote_source: gives evidence over 64 bytes of report_data.
        out: directory of our own; made with mode 0700 where it is missing.
        runtime: clock, waiting and progress lines.
        device_source: gives evidence of each device over the 32-byte nonce for devices; None: of no device.

    Raises:
        ClientError: one of its subclasses, see `errors`; nothing was written then.
    """
    # 1 what can be refused before anything is sent
    root = load_root(ca_root)
    transport = Transport(Address.parse(ca_url), root, runtime)
    directory = KeyDirectory.open(out)
    # 2 the key; it stays in memory until there is a certificate for it
    key = ec.generate_private_key(ec.SECP256R1())
    spki_der = spki(key.public_key())
    # 3 the nonce, from the authority that we pinned and no other
    nonce = _nonce(transport, root)
    # 4 the evidence: the devices' first, then the CPU's, whose report_data covers theirs
    device_nonce = gpu_nonce(
        ca_id=nonce.ca_id, profile=profile, nonce=nonce.value, spki_der=spki_der
    )
    devices = [] if device_source is None else list(device_source(device_nonce))
    report_data = binding(
        ca_id=nonce.ca_id,
        profile=profile,
        nonce=nonce.value,
        spki_der=spki_der,
        attachments=[attachment(device.kind, device.data) for device in devices],
    )
    runtime.say("asking the platform for a quote")
    evidence = [*quote_source(report_data), *devices]
    # 5 the request
    runtime.say(f"enrolling with profile {profile}")
    body = wire.enrollment_request(
        nonce=nonce.value, profile=profile, csr_der=_csr(key), evidence=evidence
    )
    try:
        issued = wire.parse_issued(_post(transport, body, runtime))
    except Refused as refused:
        refused.hint = advice(refused, evidence)
        raise
    # 6 what came back, and only then the disk
    check_issued(issued.certificate, issued.chain, root=root, spki_der=spki_der, now=runtime.now())
    directory.write(KeySet(key, issued.certificate, issued.chain))
    return Enrollment(issued.certificate, directory, issued.policy, issued.assurance)


def enrolled(ca_root: bytes, out: Path, now: datetime) -> Enrollment | None:
    """The certificate in place in `out`, if it is valid at `now` for the key beside it under this root; else None.

    Raises Unreadable (root), Misconfigured (directory).
    """
    root, directory = load_root(ca_root), KeyDirectory.open(out)
    found = directory.read()
    if found is None:
        return None
    spki_der = spki(found.key.public_key())
    try:
        check_issued(found.certificate, found.chain, root=root, spki_der=spki_der, now=now)
    except Untrusted:
        return None
    return Enrollment(found.certificate, directory, "", "")


def _nonce(transport: Transport, root: x509.Certificate) -> wire.Nonce:
    nonce = wire.parse_nonce(_accepted(transport.get("/v1/nonce")))
    if nonce.ca_id != root_id(root):
        raise Untrusted(
            f"the authority calls itself {nonce.ca_id.hex()}, the pinned root is {root_id(root).hex()}",
            "see that --ca and --ca-root belong to the same authority",
        )
    return nonce


def _post(transport: Transport, body: bytes, runtime: Runtime) -> bytes:
    """Post, and post the same bytes again where the answer was lost: the authority then repeats its answer."""
    for delay in REPEAT_DELAYS:
        try:
            return _accepted(transport.post("/v1/enrollments", body))
        except Unavailable as error:
            if error.answered:
                raise
            runtime.say(f"{error.detail}; sending the same request again in {delay:g} s")
            runtime.sleep(delay)
    return _accepted(transport.post("/v1/enrollments", body))


def _accepted(answer: Answer) -> bytes:
    if answer.status in {200, 201}:
        return answer.body
    if answer.status < 400:
        raise BadAnswer(f"the authority answered {answer.status}")
    raise wire.parse_problem(answer.status, answer.body, answer.retry_after)


def _csr(key: ec.EllipticCurvePrivateKey) -> bytes:
    """DER PKCS#10 with an empty subject: the authority takes the key and the proof of possession, nothing else."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
