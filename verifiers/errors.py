# SPDX-License-Identifier: Apache-2.0
"""Why evidence was not verified: one exception, a closed list of reasons, and data instead of prose.

    Exception
      VerificationError          the attester's (or its collateral's) fault; never retried by us
        reason: Reason           the stable code that APIs, logs and tests speak of
        detail: str              one English line for a person: what was expected, what was seen
        tcb: TcbReport | None    where the TCB was evaluated before the refusal: what is known of it
        authentic: bool          whether the evidence's own signatures and binding had held before this fault was found
        brought: bool            whether it is of a part that evidence alone brings, and no vendor is asked for

A verifier raises nothing else. `Reason.verdict` says whether evidence is refused whatever the policy (`rejected`) or
cannot be decided with the collateral at hand (`undetermined`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from verifiers.tcb import TcbReport


class Verdict(StrEnum):
    """Outcome of vendor verification. Never a bool."""

    VERIFIED = "verified"
    REJECTED = "rejected"
    UNDETERMINED = "undetermined"


class Reason(StrEnum):
    """Why evidence is not verified. Codes are stable: other programs compare them."""

    # the structure
    EVIDENCE = "evidence"  # pieces that make no attester's evidence together
    MALFORMED = "malformed"
    TOO_LARGE = "too-large"
    TRAILING_BYTES = "trailing-bytes"
    UNSUPPORTED_FORMAT = "unsupported-format"
    UNSUPPORTED_TEE = "unsupported-tee"
    # event logs of measured boot
    NO_SHA384_BANK = "no-sha384-bank"
    REGISTER_MISMATCH = "register-mismatch"  # a log gives another value than the quote
    # the signatures of the evidence
    SIGNATURE = "signature"
    BINDING_MISMATCH = "binding-mismatch"
    # the certificate chains and revocation lists
    CHAIN = "chain"
    UNTRUSTED_ROOT = "untrusted-root"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_YET_VALID = "certificate-not-yet-valid"
    CERTIFICATE_REVOKED = "certificate-revoked"
    CERTIFICATE_STATUS_UNKNOWN = "certificate-status-unknown"  # the responder's own word
    CRL_INVALID = "crl-invalid"
    OCSP_INVALID = "ocsp-invalid"
    # the vendor's signed statements about the platform
    INCOMPLETE = "incomplete"
    AK_NOT_BOUND = "ak-not-bound"  # a TPM's quote by a key that nothing ties to a platform
    COLLATERAL_MALFORMED = "collateral-malformed"
    COLLATERAL_SIGNATURE = "collateral-signature"
    COLLATERAL_NOT_YET_VALID = "collateral-not-yet-valid"
    COLLATERAL_EXPIRED = "collateral-expired"
    ENDORSEMENT_MISMATCH = "endorsement-mismatch"
    RIM_SIGNATURE = "rim-signature"  # or the root of its signer
    PLATFORM_UNKNOWN = "platform-unknown"
    PRODUCT_UNKNOWN = "product-unknown"
    # what those statements say of this platform
    QE_IDENTITY_MISMATCH = "qe-identity-mismatch"
    TDX_MODULE_MISMATCH = "tdx-module-mismatch"
    TCB_NOT_SUPPORTED = "tcb-not-supported"
    TCB_REVOKED = "tcb-revoked"
    TCB_STATUS_UNKNOWN = "tcb-status-unknown"
    TCB_INCONSISTENT = "tcb-inconsistent"  # a report that no firmware of the vendor makes
    MEASUREMENT_MISMATCH = "measurement-mismatch"  # a genuine report, a genuine manifest
    # the tokens of a vendor's own verifier (NVIDIA's NRAS)
    TOKEN_ALG = "token-alg"  # noqa: S105  unsigned, or signed in a way that is not allowed
    TOKEN_KEY_UNKNOWN = "token-key-unknown"  # noqa: S105
    TOKEN_INVALID = "token-invalid"  # noqa: S105  no token of that service, of this moment, about this evidence
    NRAS_REFUSED = "nras-refused"  # the service's signed word that the evidence is not good
    VERIFIERS_DISAGREE = "verifiers-disagree"  # the service is at odds with us, or with the report
    # several devices of one system
    DUPLICATE_DEVICE = "duplicate-device"
    TOPOLOGY = "topology"

    @property
    def verdict(self) -> Verdict:
        """`undetermined` where collateral or what binds a key is missing, `rejected` for every other reason."""
        undetermined = self in {Reason.INCOMPLETE, Reason.AK_NOT_BOUND}
        return Verdict.UNDETERMINED if undetermined else Verdict.REJECTED


class VerificationError(Exception):
    """Evidence that was not verified. See the module's docstring for the fields."""

    def __init__(self, reason: Reason, detail: str, *, tcb: TcbReport | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.tcb = tcb
        self.authentic = False
        self.brought = False
