# SPDX-License-Identifier: Apache-2.0
"""A fake Remote Attestation Service (NRAS): judges its vendor's devices, says so in signed tokens, rotates its keys.

The answer to a request is a detached EAT: `[["JWT", overall], {"GPU-0": token, …}]`, ES384. A device that is not even
appraised has a token all the same, signed, with `x-nvidia-error-details` and nothing else said of it; the overall
result is false then. Keys are P-384, each certified for two days by an RSA intermediate that is the anchor. Everything
is settable: what a token says (`edit_device`, `edit_overall`), how it is written (`write`), the whole answer and key
set (`edit_answer`, `edit_jwks`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from simulator.nvidia.appraisal import RefusedError, appraise
from simulator.nvidia.certificates import CA, USAGES, YEAR, key, raw
from simulator.nvidia.nras_claims import device_claims

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    from simulator.amd_keys import RsaKey
    from simulator.nvidia.certificates import Party
    from simulator.nvidia.vendor import FakeNvidia

Json = dict[str, Any]

ROOT = "Simulated NVIDIA Attestation Service CA 001"
INTERMEDIATE = "Simulated NVIDIA Attestation Service GPU Intermediate 001"
LEAF = "NVIDIA Attestation Service GPU GH100"
RSA_BITS = 2048
LIFETIME = timedelta(hours=1)  # of a token
KEY_LIFETIME = timedelta(days=2)
KEPT = 3  # keys in the key set
VERSIONS = ("2.0", "3.0")


@dataclass(frozen=True, slots=True)
class NrasKey:
    """One of the keys that tokens are signed with, and its certificate."""

    kid: str
    private: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def jwk(self, intermediate: str) -> Json:
        """As the key set has it; `intermediate`: who certified it, DER in Base64."""
        numbers = self.private.public_key().public_numbers()
        return {
            "kty": "EC",
            "crv": "P-384",
            "kid": self.kid,
            "x5c": [_standard(self.certificate.public_bytes(Encoding.DER)), intermediate],
            "x": _url(numbers.x.to_bytes(48, "big")),
            "y": _url(numbers.y.to_bytes(48, "big")),
        }


def write(signer: NrasKey, header: Json, claims: Json) -> str:
    """A JWT under a key, whatever its header says."""
    signed = f"{_part(header)}.{_part(claims)}"
    return f"{signed}.{_url(raw(signer.private, signed.encode('ascii')))}"


def unchanged(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """As it is."""
    return value


@dataclass
class FakeNras:
    """See the module's docstring.

    Attributes:
        issuer: iss of every token, that of the real service.
        claims_version: "2.0" or "3.0" whatever the request says; as it says where None.
        keys: made so far, the last signs. header: members of every token's header, over the right ones.
        write: how a token is written. edit_…: what is said instead of what is right.
    """

    nvidia: FakeNvidia
    issuer: str = "https://nras.attestation.nvidia.com"
    claims_version: str | None = None
    keys: list[NrasKey] = field(default_factory=list)
    header: Json = field(default_factory=dict)
    write: Callable[[NrasKey, Json, Json], str] = write
    edit_device: Callable[[Json], Json] = unchanged
    edit_overall: Callable[[Json], Json] = unchanged
    edit_answer: Callable[[list[Any]], Any] = unchanged
    edit_jwks: Callable[[Json], Any] = unchanged
    _tokens: int = field(default=0, repr=False)

    @property
    def intermediate_key(self) -> RsaKey:
        """The RSA key that certifies keys of tokens."""
        return self.nvidia.keys.get("nras intermediate", RSA_BITS)

    @cached_property
    def root(self) -> Party:
        """The root of the service, which is no anchor and in no x5c."""
        return self.nvidia.issue(ROOT, None, CA)

    @cached_property
    def intermediate_der(self) -> bytes:
        """The intermediate, an anchor by its key."""
        now = self.nvidia.now
        builder = _builder(
            INTERMEDIATE, self.root.certificate.subject, self.intermediate_key.private.public_key()
        )
        made = (
            builder.not_valid_before(now - YEAR)
            .not_valid_after(now + 3 * YEAR)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
            .sign(self.root.key, SHA384(), ecdsa_deterministic=True)
        )
        return made.public_bytes(Encoding.DER)

    def rotate(self) -> NrasKey:
        """Sign with a new key from now on; the two before it stay in the key set."""
        at, number = self.nvidia.clock(), len(self.keys)
        private = key(f"{self.nvidia.seed.hex()} nras {number}")
        issuer = x509.load_der_x509_certificate(self.intermediate_der).subject
        certificate = (
            _builder(LEAF, issuer, private.public_key())
            .not_valid_before(at - timedelta(minutes=1))
            .not_valid_after(at + KEY_LIFETIME)
            .add_extension(
                _usage("digital_signature", "key_encipherment", "key_agreement"), critical=True
            )
            .add_extension(
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                ),
                critical=False,
            )
            .sign(self.intermediate_key.private, SHA256())
        )
        name = uuid.UUID(bytes=hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()[:16])
        kid = f"nv-eat-kid-sim-{at:%Y%m%d%H%M%S}-{name}"
        self.keys.append(NrasKey(kid, private, certificate))
        return self.keys[-1]

    @property
    def signer(self) -> NrasKey:
        """The key of the present; a new one when half of the last one's time is over."""
        at = self.nvidia.clock()
        if not self.keys or self.keys[-1].certificate.not_valid_after_utc < at + KEY_LIFETIME / 2:
            return self.rotate()
        return self.keys[-1]

    def jwks(self) -> bytes:
        """The key set."""
        intermediate, _ = (
            _standard(self.intermediate_der),
            self.signer,
        )  # makes a key if there is none
        keys = [one.jwk(intermediate) for one in self.keys[-KEPT:]]
        return json.dumps(self.edit_jwks({"keys": keys})).encode()

    def attest(self, kind: str, request: bytes) -> bytes:
        """The answer to a request about devices of a kind, "gpu" or "switch". Raises ValueError for a bad one."""
        asked = _request(request)
        for one in self.nvidia.devices:
            if one.chain in asked.chains and one.product.is_switch != (kind == "switch"):
                raise ValueError(f"{one.serial} is no {kind}")
        version = self.claims_version or asked.version
        results, tokens = [], {}
        for index, (report, chain) in enumerate(zip(asked.reports, asked.chains, strict=True)):
            claims, good = self._device(report, chain, asked, version)
            results.append(good)
            tokens[f"{kind.upper()}-{index}"] = self._token(self.edit_device(claims))
        overall = {
            **self._envelope(),
            "sub": "NVIDIA-PLATFORM-ATTESTATION",
            "x-nvidia-ver": version,
            "x-nvidia-overall-att-result": all(results),
            "eat_nonce": asked.nonce.hex(),
            "submods": {
                name: ["DIGEST", ["SHA-256", hashlib.sha256(token.encode("ascii")).hexdigest()]]
                for name, token in tokens.items()
            },
        }
        answer: list[Any] = [["JWT", self._token(self.edit_overall(overall))], tokens]
        return json.dumps(self.edit_answer(answer)).encode()

    def _device(
        self, report: bytes, chain: bytes, asked: Request, version: str
    ) -> tuple[Json, bool]:
        """What is said of one device, and whether it is good."""
        try:
            found = appraise(self.nvidia, report, chain, asked.nonce)
        except RefusedError as error:
            return {**self._envelope(), "x-nvidia-error-details": error.details}, False
        arch_matches = found.device.product.arch == asked.arch
        said = device_claims(found, version, arch_matches=arch_matches)
        claims = {**self._envelope(), "eat_nonce": asked.nonce.hex(), **said}
        return claims, found.succeeds and arch_matches

    def _envelope(self) -> Json:
        self._tokens += 1
        issued = int(self.nvidia.clock().timestamp())
        name = hashlib.sha256(self.nvidia.seed + f"token {self._tokens}".encode()).digest()[:16]
        return {
            "iss": self.issuer,
            "iat": issued,
            "nbf": issued,
            "exp": issued + int(LIFETIME.total_seconds()),
            "jti": str(uuid.UUID(bytes=name)),
        }

    def _token(self, claims: Json) -> str:
        signer = self.signer
        return self.write(signer, {"kid": signer.kid, "alg": "ES384"} | self.header, claims)


@dataclass(frozen=True, slots=True)
class Request:
    """A request to the service."""

    nonce: bytes
    arch: str
    version: str
    reports: tuple[bytes, ...]
    chains: tuple[bytes, ...]


def _request(text: bytes) -> Request:
    """A request, read. Raises ValueError."""
    try:
        value = json.loads(text)
        listed = value["evidence_list"]
        made = Request(
            nonce=bytes.fromhex(value["nonce"]),
            arch=value["arch"],
            version=value.get("claims_version", VERSIONS[0]),
            reports=tuple(base64.b64decode(one["evidence"], validate=True) for one in listed),
            chains=tuple(base64.b64decode(one["certificate"], validate=True) for one in listed),
        )
    except (KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise ValueError(f"no request: {error!r}") from error
    if len(made.nonce) != 32 or not made.reports or made.version not in VERSIONS:
        raise ValueError("nonce, evidence_list or claims_version is not as it must be")
    return made


def _builder(
    common_name: str,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
) -> x509.CertificateBuilder:
    """A certificate of the service as far as all have it; its serial number follows from its key."""
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "NVIDIA Corporation"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(int.from_bytes(identifier.digest[:16], "big") + 1)
        .add_extension(identifier, critical=False)
    )


def _usage(*names: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{name: name in names for name in USAGES})


def _part(value: Json) -> str:
    return _url(json.dumps(value, separators=(",", ":")).encode())


def _url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _standard(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
