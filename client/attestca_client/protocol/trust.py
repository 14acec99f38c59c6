# SPDX-License-Identifier: Apache-2.0
"""The trust bundle: all that a relying party needs to have beforehand, in one file that the root's key signed.

A DSSE envelope (secure-systems-lab/dsse, v1.0.2): JSON with `payloadType`, `payload` (base64) and one signature over
the pre-authentication encoding of both, by the root's key (ECDSA, P-384 with SHA-384, or P-256 with SHA-256). The
payload is JSON with exactly these members:

    format      1
    version     from 1 on; a bundle that replaces another has a higher one
    root        the root certificate, PEM
    log         verifier keys of the log (`protocol.checkpoint`), the newest first; the newest alone signs what counts
    chain       where heads and revocations are anchored: chain_id, contract, namespace, admin; or null
    successor   the same of the place that a later bundle will name as `chain`; or null
    issued_at   RFC 3339, UTC

The signature shows that the holder of this root's key made the bundle. It does not show that it is the root you mean:
that comes of the way the file took, or of a root that the caller has already. What is new makes another `format`; a
reader refuses those that it does not know. Pure.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attestca_client.protocol import ca_id
from attestca_client.protocol.base64text import decoded, encoded
from attestca_client.protocol.checkpoint import NoteError, Verifier, parse_verifier
from attestca_client.protocol.jsontext import read_object

PAYLOAD_TYPE: Final = "application/vnd.attestca.trust+json"
FORMAT: Final = 1
MAX_BUNDLE: Final = 65_536  # bytes of the envelope
MAX_LOGS: Final = 16
_MAX_VERSION: Final = 1 << 53
_MAX_CHAIN_ID: Final = 1 << 64
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_MEMBERS: Final = {"format", "version", "root", "log", "chain", "successor", "issued_at"}
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


class BundleError(ValueError):
    """Not a trust bundle, or not one that its root's key signed."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where one authority is in one contract. `contract`, `admin`: addresses, 20 bytes; `namespace`: 32."""

    chain_id: int
    contract: bytes
    namespace: bytes
    admin: bytes

    def to_json(self) -> dict[str, object]:
        """As the bundle has it."""
        return {
            "chain_id": self.chain_id,
            "contract": f"0x{self.contract.hex()}",
            "namespace": f"0x{self.namespace.hex()}",
            "admin": f"0x{self.admin.hex()}",
        }


@dataclass(frozen=True, slots=True)
class TrustBundle:
    """What the module's docstring lists. `issued_at`: UTC, whole seconds."""

    version: int
    root: x509.Certificate
    log: tuple[Verifier, ...]
    chain: Deployment | None
    successor: Deployment | None
    issued_at: datetime

    @property
    def payload(self) -> bytes:
        """What is signed, without its type."""
        value = {
            "format": FORMAT,
            "version": self.version,
            "root": self.root.public_bytes(Encoding.PEM).decode(),
            "log": [key.text for key in self.log],
            "chain": self.chain and self.chain.to_json(),
            "successor": self.successor and self.successor.to_json(),
            "issued_at": self.issued_at.astimezone(UTC).strftime(_TIME),
        }
        return json.dumps(value, separators=(",", ":")).encode()


def pae(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding of a payload of ours: the bytes under the signature."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def seal_bundle(bundle: TrustBundle, root_key: ec.EllipticCurvePrivateKey) -> bytes:
    """The envelope, signed. Raises BundleError where `open_bundle` would not take it: another root's key, say."""
    payload = bundle.payload
    signature = root_key.sign(pae(payload), ec.ECDSA(_digest(root_key.curve)))
    envelope = {
        "payloadType": PAYLOAD_TYPE,
        "payload": encoded(payload),
        "signatures": [{"keyid": root_id(bundle.root).hex(), "sig": encoded(signature)}],
    }
    sealed = json.dumps(envelope, indent=1).encode() + b"\n"
    open_bundle(sealed)
    return sealed


def open_bundle(envelope: bytes) -> TrustBundle:
    """The bundle in an envelope that the key of its own root signed. Raises BundleError."""
    payload, signature = _opened(envelope)
    value = _object(payload)
    if set(value) != _MEMBERS or value["format"] != FORMAT:
        raise BundleError(f"not a trust bundle of format {FORMAT}")
    root = _root(value["root"])
    _check_signature(root, payload, signature)
    return TrustBundle(
        version=_number(value["version"], _MAX_VERSION),
        root=root,
        log=_logs(value["log"]),
        chain=_deployment(value["chain"]),
        successor=_deployment(value["successor"]),
        issued_at=_time(value["issued_at"]),
    )


def root_id(root: x509.Certificate) -> bytes:
    """32 bytes that name the authority with this root."""
    key = root.public_key()
    return ca_id(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _opened(envelope: bytes) -> tuple[bytes, bytes]:
    """Payload and signature, neither checked."""
    if len(envelope) > MAX_BUNDLE:
        raise BundleError(f"the bundle is larger than {MAX_BUNDLE} bytes")
    value = _object(envelope)
    signatures = value.get("signatures")
    if value.get("payloadType") != PAYLOAD_TYPE or not isinstance(signatures, list):
        raise BundleError("not the envelope of a trust bundle")
    if len(signatures) != 1 or not isinstance(signatures[0], dict):
        raise BundleError("a bundle has one signature")
    return _base64(value.get("payload")), _base64(signatures[0].get("sig"))


def _check_signature(root: x509.Certificate, payload: bytes, signature: bytes) -> None:
    key = root.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise BundleError("the root's key is on no curve")
    try:
        key.verify(signature, pae(payload), ec.ECDSA(_digest(key.curve)))
    except InvalidSignature as error:
        raise BundleError("the bundle is not signed by the key of its root") from error


def _digest(curve: ec.EllipticCurve) -> hashes.HashAlgorithm:
    return hashes.SHA384() if isinstance(curve, ec.SECP384R1) else hashes.SHA256()


def _root(pem: object) -> x509.Certificate:
    try:
        (root,) = x509.load_pem_x509_certificates(_text(pem).encode())
        constraints = root.extensions.get_extension_for_class(x509.BasicConstraints).value
        root.verify_directly_issued_by(root)
    except _UNREADABLE as error:
        raise BundleError("its root is not one self-signed certificate") from error
    if not constraints.ca:
        raise BundleError("its root is not a CA")
    return root


def _logs(value: object) -> tuple[Verifier, ...]:
    if not isinstance(value, list) or len(value) > MAX_LOGS:
        raise BundleError(f"keys of the log: a list of at most {MAX_LOGS}")
    try:
        return tuple(parse_verifier(_text(text)) for text in value)
    except NoteError as error:
        raise BundleError(f"a key of the log: {error}") from error


def _deployment(value: object) -> Deployment | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"chain_id", "contract", "namespace", "admin"}:
        raise BundleError("a place on a chain has chain_id, contract, namespace and admin")
    return Deployment(
        chain_id=_number(value["chain_id"], _MAX_CHAIN_ID),
        contract=parse_hex(value["contract"], 20),
        namespace=parse_hex(value["namespace"], 32),
        admin=parse_hex(value["admin"], 20),
    )


def parse_hex(value: object, size: int) -> bytes:
    """`size` bytes in hexadecimal behind 0x, in any case. Raises BundleError."""
    if not isinstance(value, str) or not re.fullmatch(rf"0x[0-9a-fA-F]{{{2 * size}}}", value):
        raise BundleError(f"{size} bytes in hexadecimal behind 0x are wanted")
    return bytes.fromhex(value[2:])


def _time(value: object) -> datetime:
    try:
        return datetime.strptime(_text(value), _TIME).replace(tzinfo=UTC)
    except ValueError as error:
        raise BundleError("issued_at is no time") from error


def _number(value: object, end: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < end:
        raise BundleError("a number is none, or too large")
    return value


def _object(data: bytes) -> dict[str, Any]:
    try:
        return read_object(data)
    except ValueError as error:
        raise BundleError("not a JSON object") from error


def _base64(value: object) -> bytes:
    text = _text(value)
    try:
        return decoded(text)
    except ValueError as error:
        raise BundleError(str(error)) from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise BundleError("a text is none")
    return value
