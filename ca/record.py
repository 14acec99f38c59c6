# SPDX-License-Identifier: Apache-2.0
"""What a decision leaves behind, and the same read back: all that makes the verdict again, and nothing else.

Every document is a blob under its SHA-256, so that decisions share what they have in common: a reference manifest of a
driver is kept once, however many machines run it. The first blob of the collateral is an index, a JSON object: the
members of the CPU verifier's own bundle and, where there is more, `documents`, a list of [kind, SHA-256 in hexadecimal]
for the blobs behind it, in their order. Kinds are those of `NvidiaEndorsements.documents`, and the names of the lists
that a policy asked (`ca.lists`). Kinds are only ever added.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from attestca_client.protocol import frame
from ca.errors import AuthorityError
from ca.ports import Blob
from policies.floors import Floors, load_floors
from policies.minimums import Minimums, load_minimums
from policies.result import Decision as Appraised
from verifiers import registry
from verifiers.claims import to_json
from verifiers.evidence import Evidence, EvidenceKind
from verifiers.nvidia.endorsements import NvidiaEndorsements, from_documents
from verifiers.nvidia.evidence import NvidiaEvidence, piece

if TYPE_CHECKING:
    from ca.ports import Decision
    from policies.result import AttestationResult
    from verifiers.errors import VerificationError

ATTACHMENT: Final = "attachment"  # the kind of a piece of evidence that is no evidence: 32 bytes
AMD_FLOORS: Final = "amd-floors"
NVIDIA_MINIMUMS: Final = "nvidia-minimums"
_DOCUMENTS: Final = "documents"


@dataclass(frozen=True, slots=True)
class Basis:
    """What a verdict rests on besides the binding, the policy and the instant.

    Attributes:
        devices: as they were sent, if anybody looked at them.
        attachments: where nobody did, what stands for each in the binding (32 bytes); their evidence is not kept, for
            nothing says that it is a device's.
        logs: event logs that were read, as they were sent.
        of_devices: what was known of the devices; None where nobody asked.
        floors, minimums: those that the policy asked.
    """

    parsed: registry.ParsedEvidence
    endorsements: registry.Endorsements
    devices: tuple[NvidiaEvidence, ...] = ()
    attachments: tuple[bytes, ...] = ()
    logs: tuple[Evidence, ...] = ()
    of_devices: NvidiaEndorsements | None = None
    floors: Floors | None = field(default=None, repr=False)
    minimums: Minimums | None = field(default=None, repr=False)


def evidence(basis: Basis) -> tuple[tuple[str, Blob], ...]:
    """The evidence as a decision has it: the CPU's own piece first; logs; the devices, or what stands for them, last.

    A quote is without trailing zero bytes, so that its digest is the one in the certificate.
    """
    pieces = [
        *registry.pieces_of(basis.parsed),
        *basis.logs,
        *(Evidence(EvidenceKind.NVIDIA_DEVICE, piece(device)) for device in basis.devices),
    ]
    kept = [(one.kind.value, _blob(one.data)) for one in pieces]
    return (*kept, *((ATTACHMENT, _blob(digest)) for digest in basis.attachments))


def collateral(basis: Basis) -> tuple[Blob, ...]:
    """The collateral as a decision has it: the index, then the documents that it names."""
    named: list[tuple[str, bytes]] = []
    if basis.floors is not None:
        named.append((AMD_FLOORS, basis.floors.text))
    if basis.minimums is not None:
        named.append((NVIDIA_MINIMUMS, basis.minimums.text))
    if basis.of_devices is not None:
        named += basis.of_devices.documents()
    blobs = [(kind, _blob(text)) for kind, text in named]
    index: dict[str, object] = dict(basis.endorsements.to_bundle())
    if blobs:
        index[_DOCUMENTS] = [[kind, blob.sha256.hex()] for kind, blob in blobs]
    text = json.dumps(index, sort_keys=True).encode()
    return (_blob(text), *(blob for _, blob in blobs))


def restored(decision: Decision) -> Basis:
    """The same from a decision on record.

    Raises:
        AuthorityError: the record is not one that `evidence` and `collateral` made.
        VerificationError: as parsing did when the decision was made.
    """
    pieces = [
        Evidence(EvidenceKind(kind), blob.data)
        for kind, blob in decision.evidence
        if kind != ATTACHMENT
    ]
    attachments = tuple(blob.data for kind, blob in decision.evidence if kind == ATTACHMENT)
    of_cpu, devices, logs = registry.split(pieces)
    parsed = registry.parse(of_cpu)
    first, *behind = decision.collateral
    kinds, bundle = _index(first.data)
    if [digest for _, digest in kinds] != [blob.sha256.hex() for blob in behind]:
        raise AuthorityError("the collateral on record is not what its index names")
    documents = [(kind, blob.data) for (kind, _), blob in zip(kinds, behind, strict=True)]
    floors = [load_floors(text) for kind, text in documents if kind == AMD_FLOORS]
    minimums = [load_minimums(text) for kind, text in documents if kind == NVIDIA_MINIMUMS]
    lists = {AMD_FLOORS, NVIDIA_MINIMUMS}
    of_devices = [document for document in documents if document[0] not in lists]
    return Basis(
        parsed=parsed,
        endorsements=registry.parse_bundle(parsed, bundle),
        devices=devices,
        attachments=attachments,
        logs=logs,
        of_devices=from_documents(of_devices) if of_devices else None,
        floors=floors[0] if floors else None,
        minimums=minimums[0] if minimums else None,
    )


@lru_cache(maxsize=32)
def _index(text: bytes) -> tuple[tuple[tuple[str, str], ...], bytes]:
    """The documents that an index names, and the bundle in it. A fleet's decisions of one day share it."""
    index = json.loads(text)
    kinds = index.pop(_DOCUMENTS, [])
    return tuple((kind, digest) for kind, digest in kinds), json.dumps(index).encode()


def refused_by_vendor(error: VerificationError) -> str:
    """`result_json` of a refusal by a vendor's own rules, which no policy was asked about."""
    facts = {
        "decision": Appraised.DENIED.value,
        "reason": {"code": error.reason.value, "detail": error.detail},
        "tcb": to_json(error.tcb),
    }
    return json.dumps(facts, sort_keys=True)


def refused_after_all(result: AttestationResult, code: str, detail: str) -> str:
    """`result_json` where the policy accepts and there is no certificate all the same."""
    reason = {"code": code, "detail": detail}
    facts = result.as_json() | {"decision": Appraised.DENIED.value, "reason": reason}
    return json.dumps(facts, sort_keys=True)


def committed(decision: Decision) -> bytes:
    """The bytes that the log's entry about a decision commits to: all that is on record, documents by their SHA-256.

    `frame` of: SHA-256 of the request, nonce, profile, key to be certified (DER), TEE, `frame` of the kind and SHA-256
    of each piece of evidence, `frame` of the SHA-256 of each document of collateral, digest of the trust anchors,
    SHA-256 of the policy (empty where none matched), TCB status, the result as JSON.
    """
    pieces = [field for kind, blob in decision.evidence for field in (kind.encode(), blob.sha256)]
    return frame(
        decision.request_sha256,
        decision.nonce,
        decision.profile.encode(),
        decision.spki_der,
        decision.tee.encode(),
        frame(*pieces),
        frame(*(blob.sha256 for blob in decision.collateral)),
        decision.anchors_sha256,
        decision.policy_sha256 or b"",
        decision.tcb_status.encode(),
        decision.result_json.encode(),
    )


def _blob(data: bytes) -> Blob:
    return Blob(sha256(data).digest(), data)
