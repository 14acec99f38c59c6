# SPDX-License-Identifier: Apache-2.0
"""Authenticated collateral: every signature of Intel's statements and CRLs, to the pinned root; dates come later.

`TdxEndorsements` (bytes, believed by nobody) -> `Collateral`. A pure function of exact bytes and the anchor, remembered
by those bytes; `verifiers.tdx.verify` judges dates and revocation of what comes out at every use.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeVar, cast

from verifiers.chain import Crl, split_pem, verify_chain, verify_crl
from verifiers.endorsements import digest
from verifiers.errors import Reason, VerificationError
from verifiers.signatures import p256_verifies
from verifiers.tdx.pck import CA_KINDS, ROOT_NAME, verify_pck_chain
from verifiers.tdx.statements import QeIdentity, TcbInfo, parse_qe_identity, parse_tcb_info

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from verifiers.anchors import Anchor, Anchors
    from verifiers.certificate import Certificate
    from verifiers.tdx.endorsements import TdxEndorsements, Update

T = TypeVar("T")

_CRL_ISSUER_NAMES: Final = (frozenset(CA_KINDS), ROOT_NAME)
_SIGNER_NAMES: Final = (frozenset({"Intel SGX TCB Signing"}), ROOT_NAME)


@dataclass(frozen=True, slots=True)
class Collateral:
    """What Intel signed about a family of platforms.

    Attributes:
        tcb_info_chain, qe_identity_chain: TCB signing certificate, root.
        pck_crl_chain: the CA that issued `pck_crl`, root; `root_ca_crl` is of that root.
        certificates_not_after: earliest end of the certificates above.
        sha256: name of the exact bytes (`TdxEndorsements.sha256`).
    """

    tcb_info: TcbInfo
    tcb_info_chain: tuple[Certificate, ...]
    qe_identity: QeIdentity
    qe_identity_chain: tuple[Certificate, ...]
    pck_crl: Crl
    pck_crl_chain: tuple[Certificate, ...]
    root_ca_crl: Crl
    certificates_not_after: datetime
    sha256: bytes


def authenticate(endorsements: TdxEndorsements, anchor: Anchor) -> Collateral:
    """Check every signature.

    Raises:
        VerificationError: `incomplete`, `chain`, `untrusted-root`, `crl-invalid`, `collateral-signature`,
            `collateral-malformed`, `endorsement-mismatch`.
    """
    parts = endorsements.parts
    if None in parts:
        raise VerificationError(
            Reason.INCOMPLETE, f"collateral is missing: {', '.join(endorsements.missing)}"
        )
    return _authenticate(cast("tuple[bytes, ...]", parts), anchor)


@lru_cache(maxsize=256)
def _authenticate(parts: tuple[bytes, ...], anchor: Anchor) -> Collateral:
    """All nine parts, in the order of `TdxEndorsements`."""
    crl_pem, root_crl, pck_crl, info_pem, info, info_signature, qe_pem, qe, qe_signature = parts
    crl_ders = split_pem(crl_pem, 2, "PCK CRL issuer chain")
    crl_chain = verify_chain(crl_ders, _CRL_ISSUER_NAMES, anchor, first_is_ca=True)
    root_ca_crl = verify_crl(root_crl, crl_chain[1], "root CRL")
    verified_pck_crl = verify_crl(pck_crl, crl_chain[0], "PCK CRL")
    info_chain = _signer_chain(info_pem, "TCB info chain", anchor)
    tcb_info = _statement("TCB info", info, info_signature, info_chain[0], parse_tcb_info)
    qe_chain = (
        info_chain if qe_pem == info_pem else _signer_chain(qe_pem, "QE identity chain", anchor)
    )
    qe_identity = _statement("QE identity", qe, qe_signature, qe_chain[0], parse_qe_identity)
    return Collateral(
        tcb_info=tcb_info,
        tcb_info_chain=info_chain,
        qe_identity=qe_identity,
        qe_identity_chain=qe_chain,
        pck_crl=verified_pck_crl,
        pck_crl_chain=crl_chain,
        root_ca_crl=root_ca_crl,
        certificates_not_after=min(
            one.not_after for chain in (crl_chain, info_chain, qe_chain) for one in chain
        ),
        sha256=digest(parts),
    )


def evaluations(
    pck_chain_pem: bytes, endorsements: TdxEndorsements, update: Update, anchors: Anchors
) -> dict[str, int]:
    """The tcbEvaluationDataNumber of both statements, each in the line in which Intel makes it rise.

    TCB info rises by FMSPC, the QE identity for all; what is published early is ahead, so it is a line of its own.
    Raises VerificationError as `authenticate` and `verify_pck_chain` do.
    """
    collateral = authenticate(endorsements, anchors.intel_sgx_root)
    fmspc = verify_pck_chain(pck_chain_pem, anchors.intel_sgx_root).claims.fmspc.hex()
    return {
        f"tdx/{update}/tcb_info/{fmspc}": collateral.tcb_info.evaluation_data_number,
        f"tdx/{update}/qe_identity": collateral.qe_identity.evaluation_data_number,
    }


def _signer_chain(pem: bytes, what: str, anchor: Anchor) -> tuple[Certificate, ...]:
    return verify_chain(split_pem(pem, 2, what), _SIGNER_NAMES, anchor)


def _statement(
    what: str,
    text: bytes,
    signature: bytes,
    signer: Certificate,
    parse: Callable[[bytes], T],
) -> T:
    """The statement in `text`, once the signature over its exact bytes holds."""
    if len(signature) != 64 or not p256_verifies(signer.public_key, signature, text):
        raise VerificationError(
            Reason.COLLATERAL_SIGNATURE, f"{what}: not signed by {signer.common_name}"
        )
    try:
        return parse(text)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise VerificationError(Reason.COLLATERAL_MALFORMED, f"{what}: {error!r}") from error
