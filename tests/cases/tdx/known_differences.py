# SPDX-License-Identifier: Apache-2.0
"""Where we and dcap_qvl 0.7.0 differ, and why. Every entry is tested to differ still (R-04).

Cases are named by their line and their one-line reason; line 0 is chapter G. `verdicts` is (ours, theirs): a TCB
status, or "refused".
"""

from __future__ import annotations

from dataclasses import dataclass

REFUSED = "refused"
UP_TO_DATE = "UpToDate"


@dataclass(frozen=True)
class Difference:
    verdicts: tuple[str, str]
    why: str


SGX = "SGX quotes are not supported"
VECTOR_DIFFERENCES = {
    "sgx3-00606a-outofdate-config": Difference((REFUSED, "OutOfDateConfigurationNeeded"), SGX),
    "sgx3-00606a-swhardening": Difference((REFUSED, "SWHardeningNeeded"), SGX),
    "sgx3-00706e47-outofdate": Difference((REFUSED, "OutOfDate"), SGX),
    "sgx3-00906ed5-eval17-swhardening": Difference((REFUSED, "SWHardeningNeeded"), SGX),
    "sgx3-00906ed5-eval19-outofdate": Difference((REFUSED, "OutOfDate"), SGX),
    "sgx3-00a067-config-and-swhardening": Difference(
        (REFUSED, "ConfigurationAndSWHardeningNeeded"), SGX
    ),
}

_WE_REFUSE = {
    "bytes that no signature covers are exact: lengths and types agree, only zeros may follow": (
        (63, "outer type 1"),
        (63, "outer type 5"),
        (63, "outer type 7"),
        (106, "a quote of 64 KiB and one byte"),
        (118, "something else follows"),
        (118, "one byte follows"),
        (118, "bytes between the parts of the signature data"),
        (118, "bytes behind the chain inside the outer data"),
        (0, "1 junk byte after the quote"),
        (0, "2 KB junk after the quote"),
        (0, "outer type 5"),
        (0, "outer type 7"),
        (0, "junk after the inner data"),
        (0, "junk after the outer data"),
    ),
    "a chain is exactly leaf, intermediate and root, as Intel's library demands": (
        (0, "junk after the chain text"),
        (0, "chain without the root"),
        (0, "chain with the leaf twice"),
    ),
    "every certificate is checked, the root too: name, self-signature, dates, path length, serial number": (
        (54, "path length of the root"),
        (55, "a certificate whose serial number is negative"),
        (67, "leaf of another name"),
        (67, "root of another name"),
        (67, "two common names"),
        (70, "root signed by another key"),
        (72, "root expired"),
    ),
    "the PCK CRL's issuer chain is verified and must be that of the certificate's issuer": (
        (52, "PCK CRL issuer chain is garbage"),
        (52, "Intel's chain, but of no CA"),
        (52, "Intel's chain, but of the other CA"),
        (71, "PCK CRL issuer chain without the root"),
        (71, "PCK CRL issuer chain with the root twice"),
        (0, "PCK CRL issuer chain empty"),
    ),
    "CRLs are RFC 5280's: number, issuer's key identifier, cRLSign, thisUpdate": (
        (52, "a root that may not sign CRLs"),
        (53, "PCK CRL of the future"),
        (53, "root CRL of the future"),
        (71, "PCK CRL without authority key identifier"),
        (71, "root CRL without authority key identifier"),
        (71, "PCK CRL without number"),
        (71, "PCK CRL that names another key"),
    ),
    "statements are exactly those of Intel's API v4 for this platform": (
        (6, "QE identity version 3"),
        (26, "a zero byte between r and s"),
        (66, "PCE id"),
        (73, "TCB type 1"),
    ),
    "the upper half of the QE's report data is zero": (
        (28, "the QE report says more than the hash"),
    ),
    "certification types other than 5 need a lookup that we do not make": (
        (45, "encrypted PPID with a chain beside it"),
    ),
    "dcap_qvl is not told the binding": (
        (111, "evidence made for another nonce"),
        (112, "one bit of report_data"),
        (112, "a digest padded with zeros is no binding"),
        (112, "a short binding is not padded"),
        (112, "an empty binding is one"),
    ),
}

_THEY_REFUSE = {
    "dcap_qvl takes a chain beside the quote before the quote's own; we never look at one": (
        (44, "a chain beside the quote is not looked at"),
    ),
    "dcap_qvl takes these levels in the order of the text; Intel's library and we sort them": (
        (95, "module levels in ascending order"),
        (95, "QE levels in ascending order"),
    ),
}

CORPUS_DIFFERENCES = {
    case: Difference(verdicts, why)
    for verdicts, groups in (
        ((REFUSED, UP_TO_DATE), _WE_REFUSE),
        ((UP_TO_DATE, REFUSED), _THEY_REFUSE),
    )
    for why, cases in groups.items()
    for case in cases
}
