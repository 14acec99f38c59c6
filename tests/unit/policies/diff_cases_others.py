# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 (one line for each difference of the table)
"""What differs between two documents: SEV-SNP, NVIDIA's devices, what is softened, what is issued."""

from __future__ import annotations

from tests.unit.policies.diff_documents import (
    ONE,
    TWO,
    Case,
    floor,
    google,
    nvidia,
    snp,
    tdx,
)
from tests.unit.policies.documents import RELEASE, SNP_RELEASE, snp_entry

CASES: dict[str, Case] = {
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
    "a vTPM of Google's": (
        tdx(),
        google(),
        [("google", "looser", "", "projects, tolerate_stale_crl")],
    ),
    "whose VMs": (
        google(zones=["us-central1-a"], instances=[1, 2]),
        google(projects=["web", "db"], instances=[2, 3], tolerate_stale_crl="1d"),
        [
            ("google.projects", "looser", "", "db"),
            ("google.zones", "looser", "us-central1-a", "any"),
            ("google.instances", "stricter", "1", ""),
            ("google.instances", "looser", "", "3"),
            ("google.tolerate_stale_crl", "looser", "0:00:00", "1 day, 0:00:00"),
        ],
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
