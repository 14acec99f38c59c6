# SPDX-License-Identifier: Apache-2.0
"""Where we and the OpenSSL command line differ, and why. Every entry is tested to differ still.

OpenSSL knows certificates, dates, a revocation list and a signature, and nothing of SEV-SNP: most of what stands here
is what it cannot know. Listed changes are named as in negatives.json, cases of the corpus by line and one-line reason.
"""

from __future__ import annotations

# Changes of real reports that we refuse and OpenSSL accepts.
LISTED = {
    "signature-tail": "the bytes behind the signature are not signed; the ABI says they are zero",
    "signature-last-byte": "as above",
    "short-1183": "the last byte is not signed; a report has 1184",
    "long-1185": "as above",
}

# Lines of the corpus that are about signature, chain, dates and lists: about these OpenSSL is asked.
LINES = (4, 12, 13, 16, 17, 18, 19, 20, 21, 22)

_WE_REFUSE = {
    "what the report says of its signing key is nothing to OpenSSL": (
        (4, "SIGNING_KEY none over a good signature"),
        (4, "SIGNING_KEY 2, signed"),
        (4, "SIGNING_KEY 3, signed"),
        (4, "SIGNING_KEY 4, signed"),
        (4, "SIGNING_KEY 5, signed"),
        (4, "SIGNING_KEY 6, signed"),
    ),
    "AMD's root signs no chip's certificate itself; OpenSSL finds any way from leaf to root": (
        (16, "VCEK signed by the ARK itself"),
    ),
    "OpenSSL follows whatever algorithm a certificate or list names; AMD uses one, with fixed parameters": (
        (21, "VCEK that says 32 bytes of salt, and has them"),
        (21, "VCEK with SHA-256"),
        (21, "VCEK with MGF1 of SHA-256"),
        (21, "VCEK with PKCS1 v1.5"),
        (21, "CRL that says 32 bytes of salt, and has them"),
    ),
    "OpenSSL asks neither who a leaf is nor what its extensions are; of issuers it takes no notice of case": (
        (22, "leaf named 'SEV-VCEK-Genoa'"),
        (22, "leaf named 'sev-vcek'"),
        (22, "leaf named 'SEV'"),
        (22, "leaf named 'SEV-Genoa'"),
        (22, "leaf named 'VCEK'"),
        (22, "leaf named 'ARK-Genoa'"),
        (22, "leaf named ''"),
        (22, "a VCEK named as a VLEK"),
        (22, "issuer named 'sev-genoa'"),
        (22, "a VCEK of a CA: extensions that nobody understands"),
    ),
    "a list that names no next update never grows stale for OpenSSL": (
        (20, "nextUpdate is missing"),
    ),
}
_THEY_REFUSE = {
    "OpenSSL takes the last second of a validity for the first one after it; RFC 5280 counts it in": (
        (17, "VCEK at its notAfter"),
        (17, "VLEK at its notAfter"),
        (17, "ASK ends now"),
        (20, "nextUpdate is now"),
    ),
    "a stale list is a fact that our policy judges": (
        (20, "nextUpdate was a second ago: shown to the policy"),
    ),
}

# (line, why) -> (we accept, OpenSSL accepts), reason.
CORPUS_DIFFERENCES = {
    case: ((ours, not ours), why)
    for ours, groups in ((False, _WE_REFUSE), (True, _THEY_REFUSE))
    for why, cases in groups.items()
    for case in cases
}
