# SPDX-License-Identifier: Apache-2.0
"""Intel's collateral for one TDX quote, unverified: what to ask for, and how the answers are taken apart.

Source: Intel PCS API v4 (TCB info, QE identity, PCK CRL) and the root's CRL distribution point. A PCCS answers the same
paths, the root CRL under its own path and as hexadecimal text. The texts that Intel signed are kept byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from urllib.parse import unquote

from verifiers import jsontext
from verifiers.endorsements import Fetch, Gather, Response, digest
from verifiers.errors import Reason, VerificationError
from verifiers.tdx.pck import verify_pck_chain

if TYPE_CHECKING:
    from verifiers.anchors import Anchors
    from verifiers.tdx.quote import TdxQuote

Update: TypeAlias = Literal["standard", "early"]

INTEL_PCS: Final = "https://api.trustedservices.intel.com"
INTEL_ROOT_CRL: Final = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"

MAX_BUNDLE_BYTES: Final = (
    4 * 1024 * 1024
)  # a real one has 20 KiB; four bodies of the largest size fit

_HEX_PARTS: Final = frozenset(
    {"root_ca_crl", "pck_crl", "tcb_info_signature", "qe_identity_signature"}
)
_TCB_INFO_CHAIN: Final = ("tcb-info-issuer-chain", "sgx-tcb-info-issuer-chain")
_QE_IDENTITY_CHAIN: Final = ("sgx-enclave-identity-issuer-chain",)
_PCK_CRL_CHAIN: Final = ("sgx-pck-crl-issuer-chain",)
_STATUS_UNKNOWN: Final = (404, 410)


@dataclass(frozen=True, slots=True)
class TdxEndorsements:
    """The parts as received; None where a part is missing. Hashable: equal bytes are the same collateral.

    Issuer chains are PEM, signer first. `tcb_info` and `qe_identity` are the exact signed texts, their signatures
    r || s (64 bytes). CRLs are DER.
    """

    pck_crl_issuer_chain: bytes | None = None
    root_ca_crl: bytes | None = None
    pck_crl: bytes | None = None
    tcb_info_issuer_chain: bytes | None = None
    tcb_info: bytes | None = None
    tcb_info_signature: bytes | None = None
    qe_identity_issuer_chain: bytes | None = None
    qe_identity: bytes | None = None
    qe_identity_signature: bytes | None = None

    @property
    def parts(self) -> tuple[bytes | None, ...]:
        """All nine, in the order above."""
        return _parts(self)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the parts that are not there."""
        return tuple(name for name in PARTS if getattr(self, name) is None)

    @property
    def sha256(self) -> bytes:
        """32 bytes that name this collateral."""
        return digest(self.parts)

    def to_bundle(self) -> dict[str, str]:
        """The JSON bundle's members, for storing what a verdict was made with."""
        return {
            name: value.hex() if name in _HEX_PARTS else value.decode("utf-8")
            for name, value in zip(PARTS, self.parts, strict=True)
            if value is not None
        }


PARTS: Final = tuple(part.name for part in fields(TdxEndorsements))
_parts = attrgetter(*PARTS)


def parse_bundle(text: bytes) -> TdxEndorsements:
    """Read a JSON bundle: an object of strings named as the fields above, CRLs and signatures as hexadecimal.

    A member `pck_certificate_chain`, which some tools write, is left aside: the chain in the quote is what counts.

    Raises:
        VerificationError: `too-large`, `collateral-malformed`. A missing part is no error here; `verify` says
            `incomplete`.
    """
    if len(text) > MAX_BUNDLE_BYTES:
        raise VerificationError(
            Reason.TOO_LARGE, f"bundle: {len(text)} bytes, at most {MAX_BUNDLE_BYTES}"
        )
    try:
        members = jsontext.parse(text)
        members.pop("pck_certificate_chain", None)
        parts = {name: _part(name, value) for name, value in members.items()}
    except ValueError as error:
        raise VerificationError(Reason.COLLATERAL_MALFORMED, f"bundle: {error}") from error
    if unknown := sorted(parts.keys() - PARTS):
        raise VerificationError(
            Reason.COLLATERAL_MALFORMED, f"bundle: unknown members {', '.join(unknown)}"
        )
    return TdxEndorsements(**parts)


def _part(name: str, value: jsontext.Json) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"{name} is not a string")  # noqa: TRY004 - one exception type for bad text
    return bytes.fromhex(value) if name in _HEX_PARTS else value.encode("utf-8")


@dataclass(frozen=True, slots=True)
class PcsSource:
    """Where Intel's statements are asked for. All of it comes from configuration, nothing from a request.

    Attributes:
        base_url: PCS, or a PCCS that mirrors its paths; no trailing slash.
        root_crl_url: the root CRL; a PCCS has it under /sgx/certification/v4/rootcacrl.
        update: "standard" or "early": which of two TCB evaluations that are valid side by side.
    """

    base_url: str = INTEL_PCS
    root_crl_url: str = INTEL_ROOT_CRL
    update: Update = "standard"

    @classmethod
    def pccs(cls, base_url: str, update: Update = "standard") -> PcsSource:
        """A PCCS by its base URL, e.g. https://pccs.example:8081."""
        base = base_url.rstrip("/")
        return cls(base, f"{base}/sgx/certification/v4/rootcacrl", update)


def gather(quote: TdxQuote, source: PcsSource, anchors: Anchors) -> Gather[TdxEndorsements]:
    """Ask for the four parts that a quote needs, in one round.

    Only a quote whose PCK chain leads to the pinned root causes a request.

    Raises:
        VerificationError: `chain`, `untrusted-root`, `platform-unknown`, `collateral-malformed`.
    """
    pck = verify_pck_chain(quote.pck_chain_pem, anchors.intel_sgx_root).claims
    early = "update=early" if source.update == "early" else ""
    tdx, sgx = (f"{source.base_url}/{tee}/certification/v4" for tee in ("tdx", "sgx"))
    fmspc = pck.fmspc.hex()
    answers = yield (
        _statement("tcb_info", _join(f"{tdx}/tcb?fmspc={fmspc}", early), _TCB_INFO_CHAIN[0]),
        _statement("qe_identity", _join(f"{tdx}/qe/identity", early), _QE_IDENTITY_CHAIN[0]),
        Fetch("pck_crl", f"{sgx}/pckcrl?ca={pck.ca}&encoding=der", _PCK_CRL_CHAIN[0]),
        Fetch("root_ca_crl", source.root_crl_url),
    )
    tcb_info, qe_identity, pck_crl, root_ca_crl = answers
    if tcb_info.status in _STATUS_UNKNOWN:
        raise VerificationError(
            Reason.PLATFORM_UNKNOWN, f"Intel has no TDX TCB info for FMSPC {fmspc}"
        )
    for part, answer in zip(("qe_identity", "pck_crl", "root_ca_crl"), answers[1:], strict=True):
        if answer.status != 200:
            raise VerificationError(Reason.INCOMPLETE, f"{part}: answered {answer.status}")
    tcb_info_text, tcb_info_signature = _signed_member("tcb_info", tcb_info, "tcbInfo")
    identity_text, identity_signature = _signed_member(
        "qe_identity", qe_identity, "enclaveIdentity"
    )
    return TdxEndorsements(
        pck_crl_issuer_chain=_issuer_chain("pck_crl", pck_crl, _PCK_CRL_CHAIN),
        root_ca_crl=_der("root_ca_crl", root_ca_crl.body),
        pck_crl=_der("pck_crl", pck_crl.body),
        tcb_info_issuer_chain=_issuer_chain("tcb_info", tcb_info, _TCB_INFO_CHAIN),
        tcb_info=tcb_info_text,
        tcb_info_signature=tcb_info_signature,
        qe_identity_issuer_chain=_issuer_chain("qe_identity", qe_identity, _QE_IDENTITY_CHAIN),
        qe_identity=identity_text,
        qe_identity_signature=identity_signature,
    )


def _statement(part: str, url: str, header: str) -> Fetch:
    """Of a statement in JSON, with the chain of its signer in a header."""
    return Fetch(part, url, header, is_answer=jsontext.is_object)


def _join(url: str, query: str) -> str:
    if not query:
        return url
    return f"{url}{'&' if '?' in url else '?'}{query}"


def _signed_member(part: str, response: Response, member: str) -> tuple[bytes, bytes]:
    """(exact text of the signed member, 64-byte signature) of a PCS answer."""
    try:
        members = jsontext.member_texts(response.body)
        signature = jsontext.string(members["signature"])
        return members[member], bytes.fromhex(signature)
    except (ValueError, KeyError) as error:
        raise VerificationError(
            Reason.COLLATERAL_MALFORMED, f"{part}: not Intel's answer format: {error}"
        ) from error


def _issuer_chain(part: str, response: Response, names: tuple[str, ...]) -> bytes | None:
    """The PEM chain in the first of the named headers that is there (URL-encoded)."""
    for name in names:
        if name in response.headers:
            try:
                return unquote(response.headers[name], errors="strict").encode("ascii")
            except ValueError as error:
                raise VerificationError(
                    Reason.COLLATERAL_MALFORMED, f"{part}: {name} is no PEM text"
                ) from error
    return None


def _der(part: str, body: bytes) -> bytes:
    """A CRL as DER; PCCS answers hexadecimal text."""
    if body.startswith((b"\x30\x81", b"\x30\x82", b"\x30\x83")):
        return body
    try:
        return bytes.fromhex(body.decode("ascii"))
    except ValueError as error:
        raise VerificationError(
            Reason.COLLATERAL_MALFORMED, f"{part}: neither DER nor hexadecimal"
        ) from error
