# SPDX-License-Identifier: Apache-2.0
"""The directions that a difference of two policies names are true.

They are not believed: pairs of documents judge many machines, and nobody may be admitted where all is said to be
stricter, or refused where all is said to be looser. Every value of a key is tried against every other, and there is a
machine that tells them apart; and again beside other keys.
"""

from __future__ import annotations

import functools
import itertools
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from policies.appraise import appraise
from policies.diff import diff
from policies.difference import Effect
from policies.errors import PolicyError
from policies.loader import LoadedPolicy, load_policy
from policies.result import Decision
from policies.select import select
from tests.unit.policies import claims_factory, nvidia_claims, snp_claims
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.documents import RELEASE, entry, snp_text, text
from tests.unit.policies.google_claims import GCE, GOOGLE_TD, INSTANCE, PROJECT, ROOT_CRL
from verifiers.evidence import Product
from verifiers.nvidia.claims import Mode
from verifiers.snp.claims import CpuModel, GuestPolicyBit, PlatformBit
from verifiers.tcb import TcbStatus
from verifiers.tdx.claims import TdAttribute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.appraise import Devices
    from policies.document import PolicyDocument
    from verifiers.claims import Claims

STRICTER, LOOSER, NONE = Effect.STRICTER, Effect.LOOSER, Effect.NONE
ONE = "11" * 16
NVIDIA: dict[str, Any] = {
    "gpus": 1,
    "models": ["GH100"],
    "modes": ["spt"],
    "driver": {"minimum": {"580": "580.178.04"}},
    "vbios": {"minimum": {"GH100": "96.00.CF.00.01"}},
}
GOOD, GOOD_SNP = claims_factory.GOOD, snp_claims.GOOD_SNP
STALE = tuple(
    replace(part, next_update=NOW - timedelta(days=5), expired_since=NOW - timedelta(days=5))
    for part in claims_factory.COLLATERAL
)


def with_attributes(*more: TdAttribute) -> Claims:
    return replace(GOOD, attributes=GOOD.attributes | set(more))


MACHINES: dict[str, tuple[Claims, ...]] = {
    "tdx": (
        GOOD,
        claims_factory.with_td(rtmr1=bytes(48)),
        claims_factory.with_td(rtmr3=bytes(48)),
        claims_factory.with_td(xfam=(3).to_bytes(8, "little")),
        claims_factory.with_td(tee_tcb_svn=bytes([5, 3, *bytes(14)])),
        with_attributes(TdAttribute.PKS),
        with_attributes(TdAttribute.PKS, TdAttribute.LASS),
        with_attributes(TdAttribute.DEBUG),
        replace(GOOD, collateral=STALE),
        replace(GOOD, tcb=replace(claims_factory.TCB, advisory_ids=("INTEL-SA-1",))),
        replace(
            GOOD,
            tcb=replace(
                claims_factory.TCB,
                status=TcbStatus.OUT_OF_DATE,
                platform_status=TcbStatus.OUT_OF_DATE,
                advisory_ids=("INTEL-SA-1",),
            ),
        ),
        replace(GOOD, pck=replace(claims_factory.PCK, ppid=b"\1" * 16)),
        GOOGLE_TD,
        replace(GOOGLE_TD, gce=replace(GCE, project_id="web")),
        replace(GOOGLE_TD, gce=replace(GCE, zone="us-central1-b", instance_id=1)),
        replace(
            GOOGLE_TD,
            collateral=(
                *GOOD.collateral,
                replace(STALE[0], part=ROOT_CRL.part),
            ),
        ),
    ),
    "snp": (
        GOOD_SNP,
        replace(GOOD_SNP, product=Product.TURIN, cpu=CpuModel(0x1A, 2, 1)),
        replace(GOOD_SNP, vek=snp_claims.VLEK),
        snp_claims.with_tcbs(*[snp_claims.tcb(snp=26)] * 4),
        snp_claims.with_guest_policy(GuestPolicyBit.CXL),
        snp_claims.with_guest_policy(GuestPolicyBit.DEBUG),
        snp_claims.with_guest_policy(GuestPolicyBit.SINGLE_SOCKET),
        replace(GOOD_SNP, platform=frozenset({PlatformBit.ALIAS_CHECK_COMPLETE})),
        replace(GOOD_SNP, report=replace(snp_claims.REPORT, vmpl=1)),
        replace(GOOD_SNP, report=replace(snp_claims.REPORT, launch_mit_vector=1)),
        replace(GOOD_SNP, report=replace(snp_claims.REPORT, measurement=bytes(48))),
        snp_claims.AZURE,
    ),
}
DEVICES: tuple[Devices, ...] = (
    None,
    nvidia_claims.together(nvidia_claims.gpu(1)),
    nvidia_claims.together(nvidia_claims.gpu(1), nvidia_claims.gpu(2)),
    nvidia_claims.together(nvidia_claims.gpu(driver_version="580.95.05")),
    nvidia_claims.together(nvidia_claims.gpu(mode=Mode.MPT)),
)
DATES = (None, "2026-05-01", "2026-07-01")  # NOW is in June
ACCEPT = {"status": "OutOfDate", "advisories": ["INTEL-SA-1"]}
MINE, OTHERS = claims_factory.PCK.ppid.hex(), "01" * 16
SNP27, SNP26 = {"reported": {"snp": 27}}, {"reported": {"snp": 26}}
SHARED: dict[str, tuple[Any, ...]] = {
    "not_before": DATES,
    "not_after": DATES,
    "relax": (None, {"debug": "a reason"}),
    "nvidia": (None, NVIDIA),
}
OF_DEVICES: dict[str, tuple[Any, ...]] = {
    "nvidia.gpus": (1, 2, {"min": 1, "max": 2}),
    "nvidia.models": (["GH100"], ["GB100"], ["GH100", "GB100"]),
    "nvidia.modes": (["spt"], ["mpt"], ["spt", "mpt"]),
    "nvidia.driver": (
        {"no_minimum": "a reason"},
        *({"minimum": one} for one in ({"580": "580.95"}, {"580": "580.178.04"}, {"590": "590.1"})),
        {"minimum": {"580": "580.95", "590": "590.1"}},
    ),
    "nvidia.coverage": (None, 33, 34),
    "nvidia.devices": (None, [nvidia_claims.gpu(1).device_serial], ["42" * 9]),
}
OPTIONS: dict[str, dict[str, tuple[Any, ...]]] = {
    "tdx": SHARED
    | OF_DEVICES
    | {
        "match": ({"tee": "tdx"}, {"tee": "tdx", "provider": "direct"}),
        "reference_sets.release": (
            [RELEASE],
            [entry(rtmr1=bytes(48))],
            [entry(rtmr1=[bytes(48), claims_factory.TD.rtmr1])],
            [RELEASE, entry("r2", rtmr1=bytes(48))],
            [entry(rtmr3=claims_factory.TD.rtmr3)],
            [RELEASE | {"expires": "2026-05-01"}],
            [RELEASE | {"expires": "2026-07-01"}],
        ),
        "tdx.attributes.required": (None, ["pks"], ["pks", "lass"]),
        "tdx.attributes.forbidden": (None, ["perfmon"], ["lass"]),
        "tdx.attributes.allowed": (None, [], ["pks"], ["pks", "kl"]),
        "tdx.xfam.required": (None, "0000000000000007"),
        "tdx.xfam.allowed": (None, "0000000000000003"),
        "tdx.tcb.accept": (
            None,
            [ACCEPT],
            [ACCEPT | {"advisories": []}],
            [ACCEPT | {"until": "2026-05-01"}],
            [ACCEPT | {"until": "2026-07-01"}],
        ),
        "tdx.tcb.refuse_advisories": (None, ["INTEL-SA-1"], ["INTEL-SA-2"]),
        "tdx.tcb.minimum.tcb_evaluation_data_number": (None, 20, 21),
        "tdx.tcb.minimum.tee_tcb_svn": (None, [5], [0, 0, 7], [6]),
        "tdx.tcb.minimum.tdx_module": (None, {"1": 5}, {"1": 6}, {"3": 5}, {"1": 5, "3": 5}),
        "tdx.tcb.minimum.sgx_tcb_components": (None, [11], [12]),
        "tdx.tcb.minimum.pcesvn": (None, 11, 12),
        "tdx.tcb.minimum.qe_isvsvn": (None, 4, 5),
        "tdx.tolerate_stale": (
            None,
            *(dict.fromkeys(claims_factory.PARTS, budget) for budget in ("1d", "10d")),
        ),
        "tdx.platforms.fmspc": (None, ["b0c06f000000"], ["0" * 12]),
        "tdx.platforms.ppid": (None, [MINE], [OTHERS], [MINE, OTHERS]),
        "tdx.platforms.platform_instance_id": (
            None,
            [ONE],
            [bytes(range(0x21, 0x31)).hex()],
        ),
        "google": (
            None,
            *({"projects": said} for said in ([PROJECT], ["web"], ["web", PROJECT])),
            {"projects": [PROJECT], "zones": ["us-central1-a"]},
            {"projects": [PROJECT], "instances": [1, INSTANCE]},
            {"projects": [PROJECT], "instances": [1]},
            {"projects": [PROJECT], "tolerate_stale_crl": "10d"},
        ),
        "warn": (None, {"svn-minimum": "2026-05-01"}, {"svn-minimum": "2026-07-01"}),
    },
    "snp": SHARED
    | {
        "match": ({"tee": "snp"}, {"tee": "snp", "provider": "direct"}),
        "snp.guest_policy.required": (None, ["single-socket"], ["rapl-dis"]),
        "snp.guest_policy.forbidden": (None, ["cxl"], ["smt"]),
        "snp.platform_info.required": (None, ["ecc"], ["rapl-dis"]),
        "snp.platform_info.forbidden": (None, ["smt"], ["tsme"]),
        "snp.allow_smt": (True, False),
        "snp.vmpl": ([0], [1], [0, 1]),
        "snp.products": (
            None,
            {"allow": ["Genoa"]},
            {"allow": ["Turin"]},
            {"deny": ["Turin"]},
            {"deny_cpus": ["19-11-1"]},
        ),
        "snp.mitigation_vectors": (
            None,
            {"launch": "000000000000000b"},
            {"launch": "0000000000000001"},
        ),
        "snp.vlek": (None, {"csp_ids": ["CN=cc-eu-west-1.amazonaws.com"]}, {"csp_ids": ["CN=b"]}),
        "snp.tcb": (
            {"no_floor": "a reason"},
            {"minimum": {"19-11-1": SNP27}},
            {"minimum": {"Genoa": SNP27}},
            {"minimum": {"Genoa": SNP26}},
            {"minimum": {"Genoa": SNP26, "19-11-1": SNP27}},
            {"minimum": {"Genoa": SNP26, "Turin": SNP26}},
        ),
        "snp.chips": (None, [bytes(range(64)).hex()], ["12" * 64]),
        "warn": (None, {"tcb-floor": "2026-05-01"}, {"tcb-floor": "2026-07-01"}),
    },
}
# Of these the verdict alone shows nothing: what they do shows beside other keys.
INVISIBLE = {"warn", "match"}
Said = dict[str, Any]


def document(tee: str, options: Said) -> PolicyDocument:
    """The usual document with these options by path; None is not said."""
    said = json.loads(text() if tee == "tdx" else snp_text())
    for path, value in sorted(options.items()):
        *above, last = path.split(".")
        inside = said
        for key in above:
            inside = inside.setdefault(key, dict(NVIDIA) if key == "nvidia" else {})
        inside[last] = value
        if value is None:
            del inside[last]
    return load_policy(json.dumps(said).encode()).document


@functools.cache
def verdicts(tee: str, path: str, number: int) -> tuple[PolicyDocument, tuple[bool, ...]]:
    said = document(tee, {path: OPTIONS[tee][path][number]})
    return said, judged(tee, said)


def judged(tee: str, policy: PolicyDocument) -> tuple[bool, ...]:
    """Who is accepted: each machine without devices, and a good one with all kinds of them."""
    machines = [(claims, None) for claims in MACHINES[tee]]
    machines += [(MACHINES[tee][0], devices) for devices in DEVICES]  # type: ignore[misc] # a list of pairs
    return tuple(accepted(claims, devices, policy) for claims, devices in machines)


def accepted(claims: Claims, devices: Devices, policy: PolicyDocument) -> bool:
    whole = LoadedPolicy(policy, bytes(32))
    chosen = select([whole], claims, "default", NOW)
    if not isinstance(chosen, LoadedPolicy):
        return False
    return appraise(claims, whole, NOW, devices=devices).decision is Decision.ACCEPTED


def hold(
    old: PolicyDocument, new: PolicyDocument, before: Sequence[bool], after: Sequence[bool]
) -> None:
    told = diff(old, new)
    effects = {one.effect for one in told}
    admitted = any(now and not was for was, now in zip(before, after, strict=True))
    refused = any(was and not now for was, now in zip(before, after, strict=True))
    assert not (admitted and effects <= {STRICTER, NONE}), told
    assert not (refused and effects <= {LOOSER, NONE}), told


@pytest.mark.parametrize(
    ("tee", "path"), [(tee, path) for tee, options in OPTIONS.items() for path in options]
)
def test_directions_are_true(tee: str, path: str) -> None:
    """Every value of a key against every other."""
    values = range(len(OPTIONS[tee][path]))
    seen = set()
    for old, new in itertools.permutations(values, 2):
        (before, was), (after, now) = verdicts(tee, path, old), verdicts(tee, path, new)
        hold(before, after, was, now)
        seen.add(was == now)
    assert False in seen or path in INVISIBLE, "no machine tells these values apart"


@given(data=st.data())
@settings(max_examples=100)
def test_directions_are_true_beside_other_keys(data: st.DataObject) -> None:
    tee = data.draw(st.sampled_from(sorted(OPTIONS)))
    options = OPTIONS[tee]
    paths = data.draw(
        st.lists(st.sampled_from(sorted(options)), min_size=2, max_size=4, unique=True)
    )
    one, *others = paths
    beside = {path: data.draw(st.sampled_from(options[path])) for path in others}
    pair = data.draw(st.lists(st.sampled_from(options[one]), min_size=2, max_size=2))
    try:
        old, new = (document(tee, beside | {one: value}) for value in pair)
    except PolicyError:  # a document that cannot mean what it says
        reject()
    hold(old, new, judged(tee, old), judged(tee, new))
