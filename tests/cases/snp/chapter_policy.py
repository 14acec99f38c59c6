# SPDX-License-Identifier: Apache-2.0
"""Lines 18, 20, 31, 33 to 35, 42 to 50 and 57, what is the policy's: guest, platform, who signed, what is pinned."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from simulator.snp import CSP, DEBUG, POLICY, SMT
from tests.cases.snp import case
from tests.cases.snp.case import VERIFIED, Case, both, real, reported, vlek
from tests.cases.snp.chapter_tcb import levels
from tests.cases.snp.judged import ACCEPTED, Judged, Refused, denied, fine
from tests.snp_lab import NOW

if TYPE_CHECKING:
    from tests.cases.snp.case import Alteration

SMT_BIT, MIGRATE, RAPL_DIS, HIDING = 1 << 16, 1 << 18, 1 << 23, 1 << 24  # POLICY
ALIAS, RAPL_ON = 1 << 5, 1 << 3  # PLATFORM_INFO
NO_SMT = POLICY ^ SMT_BIT


def stale(days: int) -> Alteration:
    return lambda lab: lab.line.vcek_crl.alter(next_update=NOW - timedelta(days=days))


JUDGED = (
    Judged(20, "a list past its next update", denied("collateral-stale"), stale(1)),
    Judged(20, "within the budget", ACCEPTED, stale(1), {"tolerate_stale": {"crl": "2d"}}),
    Judged(
        20,
        "past the budget",
        denied("collateral-stale"),
        stale(3),
        {"tolerate_stale": {"crl": "2d"}},
    ),
    Judged(18, "no list at all", denied("revocation-unknown"), lambda lab: lab.edit(crl=None)),
    Judged(31, "a VLEK", denied("vlek"), vlek),
    Judged(31, "a VLEK of a provider that is named", ACCEPTED, vlek, {"vlek": {"csp_ids": [CSP]}}),
    *(
        Judged(
            31,
            f"a VLEK of {CSP}, {csp_id} is named",
            denied("vlek"),
            vlek,
            {"vlek": {"csp_ids": [csp_id]}},
        )
        for csp_id in (CSP[:-1], CSP.upper(), f"{CSP}.", "CN=cc-eu-west-1.amazonaws.com")
    ),
    Judged(33, "debug", denied("debug"), reported(policy=POLICY | DEBUG)),
    Judged(
        34,
        "a migration agent is allowed",
        denied("migration-agent"),
        reported(policy=POLICY | MIGRATE),
    ),
    Judged(
        34,
        "a migration agent is bound",
        denied("migration-agent"),
        reported(report_id_ma=bytes(32)),
    ),
    Judged(
        34,
        "one byte of REPORT_ID_MA",
        denied("migration-agent"),
        reported(report_id_ma=b"\xff" * 31 + b"\xfe"),
    ),
    *(
        Judged(35, f"VMPL {vmpl:#x}", denied("vmpl-not-zero"), reported(vmpl=vmpl))
        for vmpl in (1, 2, 3, 0xFFFFFFFF)
    ),
    Judged(35, "VMPL 1 where 1 is wanted", ACCEPTED, reported(vmpl=1), {"vmpl": [1]}),
    Judged(35, "VMPL 0 where 1 is wanted", denied("vmpl-not-zero"), fine, {"vmpl": [1]}),
    Judged(
        35,
        "asked for by the host, where all levels are wanted",
        denied("vmpl-not-zero"),
        reported(vmpl=0xFFFFFFFF),
        {"vmpl": [0, 1, 2, 3]},
    ),
    Judged(42, "no alias check", denied("alias-check-missing"), reported(platform_info=SMT)),
    Judged(
        42,
        "version 2 can show none",
        denied("alias-check-missing", "report-version-below-3"),
        reported(version=2),
        product="Milan",
    ),
    Judged(
        42,
        "version 2 with the bit",
        denied("report-version-below-3"),
        reported(version=2, platform_info=SMT | ALIAS),
        product="Milan",
    ),
    Judged(43, "SMT allowed by the guest and on", denied("smt"), fine, {"allow_smt": False}),
    Judged(
        43,
        "SMT allowed by the guest, off on the platform",
        denied("smt"),
        reported(platform_info=ALIAS),
        {"allow_smt": False},
    ),
    Judged(
        43,
        "SMT off in both",
        ACCEPTED,
        reported(policy=NO_SMT, platform_info=ALIAS),
        {"allow_smt": False},
    ),
    Judged(
        43,
        "SMT on against the guest's own policy",
        denied("smt", "guest-policy-unmet"),
        reported(policy=NO_SMT),
        {"allow_smt": False},
    ),
    Judged(
        44,
        "ECC is required and off",
        denied("platform-info"),
        reported(platform_info=SMT | ALIAS),
        {"platform_info": {"required": ["ecc"]}},
    ),
    Judged(44, "ECC is required and on", ACCEPTED, fine, {"platform_info": {"required": ["ecc"]}}),
    Judged(
        44,
        "TSME is forbidden and on",
        denied("platform-info"),
        reported(platform_info=SMT | ALIAS | 2),
        {"platform_info": {"forbidden": ["tsme"]}},
    ),
    Judged(
        44, "TIO is forbidden and off", ACCEPTED, fine, {"platform_info": {"forbidden": ["tio"]}}
    ),
    Judged(
        44,
        "single socket is required, the guest does not ask",
        denied("guest-policy"),
        fine,
        {"guest_policy": {"required": ["single-socket"]}},
    ),
    Judged(
        44,
        "CXL is forbidden, the guest allows it",
        denied("guest-policy"),
        reported(policy=POLICY | 1 << 21),
        {"guest_policy": {"forbidden": ["cxl"]}},
    ),
    Judged(
        45,
        "the guest demands RAPL off, which is on",
        denied("guest-policy-unmet"),
        reported(policy=POLICY | RAPL_DIS),
    ),
    Judged(
        45,
        "the guest demands RAPL off, which is off",
        ACCEPTED,
        reported(policy=POLICY | RAPL_DIS, platform_info=SMT | ALIAS | RAPL_ON),
    ),
    Judged(
        45,
        "the guest demands ciphertext hiding",
        denied("guest-policy-unmet"),
        reported(policy=POLICY | HIDING),
    ),
    Judged(
        46,
        "Milan is denied",
        denied("product"),
        fine,
        {"products": {"deny": ["Milan"]}},
        product="Milan",
    ),
    Judged(
        46,
        "Milan is not among those allowed",
        denied("product"),
        fine,
        {"products": {"allow": ["Genoa", "Turin"]}},
        product="Milan",
    ),
    Judged(46, "Genoa where Milan is denied", ACCEPTED, fine, {"products": {"deny": ["Milan"]}}),
    Judged(
        46,
        "a CPU model is denied",
        denied("product"),
        fine,
        {"products": {"deny_cpus": ["19-11-1"]}},
    ),
    Judged(
        46,
        "a model is denied, version 2 names none",
        denied("product", "alias-check-missing", "report-version-below-3"),
        reported(version=2),
        {"products": {"deny_cpus": ["19-01-1"]}},
        product="Milan",
    ),
    Judged(
        47,
        "AUTHOR_KEY_DIGEST without AUTHOR_KEY_EN",
        denied("measurement"),
        reported(author_key_digest=b"\x22" * 48),
        entry={"author_key_digest": "22" * 48},
    ),
    Judged(
        47,
        "AUTHOR_KEY_DIGEST with it",
        ACCEPTED,
        reported(author_key_digest=b"\x22" * 48, author_key_en=True),
        entry={"author_key_digest": "22" * 48},
    ),
    Judged(
        47,
        "another ID key",
        denied("measurement"),
        reported(id_key_digest=b"\x11" * 48),
        entry={"id_key_digest": "33" * 48},
    ),
    Judged(
        47,
        "GUEST_SVN under a pinned ID key",
        denied("id-block"),
        reported(id_key_digest=b"\x11" * 48, guest_svn=2),
        {"id_block": {"guest_svn": 3}},
        {"id_key_digest": "11" * 48},
    ),
    Judged(
        47,
        "FAMILY_ID under a pinned ID key",
        denied("id-block"),
        reported(id_key_digest=b"\x11" * 48),
        {"id_block": {"family_id": "01" * 16}},
        {"id_key_digest": "11" * 48},
    ),
    Judged(
        48,
        "another HOST_DATA",
        denied("measurement"),
        reported(host_data=b"\1" * 32),
        entry={"host_data": "02" * 32},
    ),
    Judged(
        48, "HOST_DATA that is not set", denied("measurement"), fine, entry={"host_data": "02" * 32}
    ),
    Judged(
        48,
        "the right HOST_DATA",
        ACCEPTED,
        reported(host_data=b"\1" * 32),
        entry={"host_data": "01" * 32},
    ),
    Judged(
        48,
        "the right HOST_DATA under another measurement",
        denied("measurement"),
        reported(host_data=b"\1" * 32, measurement=bytes(48)),
        entry={"host_data": "01" * 32},
    ),
    Judged(
        57,
        "every rule that is not met is named",
        denied(
            "debug",
            "migration-agent",
            "vmpl-not-zero",
            "alias-check-missing",
            "measurement",
            "reported-below-committed",
        ),
        both(
            reported(
                policy=POLICY | DEBUG | MIGRATE, vmpl=2, platform_info=SMT, measurement=bytes(48)
            ),
            levels(reported={"snp": -1}),
        ),
    ),
    Judged(
        57,
        "real evidence of a guest under debug",
        denied(
            "debug",
            "measurement",
            "alias-check-missing",
            "report-version-below-3",
            "revocation-unknown",
        ),
        real("milan-v2-debug"),
    ),
)

REFUSED = (
    Refused(
        44,
        "a protection is forbidden",
        "snp.platform_info.forbidden[0]",
        {"platform_info": {"forbidden": ["ecc"]}},
    ),
    Refused(
        44,
        "a permission is required",
        "snp.platform_info.required[0]",
        {"platform_info": {"required": ["tio"]}},
    ),
    Refused(
        44,
        "a protection of the guest is forbidden",
        "snp.guest_policy.forbidden[0]",
        {"guest_policy": {"forbidden": ["rapl-dis"]}},
    ),
    Refused(
        44,
        "a permission of the guest is required",
        "snp.guest_policy.required[0]",
        {"guest_policy": {"required": ["smt"]}},
    ),
    Refused(47, "GUEST_SVN without a pinned key", "snp.id_block", {"id_block": {"guest_svn": 3}}),
    Refused(
        47, "IMAGE_ID without a pinned key", "snp.id_block", {"id_block": {"image_id": "00" * 16}}
    ),
    Refused(50, "no word about floors", "snp.tcb", {"tcb": None}),
    Refused(50, "floors that say nothing", "snp.tcb", {"tcb": {}}),
    Refused(
        50, "floors that are empty", "snp.tcb.minimum.Genoa", {"tcb": {"minimum": {"Genoa": {}}}}
    ),
    Refused(50, "a member that nobody knows", "snp.minimum_tcb", {"minimum_tcb": {}}),
    Refused(50, "no measurement and no reason", "snp.measurements", {"measurements": None}),
    Refused(50, "an empty list of chips", "snp.chips", {"chips": []}),
    Refused(50, "an empty list of providers", "snp.vlek.csp_ids", {"vlek": {"csp_ids": []}}),
)

CASES = (
    Case(
        33,
        "debug is shown to the policy",
        VERIFIED,
        real("milan-v2-debug"),
        lambda c: "debug" in c.guest_policy,
    ),
    Case(35, "real VMPL 1", VERIFIED, real(case.VLEK), lambda c: c.report.vmpl == 1),
)
