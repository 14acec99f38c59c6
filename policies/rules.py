# SPDX-License-Identifier: Apache-2.0
"""Names of all rules, and which of them a document may soften.

Ids are stable: documents, findings, logs and other programs compare them. A rule is *relaxed* for good, by name and
with a reason, or only *warns* until a date; either way its finding stays visible as `warned`. What stands in neither
set cannot be softened: collateral past its date has its own budget (`tolerate_stale`), registers their own exemption
(`unpinned`).
"""

from __future__ import annotations

from enum import StrEnum


class RuleId(StrEnum):
    """Every rule. The order is the order of findings."""

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
    TCB_UNUSABLE = "tcb-unusable"
    TCB_OUT_OF_DATE = "tcb-out-of-date"
    ADVISORY = "advisory"
    TCB_EVALUATION_NUMBER = "tcb-evaluation-number"
    SVN_MINIMUM = "svn-minimum"
    COLLATERAL_STALE = "collateral-stale"
    REVOCATION_UNKNOWN = "revocation-unknown"
    FMSPC = "fmspc"
    CHIP_LIST = "chip-list"


RELAXABLE = frozenset(
    {
        RuleId.DEBUG,
        RuleId.PROFILING,
        RuleId.MIGRATABLE,
        RuleId.SERVTD_EXT,
        RuleId.SERVICE_TD_BOUND,
        RuleId.SEPT_VE_DISABLE_CLEAR,
    }
)

WARNABLE = frozenset(
    {
        RuleId.SEPT_VE_DISABLE_CLEAR,
        RuleId.ATTRIBUTES,
        RuleId.TCB_OUT_OF_DATE,
        RuleId.ADVISORY,
        RuleId.TCB_EVALUATION_NUMBER,
        RuleId.SVN_MINIMUM,
        RuleId.FMSPC,
        RuleId.CHIP_LIST,
    }
)
