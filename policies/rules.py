# SPDX-License-Identifier: Apache-2.0
"""Names of all rules, which technologies they are about, and which of them a document may soften.

Ids are stable: documents, findings, logs and other programs compare them. A rule is *relaxed* for good, by name and
with a reason, or only *warns* until a date; either way its finding stays visible as `warned`. What stands in neither
set cannot be softened: collateral past its date has its own budget (`tolerate_stale`), registers their own exemption
(`unpinned`), other VMPLs, VLEKs, TCBs without a floor and VMs of Google's their own keys.
"""

from __future__ import annotations

from enum import StrEnum

from verifiers.evidence import Tee


class RuleId(StrEnum):
    """Every rule. The order is that of findings: those about logs behind all of the CPU, those about devices last."""

    NO_POLICY = "no-policy"
    SEVERAL_POLICIES = "several-policies"
    MATCH = "match"
    POLICY_VALIDITY = "policy-validity"
    MEASUREMENT = "measurement"
    DEBUG = "debug"
    PROFILING = "profiling"
    MIGRATABLE = "migratable"
    SERVTD_EXT = "servtd-ext"
    SERVICE_TD_BOUND = "service-td-bound"
    SEPT_VE_DISABLE_CLEAR = "sept-ve-disable-clear"
    RESERVED_ATTRIBUTE = "reserved-attribute"
    ATTRIBUTES = "attributes"
    XFAM = "xfam"
    MIGRATION_AGENT = "migration-agent"
    VMPL_NOT_ZERO = "vmpl-not-zero"
    GUEST_POLICY = "guest-policy"
    GUEST_POLICY_UNMET = "guest-policy-unmet"
    SMT = "smt"
    ID_BLOCK = "id-block"
    REPORT_VERSION_BELOW_3 = "report-version-below-3"
    VLEK = "vlek"
    PRODUCT = "product"
    ALIAS_CHECK_MISSING = "alias-check-missing"
    PLATFORM_INFO = "platform-info"
    MITIGATION_VECTORS = "mitigation-vectors"
    REPORTED_BELOW_COMMITTED = "reported-below-committed"
    COMMITTED_BELOW_CURRENT = "committed-below-current"
    TCB_FLOOR = "tcb-floor"
    TCB_UNUSABLE = "tcb-unusable"
    TCB_OUT_OF_DATE = "tcb-out-of-date"
    ADVISORY = "advisory"
    TCB_EVALUATION_NUMBER = "tcb-evaluation-number"
    SVN_MINIMUM = "svn-minimum"
    COLLATERAL_STALE = "collateral-stale"
    REVOCATION_UNKNOWN = "revocation-unknown"
    FMSPC = "fmspc"
    CHIP_LIST = "chip-list"
    GOOGLE_VM = "google-vm"
    BOOT_LOG = "boot-log"
    BOOT_REPLAY = "boot-replay"
    SECURE_BOOT = "secure-boot"
    DB_CERTIFICATES = "db-certificates"
    BOOT_IMAGE = "boot-image"
    KERNEL_CMDLINE = "kernel-cmdline"
    INITRD = "initrd"
    BOOT_EVENT = "boot-event"
    IMA = "ima"
    DSTACK = "dstack"
    AAEL = "aael"
    CONFIDENTIAL_SPACE = "confidential-space"
    INIT_DATA = "init-data"
    DEVICE_UNEXPECTED = "device-unexpected"
    DEVICE_COUNT = "device-count"
    DEVICE_MODEL = "device-model"
    DEVICE_MODE = "device-mode"
    DEVICE_APPRAISAL = "device-appraisal"
    DRIVER_MINIMUM = "driver-minimum"
    VBIOS_MINIMUM = "vbios-minimum"
    RIM_COVERAGE = "rim-coverage"
    FWID_MISSING = "fwid-missing"
    DEVICE_REVOCATION_UNKNOWN = "device-revocation-unknown"
    DEVICE_LIST = "device-list"


# About the logs of a measured boot; they say nothing where no log came and no section `boot` asks for one.
BOOT_RULES = frozenset(
    {
        RuleId.BOOT_LOG,
        RuleId.BOOT_REPLAY,
        RuleId.SECURE_BOOT,
        RuleId.DB_CERTIFICATES,
        RuleId.BOOT_IMAGE,
        RuleId.KERNEL_CMDLINE,
        RuleId.INITRD,
        RuleId.BOOT_EVENT,
        RuleId.IMA,
        RuleId.DSTACK,
        RuleId.AAEL,
        RuleId.CONFIDENTIAL_SPACE,
        RuleId.INIT_DATA,
    }
)

# About devices beside the CPU, whatever that is of. `collateral-stale` is about their collateral too.
DEVICE_RULES = frozenset(
    {
        RuleId.DEVICE_UNEXPECTED,
        RuleId.DEVICE_COUNT,
        RuleId.DEVICE_MODEL,
        RuleId.DEVICE_MODE,
        RuleId.DEVICE_APPRAISAL,
        RuleId.DRIVER_MINIMUM,
        RuleId.VBIOS_MINIMUM,
        RuleId.RIM_COVERAGE,
        RuleId.FWID_MISSING,
        RuleId.DEVICE_REVOCATION_UNKNOWN,
        RuleId.DEVICE_LIST,
    }
)

_COMMON = frozenset(
    {
        RuleId.NO_POLICY,
        RuleId.SEVERAL_POLICIES,
        RuleId.MATCH,
        RuleId.POLICY_VALIDITY,
        RuleId.MEASUREMENT,
        RuleId.DEBUG,
        RuleId.COLLATERAL_STALE,
        RuleId.REVOCATION_UNKNOWN,
        RuleId.CHIP_LIST,
        RuleId.GOOGLE_VM,
    }
)
_SNP = frozenset(
    {
        RuleId.MIGRATION_AGENT,
        RuleId.VMPL_NOT_ZERO,
        RuleId.GUEST_POLICY,
        RuleId.GUEST_POLICY_UNMET,
        RuleId.SMT,
        RuleId.ID_BLOCK,
        RuleId.REPORT_VERSION_BELOW_3,
        RuleId.VLEK,
        RuleId.PRODUCT,
        RuleId.ALIAS_CHECK_MISSING,
        RuleId.PLATFORM_INFO,
        RuleId.MITIGATION_VECTORS,
        RuleId.REPORTED_BELOW_COMMITTED,
        RuleId.COMMITTED_BELOW_CURRENT,
        RuleId.TCB_FLOOR,
    }
)
RULES: dict[Tee, frozenset[RuleId]] = {
    Tee.TDX: frozenset(RuleId) - _SNP,
    Tee.SNP: _COMMON | _SNP | BOOT_RULES | DEVICE_RULES,
}

RELAXABLE = frozenset(
    {
        RuleId.DEBUG,
        RuleId.PROFILING,
        RuleId.MIGRATABLE,
        RuleId.SERVTD_EXT,
        RuleId.SERVICE_TD_BOUND,
        RuleId.SEPT_VE_DISABLE_CLEAR,
        RuleId.MIGRATION_AGENT,
        RuleId.GUEST_POLICY_UNMET,
        RuleId.REPORT_VERSION_BELOW_3,
        RuleId.ALIAS_CHECK_MISSING,
        RuleId.REPORTED_BELOW_COMMITTED,
        RuleId.COMMITTED_BELOW_CURRENT,
        RuleId.FWID_MISSING,
    }
)

WARNABLE = frozenset(
    {
        RuleId.SEPT_VE_DISABLE_CLEAR,
        RuleId.ATTRIBUTES,
        RuleId.GUEST_POLICY,
        RuleId.SMT,
        RuleId.PRODUCT,
        RuleId.PLATFORM_INFO,
        RuleId.MITIGATION_VECTORS,
        RuleId.REPORTED_BELOW_COMMITTED,
        RuleId.COMMITTED_BELOW_CURRENT,
        RuleId.TCB_FLOOR,
        RuleId.TCB_OUT_OF_DATE,
        RuleId.ADVISORY,
        RuleId.TCB_EVALUATION_NUMBER,
        RuleId.SVN_MINIMUM,
        RuleId.FMSPC,
        RuleId.CHIP_LIST,
        RuleId.SECURE_BOOT,
        RuleId.DB_CERTIFICATES,
        RuleId.IMA,
        RuleId.DEVICE_MODEL,
        RuleId.DRIVER_MINIMUM,
        RuleId.VBIOS_MINIMUM,
        RuleId.RIM_COVERAGE,
        RuleId.DEVICE_LIST,
    }
)
