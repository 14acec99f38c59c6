# SPDX-License-Identifier: Apache-2.0
"""What NVIDIA is asked about devices, in two rounds: what they make known themselves, then who signed the manifests.

    round 1   GET   {rim_base_url}/v1/rim/<name>                      each manifest that a report needs
              POST  {ocsp_url}                                        the status of L4, L3 and L2 of every device
              POST  {nras_base_url}/v4/attest/gpu, …/switch           the evidence, where NVIDIA's appraisal counts
              GET   {nras_base_url}/.well-known/jwks.json             and the keys that its tokens are signed with
    round 2   POST  {ocsp_url}                                        the status of L4, L3 and L2 of every manifest

- Only what authentic devices make known is asked about; devices that are not genuine cause no request. Addresses come
  from the configuration. Of the evidence, a name of a manifest alone goes into one: text of `[A-Z0-9._]`, made by
  `verifiers.nvidia.measurements.references` of signed fields. A responder that a certificate names is never asked.
- No question is asked twice, however many devices it concerns.
- OCSP requests have no nonce, so that an answer can be kept until it ends; its time window bounds what a replay can do.
- A manifest is authenticated before its signers are asked about, and so is every OCSP answer. What is not NVIDIA's is
  refused here, so that whoever keeps answers asks for it anew. Dates, statuses and measurements are judged by
  `verifiers.nvidia.system.appraise_set`, tokens by `verifiers.nvidia.nras`.
- A manifest that NVIDIA does not have is left out: `appraise_set` names what it misses. So is one of a transcript of an
  FSP, which says nothing that a manifest is for.
- Where the service alone appraises, its word counts for manifests and revocation too, and neither is asked for.
"""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from verifiers import jsontext
from verifiers.endorsements import MAX_FETCHES, Fetch, Question
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia import ocsp
from verifiers.nvidia.claims import AppraisedBy, Family
from verifiers.nvidia.device import nvidia_roots
from verifiers.nvidia.endorsements import NvidiaEndorsements
from verifiers.nvidia.measurements import references
from verifiers.nvidia.rim import MAX_ENVELOPE_BYTES, check_answer, read_rim

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from verifiers.anchors import Anchor, Anchors
    from verifiers.certificate import Certificate
    from verifiers.endorsements import Gather, Response
    from verifiers.nvidia.claims import DeviceKind
    from verifiers.nvidia.device import Device
    from verifiers.nvidia.endorsements import NvidiaSource
    from verifiers.nvidia.measurements import Reference
    from verifiers.nvidia.rim import Rim
    from verifiers.nvidia.system import DeviceSet

MAX_NRAS_BYTES: Final = 256 * 1024  # a real answer about eight GPUs has 18 KiB
MAX_JWKS_BYTES: Final = 256 * 1024  # a real one has 80 KiB
CLAIMS_VERSION: Final = "3.0"  # 2.0 says nothing of firmware ids and of revocation

_ARCHITECTURES: Final = {
    Family.GH100: "HOPPER",
    Family.GB100: "BLACKWELL",
    Family.GB202: "BLACKWELL",
    Family.LS10: "LS10",
}
_ABSENT: Final = (404, 410)
_NOT_READ: Final = (Reason.MALFORMED, Reason.TOO_LARGE)


def gather(
    found: DeviceSet, source: NvidiaSource, anchors: Anchors, by: AppraisedBy = AppraisedBy.LOCAL
) -> Gather[NvidiaEndorsements]:
    """Ask for all that `appraise_set` needs.

    Args:
        found: authentic devices.
        source: where NVIDIA's services are.
        anchors: the roots that count.
        by: whose appraisal counts.

    Raises:
        VerificationError: authentic, `incomplete` for an answer that is missing, refused, or a manifest of something
            else; `collateral-malformed`, `rim-signature`, `ocsp-invalid` for one that is not NVIDIA's; `evidence` for
            devices that differ so much that a round would have more than 64 questions.
    """
    try:
        return (yield from _gather(found, source, anchors, by))
    except VerificationError as error:
        error.authentic = True
        raise


def _gather(
    found: DeviceSet, source: NvidiaSource, anchors: Anchors, by: AppraisedBy
) -> Gather[NvidiaEndorsements]:
    local, remote = by is not AppraisedBy.NRAS, by is not AppraisedBy.LOCAL
    manifests = _manifests(found.devices, source) if local else {}
    chains = [one.chain.certificates[1:] for one in found.devices] if local else []
    statuses = _statuses("ocsp-device", chains, source)
    appraisals = _appraisals(found, source) if remote else ()
    keys = (_key_set(source),) if remote else ()

    asked = _bounded((*manifests, *statuses, *appraisals, *keys))
    said = dict(zip(asked, (yield asked), strict=True))
    root = nvidia_roots(anchors).rim
    had = {
        fetch: rim
        for fetch, wanted in manifests.items()
        if (rim := _manifest(said[fetch], wanted, root)) is not None
    }
    answers = [_status(said[fetch], *pair) for fetch, pair in statuses.items()]
    tokens = tuple(_body(fetch, said[fetch]) for fetch in appraisals)
    jwks = next((_body(fetch, said[fetch]) for fetch in keys), None)

    signers = _statuses("ocsp-rim", [one.certificates for one in had.values()], source)
    if signers:
        asked = _bounded(tuple(signers))
        said |= zip(asked, (yield asked), strict=True)
        answers += [_status(said[fetch], *pair) for fetch, pair in signers.items()]
    return NvidiaEndorsements(
        tuple(said[fetch].body for fetch in had), tuple(answers), tokens, jwks
    )


def _bounded(asked: tuple[Fetch, ...]) -> tuple[Fetch, ...]:
    if len(asked) > MAX_FETCHES:
        raise VerificationError(
            Reason.EVIDENCE, f"{len(asked)} questions about one machine, at most {MAX_FETCHES}"
        )
    return asked


def _manifests(devices: Iterable[Device], source: NvidiaSource) -> dict[Fetch, list[Reference]]:
    """What is asked for each distinct manifest, and what its answer must be a manifest of."""
    wanted: defaultdict[Fetch, list[Reference]] = defaultdict(list)
    for one in dict.fromkeys(
        reference
        for device in devices
        if device.report.fields is not None
        for reference in references(device.report.fields, device.chain.family)
    ):
        url = source.rim_url(one.rim_id)
        fetch = Fetch("rim", url, max_bytes=MAX_ENVELOPE_BYTES, is_answer=jsontext.is_object)
        wanted[fetch].append(one)
    return wanted


def _manifest(answer: Response, wanted: Sequence[Reference], root: Anchor) -> Rim | None:
    """The manifest in an answer; None if NVIDIA has none. Raises VerificationError."""
    rim_id = wanted[0].rim_id
    if answer.status in _ABSENT:
        return None
    try:
        check_answer(answer.body, rim_id)
        rim = read_rim(answer.body, root)
    except VerificationError as error:
        reason = Reason.COLLATERAL_MALFORMED if error.reason in _NOT_READ else error.reason
        raise VerificationError(reason, f"{rim_id}: {error.detail}") from error
    for one in wanted:
        if (rim.kind, rim.product, rim.version) != (one.kind, one.product, one.version):
            raise VerificationError(
                Reason.INCOMPLETE,
                f"missing: {one}; the service has a {rim.kind} manifest of {rim.product}"
                f" {rim.version} under this name",
            )
    return rim


def _statuses(
    part: str, chains: Iterable[Sequence[Certificate]], source: NvidiaSource
) -> dict[Fetch, tuple[Certificate, Certificate]]:
    """What is asked about each distinct certificate of some chains, roots excepted; with its issuer."""
    pairs = dict.fromkeys(pair for chain in chains for pair in pairwise(chain))
    return {
        Fetch(
            part,
            source.ocsp_url,
            max_bytes=ocsp.MAX_ANSWER_BYTES,
            question=Question(ocsp.request(*pair), "application/ocsp-request"),
            ends=ocsp.next_update,
            is_answer=ocsp.is_answer,
        ): pair
        for pair in pairs
    }


def _status(answer: Response, certificate: Certificate, issuer: Certificate) -> bytes:
    """An authentic answer about a certificate. Raises VerificationError."""
    missing = f"answered {answer.status}" if answer.status != 200 else ocsp.refusal(answer.body)
    if missing is not None:
        raise VerificationError(
            Reason.INCOMPLETE, f"OCSP answer about {certificate.common_name}: {missing}"
        )
    ocsp.verify_answer(answer.body, certificate, issuer)
    return answer.body


def _key_set(source: NvidiaSource) -> Fetch:
    return Fetch(
        "nras-jwks", source.jwks_url, max_bytes=MAX_JWKS_BYTES, is_answer=jsontext.is_object
    )


def _appraisals(found: DeviceSet, source: NvidiaSource) -> tuple[Fetch, ...]:
    """One request to NRAS for all devices of a kind and architecture, in the order of the first of each."""
    groups: defaultdict[tuple[DeviceKind, str], list[Device]] = defaultdict(list)
    for one in found.devices:
        family = one.chain.family
        groups[family.kind, _ARCHITECTURES[family]].append(one)
    return tuple(
        Fetch(
            f"nras-{kind}",
            source.nras_url(kind),
            max_bytes=MAX_NRAS_BYTES,
            question=Question(_appraisal(found.nonce, architecture, group), "application/json"),
            fresh=True,
        )
        for (kind, architecture), group in groups.items()
    )


def _appraisal(nonce: bytes, architecture: str, devices: Iterable[Device]) -> bytes:
    """The body of a request to NRAS."""
    evidence = [
        {"evidence": _base64(one.report.raw), "certificate": _base64(_pem(one.chain.certificates))}
        for one in devices
    ]
    request = {
        "nonce": nonce.hex(),
        "arch": architecture,
        "evidence_list": evidence,
        "claims_version": CLAIMS_VERSION,
    }
    return json.dumps(request).encode("ascii")


def _pem(certificates: Iterable[Certificate]) -> bytes:
    return b"".join(
        x509.load_der_x509_certificate(one.der).public_bytes(Encoding.PEM) for one in certificates
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _body(fetch: Fetch, answer: Response) -> bytes:
    if answer.status != 200:
        raise VerificationError(Reason.INCOMPLETE, f"{fetch.part}: answered {answer.status}")
    return answer.body
