# SPDX-License-Identifier: Apache-2.0

"""What differs between two documents: names, times, reference sets, and what is asked of a TDX machine."""

from __future__ import annotations

from tests.unit.policies import claims_factory
from tests.unit.policies.diff_documents import (
    EXPIRES,
    ONE,
    OUT_OF_DATE,
    TWO,
    ZERO,
    Case,
    least,
    sets,
    snp,
    tcb,
    tdx,
)
from tests.unit.policies.documents import RELEASE, entry

CASES: dict[str, Case] = {
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
}
