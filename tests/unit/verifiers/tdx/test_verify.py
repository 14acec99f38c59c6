# SPDX-License-Identifier: Apache-2.0
"""The claims: every bit of the attributes, what is bound, what names the evidence; and the order of the steps."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from simulator.pki import malleate
from tests.tdx_lab import NOW, Lab
from verifiers.endorsements import Revocation
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Provider, Tee
from verifiers.tcb import TcbStatus
from verifiers.tdx.claims import QeClaims, TdAttribute
from verifiers.tdx.verify import _ATTRIBUTE_BITS

if TYPE_CHECKING:
    from simulator.pki import Entity


@pytest.mark.parametrize("bit", range(64))
def test_every_attribute_bit(bit: int) -> None:
    """A bit is either named or reserved, and never both or neither."""
    lab = Lab.create()
    lab.quote(td_attributes=1 << bit)
    claims = lab.exhibit().verify()
    name = _ATTRIBUTE_BITS.get(bit)
    assert claims.attributes == (frozenset({name}) if name else frozenset())
    assert claims.reserved_attributes == (0 if name else 1 << bit)


def test_every_attribute_has_one_bit() -> None:
    assert sorted(_ATTRIBUTE_BITS.values()) == sorted(TdAttribute)


def test_all_bits() -> None:
    lab = Lab.create()
    lab.quote(td_attributes=(1 << 64) - 1)
    claims = lab.exhibit().verify()
    assert claims.attributes == frozenset(TdAttribute)
    named = sum(1 << bit for bit in _ATTRIBUTE_BITS)
    assert claims.reserved_attributes == (1 << 64) - 1 - named


def test_what_the_claims_are_about() -> None:
    lab = Lab.create()
    lab.binding = bytes(64)
    exhibit = lab.exhibit()
    claims = exhibit.verify()
    assert (claims.tee, claims.provider) == (Tee.TDX, Provider.DIRECT)
    assert claims.bound
    assert claims.verified_at == NOW
    assert claims.evidence_sha256 == sha256(exhibit.quote).digest()
    assert claims.collateral_sha256 == exhibit.endorsements.sha256
    assert claims.tdx_module_version == 1
    assert (claims.body_type, claims.header.version) == (2, 4)
    good = (claims.pck_chain_revocation, claims.tcb_signing_chain_revocation)
    assert good == (Revocation.GOOD, Revocation.GOOD)
    fields = lab.platform.fields
    assert claims.qe == QeClaims(fields["qe_mrenclave"], fields["qe_mrsigner"], 2, 8)  # type: ignore[arg-type] # bytes
    windows = {part.part: (part.issued, part.next_update) for part in claims.collateral}
    assert set(windows) == {"tcb_info", "qe_identity", "pck_crl", "root_ca_crl"}
    assert windows["pck_crl"] == (
        lab.intel.platform_crl.spec.this_update,
        lab.intel.platform_crl.spec.next_update,
    )


def test_unsigned_spellings_change_no_claim_but_the_name_of_the_evidence() -> None:
    """An ECDSA signature has two forms: nothing that matters may be keyed on the bytes of a quote."""
    lab = Lab.create()
    first = lab.exhibit().verify()
    lab.quote(signature=malleate, trailing=bytes(8))
    second = lab.exhibit().verify()
    assert first.evidence_sha256 != second.evidence_sha256
    assert (first.td, first.tcb, first.pck) == (second.td, second.tcb, second.pck)


def test_two_statements_with_one_signer_or_with_two() -> None:
    """The chain of the second is judged apart wherever its text is another one."""
    lab = Lab.create()
    first = lab.exhibit().verify()
    lab.edit(qe_identity_issuer_chain=lambda text: text + "\n")
    second = lab.exhibit().verify()
    assert replace(second, collateral_sha256=first.collateral_sha256) == first
    stranger = Lab.create(b"stranger").exhibit().bundle
    for part in ("tcb_info_issuer_chain", "qe_identity_issuer_chain"):
        lab = Lab.create()
        lab.edit(**{part: stranger[part]})
        assert lab.exhibit().outcome() is Reason.UNTRUSTED_ROOT


# Each alteration spoils one step; a quote that is spoiled at several is refused at the earliest.
STEPS = (
    (Reason.CHAIN, lambda lab: lab.chain(lab.platform.pck, lab.platform.ca)),
    (Reason.CERTIFICATE_EXPIRED, lambda lab: lab.platform.pck.alter(not_after=NOW.replace(hour=1))),
    (Reason.SIGNATURE, lambda lab: lab.quote(qe_signature=bytes(64))),
    (Reason.SIGNATURE, lambda lab: lab.quote(signature=bytes(64))),
    (Reason.BINDING_MISMATCH, lambda lab: setattr(lab, "binding", b"\1" * 64)),
    (Reason.INCOMPLETE, lambda lab: lab.edit(root_ca_crl=None)),
    (Reason.COLLATERAL_SIGNATURE, lambda lab: lab.edit(tcb_info_signature="00" * 64)),
    (Reason.COLLATERAL_NOT_YET_VALID, lambda lab: lab.info(issueDate="2026-10-26T00:00:00Z")),
    (
        Reason.CERTIFICATE_REVOKED,
        lambda lab: lab.intel.platform_crl.revoke(lab.platform.pck.spec.serial),
    ),
    (Reason.ENDORSEMENT_MISMATCH, lambda lab: lab.info(pceId="0001")),
    (Reason.QE_IDENTITY_MISMATCH, lambda lab: lab.identity(isvprodid=9)),
    (Reason.TDX_MODULE_MISMATCH, lambda lab: lab.module(mrsigner="01" * 48)),
    (Reason.TCB_REVOKED, lambda lab: lab.level(tcbStatus="Revoked")),
)


@pytest.mark.parametrize("first", range(len(STEPS)))
def test_the_earliest_step_speaks(first: int) -> None:
    lab = Lab.create()
    for _, spoil in STEPS[first:]:
        spoil(lab)
    assert lab.exhibit().outcome() is STEPS[first][0]


FIRST_AUTHENTIC = next(i for i, (reason, _) in enumerate(STEPS) if reason is Reason.INCOMPLETE)


@pytest.mark.parametrize("step", range(len(STEPS)))
def test_from_the_binding_on_a_refusal_is_of_authentic_evidence(step: int) -> None:
    """Whoever keeps refusals on record keeps those, for nobody but the machine itself can cause them."""
    lab = Lab.create()
    STEPS[step][1](lab)
    with pytest.raises(VerificationError) as caught:
        lab.exhibit().verify()
    assert caught.value.reason is STEPS[step][0]
    assert caught.value.authentic is (step >= FIRST_AUTHENTIC)


@pytest.mark.parametrize("which", ["tcb_info_signer", "qe_identity_signer"])
def test_each_signer_of_statements_is_looked_up(which: str) -> None:
    """Where two certificates sign the two statements, either may be the revoked one."""
    lab = Lab.create()
    signer: Entity = getattr(lab.intel, which)
    other = replace(signer, spec=replace(signer.spec, serial=signer.spec.serial + 1))
    setattr(lab.intel, which, other)
    lab.intel.root_crl.revoke(signer.spec.serial + 2)
    assert lab.exhibit().verify().tcb.status is TcbStatus.UP_TO_DATE
    lab.intel.root_crl.revoke(other.spec.serial)
    assert lab.exhibit().outcome() is Reason.CERTIFICATE_REVOKED
