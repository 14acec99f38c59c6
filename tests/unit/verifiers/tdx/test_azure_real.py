# SPDX-License-Identifier: Apache-2.0
"""A real TD of Azure: the recorded evidence, with Intel's collateral for its platform of another recording."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests import tdx_vectors, vtpm_vectors
from tests.vtpm_vectors import as_bytes
from verifiers import registry
from verifiers.anchors import builtin
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Binding, Evidence, EvidenceKind, Provider
from verifiers.tcb import TcbStatus
from verifiers.tdx.claims import TdAttribute, TdxClaims

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "azure-tdx-v1"
COLLATERAL = "tdx4-00806f-azure-vtpm-septve-off"  # of the same platform
EXTRA = b"challenge"  # what was asked of that machine


def files() -> Mapping[EvidenceKind, bytes]:
    vector = vtpm_vectors.load(NAME)
    text = (tdx_vectors.ROOT / "vtpm" / NAME / "evidence.json").read_text()
    return {
        EvidenceKind.TDX_QUOTE: as_bytes(json.loads(text)["td_quote"]),
        EvidenceKind.HCL_REPORT: vector.hcl,
        EvidenceKind.TPM_ATTEST: vector.attest,
        EvidenceKind.TPM_SIGNATURE: vector.signature,
        EvidenceKind.TPM_PCRS: vector.pcrs,
    }


def verify(extra: bytes | None, **changes: bytes) -> TdxClaims:
    right = {kind.value: data for kind, data in files().items()}
    pieces = [Evidence(EvidenceKind(kind), data) for kind, data in (right | changes).items()]
    collateral = tdx_vectors.load(COLLATERAL)
    parsed = registry.parse(pieces)
    endorsements = registry.parse_bundle(parsed, json.dumps(collateral.bundle).encode())
    binding = None if extra is None else Binding(bytes(64), extra, bytes(32))
    claims = registry.verify(parsed, endorsements, builtin(), binding, collateral.at)
    assert isinstance(claims, TdxClaims)
    return claims


def test_every_link_holds() -> None:
    claims = verify(EXTRA)
    expected = vtpm_vectors.load(NAME).expected
    assert (claims.provider, claims.bound) == (Provider.AZURE, True)
    assert claims.tcb.status is TcbStatus.OUT_OF_DATE
    assert TdAttribute.SEPT_VE_DISABLE not in claims.attributes
    assert {claims.td.rtmr0, claims.td.rtmr1, claims.td.rtmr2, claims.td.rtmr3} == {bytes(48)}
    assert claims.hcl is not None
    assert claims.hcl.runtime_data_sha256.hex() == expected["hcl"]["runtime_data_sha256"]
    assert claims.hcl.secure_boot is expected["hcl"]["vm_configuration"]["secure-boot"]
    assert claims.tpm is not None
    values = [value.hex() for _, _, value in claims.tpm.pcrs]
    assert values == expected["pcrs_sha256"]
    assert claims.tpm.reset_count == expected["tpm_quote"]["resetCount"]


@pytest.mark.parametrize("extra", [b"", b"challenge\0", b"challeng", bytes(32)])
def test_another_nonce(extra: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        verify(extra)
    assert caught.value.reason is Reason.BINDING_MISMATCH


def test_as_the_folder_has_it_intels_word_is_missing() -> None:
    parsed = registry.parse([Evidence(kind, data) for kind, data in files().items()])
    expect = vtpm_vectors.load(NAME).expected["expect"]
    at = tdx_vectors.load(COLLATERAL).at
    with pytest.raises(VerificationError) as caught:
        registry.verify(parsed, registry.no_endorsements(parsed), builtin(), None, at)
    assert (caught.value.reason.verdict, caught.value.reason) == (expect["verdict"], expect["code"])


def test_the_vm_of_another_customer_cannot_lend_its_tpm() -> None:
    """The vTPM of a VM on SEV-SNP, beside the quote of this TD."""
    other = vtpm_vectors.load(vtpm_vectors.AZURE_SNP[0])
    with pytest.raises(VerificationError) as caught:
        verify(
            None,
            **{
                "tpm-attest": other.attest,
                "tpm-signature": other.signature,
                "tpm-pcrs": other.pcrs,
            },
        )
    assert caught.value.reason is Reason.SIGNATURE
