# SPDX-License-Identifier: Apache-2.0
"""Claims of confidential VMs of Google's that show their vTPM, and the policies that accept them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from policies.registers import MUST_PIN, Register, read
from tests.unit.policies.claims_factory import GOOD, NOW
from tests.unit.policies.documents import policy, snp_policy
from tests.unit.policies.snp_claims import GOOD_SNP, TPM
from verifiers.endorsements import PartValidity, Revocation
from verifiers.evidence import Provider, Tee
from verifiers.vtpm.claims import GceClaims

if TYPE_CHECKING:
    from policies.loader import LoadedPolicy
    from verifiers.claims import Claims

PROJECT, ZONE, INSTANCE = "my-project", "us-central1-a", 6_524_697_943_022_743_941

GCE = GceClaims(
    zone=ZONE,
    project_id=PROJECT,
    project_number=123_456_789_012,
    instance_id=INSTANCE,
    instance_name="web-1",
    security_version=0,
    ak_certificate_sha256=bytes(32),
    issuer_serial=7,
    revocation=Revocation.GOOD,
    certificates_expire=NOW + timedelta(days=9000),
)
ROOT_CRL = PartValidity("google_root_crl", NOW - timedelta(days=20), NOW + timedelta(days=20), None)

GOOGLE_SNP = replace(
    GOOD_SNP,
    provider=Provider.GOOGLE,
    tpm=TPM,
    gce=GCE,
    collateral=(*GOOD_SNP.collateral, ROOT_CRL),
)
GOOGLE_TD = replace(
    GOOD, provider=Provider.GOOGLE, tpm=TPM, gce=GCE, collateral=(*GOOD.collateral, ROOT_CRL)
)
SECTION: dict[str, Any] = {"projects": [PROJECT]}


def match(tee: Tee) -> dict[str, str]:
    """The document's `match`: Google's alone."""
    return {"tee": tee.value, "provider": "google"}


def release(claims: Claims, *also: str) -> dict[str, list[dict[str, Any]]]:
    """Reference sets that pin what must be, of this machine, and these registers."""
    names = dict.fromkeys((*MUST_PIN[claims.tee, claims.provider], *map(Register, also)))
    values = {one.value: (read(claims, one) or b"").hex() for one in names}
    return {"release": [{"id": "g1", "values": values}]}


def google_policy(claims: Claims, **sections: Any) -> LoadedPolicy:  # noqa: ANN401  JSON values
    """A policy that accepts GOOGLE_SNP or GOOGLE_TD, with other sections replaced or added."""
    said = {"match": match(claims.tee), "reference_sets": release(claims), "google": SECTION}
    return (policy if claims.tee is Tee.TDX else snp_policy)(None, **(said | sections))
