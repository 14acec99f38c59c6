# SPDX-License-Identifier: Apache-2.0
"""What each source says of one certificate's revocation, one line for each check; see `verify` for what follows.

The handles that are looked up are those that the certificate lists and those that were computed from it. A list knows
no handles: it has the certificates that they took along.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from attestca_client import lists, registry
from attestca_client.checks import Name, SourceError, instant
from attestca_client.protocol.checkpoint import NoteError
from attestca_client.staple import MAX_STAPLE, StapleError, parse_staple

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

    from attestca_client.checks import Findings
    from attestca_client.leaf import Leaf
    from attestca_client.lists import RevocationList
    from attestca_client.protocol.checkpoint import Head
    from attestca_client.registry import View
    from attestca_client.sources import Source
    from attestca_client.staple import Staple
    from attestca_client.verify import Sources, Trust

CLOCK_SKEW: Final = timedelta(minutes=5)  # how far a source's clock may be ahead of ours


@dataclass(frozen=True, slots=True)
class Asking:
    """All sources for one certificate."""

    leaf: Leaf
    trust: Trust
    sources: Sources
    max_staleness: timedelta
    at: datetime
    findings: Findings

    def run(self) -> None:
        """Ask every one of them."""
        stapled = None if self.sources.staple is None else self._staple(self.sources.staple)
        anchored = self._chain() if self.sources.nodes else None
        if stapled is not None and anchored is not None:
            self._one_history(stapled, anchored)
        if self.sources.crls:
            self._lists()

    # the staple

    def _staple(self, source: Source) -> Head | None:
        """The head that the staple stands on; None where it does not count."""
        try:
            staple = parse_staple(source.read(MAX_STAPLE))
        except (SourceError, StapleError) as error:
            self.findings.undecided(Name.STAPLE, f"{source.name}: {error}")
            return None
        self.findings.passed(Name.STAPLE, source.name)
        head = self._checkpoint(staple)
        if head is not None:
            self._fresh(Name.STAPLE_TIME, head.time)
            self._logged(staple, head)
            self._stapled(staple, head)
        return head

    def _checkpoint(self, staple: Staple) -> Head | None:
        """Only the newest key of the log counts: who has those before it by now is not known."""
        name = Name.STAPLE_CHECKPOINT
        for number, key in enumerate(self.trust.log):
            try:
                checkpoint = key.open(staple.checkpoint)
            except NoteError:
                continue
            if number == 0:
                self.findings.passed(name, f"{checkpoint.origin}, {checkpoint.head.size} entries")
                return checkpoint.head
            self.findings.undecided(name, f"signed by a former key of the log, {key.name}")
            return None
        seen = "not signed by the log's key" if self.trust.log else "no key of the log is trusted"
        self.findings.undecided(name, seen)
        return None

    def _logged(self, staple: Staple, head: Head) -> None:
        told = staple.tells_of(
            head,
            issuer_key_id=self.leaf.issuer_key_id,
            serial=self.leaf.certificate.serial_number,
            certificate_sha256=self.leaf.sha256,
            policy_sha256=self.leaf.info.policy_sha256,
        )
        seen = f"entry {staple.index}" if told else "it proves no entry of this certificate"
        self.findings.rely(Name.STAPLE_LOG, seen, holds=told)

    def _stapled(self, staple: Staple, head: Head) -> None:
        name, handles = Name.STAPLE_REVOKED, self.leaf.handles
        if staple.revocations.root != head.revocation_root:
            self.findings.undecided(name, "its tree is not the one that was signed")
            return
        try:
            found = {handle: staple.revocation(handle) for handle in handles}
        except StapleError as error:
            self.findings.undecided(name, str(error))
            return
        self._revoked(name, {handle: why for handle, why in found.items() if why is not None})

    # the chain

    def _chain(self) -> Head | None:
        """The head that is anchored, where it is to be relied on."""
        deployment = self.trust.chain
        if deployment is None:
            self.findings.undecided(Name.REGISTRY, "no contract is trusted")
            return None
        seen = registry.view(deployment, self.sources.nodes, tuple(self.leaf.handles))
        self._view(seen)
        # What any node has as revoked counts, even where they disagree; that nothing is, only where they agree.
        if seen.revoked or seen.agreed is not None:
            times = {handle: instant(when) for handle, when in seen.revoked.items()}
            self._revoked(Name.REGISTRY_REVOKED, times)
        return None if seen.agreed is None else seen.agreed.head

    def _view(self, seen: View) -> None:
        if seen.agreed is None:
            self.findings.undecided(Name.REGISTRY, seen.fault)
            return
        count = len(self.sources.nodes)
        who = "one node" if count == 1 else f"{count} nodes, which agree"
        self.findings.passed(Name.REGISTRY, f"block {seen.agreed.block.number}, of {who}")
        # The state is of a newer block, but what is revoked in this one is revoked in that one: see `registry`.
        self._fresh(Name.REGISTRY_BLOCK, seen.agreed.final.time)
        moved = "; it may have moved: get its newer bundle" if self.trust.moves else ""
        self._fresh(Name.REGISTRY_HEAD, seen.agreed.head.time, moved)

    def _one_history(self, stapled: Head, anchored: Head) -> None:
        """Both are signed by the authority. A contradiction is a lie of it, or of who has one of its keys."""
        entries = stapled.size - anchored.size
        revoked = stapled.revocation_count - anchored.revocation_count
        forked = (entries == 0 and stapled.root != anchored.root) or (
            revoked == 0 and stapled.revocation_root != anchored.revocation_root
        )
        # Every revocation is an entry, so none of one log has more of the new ones than new entries.
        outgrown = abs(revoked) > abs(entries)
        if forked or outgrown or entries * revoked < 0:
            self.findings.failed(Name.ONE_HISTORY, "staple and chain are of two histories")
        elif revoked < 0:
            seen = "the chain has revocations that the staple does not know: get a newer one"
            self.findings.undecided(Name.ONE_HISTORY, seen)
        else:
            self.findings.passed(Name.ONE_HISTORY, "staple and chain do not contradict each other")

    # lists

    def _lists(self) -> None:
        """Of all files together. The whole path is looked for (RFC 5280, section 6.1.3), the issuing CA too.

        Its own list says nothing of what a thief of its key signs.
        """
        leaf, root = self.leaf, self.trust.root
        files = [(source.name, self._read(source)) for source in self.sources.crls]
        for what, certificate, issuer in (
            ("this certificate", leaf.certificate, leaf.issuer),
            ("its issuing CA", leaf.issuer, root),
        ):
            own = [
                (name, crl)
                for name, found in files
                for crl in found
                if crl.is_for(certificate, issuer)
            ]
            if not own:
                self.findings.undecided(Name.CRL, f"no list is for {what}")
            for name, crl in own:
                self._list(crl, certificate, issuer, f"{name}, for {what}")

    def _read(self, source: Source) -> tuple[RevocationList, ...]:
        """The lists of one file, of which one at least must be for the path; nothing where there is a fault."""
        leaf = self.leaf
        try:
            found = lists.parse_lists(source.read(lists.MAX_FILE))
        except (SourceError, lists.ListError) as error:
            self.findings.undecided(Name.CRL, f"{source.name}: {error}")
            return ()
        if not any(
            crl.is_for(leaf.certificate, leaf.issuer) or crl.is_for(leaf.issuer, self.trust.root)
            for crl in found
        ):
            self.findings.undecided(Name.CRL, f"{source.name}: no list is for this certificate")
        return found

    def _list(
        self,
        crl: RevocationList,
        certificate: x509.Certificate,
        issuer: x509.Certificate,
        name: str,
    ) -> None:
        if not crl.is_signed_by(issuer):
            self.findings.undecided(Name.CRL, f"{name}: number {crl.number} has another signer")
            return
        self.findings.passed(Name.CRL, f"{name}: number {crl.number}")
        current = crl.this_update <= self.at + CLOCK_SKEW and self.at < crl.next_update
        dates = f"{crl.this_update:%Y-%m-%dT%H:%M:%SZ} to {crl.next_update:%Y-%m-%dT%H:%M:%SZ}"
        self.findings.rely(Name.CRL_TIME, dates, holds=current)
        entry = crl.entry(certificate.serial_number)
        seen = "not on it" if entry is None else f"revoked, {entry}"
        self.findings.expect(Name.CRL_REVOKED, seen, holds=entry is None)

    # all

    def _revoked(self, name: Name, found: dict[bytes, str]) -> None:
        """Passed where nothing was found; else it names what is revoked, and what is known of that."""
        handles = self.leaf.handles
        named = [f"{handles[handle]} {handle.hex()}: {why}" for handle, why in found.items()]
        seen = f"revoked, {'; '.join(named)}" if named else f"none of {len(handles)} handles"
        self.findings.expect(name, seen, holds=not named)

    def _fresh(self, name: Name, time: int, advice: str = "") -> None:
        """`time`: seconds since 1970-01-01T00:00:00Z. `advice`: said where it is too old."""
        age = self.at.timestamp() - time
        fresh = -CLOCK_SKEW.total_seconds() <= age <= self.max_staleness.total_seconds()
        seen = f"{instant(time)}, {round(age)} s ago"
        self.findings.rely(name, seen if fresh else seen + advice, holds=fresh)
