# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 (one line for each difference of the table)
"""What differs between two documents, and whom it can concern.

Whether the directions are true, is asked in `test_diff_directions`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, get_args

import pytest

from policies.diff import COMPARISONS, PATTERNS, diff
from policies.difference import OPPOSITE, Difference, Effect
from policies.document import PolicyDocument
from policies.loader import load_policy
from policies.model import Model
from tests.unit.policies import claims_factory
from tests.unit.policies.documents import RELEASE, SNP_RELEASE, entry, snp_entry, snp_text, text

if TYPE_CHECKING:
    from collections.abc import Iterator


STRICTER, LOOSER, OTHER, NONE = Effect.STRICTER, Effect.LOOSER, Effect.OTHER, Effect.NONE
NVIDIA: dict[str, Any] = {
    "gpus": 1,
    "models": ["GH100"],
    "modes": ["spt"],
    "driver": {"minimum": {"580": "580.178.04"}},
    "vbios": {"minimum": {"GH100": "96.00.CF.00.01"}},
}
ONE, TWO, ZERO = "11" * 16, "22" * 16, "00" * 48


def tdx(section: dict[str, Any] | None = None, **sections: Any) -> PolicyDocument:  # noqa: ANN401 - JSON values
    return load_policy(text(section, **sections)).document


def snp(section: dict[str, Any] | None = None, **sections: Any) -> PolicyDocument:  # noqa: ANN401 - JSON values
    return load_policy(snp_text(section, **sections)).document


def nvidia(**section: Any) -> PolicyDocument:  # noqa: ANN401 - JSON values
    return tdx(nvidia=NVIDIA | section)


def found(old: PolicyDocument, new: PolicyDocument) -> list[tuple[str, str, str, str]]:
    return [(one.path, one.effect.value, one.before, one.after) for one in diff(old, new)]


def tcb(**section: Any) -> PolicyDocument:  # noqa: ANN401 - JSON values
    return tdx({"tcb": section})


def least(**section: Any) -> PolicyDocument:  # noqa: ANN401 - JSON values
    return tcb(minimum=section)


def floor(**section: Any) -> PolicyDocument:  # noqa: ANN401 - JSON values
    return snp({"tcb": section})


def sets(*entries: dict[str, Any], **others: Any) -> PolicyDocument:  # noqa: ANN401 - JSON values
    return tdx(reference_sets={"release": list(entries)} | others)


EXPIRES = RELEASE | {"expires": "2027-01-01"}
OUT_OF_DATE = {"status": "OutOfDate", "advisories": ["INTEL-SA-1"]}

CASES: dict[str, tuple[PolicyDocument, PolicyDocument, list[tuple[str, str, str, str]]]] = {
    "nothing": (tdx(), tdx(), []),
    "version": (tdx(), tdx(version=2), [("version", "none", "1", "2")]),
    "name": (tdx(), tdx(name="db"), [("name", "other", "web", "db")]),
    "begins": (
        tdx(),
        tdx(not_before="2026-01-01"),
        [("not_before", "stricter", "", "2026-01-01T00:00:00Z")],
    ),
    "ends later": (
        tdx(not_after="2027-01-01"),
        tdx(),
        [("not_after", "looser", "2027-01-01T00:00:00Z", "never")],
    ),
    "one provider": (
        tdx(),
        tdx(match={"tee": "tdx", "provider": "direct"}),
        [("match.provider", "stricter", "", "direct")],
    ),
    "another provider": (
        snp(match={"tee": "snp", "provider": "direct"}),
        snp(
            {"unpinned": dict.fromkeys(("pcr4", "pcr8", "pcr9", "pcr11", "pcr12"), "a reason")},
            match={"tee": "snp", "provider": "azure"},
        ),
        [
            ("match.provider", "other", "direct", "azure"),
            *(
                (f"snp.unpinned.{name}", "looser", "", "a reason")
                for name in ("pcr4", "pcr8", "pcr9", "pcr11", "pcr12")
            ),
        ],
    ),
    "one more release": (
        sets(RELEASE),
        sets(RELEASE, entry("r2", rtmr1=bytes(48))),
        [
            (
                "reference_sets.release.r2",
                "looser",
                "",
                "id: r2, values: "
                + ", ".join(
                    f"{name}: {ZERO if name == 'rtmr1' else value}"
                    for name, value in RELEASE["values"].items()
                ),
            )
        ],
    ),
    "another name of a release": (
        sets(RELEASE),
        sets(RELEASE | {"id": "r9", "note": "new"}),
        [("reference_sets.release.r1.id", "none", "r1", "r9")],
    ),
    "registers of a release": (
        sets(RELEASE),
        sets(entry("r1", rtmr3=[bytes(48)], rtmr1=[bytes(48), claims_factory.TD.rtmr1])),
        [
            ("reference_sets.release.r1.values.rtmr1", "looser", "", ZERO),
            ("reference_sets.release.r1.values.rtmr3", "stricter", "", ZERO),
        ],
    ),
    "facts about a release": (
        sets(RELEASE),
        sets(EXPIRES | {"added": "2026-01-01", "source": {"kind": "capture"}}),
        [
            ("reference_sets.release.r1.added", "none", "", "2026-01-01T00:00:00Z"),
            ("reference_sets.release.r1.expires", "stricter", "never", "2027-01-01T00:00:00Z"),
            ("reference_sets.release.r1.source", "none", "", "kind: capture"),
        ],
    ),
    "an unused set": (
        sets(RELEASE),
        sets(RELEASE, spare=[entry("s")]),
        [("reference_sets.spare", "none", "", "s")],
    ),
    "an unused set goes": (
        sets(RELEASE, spare=[entry("s")]),
        sets(RELEASE),
        [("reference_sets.spare", "none", "s", "")],
    ),
    "a set comes into use": (
        sets(RELEASE, spare=[entry("s")]),
        tdx(
            {"measurements": ["spare", "release"]},
            reference_sets={"release": [RELEASE], "spare": [entry("s")]},
        ),
        [("reference_sets.spare", "none", "s", "s"), ("tdx.measurements", "stricter", "", "spare")],
    ),
    "a register left open": (
        tdx({"unpinned": {"rtmr0": "a reason", "rtmr1": "one"}}),
        tdx({"unpinned": {"rtmr0": "another", "rtmr2": "two"}}),
        [
            ("tdx.unpinned.rtmr0", "none", "a reason", "another"),
            ("tdx.unpinned.rtmr1", "stricter", "one", ""),
            ("tdx.unpinned.rtmr2", "looser", "", "two"),
        ],
    ),
    "attributes": (
        tdx({"attributes": {"required": ["pks"], "allowed": ["kl"]}}),
        tdx({"attributes": {"required": ["lass"], "forbidden": ["perfmon"], "allowed": ["kl"]}}),
        [
            ("tdx.attributes.required", "looser", "pks", ""),
            ("tdx.attributes.required", "stricter", "", "lass"),
            ("tdx.attributes.forbidden", "stricter", "", "perfmon"),
            ("tdx.attributes.allowed", "stricter", "pks", ""),
            ("tdx.attributes.allowed", "looser", "", "lass"),
        ],
    ),
    "any attribute": (
        tdx({"attributes": {"allowed": ["kl"]}}),
        tdx(),
        [("tdx.attributes.allowed", "looser", "kl, sept-ve-disable", "any")],
    ),
    "masks": (
        tdx({"xfam": {"required": "0000000000000001", "allowed": "0000000000000007"}}),
        tdx({"xfam": {"required": "0000000000000003", "allowed": "000000000000000b"}}),
        [
            ("tdx.xfam.required", "stricter", "0000000000000001", "0000000000000003"),
            ("tdx.xfam.allowed", "other", "0000000000000007", "000000000000000b"),
        ],
    ),
    "a mask of fewer bits": (
        tdx({"xfam": {"required": "0000000000000003"}}),
        tdx({"xfam": {"required": "0000000000000001"}}),
        [("tdx.xfam.required", "looser", "0000000000000003", "0000000000000001")],
    ),
    "statuses": (
        tcb(accept=[OUT_OF_DATE, OUT_OF_DATE | {"until": "2026-01-01"}]),
        tcb(
            accept=[
                OUT_OF_DATE | {"advisories": [], "note": "n"},
                OUT_OF_DATE | {"until": "2027-01-01"},
                {"status": "SWHardeningNeeded"},
            ]
        ),
        [
            ("tdx.tcb.accept.OutOfDate.advisories", "stricter", "INTEL-SA-1", ""),
            ("tdx.tcb.accept.OutOfDate.note", "none", "", "n"),
            (
                "tdx.tcb.accept.OutOfDate[1].until",
                "looser",
                "2026-01-01T00:00:00Z",
                "2027-01-01T00:00:00Z",
            ),
            ("tdx.tcb.accept.SWHardeningNeeded", "looser", "", "status: SWHardeningNeeded"),
        ],
    ),
    "advisories": (
        tcb(refuse_advisories=["A"]),
        tcb(),
        [("tdx.tcb.refuse_advisories", "looser", "A", "")],
    ),
    "minimums": (
        least(tcb_evaluation_data_number=9, tee_tcb_svn=[1, 2], sgx_tcb_components=[1], pcesvn=2),
        least(tcb_evaluation_data_number=8, tee_tcb_svn=[0, 2, 3], qe_isvsvn=1, pcesvn=2),
        [
            ("tdx.tcb.minimum.tcb_evaluation_data_number", "looser", "9", "8"),
            ("tdx.tcb.minimum.tee_tcb_svn[0]", "looser", "1", "0"),
            ("tdx.tcb.minimum.tee_tcb_svn[2]", "stricter", "0", "3"),
            ("tdx.tcb.minimum.sgx_tcb_components[0]", "looser", "1", "0"),
            ("tdx.tcb.minimum.qe_isvsvn", "stricter", "0", "1"),
        ],
    ),
    "modules": (
        least(tdx_module={"1": 5}),
        least(tdx_module={"1": 6, "3": 2}),
        [
            ("tdx.tcb.minimum.tdx_module.1", "stricter", "5", "6"),
            ("tdx.tcb.minimum.tdx_module.3", "looser", "", "2"),
        ],
    ),
    "the first module": (
        least(),
        least(tdx_module={"1": 5}),
        [("tdx.tcb.minimum.tdx_module", "stricter", "", "1: 5")],
    ),
    "no module": (
        least(tdx_module={"1": 5}),
        least(),
        [("tdx.tcb.minimum.tdx_module", "looser", "1: 5", "")],
    ),
    "staleness": (
        tdx({"tolerate_stale": {"tcb_info": "24h"}}),
        tdx({"tolerate_stale": {"tcb_info": "1d", "pck_crl": "12h"}}),
        [("tdx.tolerate_stale.pck_crl", "looser", "", "12:00:00")],
    ),
    "no staleness": (
        tdx({"tolerate_stale": {"tcb_info": "24h"}}),
        tdx({"tolerate_stale": {"pck_crl": "0s"}}),
        [("tdx.tolerate_stale.tcb_info", "stricter", "1 day, 0:00:00", "")],
    ),
    "machines": (
        tdx({"platforms": {"ppid": [ONE]}}),
        tdx({"platforms": {"ppid": [ONE], "platform_instance_id": [TWO], "fmspc": ["0" * 12]}}),
        [
            ("tdx.platforms.fmspc", "stricter", "any", "0" * 12),
            ("tdx.platforms.platform_instance_id", "looser", "", TWO),
        ],
    ),
    "any machine": (
        tdx({"platforms": {"ppid": [ONE]}}),
        tdx(),
        [("tdx.platforms.ppid", "looser", ONE, "any")],
    ),
    "another technology": (
        tdx(),
        snp(
            reference_sets={"release": [RELEASE | {"values": SNP_RELEASE["values"]}]},
            issue={"san": {"uri": ["spiffe://example.org/tdx/{measurement_32}"]}},
        ),
        [
            ("match.tee", "other", "tdx", "snp"),
            ("reference_sets.release.r1.values.mr_td", "looser", RELEASE["values"]["mr_td"], ""),
            *(
                (
                    f"reference_sets.release.r1.values.rtmr{n}",
                    "looser",
                    RELEASE["values"][f"rtmr{n}"],
                    "",
                )
                for n in range(3)
            ),
            (
                "reference_sets.release.r1.values.measurement",
                "stricter",
                "",
                SNP_RELEASE["values"]["measurement"],
            ),
            ("tdx", "other", "measurements, attributes, xfam, tcb, platforms", ""),
            (
                "snp",
                "other",
                "",
                "measurements, guest_policy, allow_smt, vmpl, id_block, products, platform_info, mitigation_vectors, tcb",
            ),
            (
                "issue.san.uri",
                "other",
                "spiffe://example.org/tdx/{mr_config_id_32}",
                "spiffe://example.org/tdx/{measurement_32}",
            ),
        ],
    ),
    "bits of a guest": (
        snp({"guest_policy": {"required": ["rapl-dis"]}, "platform_info": {"forbidden": ["tsme"]}}),
        snp({"guest_policy": {"forbidden": ["cxl"]}, "platform_info": {"required": ["ecc"]}}),
        [
            ("snp.guest_policy.required", "looser", "rapl-dis", ""),
            ("snp.guest_policy.forbidden", "stricter", "", "cxl"),
            ("snp.platform_info.required", "stricter", "", "ecc"),
            ("snp.platform_info.forbidden", "looser", "tsme", ""),
        ],
    ),
    "smt and levels": (
        snp({"allow_smt": False, "vmpl": 0}),
        snp({"vmpl": [1, 0]}),
        [("snp.allow_smt", "looser", "false", "true"), ("snp.vmpl", "looser", "", "1")],
    ),
    "an ID block": (
        snp(
            {"id_block": {"guest_svn": 1, "family_id": ONE}},
            reference_sets={"release": [snp_entry("s1", id_key_digest=b"1" * 48)]},
        ),
        snp(
            {"id_block": {"family_id": TWO, "image_id": ONE}},
            reference_sets={"release": [snp_entry("s1", id_key_digest=b"1" * 48)]},
        ),
        [
            ("snp.id_block.guest_svn", "looser", "1", ""),
            ("snp.id_block.family_id", "other", ONE, TWO),
            ("snp.id_block.image_id", "stricter", "", ONE),
        ],
    ),
    "an image no more": (
        snp(
            {"id_block": {"image_id": ONE}},
            reference_sets={"release": [snp_entry("s1", id_key_digest=b"1" * 48)]},
        ),
        snp(reference_sets={"release": [snp_entry("s1", id_key_digest=b"1" * 48)]}),
        [("snp.id_block.image_id", "looser", ONE, "")],
    ),
    "products": (
        snp({"products": {"allow": ["Genoa"], "deny_cpus": ["19-a0-2"]}}),
        snp({"products": {"deny": ["Milan"]}}),
        [
            ("snp.products.allow", "looser", "", "Milan, Turin"),
            ("snp.products.deny", "stricter", "", "Milan"),
            ("snp.products.deny_cpus", "looser", "19-a0-2", ""),
        ],
    ),
    "vlek": (snp(), snp({"vlek": {"csp_ids": ["CN=a"]}}), [("snp.vlek", "looser", "", "csp_ids")]),
    "vlek of another": (
        snp({"vlek": {"csp_ids": ["CN=a"]}}),
        snp({"vlek": {"csp_ids": ["CN=b"]}}),
        [("snp.vlek.csp_ids", "stricter", "CN=a", ""), ("snp.vlek.csp_ids", "looser", "", "CN=b")],
    ),
    "floors": (
        floor(
            minimum={"19-11-1": {"reported": {"snp": 27}, "current": {"snp": 1}}},
            advisories=["AMD-SB-3015"],
        ),
        floor(
            minimum={
                "19-11-1": {"reported": {"snp": 28, "microcode": 1}},
                "Turin": {"reported": {"snp": 1}},
            }
        ),
        [
            ("snp.tcb.advisories", "looser", "AMD-SB-3015", ""),
            ("snp.tcb.minimum.19-11-1.reported.snp", "stricter", "27", "28"),
            ("snp.tcb.minimum.19-11-1.reported.microcode", "stricter", "", "1"),
            ("snp.tcb.minimum.19-11-1.current.snp", "looser", "1", ""),
            ("snp.tcb.minimum.Turin", "other", "", "reported: snp: 1"),
        ],
    ),
    "no floor": (
        floor(no_floor="a reason"),
        floor(minimum={"Genoa": {"reported": {"snp": 1}}}),
        [
            ("snp.tcb.minimum", "stricter", "", "Genoa: reported: snp: 1"),
            ("snp.tcb.no_floor", "none", "a reason", ""),
        ],
    ),
    "chips": (snp(), snp({"chips": ["12" * 64]}), [("snp.chips", "stricter", "any", "12" * 64)]),
    "vectors": (
        snp(),
        snp(
            {"mitigation_vectors": {"launch": "000000000000000b"}, "tolerate_stale": {"crl": "1d"}}
        ),
        [
            ("snp.mitigation_vectors.launch", "stricter", "0" * 16, "000000000000000b"),
            ("snp.tolerate_stale.crl", "looser", "", "1 day, 0:00:00"),
        ],
    ),
    "devices": (
        tdx(),
        nvidia(),
        [("nvidia", "other", "", "appraisal, gpus, switches, models, modes, driver, vbios")],
    ),
    "how many devices": (
        nvidia(gpus={"min": 1, "max": 2}),
        nvidia(gpus={"min": 2, "max": 4}),
        [("nvidia.gpus.min", "stricter", "1", "2"), ("nvidia.gpus.max", "looser", "2", "4")],
    ),
    "whose word": (
        nvidia(),
        nvidia(appraisal="both"),
        [("nvidia.appraisal", "stricter", "local", "both")],
    ),
    "one word": (
        nvidia(appraisal="both"),
        nvidia(appraisal="nras"),
        [("nvidia.appraisal", "looser", "both", "nras")],
    ),
    "another's word": (
        nvidia(),
        nvidia(appraisal="nras"),
        [("nvidia.appraisal", "other", "local", "nras")],
    ),
    "versions": (
        nvidia(),
        nvidia(
            driver={"minimum": {"580": "580.200", "590": "590.1"}},
            vbios={"minimum": {"GH100": "97.00.CF.00.01"}},
            coverage=30,
            devices=["41" * 9],
        ),
        [
            ("nvidia.driver.minimum.580", "stricter", "580.178.04", "580.200"),
            ("nvidia.driver.minimum.590", "looser", "", "590.1"),
            ("nvidia.vbios.minimum.GH100", "other", "96.00.CF.00.01", "97.00.CF.00.01"),
            ("nvidia.coverage", "stricter", "", "30"),
            ("nvidia.devices", "stricter", "any", "41" * 9),
        ],
    ),
    "an older version": (
        nvidia(driver={"minimum": {"580": "580.178.4"}}, vbios={"no_minimum": "a reason"}),
        nvidia(driver={"minimum": {"580": "580.178.04"}}),
        [
            ("nvidia.vbios.minimum", "stricter", "", "GH100: 96.00.CF.00.01"),
            ("nvidia.vbios.no_minimum", "none", "a reason", ""),
        ],
    ),
    "a lower version": (
        nvidia(),
        nvidia(driver={"minimum": {"580": "580.95"}}),
        [("nvidia.driver.minimum.580", "looser", "580.178.04", "580.95")],
    ),
    "softened": (
        tdx(relax={"debug": "a reason"}, warn={"attributes": "2026-01-01", "fmspc": "2026-01-01"}),
        tdx(relax={"debug": "another"}, warn={"attributes": "2027-01-01"}),
        [
            ("relax.debug", "none", "a reason", "another"),
            ("warn.attributes", "looser", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("warn.fmspc", "stricter", "2026-01-01T00:00:00Z", ""),
        ],
    ),
    "what is issued": (
        tdx(),
        tdx(
            issue={
                "profile": "p",
                "lifetime": "1h",
                "san": {"dns": ["a.example.org"]},
                "shared_name": "a reason",
                "withhold_chip_handle": True,
            },
            description="d",
        ),
        [
            ("description", "none", "", "d"),
            ("issue.profile", "other", "default", "p"),
            ("issue.lifetime", "stricter", "1 day, 0:00:00", "1:00:00"),
            ("issue.san.dns", "other", "", "a.example.org"),
            ("issue.san.uri", "other", "spiffe://example.org/tdx/{mr_config_id_32}", ""),
            ("issue.shared_name", "none", "", "a reason"),
            ("issue.withhold_chip_handle", "other", "false", "true"),
        ],
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_differences(
    case: tuple[PolicyDocument, PolicyDocument, list[tuple[str, str, str, str]]],
) -> None:
    old, new, expected = case
    assert found(old, new) == expected


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_other_way_round(case: tuple[PolicyDocument, PolicyDocument, object]) -> None:
    """What is stricter one way is looser the other way, with the sides changed."""
    old, new, _ = case
    assert diff(old, old) == diff(new, new) == ()
    back = {
        Difference(one.path, OPPOSITE.get(one.effect, one.effect), one.after, one.before)
        for one in diff(new, old)
    }
    there = {one for one in diff(old, new) if not one.path.endswith(".id")}  # the id on either side
    assert there == {one for one in back if not one.path.endswith(".id")}


def test_notation_is_no_difference() -> None:
    reordered = json.loads(text())
    reordered = dict(reversed(reordered.items())) | {"not_before": None, "relax": {}}
    del reordered["not_before"]
    reordered["tdx"] |= {"xfam": {"required": "0000000000000003"}, "tcb": {"accept": []}}
    assert diff(tdx(), load_policy(json.dumps(reordered).encode()).document) == ()


# every key has its direction


def keys(model: type[Model], prefix: str = "") -> Iterator[str]:
    """Paths of everything that a document can say, with * for keys of mappings and elements of lists."""
    for name, field in model.model_fields.items():
        yield from _of(field.annotation, f"{prefix}{name}")


def _of(annotation: Any, path: str) -> Iterator[str]:  # noqa: ANN401 - any annotation
    inside = list(_models(annotation))
    if not inside:
        yield path
    for model, depth in inside:
        yield from keys(model, f"{path}{'.*' * depth}.")


def _models(annotation: Any, depth: int = 0) -> Iterator[tuple[type[Model], int]]:  # noqa: ANN401 - any annotation
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation, depth
    origin = getattr(annotation, "__origin__", None)
    for argument in get_args(annotation):
        yield from _models(argument, depth + (origin in {dict, tuple}))


def test_every_key_has_a_direction() -> None:
    """A key that is added to the document is `other` until it has a line in `policies.diff.COMPARISONS`."""
    unnamed = []
    for path in keys(PolicyDocument):
        parts = path.split(".")
        prefixes = {".".join(parts[:depth]) for depth in range(1, len(parts) + 1)}
        if not prefixes & COMPARISONS.keys() and f"{path}.*" not in PATTERNS:
            unnamed.append(path)
    told_elsewhere = ["reference_sets.*.*.id", "tdx.tcb.accept.*.status"]
    assert [path for path in unnamed if path not in told_elsewhere] == []


def test_what_has_no_direction_is_told_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "policies.diff.COMPARISONS",
        {name: one for name, one in COMPARISONS.items() if name != "issue.lifetime"},
    )
    new = tdx(
        issue={"lifetime": "1h", "san": {"uri": ["spiffe://example.org/tdx/{mr_config_id_32}"]}}
    )
    assert found(tdx(), new) == [("issue.lifetime", "other", "1 day, 0:00:00", "1:00:00")]
