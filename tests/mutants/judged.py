# SPDX-License-Identifier: Apache-2.0
"""Mutants that no test need notice, and why none of them takes out or inverts a check.

Each judgement is a pattern of the function and one of the change ("old -> new", both searched for), so that it outlives
the numbers that mutmut gives. A pattern is as narrow as its reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TEXT = re.compile(r'f?"[^"]*"|\bNone\b')


@dataclass(frozen=True)
class Judgement:
    """Mutants of functions and changes like these, and why they may survive.

    `wording`: only those whose two sides are the same but for texts, or a text left out.
    """

    why: str
    function: str
    change: str
    wording: bool = False

    def holds(self, function: str, change: str) -> bool:
        if not re.search(self.function, function) or not re.search(self.change, change):
            return False
        old, _, new = (_TEXT.sub("TEXT", change) if self.wording else change).partition(" -> ")
        return not self.wording or old == new


_NAMES_OF_FIELDS = (
    r"(take|u16|u32|nothing_left|_sized|_number|_bank|_parse_yes_no|split_pem|_body)\("
)

ANY = ""
JUDGED: tuple[Judgement, ...] = (
    Judgement("wording: the name of a field in a refusal", ANY, _NAMES_OF_FIELDS, wording=True),
    Judgement("wording: what a refusal says", ANY, r"^(raise _odd\(|detail = )", wording=True),
    Judgement("wording: what a refusal says", ANY, r"^raise _odd\(str\(error\)\)"),
    Judgement(
        "wording: what a refusal says",
        r"tcb\.x__accepted$",
        r"TCB_STATUS_UNKNOWN, None, tcb=report",
    ),
    Judgement("wording: what a refusal says", r"tcb\.x__not_supported$", r'^short = "'),
    Judgement(
        "wording: the name of a field in a refusal",
        r"snp\.verify\.x__check_(binding|validity)$",
        r"^(found, wanted, name = |\(f\"the )",
        wording=True,
    ),
    Judgement(
        "wording: the name of a field in a refusal",
        r"snp\.verify\.x__check_validity$",
        r"vek\.kind\.lower\(\)",
    ),
    Judgement(
        "wording: the name of a field in a refusal, passed on",
        r"tdx\.collateral\.x__signer_chain$",
        r"split_pem\(pem, 2, None\)",
    ),
    Judgement(
        "equivalent: neither text is the id of a TDX module",
        r"tdx\.statements\.x__module$",
        r'"XXXX"',
    ),
    Judgement(
        "equivalent: module version 0 has no levels to match",
        r"tdx\.tcb\.x__evaluate$",
        r"or True else None$",
    ),
    Judgement(
        "wording: the name of a field in a refusal, passed on",
        r"vtpm\.attest\.x__(number|sized|parse_yes_no)$",
        r"field\).* -> .*, None\)",
    ),
    Judgement(
        "wording: the name of a field in a refusal",
        r"tdx\.verify\.x__check_(platform|qe_identity)$",
        r'^\(?"(FMSPC|PCE id|MISCSELECT|ATTRIBUTES|MRSIGNER|ISVPRODID|DEBUG)"',
        wording=True,
    ),
    Judgement(
        "equivalent: both sides have one length by construction, `strict` only says so",
        ANY,
        r"strict=True.* -> .*(strict=(None|False)|, \))",
    ),
    Judgement(
        'equivalent: "big" is the default byte order',
        ANY,
        r'(from|to)_bytes\(.*"big"\).* -> .*(from|to)_bytes\(.*, \)',
    ),
    Judgement(
        "equivalent: no well-formed quote of a TPM has the length of the limit",
        r"vtpm\.attest\.x_parse_attest$",
        r"len\(data\) > limit",
    ),
    Judgement(
        "equivalent: there are no bits above those of the bytes",
        r"vtpm\.attest\.x__parse_bits$",
        r"range\(9 \* size\)",
    ),
    Judgement(
        "equivalent: a fraction of a byte more is no byte more",
        r"vtpm\.attest\.x__verify_signature$",
        r"\+ 7\) / 8",
    ),
    Judgement(
        "equivalent: the decoder takes any padding, and what is no canonical text is refused by writing it again",
        r"vtpm\.hcl\.x__base64url$",
        r"urlsafe_b64decode",
    ),
    Judgement(
        "stricter: a number whose text ends with this letter would be refused",
        r"vtpm\.hcl\.x__base64url$",
        r"XX=XX",
    ),
    Judgement(
        "equivalent: another thing that is no algorithm either",
        r"snp\.pss\.x_read_signed$",
        r'^inner = .*(None\)|b"XXXX"\))$',
    ),
    Judgement(
        "equivalent: the byte more is reserved and was found zero before",
        r"snp\.report\.x_(_body|parse_report)$",
        r"(0x200, 9|0x048, 5|0x2E8, 73)\)",
    ),
    Judgement(
        "equivalent: the library, which reads the list before, lets nothing else with a number stand last",
        r"snp\.crl\.x__number$",
        r"or True",
    ),
    Judgement(
        "equivalent: names of codecs have no case",
        ANY,
        r'\.decode\("[a-z0-9-]+"\).* -> .*\.decode\("[A-Z0-9-]+"\)',
    ),
    Judgement(
        "equivalent: equal authorities have equal hashes still",
        r"AmdAuthorityǁ__hash__$",
        r"hash\(None\)",
    ),
    Judgement(
        "equivalent: a text that is no name of a certificate, as the empty one",
        r"(snp\.certificates\.x__subject|amd\.x__authority)$",
        r'"XXXX",?$',
    ),
    Judgement(
        "equivalent: the library takes no point of another length",
        r"snp\.vek\.x__public_key$",
        r"or True",
    ),
    Judgement(
        "equivalent: as texts of digits, those with one more compare alike",
        r"snp\.vek\.x__time$",
        r'digits\[:[24]\] (>=|<) b"(50|2050)".* -> .*digits\[:[35]\]',
    ),
    Judgement(
        "equivalent: neither text is an INTEGER",
        r"snp\.vek\.x__integer$",
        r'b"XXXX"',
    ),
    Judgement(
        "what files are taken for, not what is believed: every reader looks again",
        r"snp\.(files\.x_(revocation_list|_is_pem)|endorsements\.x_parse_bundle)$",
        r"(strip\(\)\.startswith|fields\[:[0-9]\])",
    ),
    Judgement(
        "equivalent: `cast` is for the type checker",
        r"tdx\.(statements\.x__svns|collateral\.x_authenticate)$",
        r"cast\(",
    ),
    Judgement(
        "equivalent: an address that ends with this letter is none of a PCCS",
        r"PcsSourceǁpccs$",
        r"XX/XX",
    ),
    Judgement(
        "equivalent: what is neither true nor false was refused before",
        r"vtpm\.hcl\.x__flag$",
        r"or True",
    ),
)


def judgement(function: str, change: str) -> str | None:
    """The reason for a mutant to live, if there is one."""
    return next((one.why for one in JUDGED if one.holds(function, change)), None)
