# SPDX-License-Identifier: Apache-2.0
"""Event logs beside verified claims: which registers they are replayed against, and what they come to.

Of all technologies, for what a log is replayed against is a matter of the claims alone. Nothing of a log is read before
the evidence that it came with is verified.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verifiers.errors import Reason, VerificationError
from verifiers.eventlog.events import PCRS, RTMRS, Algorithm
from verifiers.eventlog.judge import judge
from verifiers.eventlog.proven import TD, TPM
from verifiers.evidence import Provider
from verifiers.tdx.claims import TdxClaims
from verifiers.vtpm.claims import PcrBank

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from verifiers.claims import Claims
    from verifiers.eventlog.events import Register
    from verifiers.eventlog.judged import Boot
    from verifiers.eventlog.proven import Layout
    from verifiers.evidence import Evidence


def booted(claims: Claims, logs: Sequence[Evidence]) -> Boot | None:
    """What event logs come to beside verified claims: replayed against the registers that these report.

    Args:
        claims: of the CPU's evidence that the logs came with.
        logs: as `split` gives them.

    Returns:
        None where there is no log. A log that says something else than a register is no error: policies judge it.

    Raises:
        VerificationError: `evidence` for logs of no register that the claims report; what `judge` raises.
    """
    if not logs:
        return None
    registers, algorithm, layout = registers_of(claims)
    return judge(logs, registers, algorithm, layout)


def registers_of(claims: Claims) -> tuple[Mapping[Register, bytes], Algorithm, Layout]:
    """What event logs are replayed against: values, their algorithm, and what each register is for.

    PCRs where there is a vTPM: RTMRs of a TD under a paravisor are zero, and no event of a guest extends them. A TD
    beside a vTPM of Google's has its own registers, which the CPU signs.

    Raises:
        VerificationError: `evidence` where the claims report no such register.
    """
    if isinstance(claims, TdxClaims) and claims.provider is not Provider.AZURE:
        return {one: getattr(claims.td, one) for one in RTMRS}, Algorithm.SHA384, TD
    if claims.tpm is None:
        raise _no_registers()
    return pcrs_of(claims.tpm.pcrs)


def pcrs_of(
    pcrs: Sequence[tuple[PcrBank, int, bytes]],
) -> tuple[Mapping[Register, bytes], Algorithm, Layout]:
    """The same of a TPM's quote: of the one bank that policies speak of, else of the first that it has.

    Raises:
        VerificationError: `evidence` for a quote of no PCR.
    """
    if not pcrs:
        raise _no_registers()
    banks = [bank for bank, _, _ in pcrs]
    bank = PcrBank.SHA256 if PcrBank.SHA256 in banks else banks[0]
    values = {PCRS[index]: value for one, index, value in pcrs if one is bank}
    return values, Algorithm(bank.value), TPM


def _no_registers() -> VerificationError:
    return VerificationError(
        Reason.EVIDENCE, "event logs: this evidence has no register that a log speaks of"
    )
