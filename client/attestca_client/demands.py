# SPDX-License-Identifier: Apache-2.0
"""What a relying party demands of the machine beyond a valid certificate: `--require`.

    tee=tdx                        the technology
    measurement=mr_td:HEX          a register that the policy pinned, and its whole value; any number of registers
    policy=NAME                    the policy that accepted the machine, in any version;
    policy=NAME@VERSION            in that version;
    policy=sha256:HEX              or by the digest of its document
    tcb=UpToDate                   the TCB status, in the vendor's word

Several stand behind each other with commas, or the option is repeated. All of them must hold, and each is compared
exactly: no patterns, no other spelling, no "at least". A key that is not of this list, or one that is repeated and is
not `measurement`, is an error and not passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from attestca_client.checks import Findings, Name, plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from attestca_client.attestation_info import AttestationInfo

_MEASUREMENT: Final = re.compile(r"([^:,=]+):((?:[0-9a-fA-F]{2}){1,64})")
_DIGEST: Final = re.compile(r"sha256:([0-9a-fA-F]{64})")
_VERSION: Final = re.compile(r"[^@]+@[1-9][0-9]{0,17}")


class Key(StrEnum):
    """What can be demanded."""

    TEE = "tee"
    MEASUREMENT = "measurement"
    POLICY = "policy"
    TCB = "tcb"


@dataclass(frozen=True, slots=True)
class Demand:
    """One of them. `value`: as the module's docstring has it."""

    key: Key
    value: str

    def check(self, info: AttestationInfo, findings: Findings) -> None:
        """One check: passed, or failed."""
        found, holds = _CHECKS[self.key](self.value, info)
        seen = f"{plain(found)}" if holds else f"{plain(found)}, not {self.value}"
        findings.expect(Name(f"require.{self.key}"), seen, holds=holds)


def parse_demands(texts: Iterable[str]) -> tuple[Demand, ...]:
    """The demands of every `--require`. Raises ValueError, with a line for people."""
    demands = tuple(_parse(part) for text in texts for part in text.split(","))
    for key in Key:
        if key is not Key.MEASUREMENT and sum(one.key is key for one in demands) > 1:
            raise ValueError(f"{key} is demanded twice")
    return demands


def _parse(text: str) -> Demand:
    name, _, value = text.partition("=")
    if name not in set(Key) or not value:
        known = ", ".join(f"{key}=…" for key in Key)
        raise ValueError(f"{text!r}: what can be demanded is {known}")
    key = Key(name)
    if key is Key.MEASUREMENT and not _MEASUREMENT.fullmatch(value):
        raise ValueError(f"{text!r}: a measurement is name:hexadecimal")
    odd = value.startswith("sha256:") and not _DIGEST.fullmatch(value)
    if key is Key.POLICY and (odd or ("@" in value and not _VERSION.fullmatch(value))):
        raise ValueError(f"{text!r}: a policy is name, name@version or sha256:hexadecimal")
    return Demand(key, value)


def _tee(value: str, info: AttestationInfo) -> tuple[str, bool]:
    return info.tee, info.tee == value


def _tcb(value: str, info: AttestationInfo) -> tuple[str, bool]:
    return info.tcb_status, info.tcb_status == value


def _policy(value: str, info: AttestationInfo) -> tuple[str, bool]:
    digest = _DIGEST.fullmatch(value)
    if digest:
        return f"sha256:{info.policy_sha256.hex()}", info.policy_sha256 == bytes.fromhex(digest[1])
    if "@" in value:
        return info.policy, info.policy == value
    return info.policy, info.policy_name == value


def _measurement(value: str, info: AttestationInfo) -> tuple[str, bool]:
    """A register that is listed twice is none that was pinned to one value."""
    name, _, wanted = value.rpartition(":")
    found = [one for register, one in info.registers if register == name]
    shown = ", ".join(f"{name}:{one.hex()}" for one in found) or f"{name} is not pinned"
    return shown, found == [bytes.fromhex(wanted)]


_CHECKS: Final = {
    Key.TEE: _tee,
    Key.MEASUREMENT: _measurement,
    Key.POLICY: _policy,
    Key.TCB: _tcb,
}
