# SPDX-License-Identifier: Apache-2.0
"""Tokens of NVIDIA's Remote Attestation Service (NRAS): whether the service says, now, that these devices are good.

A token counts if it is signed with ES384 by a key of the service (`verifiers.nvidia.jwks`), names the service as its
issuer to the letter, is of this moment, and repeats the nonce that was asked for. The token about all names the digest
of each device's, so that none can be taken from another answer. A device's token must say of every single check that it
held; one that is missing did not. HTTP 200 with a signature means nothing but that the service has spoken: that the
evidence is not good is signed as well. Where the devices are at hand each token must be about exactly one of them; if
it then says another thing of it than its own signed report, the service and we are at odds, and nothing is decided by
either. Tokens of NVIDIA's local tools (`alg` none and HS256) are nobody's word.

What a token does not say (mode, topology, whether a version is old) stays the report's to say. Claims of version 2.0 do
not say whether certificates are revoked. Source: RFC 7515, RFC 7519, RFC 9711; claims as NRAS documents and sends them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from verifiers.endorsements import Revocation
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.checks import (
    DRIVER_VERSION,
    V3,
    VBIOS_VERSION,
    check_claims,
    complaint,
    has_error,
    refusals,
)
from verifiers.nvidia.claims import DeviceKind, NrasClaims
from verifiers.nvidia.eat import parse_answer
from verifiers.nvidia.tokens import claims_of, instant, invalid, signer_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from verifiers.jsontext import Json
    from verifiers.nvidia.device import Device
    from verifiers.nvidia.tokens import TokenIssuer

_SUBJECT: Final = "NVIDIA-PLATFORM-ATTESTATION"
_OVERALL: Final = "overall token"
_NAME: Final = re.compile(r"(GPU|SWITCH)-[0-9]{1,2}")
_NONCE: Final = re.compile(r"[0-9a-f]{64}")
_UEID: Final = re.compile(r"[1-9][0-9]{0,49}")  # a certificate's serial number has 20 bytes at most
_TEXT: Final = re.compile(r"[ -~]{1,128}")
_MAX_REFUSAL: Final = 400


@dataclass(frozen=True, slots=True)
class Appraisal:
    """What the service says of one device that it accepts.

    Attributes:
        name: the device's in the answer, "GPU-0".
        ueid: serial number of its leaf certificate.
        hwmodel, driver_version (None for a switch), vbios_version: in the service's words.
        nonce: 32 bytes.
    """

    name: str
    kind: DeviceKind
    ueid: int
    hwmodel: str
    driver_version: str | None
    vbios_version: str
    nonce: bytes
    claims: NrasClaims


def verify_tokens(
    answers: Sequence[bytes],
    issuer: TokenIssuer,
    devices: Sequence[Device] | None,
    nonce: bytes | None,
    now: datetime,
) -> tuple[Appraisal, ...]:
    """Verify answers of the service.

    Args:
        answers: as received, trusted by nobody; together about all the devices.
        issuer: whose tokens count.
        devices: authentic, in the order of the evidence; None only where nothing is issued (offline inspection).
        nonce: 32 bytes that every token must repeat; None only there.
        now: the instant to judge at, timezone-aware.

    Returns:
        One of each device: in the order of `devices` where they are given, else in that of the answers.

    Raises:
        VerificationError: `incomplete` without an answer; `token-alg`, `token-key-unknown`, `token-invalid`;
            `nras-refused` for the service's signed refusal; `verifiers-disagree` for a token that says another model
            or other versions of a device than its report; what `parse_answer` and `signing_key` raise; what
            `Device.fields` raises.
    """
    if not answers:
        raise VerificationError(Reason.INCOMPLETE, "missing: an answer of NVIDIA's service")
    said = [one for answer in answers for one in _appraisals(answer, issuer, nonce, now)]
    if len({one.ueid for one in said}) != len(said):
        raise invalid("several tokens are about one device")
    if len({one.nonce for one in said}) > 1:
        raise invalid("the answers are to different nonces")
    return tuple(said) if devices is None else _of_devices(said, devices)


def _appraisals(
    data: bytes, issuer: TokenIssuer, nonce: bytes | None, now: datetime
) -> list[Appraisal]:
    """One answer: the token about all, then those of the devices that it names, then what they say."""
    answer = parse_answer(data)
    signer = signer_of(_OVERALL, answer.overall, issuer, now)
    overall = claims_of(_OVERALL, answer.overall, signer, now)
    if overall.get("sub") != _SUBJECT:
        raise invalid(f"{_OVERALL}: sub is not {_SUBJECT}")
    asked = _nonce(_OVERALL, overall, None if nonce is None else nonce.hex())
    tokens = _tokens(overall.get("submods"), answer.devices)
    claims = {name: claims_of(name, token, signer, now) for name, token in tokens.items()}
    _check_accepted(overall.get("x-nvidia-overall-att-result"), claims)
    version = _text(_OVERALL, overall, "x-nvidia-ver")
    _check_good(claims, version)
    about_all = _AboutAll(
        version, asked, instant(_OVERALL, overall, "iat"), instant(_OVERALL, overall, "exp")
    )
    return [_appraisal(name, claims[name], tokens[name], about_all) for name in tokens]


class _AboutAll(NamedTuple):
    """What the overall token says of all devices; the nonce in hexadecimal."""

    version: str
    nonce: str
    issued: datetime
    expires: datetime


def _nonce(what: str, claims: Mapping[str, Json], asked: str | None) -> str:
    """The nonce of a token, which must be the one that was asked for if that is known."""
    nonce = claims.get("eat_nonce")
    if not isinstance(nonce, str) or not _NONCE.fullmatch(nonce) or asked not in (None, nonce):
        raise invalid(f"{what}: eat_nonce is not the nonce that was asked for")
    return nonce


def _tokens(submods: Json, devices: Mapping[str, Json]) -> dict[str, str]:
    """The devices' tokens, which must be those that the overall token names, no more and no less."""
    if not isinstance(submods, dict) or submods.keys() != devices.keys():
        raise invalid(f"{_OVERALL}: names other devices than there are tokens of")
    tokens: dict[str, str] = {}
    for name, token in devices.items():
        if not isinstance(token, str) or not token.isascii() or not _NAME.fullmatch(name):
            raise invalid("something that is no device's token")
        if submods[name] != ["DIGEST", ["SHA-256", sha256(token.encode()).hexdigest()]]:
            raise invalid(f"{name}: not the token whose digest the overall token names")
        tokens[name] = token
    return {name: tokens[name] for name in sorted(tokens, key=_order)}


def _check_accepted(result: Json, claims: Mapping[str, Mapping[str, Json]]) -> None:
    """Demand that the service does not refuse. Raises VerificationError (`nras-refused`, `token-invalid`)."""
    wrong = [name for name in claims if result is False or has_error(claims[name])]
    if wrong:
        raise _refused({name: complaint(claims[name]) for name in wrong})
    if result is not True:
        raise invalid(f"{_OVERALL}: x-nvidia-overall-att-result is neither true nor false")


def _check_good(claims: Mapping[str, Mapping[str, Json]], version: str) -> None:
    """Demand that no token speaks against its device. Raises VerificationError (`nras-refused`, `token-invalid`)."""
    said = {name: refusals(claims[name], _kind(name), version) for name in claims}
    wrong = {name: ", ".join(against) for name, against in said.items() if against}
    if wrong:
        raise _refused(wrong)


def _refused(why: Mapping[str, str]) -> VerificationError:
    said = "; ".join(f"{name}: {words}" for name, words in why.items())
    return VerificationError(Reason.NRAS_REFUSED, f"NVIDIA's service refuses {said}"[:_MAX_REFUSAL])


def _kind(name: str) -> DeviceKind:
    return DeviceKind(name.partition("-")[0].lower())


def _order(name: str) -> tuple[str, int]:
    kind, _, number = name.partition("-")
    return kind, int(number)


def _appraisal(
    name: str, claims: Mapping[str, Json], token: str, about_all: _AboutAll
) -> Appraisal:
    """What an accepted device's token says. It counts no longer than the one about all that names it."""
    kind, version = _kind(name), about_all.version
    _nonce(name, claims, about_all.nonce)
    check_claims(name, claims, kind, version)
    ueid, driver = _text(name, claims, "ueid"), DRIVER_VERSION[kind]
    if not _UEID.fullmatch(ueid):
        raise invalid(f"{name}: ueid is no serial number")
    return Appraisal(
        name=name,
        kind=kind,
        ueid=int(ueid),
        hwmodel=_text(name, claims, "hwmodel"),
        driver_version=None if driver is None else _text(name, claims, driver),
        vbios_version=_text(name, claims, VBIOS_VERSION[kind]),
        nonce=bytes.fromhex(about_all.nonce),
        claims=NrasClaims(
            claims_version=version,
            token_sha256=sha256(token.encode()).digest(),
            issued=max(about_all.issued, instant(name, claims, "iat")),
            expires=min(about_all.expires, instant(name, claims, "exp")),
            revocation=Revocation.GOOD if version == V3 else Revocation.NOT_CHECKED,
        ),
    )


def _text(what: str, claims: Mapping[str, Json], name: str) -> str:
    """A claim that is shown to people and compared. Raises VerificationError (`token-invalid`)."""
    value = claims.get(name)
    if not isinstance(value, str) or not _TEXT.fullmatch(value):
        raise invalid(f"{what}: {name} is missing, or no plain text")
    return value


def _of_devices(said: Sequence[Appraisal], devices: Sequence[Device]) -> tuple[Appraisal, ...]:
    """What is said of each device, in their order. No two tokens are about one device."""
    if len(said) != len(devices):
        raise invalid(f"tokens of {len(said)} devices, evidence of {len(devices)}")
    by_ueid = {one.ueid: one for one in said}
    found = []
    for index, device in enumerate(devices):
        one = by_ueid.pop(device.chain.leaf.serial_number, None)
        if one is None:
            raise invalid(f"no token is about device {index}")
        _check_same(one, device, index)
        found.append(one)
    return tuple(found)


def _check_same(one: Appraisal, device: Device, index: int) -> None:
    """What the token says of a device is what its own certificates and its report say.

    Raises:
        VerificationError: `token-invalid` for the token of a device of another kind; `verifiers-disagree`.
    """
    chain, fields = device.chain, device.fields
    if one.kind is not chain.family.kind:
        raise invalid(f"{one.name} is about a {one.kind}, device {index} is a {chain.family.kind}")
    models = {chain.model, chain.model.partition(" ")[0], chain.family}
    if one.hwmodel not in models:
        raise _disagreement(
            f"{one.name}: NVIDIA's service names model {one.hwmodel},"
            f" device {index} is certified as {chain.model}"
        )
    said = (one.driver_version, one.vbios_version.upper())
    reported = (fields.driver_version, fields.vbios_version)
    if said != reported:
        raise _disagreement(
            f"{one.name}: NVIDIA's service names {_versions(*said)},"
            f" device {index} reports {_versions(*reported)}"
        )


def _versions(driver: str | None, vbios: str) -> str:
    return f"firmware {vbios}" if driver is None else f"driver {driver} and firmware {vbios}"


def _disagreement(detail: str) -> VerificationError:
    return VerificationError(Reason.VERIFIERS_DISAGREE, detail)
