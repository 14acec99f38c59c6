# SPDX-License-Identifier: Apache-2.0
"""R-04: an independent verifier, dcap_qvl, is shown the same bytes and must say the same.

It refuses some facts by default that we leave to a policy (debug, a clear SEPT_VE_DISABLE, a bound service TD,
collateral past its next update); `strict` adds these to our verdict. What then still differs stands in one file with
the reason, and is tested to differ, so that the file cannot grow stale.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dcap_qvl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.collateral import level, platform_tcb
from tests import tdx_vectors
from tests.cases.tdx.index import CORPUS, MEASURED
from tests.cases.tdx.known_differences import CORPUS_DIFFERENCES, VECTOR_DIFFERENCES
from tests.tdx_lab import NOW, Exhibit, Lab, svn
from verifiers.errors import VerificationError
from verifiers.tdx.claims import TdAttribute

if TYPE_CHECKING:
    from tests.tdx_lab import Case
    from verifiers.tdx.claims import TdxClaims

REFUSED = "refused"
# Bits that dcap_qvl's default policy refuses.
ATTRIBUTES = frozenset(
    {
        TdAttribute.DEBUG,
        TdAttribute.PROFILING_4,
        TdAttribute.PROFILING_5,
        TdAttribute.PROFILING_6,
        TdAttribute.SERVTD_EXT,
        TdAttribute.MIGRATABLE,
    }
)


def their_report(exhibit: Exhibit) -> dcap_qvl.VerifiedReport:
    """What dcap_qvl says; ValueError where it refuses."""
    collateral = dcap_qvl.QuoteCollateralV3.from_json(json.dumps(exhibit.bundle))
    return dcap_qvl.verify_with_root_ca(
        exhibit.quote, collateral, exhibit.root_der, int(exhibit.at.timestamp())
    )


def theirs(exhibit: Exhibit) -> str:
    """The status that dcap_qvl gives, or that it refuses. A bound nonce is not its business."""
    try:
        return str(their_report(exhibit).status)
    except ValueError:
        return REFUSED


def ours(exhibit: Exhibit) -> str:
    """Our status, or that we refuse: the verifier, or a policy of dcap_qvl's defaults."""
    try:
        claims = exhibit.verify()
    except VerificationError:
        return REFUSED
    return str(claims.tcb.status) if strict(claims) else REFUSED


def strict(claims: TdxClaims) -> bool:
    """Whether dcap_qvl's default policy has nothing against these facts."""
    bound = claims.td15 is not None and any(claims.td15.mr_service_td)
    return (
        not claims.expired_parts
        and not claims.reserved_attributes
        and not claims.attributes & ATTRIBUTES
        and TdAttribute.SEPT_VE_DISABLE in claims.attributes
        and not bound
    )


@pytest.mark.parametrize("name", tdx_vectors.names())
def test_real_quotes(name: str) -> None:
    lab = Lab.create()
    lab.real(name)
    exhibit = lab.exhibit()
    known = VECTOR_DIFFERENCES.get(name)
    if known is None:
        assert ours(exhibit) == theirs(exhibit)
    else:
        assert (ours(exhibit), theirs(exhibit)) == known.verdicts


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in (*CORPUS, *MEASURED)])
def test_corpus(case: Case) -> None:
    exhibit = case.exhibit()
    known = CORPUS_DIFFERENCES.get((case.line, case.why))
    if known is None:
        assert ours(exhibit) == theirs(exhibit), case.why
    else:
        assert (ours(exhibit), theirs(exhibit)) == known.verdicts, case.why


HAVE = st.integers(0, 3)
NEED = st.sampled_from([0, 0, 0, 1, 2, 3])  # low, so that most platforms reach some level
NEEDS = st.tuples(NEED, NEED, NEED)
LOWEST = st.sampled_from([0, 0, 0, 0, 0, 0, 1])
LOWEST_OF_ALL = st.tuples(LOWEST, LOWEST, LOWEST)
PLATFORM_STATUS = st.sampled_from(
    [
        "UpToDate",
        "SWHardeningNeeded",
        "ConfigurationNeeded",
        "ConfigurationAndSWHardeningNeeded",
        "OutOfDate",
        "OutOfDateConfigurationNeeded",
        "Revoked",
    ]
)
COMPONENT_STATUS = st.sampled_from([*["UpToDate", "OutOfDate"] * 4, "Revoked"])
ADVISORIES = st.lists(st.sampled_from(["INTEL-SA-1", "INTEL-SA-2", "INTEL-SA-3"]), max_size=2)


@st.composite
def platform_levels(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Up to five levels in any order."""
    return [
        level(
            platform_tcb(draw(needs), draw(NEED), draw(needs)),
            draw(st.sampled_from(["2024-01-01", "2025-01-01"])),
            draw(PLATFORM_STATUS),
            *draw(ADVISORIES),
        )
        for needs in [LOWEST_OF_ALL, *[NEEDS] * draw(st.integers(0, 4))]
    ]


@st.composite
def svn_levels(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Up to three levels, highest first as Intel writes them."""
    svns = {draw(LOWEST)} | {draw(NEED) for _ in range(draw(st.integers(0, 3)))}
    return [
        level({"isvsvn": one}, "2025-06-01", draw(COMPONENT_STATUS), *draw(ADVISORIES))
        for one in sorted(svns, reverse=True)
    ]


LAB = Lab.create(b"random levels")


@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_random_levels(data: st.DataObject) -> None:
    """Levels, statuses and SVNs of all three parts at random: the same status and the same advisories."""
    intel, platform = LAB.intel, LAB.platform
    intel.tcb_info["tcbLevels"] = data.draw(platform_levels())
    intel.tcb_info["tdxModuleIdentities"][1]["tcbLevels"] = data.draw(svn_levels())
    intel.qe_identity["tcbLevels"] = data.draw(svn_levels())
    components = (*data.draw(st.tuples(HAVE, HAVE, HAVE)), *[0] * 13)
    platform.certify(replace(platform.sgx, components=components, pcesvn=data.draw(HAVE)))
    module = data.draw(st.sampled_from([0, 1]))
    svns = data.draw(st.tuples(HAVE, HAVE, HAVE))
    body_type = data.draw(st.sampled_from([2, 3]))
    current = {"tee_tcb_svn2": svn(svns[0], module, svns[2])} if body_type == 3 else {}
    quote = platform.quote(
        version=5,
        body_type=body_type,
        tee_tcb_svn=svn(svns[0], module, svns[1]),
        qe_isvsvn=data.draw(HAVE),
        **current,
    )
    exhibit = Exhibit(quote, intel.bundle(platform), intel.root_der, NOW)
    assert ours(exhibit) == theirs(exhibit)
    if ours(exhibit) != REFUSED:
        mine = exhibit.verify().tcb.advisory_ids
        assert set(mine) == set(their_report(exhibit).advisory_ids)
        assert list(mine) == sorted(set(mine))
