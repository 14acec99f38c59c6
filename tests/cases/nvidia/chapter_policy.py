# SPDX-License-Identifier: Apache-2.0
"""Lines 17, 26, 27, 66, 68, 69, 73 and 74: genuine devices that a policy must refuse, by the strict default or a key.

The devices are verified as ever; what comes of a case are the rules that deny them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from policies.appraise import appraise_devices
from policies.errors import PolicyError
from policies.loader import load_default, load_policy
from policies.result import TOLERABLE
from simulator.nvidia.certificates import DAY, NOW
from tests.cases.nvidia.case import Case
from tests.nvidia_tokens import Hearing, system, two_gpus, vendor
from verifiers.endorsements import Revocation
from verifiers.evidence import Tee
from verifiers.nvidia.claims import AppraisedBy, NvidiaSetClaims

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from policies.document import PolicyDocument
    from simulator.nvidia.vendor import FakeNvidia

LOCAL, NRAS, BOTH = AppraisedBy.LOCAL, AppraisedBy.NRAS, AppraisedBy.BOTH
REASON = {"no_minimum": "a test of other rules"}


def default(**keys: Any) -> PolicyDocument:  # noqa: ANN401 - JSON values
    """The strict default with some keys of its section said otherwise."""
    document = load_default(Tee.TDX, devices=True).document
    assert document.nvidia is not None
    section = document.nvidia.model_dump(mode="json", exclude_unset=True)
    text = {
        "name": "x",
        "version": 1,
        "match": {"tee": "tdx"},
        "tdx": {},
        "nvidia": {**section, **keys},
    }
    return load_policy(json.dumps(text).encode()).document


def refusals(
    found: NvidiaSetClaims | None, document: PolicyDocument | None = None, at: datetime = NOW
) -> set[str]:
    """The rules that deny."""
    findings = appraise_devices(found, document or default(), at)
    return {one.rule.value for one in findings if one.result not in TOLERABLE}


@lru_cache(maxsize=32)
def one(driver: str = "580.178.04", mode: str = "spt", by: AppraisedBy = LOCAL) -> NvidiaSetClaims:
    """One verified GPU."""
    nvidia = vendor()
    nvidia.gpu(driver=driver, mode=mode)
    return Hearing(nvidia).verify(by)


@lru_cache(maxsize=2)
def whole(make: Callable[[], FakeNvidia]) -> NvidiaSetClaims:
    """All devices of a vendor, verified."""
    return Hearing(make()).verify(LOCAL)


def changed(**fields: Any) -> NvidiaSetClaims:  # noqa: ANN401 - of claims
    """One GPU about which the verifier says otherwise."""
    found = one()
    return replace(found, devices=tuple(replace(it, **fields) for it in found.devices))


def unanswered() -> NvidiaSetClaims:
    """One GPU, verified without any OCSP answer."""
    hearing = Hearing()
    return hearing.verify(LOCAL, replace(hearing.endorsements, ocsp=()))


def without_firmware_id() -> NvidiaSetClaims:
    nvidia = vendor()
    device = nvidia.gpu()
    device.written = device.written.having({20: None})
    return Hearing(nvidia).verify(LOCAL)


def of_one_chain(about: str) -> NvidiaSetClaims:
    """One GPU; of its own chain, or of its manifests', the status is not known."""
    (device,) = one().devices
    if about == "device":
        return changed(revocation=Revocation.NOT_CHECKED)
    rims = tuple(
        replace(it, revocation=Revocation.NOT_CHECKED) if it.kind == about else it
        for it in device.rims
    )
    return changed(rims=rims)


WORDS = [
    Case(17, "the default accepts a good GPU", set(), lambda: refusals(one())),
    Case(
        17,
        "a report without firmware id",
        {"fwid-missing"},
        lambda: refusals(without_firmware_id()),
    ),
    Case(
        26,
        "without OCSP answers",
        {"device-revocation-unknown"},
        lambda: refusals(unanswered()),
    ),
    *(
        Case(
            26,
            f"without answers about the chain of the {about}",
            {"device-revocation-unknown"},
            lambda about=about: refusals(of_one_chain(about)),  # type: ignore[misc]  # the text
        )
        for about in ("device", "driver", "vbios")
    ),
    Case(
        27,
        "answers past their next update",
        {"collateral-stale"},
        lambda: refusals(one(), at=NOW + 2 * DAY),
    ),
    Case(
        27,
        "answers past their next update, which the policy tolerates so long",
        set(),
        lambda: refusals(one(), default(tolerate_stale={"ocsp": "3d"}), NOW + 2 * DAY),
    ),
]

COUNTS = [
    Case(66, "no device where one is wanted", {"device-count"}, lambda: refusals(None)),
    Case(
        66,
        "one GPU where two are wanted",
        {"device-count"},
        lambda: refusals(one(), default(gpus=2)),
    ),
    Case(
        66,
        "two GPUs where two are wanted",
        set(),
        lambda: refusals(whole(two_gpus), default(gpus=2)),
    ),
    Case(
        66,
        "two GPUs where one is wanted",
        {"device-count"},
        lambda: refusals(whole(two_gpus), default(gpus=1)),
    ),
    Case(
        66,
        "a whole system where single GPUs are wanted",
        {"device-count", "device-mode", "device-model"},
        lambda: refusals(whole(system)),
    ),
    Case(
        66,
        "a whole system where one is wanted",
        set(),
        lambda: refusals(
            whole(system),
            default(gpus=8, switches=4, models=["GH100", "LS10"], modes=["ppcie"]),
        ),
    ),
]


@lru_cache(maxsize=1)
def mixed() -> NvidiaSetClaims:
    """Two GPUs with drivers of different age."""
    nvidia = vendor()
    nvidia.gpu()
    nvidia.gpu(driver="580.159.03")
    return Hearing(nvidia).verify(LOCAL)


MODES = [
    Case(
        68,
        "a mode that the policy does not list",
        {"device-mode"},
        lambda: refusals(one(mode="mpt"), default(modes=["spt"])),
    ),
    Case(68, "a mode that it lists", set(), lambda: refusals(one(mode="mpt"))),
    Case(68, "no mode", {"device-mode"}, lambda: refusals(changed(mode=None))),
    Case(68, "drivers of different age", {"driver-minimum"}, lambda: refusals(mixed())),
]


def said(key: str, value: object) -> str:
    """What the loader says against a key of the section."""
    try:
        default(**{key: value})
    except PolicyError as error:
        return error.problems[0].message
    return "loads"


def softened(rule: str) -> str:
    text = {"name": "x", "version": 1, "match": {"tee": "tdx"}, "tdx": {}, "relax": {rule: "why"}}
    try:
        load_policy(json.dumps(text).encode())
    except PolicyError as error:
        return error.problems[0].path
    return "loads"


MISMATCHES = [
    *(
        Case(69, f"no policy can say {key}", "unknown key", partial(said, key, [7]))
        for key in ("ignore", "unmatched", "mismatch", "allow_mismatch")
    ),
    *(
        Case(69, f"no policy can relax {rule}", f"relax.{rule}", partial(softened, rule))
        for rule in ("measurement-mismatch", "measurement")
    ),
]


def by_bulletin(driver: str, by: AppraisedBy) -> set[str]:
    return refusals(one(driver, by=by), default(appraisal=by.value, coverage=None))


MINIMUMS = [
    *(
        Case(73, f"{driver}, accepted by {by}", expect, partial(by_bulletin, driver, by))
        for by in AppraisedBy
        for driver, expect in (
            ("595.91.07", set[str]()),
            ("595.71.05", {"driver-minimum"}),
            ("590.48.01", {"driver-minimum"}),
        )
    ),
    Case(
        73,
        "an old driver where the policy says why it takes any",
        set(),
        lambda: refusals(one("595.71.05"), default(driver=REASON)),
    ),
]

COVERED = [
    Case(
        74,
        "fewer measurements with golden values than the policy asks for",
        {"rim-coverage"},
        lambda: refusals(one(), default(coverage=34)),
    ),
    Case(74, "as many as it asks for", set(), lambda: refusals(one(), default(coverage=33))),
    Case(
        74,
        "a token says nothing of coverage",
        {"rim-coverage"},
        lambda: refusals(one(by=NRAS), default(appraisal="nras", coverage=1)),
    ),
    Case(
        74,
        "a token and a comparison of ours",
        set(),
        lambda: refusals(one(by=BOTH), default(appraisal="both", coverage=33)),
    ),
]

CASES = [*WORDS, *COUNTS, *MODES, *MISMATCHES, *MINIMUMS, *COVERED]
