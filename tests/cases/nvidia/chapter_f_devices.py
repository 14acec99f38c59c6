# SPDX-License-Identifier: Apache-2.0
"""Lines 59 to 64: about which devices tokens of NVIDIA's attestation service are, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from simulator.nvidia.vendor import ON_HOLD, REVOKED, UNKNOWN
from tests import nvidia_tokens as lab
from tests.cases.nvidia.case import Case
from tests.cases.nvidia.chapter_f_claims import (
    GOOD,
    INVALID,
    OTHER,
    REFUSED,
    SWITCH,
    TWO,
    error_alone,
    heard,
    said,
)
from tests.nvidia_tokens import ABSENT, Hearing, changed, having, ueid
from verifiers.endorsements import Revocation
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.claims import AppraisedBy

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.nvidia.vendor import FakeNvidia
    from verifiers.nvidia.endorsements import NvidiaEndorsements


def all_devices(hearing: Hearing, place: int) -> Hearing:
    """Every token is about one device."""
    return hearing.edited(edit_device=changed(ueid=ueid(hearing.nvidia, place)))


SYSTEM = Hearing(nvidia=lab.system())
COUNTS = [
    Case(59, "two tokens of two devices", 2, partial(heard, TWO)),
    Case(59, "two answers about twelve devices", 12, partial(heard, SYSTEM)),
    Case(59, "one of the two", INVALID, lambda: heard(SYSTEM.but(answers=SYSTEM.said[:1]))),
    Case(59, "one of them twice", INVALID, lambda: heard(SYSTEM.but(answers=SYSTEM.said[:1] * 2))),
    Case(59, "no answer", Reason.INCOMPLETE, partial(heard, GOOD.but(answers=()))),
    Case(
        59,
        "a token less than devices",
        INVALID,
        lambda: heard(TWO.but(answers=Hearing(nvidia=lab.one_gpu()).said)),
    ),
    Case(
        59,
        "a token more",
        INVALID,
        partial(heard, TWO.but(present=tuple(lab.two_gpus().devices[:1]))),
    ),
    Case(59, "both tokens about one device", INVALID, lambda: heard(all_devices(TWO, 0))),
    Case(
        59,
        "no device's token",
        INVALID,
        said(edit_answer=lambda answer: [answer[0], {}], edit_overall=changed(submods={})),
    ),
    Case(
        59,
        "seventeen tokens",
        Reason.TOO_LARGE,
        said(edit_answer=lambda a: [a[0], {f"GPU-{n}": a[1]["GPU-0"] for n in range(17)}]),
    ),
]


def elsewhere(**claims: object) -> Callable[[], int]:
    return said(edit_device=having({name.replace("_", "-"): v for name, v in claims.items()}))


def told(claims: dict[str, object], by: AppraisedBy) -> object:
    """What is said of a device whose token has these claims, and whether it is genuine all the same."""
    try:
        return GOOD.edited(edit_device=having(claims)).verify(by)
    except VerificationError as error:
        return error.reason, error.authentic


DISAGREE = Reason.VERIFIERS_DISAGREE
OTHERS = [
    Case(
        60,
        "the token of another GPU",
        INVALID,
        lambda: heard(TWO.but(answers=TWO.said, present=(lab.two_gpus().devices[1],))),
    ),
    Case(
        60,
        "a GPU in the place of another",
        INVALID,
        lambda: heard(Hearing(nvidia=lab.one_switch(), answers=GOOD.said)),
    ),
    *(
        Case(60, f"ueid is {how}", INVALID, elsewhere(ueid=value))
        for how, value in (
            ("another", "1"),
            ("a number", int(ueid(lab.one_gpu(), 0))),
            ("with a zero in front", "0" + ueid(lab.one_gpu(), 0)),
            ("negative", "-" + ueid(lab.one_gpu(), 0)),
            ("hexadecimal", f"{int(ueid(lab.one_gpu(), 0)):x}a"),
            ("of other digits", "\u0661"),
            ("enormous", "9" * 60),
            ("the board's serial", lab.one_gpu().devices[0].serial),
            ("empty", ""),
        )
    ),
    Case(60, "another driver", DISAGREE, elsewhere(x_nvidia_gpu_driver_version="580.159.03")),
    Case(60, "another VBIOS", DISAGREE, elsewhere(x_nvidia_gpu_vbios_version="96.00.CF.00.02")),
    *(
        Case(
            60,
            f"another driver, appraised by {by}",
            (DISAGREE, True),
            partial(told, {"x-nvidia-gpu-driver-version": "580.159.03"}, by),
        )
        for by in (AppraisedBy.NRAS, AppraisedBy.BOTH)
    ),
    Case(
        60,
        "another BIOS of a switch",
        DISAGREE,
        partial(
            heard,
            SWITCH.edited(
                edit_device=having({"x-nvidia-switch-bios-version": "96.10.55.00.02"}),
            ),
        ),
    ),
    Case(
        60, "the VBIOS in small letters", 1, elsewhere(x_nvidia_gpu_vbios_version="96.00.cf.00.01")
    ),
    *(
        Case(60, f"hwmodel is {value}", 1, elsewhere(hwmodel=value))
        for value in ("GH100", "GH100 A01 GSP BROM")
    ),
    *(
        Case(60, f"hwmodel is {value!r}", DISAGREE, elsewhere(hwmodel=value))
        for value in ("GB100", "GH100 A02 GSP BROM", "gh100")
    ),
    *(
        Case(60, f"hwmodel is {value!r}", INVALID, elsewhere(hwmodel=value))
        for value in ("", 1, "GH100\n")
    ),
    Case(
        60,
        "a switch's token under the name of a GPU",
        INVALID,
        partial(
            heard,
            SWITCH.edited(
                edit_answer=lambda a: [a[0], {"GPU-0": a[1]["SWITCH-0"]}],
                edit_overall=lambda c: c | {"submods": {"GPU-0": c["submods"]["SWITCH-0"]}},
            ),
        ),
    ),
    Case(
        60,
        "a GPU's leaf in a switch's token",
        INVALID,
        lambda: heard(
            Hearing(
                nvidia=lab.one_gpu(),
                answers=SWITCH.edited(edit_device=changed(ueid=ueid(lab.one_gpu(), 0))).said,
            )
        ),
    ),
]

COPIES = [
    Case(61, "secboot is false beside success", REFUSED, elsewhere(secboot=False)),
    Case(61, "secboot is missing", INVALID, elsewhere(secboot=ABSENT)),
    Case(61, "dbgstat is enabled beside success", REFUSED, elsewhere(dbgstat="enabled")),
    Case(61, "measres alone fails", REFUSED, elsewhere(measres="fail")),
    Case(
        61,
        "all three say that a device is good that does not match",
        REFUSED,
        said(
            edit_device=changed(measres="success", secboot=True, dbgstat="disabled"),
            edit_overall=having({"x-nvidia-overall-att-result": False}),
        ),
    ),
]


def revocation(hearing: Hearing) -> object:
    (one,) = hearing.judge()
    return one.claims.revocation


def status(chain: str, **changes: object) -> Callable[[], int]:
    """A chain's statuses changed, under claims that say that all is well."""
    name = f"x-nvidia-gpu-{chain}-cert-chain"
    wanted = {f"x-nvidia-cert-{key.replace('_', '-')}": value for key, value in changes.items()}
    return said(edit_device=lambda claims: claims | {name: having(wanted)(claims[name])})


VERSIONS = [
    Case(62, "3.0 says that nothing is revoked", Revocation.GOOD, partial(revocation, GOOD)),
    Case(
        62,
        "2.0 does not say it",
        Revocation.NOT_CHECKED,
        partial(revocation, GOOD.edited(claims_version="2.0")),
    ),
    *(
        Case(62, f"version {value!r}", INVALID, said(edit_overall=having({"x-nvidia-ver": value})))
        for value in ("1.0", "2.1", "4.0", "", None, 3.0, ABSENT, "3.0\u0660")
    ),
    Case(
        62,
        "2.0 that is called 3.0",
        INVALID,
        partial(
            heard,
            GOOD.edited(claims_version="2.0", edit_overall=having({"x-nvidia-ver": "3.0"})),
        ),
    ),
    Case(62, "3.0 that is called 2.0", INVALID, said(edit_overall=having({"x-nvidia-ver": "2.0"}))),
    *(
        Case(
            62,
            f"no status of {chain}",
            INVALID,
            said(edit_device=having({f"x-nvidia-gpu-{chain}-cert-chain": value})),
        )
        for chain in ("attestation-report", "driver-rim", "vbios-rim")
        for value in (ABSENT,)
    ),
    Case(
        62,
        "a status that is text",
        INVALID,
        said(edit_device=having({"x-nvidia-gpu-driver-rim-cert-chain": "valid"})),
    ),
]


def refusing(alter: Callable[[FakeNvidia], object]) -> Callable[[], int]:
    """A service that judges a vendor's GPU after a change."""

    def run() -> int:
        nvidia = lab.vendor(gpus=1)
        alter(nvidia)
        return heard(Hearing(nvidia=nvidia))

    return run


def unpublish(nvidia: FakeNvidia) -> None:
    nvidia.manifests.clear()


def differing(nvidia: FakeNvidia) -> None:
    """The device's measurements are no longer those of the manifest."""
    (gpu,) = nvidia.devices
    first, *others = gpu.written.blocks
    gpu.written = gpu.written.but(blocks=(replace(first, value=b"x" * 48), *others))


FALSE = having({"x-nvidia-overall-att-result": False})


def missing(given: NvidiaEndorsements) -> NvidiaEndorsements:
    return replace(given, rims=())


def strange(given: NvidiaEndorsements) -> NvidiaEndorsements:
    return replace(given, ocsp=(b"rubbish",))


def refused_beside(collateral: Callable[[NvidiaEndorsements], NvidiaEndorsements]) -> object:
    """The service refuses; our own word is wanted too, and there is nothing good to found it on."""
    hearing = GOOD.edited(edit_overall=FALSE)
    return hearing.verify(AppraisedBy.BOTH, collateral(hearing.endorsements))


REFUSALS = [
    Case(63, "a device that does not match", REFUSED, refusing(differing)),
    Case(63, "a manifest that the service does not have", REFUSED, refusing(unpublish)),
    Case(63, "another nonce", REFUSED, partial(heard, GOOD.but(asked=OTHER, nonce=OTHER))),
    Case(
        63, "a result that is false above claims that are true", REFUSED, said(edit_overall=FALSE)
    ),
    Case(
        63,
        "a refusal of what is accepted here, where both must accept",
        Reason.VERIFIERS_DISAGREE,
        lambda: GOOD.edited(edit_overall=FALSE).verify(AppraisedBy.BOTH),
    ),
    Case(
        63,
        "a check that did not hold under a result that is true, where both must accept",
        Reason.VERIFIERS_DISAGREE,
        lambda: GOOD.edited(edit_device=having({"measres": "fail"})).verify(AppraisedBy.BOTH),
    ),
    *(
        Case(
            63,
            f"a refusal of what {why} here",
            REFUSED,
            partial(refused_beside, collateral),
        )
        for why, collateral in (("lacks manifests", missing), ("has strange answers", strange))
    ),
    Case(63, "an error", REFUSED, said(edit_overall=FALSE, edit_device=error_alone)),
    Case(
        63,
        "one of two",
        REFUSED,
        partial(
            heard,
            TWO.edited(
                edit_overall=FALSE,
                edit_device=lambda claims: (
                    claims if claims["ueid"] == ueid(lab.two_gpus(), 0) else error_alone(claims)
                ),
            ),
        ),
    ),
    Case(
        63,
        "a refusal that nobody has signed",
        Reason.TOKEN_ALG,
        said(edit_overall=FALSE, write=lab.unsigned),
    ),
]


def leaf_status(status: dict[str, Any]) -> Callable[[FakeNvidia], object]:
    return lambda nvidia: nvidia.status(nvidia.devices[0].device.parties[1], status)


def signer_status(status: dict[str, Any]) -> Callable[[FakeNvidia], object]:
    return lambda nvidia: nvidia.status(next(iter(nvidia.signers.values()))[0], status)


OPTIONS = [
    *(
        Case(64, f"{whose} is {how}", REFUSED, refusing(of(value)))
        for whose, of in (("a device", leaf_status), ("a signer of manifests", signer_status))
        for how, value in (("revoked", REVOKED), ("on hold", ON_HOLD), ("unknown", UNKNOWN))
    ),
    *(
        Case(
            64,
            f"{chain}: {name} is {value!r} under a result that is true",
            INVALID if value is ABSENT or value is None else REFUSED,
            status(chain, **{name: value}),
        )
        for chain in ("attestation-report", "driver-rim", "vbios-rim")
        for name, value in (
            ("status", "expired"),
            ("status", "revoked"),
            ("status", ABSENT),
            ("status", None),
            ("ocsp_status", "revoked"),
            ("ocsp_status", "unknown"),
            ("ocsp_status", ABSENT),
            ("revocation_reason", "certificateHold"),
            ("revocation_reason", ""),
            ("revocation_reason", False),
        )
    ),
    Case(
        64,
        "no reason of a revocation",
        1,
        status("driver-rim", revocation_reason=ABSENT),
    ),
]

CASES = [*COUNTS, *OTHERS, *COPIES, *VERSIONS, *REFUSALS, *OPTIONS]
