# SPDX-License-Identifier: Apache-2.0
"""The demo's last chapters: a measurement is revoked, everybody who asks is told, and the log is audited from outside.

Three machines enroll, two of them with the next release of the image. Then a hole is found in that release: one command
revokes what its kernel measures, one transaction brings that onto the chain, and relying parties that ask in different
ways refuse the two and accept the third.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from simulator.demo_parties import Party, Word
from simulator.stage import StageError
from simulator.tdx_policies import NEXT_KERNEL, next_tdx_policy

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.demo_chain import Place
    from simulator.stage import Stage
    from simulator.teller import Teller

T = TypeVar("T")
TWO, THIRD = ("one", "two"), "three"
MACHINES: Final = (*TWO, THIRD)
ALL_GOOD: Final = dict.fromkeys(MACHINES, Word.GOOD)
TWO_REVOKED: Final = ALL_GOOD | dict.fromkeys(TWO, Word.REVOKED)
_PATIENCE: Final = 60.0  # seconds until the log, a list or the chain has it
_STEP: Final = 0.3  # seconds between two looks
_SCOPES: Final = ("--scope", "revocations:read", "--scope", "revocations:write")
_HEX: Final = re.compile(r"\b([0-9a-f]{16})[0-9a-f]{48}\b")
_HANDLE: Final = re.compile(r"^\s*handle\s+([0-9a-f]{64})\s*$", re.MULTILINE)
_WHY: Final = ("--reason", "superseded", "--note", "the kernel of release 2 has a hole")


def revocation_chapters(stage: Stage, place: Place | None, teller: Teller) -> None:
    """All of it. Raises StageError."""
    teller.chapter("three more machines: two with the next release, the third with that of before")
    party = Party(stage.folder / "party", stage.url, place.chain.rpc_url if place else "")
    if not enroll_three(stage, party, teller):
        return
    if not shutil.which("openssl"):
        teller.leave_out("list (CRL) and responder (OCSP)", "openssl is not installed")
    teller.chapter("a relying party asks: are they good?")
    wait_until_logged(party, teller)
    anchored = (
        []
        if place is None
        else _until("the first head is final", partial(final_anchors, stage), teller)
    )
    ask_all(party, ALL_GOOD, teller)
    teller.chapter("the next release has a hole: what its kernel measures is revoked")
    handle = revoke_kernel(stage, teller)
    again = stage.enroll(stage.folder / "again", "--field", f"rtmr1={NEXT_KERNEL.hex()}")
    teller.output(again.stdout + again.stderr, only=("refused",))
    teller.expect(
        "from that moment on no machine gets a certificate for it",
        good=again.returncode == 1 and "handle-revoked" in again.stderr,
    )
    if place is not None:
        teller.chapter("it comes onto the chain, where nobody can take it back")
        show_transaction(stage, place, handle, len(anchored), teller)
    teller.chapter("the relying party asks again")
    wait_until_listed(party, teller)
    ask_all(party, TWO_REVOKED, teller)
    teller.chapter("somebody else audits the log, with public addresses and the trust bundle alone")
    audit(party, teller)


def enroll_three(stage: Stage, party: Party, teller: Teller) -> bool:
    """The machines' certificates, in the hands of the relying party."""
    (stage.folder / "next.yaml").write_text(next_tdx_policy(), encoding="ascii")
    stage.operate("policy", "add", str(stage.folder / "next.yaml"))
    stage.operate("policy", "activate", "demo", "2")
    next_release = ("--field", f"rtmr1={NEXT_KERNEL.hex()}")
    party.folder.mkdir()
    issued = 0
    for machine in MACHINES:
        out = stage.folder / machine
        done = stage.enroll(out, *(next_release if machine in TWO else ()))
        teller.output(done.stdout + done.stderr, only=("issued", "refused", "fail"))
        if done.returncode == 0:
            party.meet(machine, out)
            issued += 1
    teller.expect("three certificates under one policy", good=issued == len(MACHINES))
    shutil.copy(stage.root, party.folder / "root.pem")
    (party.folder / "trust.json").write_bytes(party.fetch("/v1/trust") or b"")
    return issued == len(MACHINES)


def wait_until_logged(party: Party, teller: Teller) -> None:
    """Certificates are in the log within two seconds."""
    for machine in MACHINES:
        path = f"/v1/status/{party.serial(machine):x}"
        _until(f"the log has {machine}", partial(party.fetch, path), teller)
        party.is_listed(machine)


def wait_until_listed(party: Party, teller: Teller) -> None:
    """Lists follow a revocation within seconds."""
    for machine in TWO:
        _until(f"the list has {machine}", partial(party.is_listed, machine), teller)
    party.is_listed(THIRD)


def ask_all(party: Party, wanted: dict[str, Word], teller: Teller) -> None:
    """Each way, about each machine; a statement for each way."""
    teller.line(f"(it: {', '.join(MACHINES)}, each in turn)")
    for way in party.ways():
        teller.command(way.shown)
        with ThreadPoolExecutor() as pool:
            found = pool.map(partial(party.ask, way), MACHINES)
            answers = dict(zip(MACHINES, found, strict=True))
        for machine, answer in answers.items():
            line = _HEX.sub(r"\1…", answer.line)
            teller.output(f"{machine:6} {answer.word:8} {line}")
        words = {machine: answer.word for machine, answer in answers.items()}
        teller.expect(f"{way.name}: {_said(wanted)}", good=words == wanted)


def _said(wanted: dict[str, Word]) -> str:
    if wanted == ALL_GOOD:
        return "all three are good"
    return f"{' and '.join(TWO)} are revoked, {THIRD} is good"


def revoke_kernel(stage: Stage, teller: Teller) -> str:
    """What it would take, then the revocation. Returns the handle in hexadecimal digits."""
    config = ("--config", str(stage.config))
    made = stage.attestca("token", "create", "duty", "--expires", "1h", *_SCOPES, *config)
    token = made.strip().splitlines()[-1]
    measured = ("revoke", "measurement", "rtmr1", NEXT_KERNEL.hex())
    preview = _operate(stage, token, *measured, "--dry-run")
    teller.output(preview, only=("kind", "subject", "handle", "certificates", " demo.example.org"))
    found = _HANDLE.search(preview)
    teller.expect(
        "the preview: two certificates depend on it",
        good=found is not None
        and re.search(r"^certificates +2$", preview, re.MULTILINE) is not None,
    )
    done = _operate(stage, token, *measured, *_WHY)
    teller.output(done, only=("revocation", "revoked at", "reason", "by ", "note"))
    if found is None or found[1] not in done:
        raise StageError(f"revoked another handle than was shown: {preview}{done}")
    return found[1]


def _operate(stage: Stage, token: str, *words: str) -> str:
    """A command under another token than the stage's own."""
    stage.say(f"attestca {' '.join(word if ' ' not in word else repr(word) for word in words)}")
    done = stage.run(["-m", "ca", *words, "--url", stage.admin_url], ATTESTCA_TOKEN=token)
    if done.returncode:
        raise StageError(f"attestca {' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


def final_anchors(stage: Stage) -> list[dict[str, Any]]:
    """All anchors as `attestca chain status` has them, newest first; none before they are final. Raises StageError."""
    words = ["-m", "ca", "chain", "status", "--json", "--config", str(stage.config)]
    done = stage.run(words)
    if done.returncode:
        raise StageError(f"attestca chain status: {done.stdout}{done.stderr}")
    anchors: list[dict[str, Any]] = json.loads(done.stdout)["anchors"]
    return anchors if all(one["state"] == "final" for one in anchors) else []


def show_transaction(stage: Stage, place: Place, handle: str, before: int, teller: Teller) -> None:
    """The anchor that brought the tombstone. `before`: how many there were without it."""
    _until("the transaction is final", partial(place.final_events, handle), teller)
    stage.say("attestca chain status --json")
    new = _until("the authority knows it", partial(final_anchors, stage), teller)[:-before]
    receipt = place.receipt(new[0]["transaction"])
    for one in new:
        teller.output(
            f"anchor {one['number']}: {one['state']} in block {one['block']}, log of {one['size']} entries,"
            f" tombstones: {one['tombstones']}\ntransaction {one['transaction']}"
        )
    teller.output(f"gas {int(receipt['gasUsed'], 16):,}\ncontract {receipt['to']}")
    teller.expect(
        "one transaction has the log's head and one tombstone, which both certificates hang on",
        good=[one["tombstones"] for one in new] == [1]
        and len(receipt["logs"]) == 2  # Anchored and Revoked
        and [entry["transactionHash"] for entry in place.final_events(handle)]
        == [new[0]["transaction"]],
    )


def audit(party: Party, teller: Teller) -> None:
    """`attestca log audit`, without a token, a configuration or a database."""
    chain = ("--rpc", party.rpc) if party.rpc else ()
    words = [
        "attestca",
        "log",
        "audit",
        party.url,
        "--ca-root",
        "root.pem",
        "--trust",
        "trust.json",
    ]
    teller.command(" ".join([*words, *chain]))
    done = party.run([*words, *chain])
    facts = dict(row.split(maxsplit=1) for row in done.stdout.splitlines() if len(row.split()) > 1)
    teller.output(done.stdout + done.stderr)
    whole = done.returncode == 0 and "One history" in done.stderr
    teller.expect(
        "every entry read: they make the signed tree, and revoke exactly what its revocation root says",
        good=whole and facts.get("revoked") == "1",
    )
    if party.rpc:
        said = re.findall(r"^chain (heads|tombstones|missing) +(\d+)$", done.stdout, re.MULTILINE)
        counts = {name: int(count) for name, count in said}
        teller.expect(
            "every head on the chain is one of this log, and every revocation has its tombstone",
            good=whole
            and counts.get("heads", 0) >= 2  # that of the start and that of the revocation
            and (counts.get("tombstones"), counts.get("missing")) == (1, 0),
        )


def _until(what: str, look: Callable[[], T], teller: Teller) -> T:
    """What `look` gives as soon as it is something. Raises StageError after a minute."""
    deadline = time.monotonic() + _PATIENCE
    found = look()
    if not found:
        teller.line(f"(waiting until {what})")
    while not found:
        if time.monotonic() > deadline:
            raise StageError(f"not within {_PATIENCE:.0f} s: {what}")
        time.sleep(_STEP)
        found = look()
    return found
