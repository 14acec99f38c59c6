# SPDX-License-Identifier: Apache-2.0
"""Evidence of the virtual TPM of a VM of Google Compute Engine, which goes beside the CPU's own.

Google's host runs this TPM, outside the CPU's protection; Google certifies its attestation key for the VM that has it.
What ties it to the CPU's evidence is that both carry one binding. So the pieces are

- `tpm-attest`, `tpm-signature`, `tpm-pcrs`: a quote by that key over all PCRs of the SHA-256 bank, with
  `protocol.tpm_extra` of the report data that was asked for as extraData;
- `tpm-ak-certificate`: Google's certificate of the key, in PEM with that of its issuer, which is asked for where it
  says (`attestca_client.google_issuer`); in DER alone where that does not come: the authority may know the issuer.

The key is in no NV index: it is made anew each time, in the endorsement hierarchy, of the template that Google keeps in
one beside the certificate. RSA comes first; ECC where a VM has no such certificate, or its key cannot be made.

Source: google/go-tpm-tools, client/handles.go and keys.go: certificate and template of the RSA key in 0x01c10000 and
0x01c10001, of the ECC key in 0x01c10002 and 0x01c10003; TPMT_PUBLIC, 280 and 88 bytes.

Tested with a software TPM (swtpm) that has such indices, and real tpm2-tools. Not run on Google's cloud yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from attestca_client.chain import UNREADABLE, spki
from attestca_client.dmi import PRODUCT_NAME, on_google
from attestca_client.errors import Misconfigured, TpmMissing
from attestca_client.google_issuer import FAULTS, fetch_issuer
from attestca_client.protocol import tpm_extra
from attestca_client.runtime import SYSTEM, Runtime
from attestca_client.tpm import ENDORSEMENT, ToolFailed, TpmTools, quote
from attestca_client.tpm_template import MAX_TEMPLATE, Template
from attestca_client.tsm import REPORT_DATA_BYTES
from attestca_client.wire import Evidence, plain

if TYPE_CHECKING:
    from pathlib import Path

MAX_CERTIFICATES: Final = 16 * 1024  # the authority's limit of the piece
MAX_CONTEXT: Final = 8 * 1024
MAX_PUBLIC: Final = 1024
CONTEXT: Final = "key.ctx"

KEY_HINT: Final = (
    "Google gives one to a VM whose vTPM is enabled (Shielded VM);"
    " to use it needs root, or the group of /dev/tpmrm0"
)
ELSEWHERE_HINT: Final = "without --vtpm google the CPU's evidence is sent alone"


class Slot(NamedTuple):
    """NV indices of one key."""

    name: str
    certificate: str
    template: str


SLOTS: Final = (Slot("RSA", "0x01c10000", "0x01c10001"), Slot("ECC", "0x01c10002", "0x01c10003"))


@dataclass(frozen=True, slots=True)
class Key:
    """A key that was made: its saved context, and its certificate."""

    context: bytes
    certificate: x509.Certificate


@dataclass(frozen=True, slots=True)
class GoogleVtpmSource:
    """Callable: 64 bytes of report_data -> the vTPM's evidence over them, four pieces, for beside the CPU's.

    `bucket`: for tests, who is asked for the issuer's certificate.

    Raises Misconfigured, TpmMissing, QuoteUnavailable.
    """

    runtime: Runtime = SYSTEM
    tools: TpmTools = field(default_factory=TpmTools)
    product_name: Path = PRODUCT_NAME
    bucket: tuple[str, int] | None = None

    def __call__(self, report_data: bytes) -> list[Evidence]:
        """Evidence over `report_data` (64 bytes; ValueError otherwise)."""
        if len(report_data) != REPORT_DATA_BYTES:
            raise ValueError(
                f"report_data must be {REPORT_DATA_BYTES} bytes, not {len(report_data)}"
            )
        if not on_google(self.product_name):
            raise Misconfigured(
                "--vtpm google: this machine is no VM of Google Compute Engine", ELSEWHERE_HINT
            )
        key = self._key()
        inputs = ((CONTEXT, key.context),)
        return [
            *quote(self.tools, self.runtime, tpm_extra(report_data), CONTEXT, inputs),
            Evidence("tpm-ak-certificate", self._certificates(key.certificate)),
        ]

    def _key(self) -> Key:
        """The first key that can be made. Raises TpmMissing."""
        reasons = []
        for slot in SLOTS:
            try:
                return self._made(slot)
            except ToolFailed as error:
                reasons.append(f"{slot.name}: {error}")
                self.runtime.say(f"no attestation key of Google's, {reasons[-1]}")
        raise TpmMissing(
            f"no attestation key of Google's in this TPM: {'; '.join(reasons)}", KEY_HINT
        )

    def _made(self, slot: Slot) -> Key:
        """The key of this slot, if it is the one that its certificate is about. Raises TpmMissing, ToolFailed."""
        certificate, public = _read(self.tools.read(slot.certificate, MAX_CERTIFICATES), slot)
        raw = self.tools.read(slot.template, MAX_TEMPLATE)
        try:
            template = Template.parse(raw)
        except ValueError as error:
            raise ToolFailed(f"NV index {slot.template}: {error}") from error
        context, sent, made = self._create(template)
        if sent != raw:
            raise ToolFailed(f"tpm2_createprimary made another template of that in {slot.template}")
        if made != public:
            raise ToolFailed(
                f"the certificate in NV index {slot.certificate} is of another key than this TPM makes"
            )
        return Key(context, certificate)

    def _create(self, template: Template) -> tuple[bytes, ...]:
        """Context of the key, the template that the TPM was sent, the public key (DER)."""
        arguments = [
            *("-C", ENDORSEMENT, "-g", template.name_hash, "-G", template.algorithm),
            *("-a", template.attributes, "-u", "unique", "-c", CONTEXT),
            *("--template-data", "template", "-f", "der", "-o", "public"),
        ]
        outputs = {CONTEXT: MAX_CONTEXT, "template": MAX_TEMPLATE, "public": MAX_PUBLIC}
        try:
            return self.tools.run(
                "tpm2_createprimary",
                *arguments,
                outputs=outputs,
                inputs=(("unique", template.unique),),
            )
        finally:
            self.tools.flush()

    def _certificates(self, leaf: x509.Certificate) -> bytes:
        """In PEM with the issuer's; in DER alone where that did not come, or both are more than an authority takes."""
        alone = leaf.public_bytes(Encoding.DER)
        try:
            issuer = fetch_issuer(leaf, self.runtime, self.bucket)
        except FAULTS as error:
            said = plain(str(error)) or type(error).__name__
            self.runtime.say(f"no certificate of who certified the vTPM's key: {said}")
            return alone
        both = leaf.public_bytes(Encoding.PEM) + issuer.public_bytes(Encoding.PEM)
        return both if len(both) <= MAX_CERTIFICATES else alone


def _read(data: bytes, slot: Slot) -> tuple[x509.Certificate, bytes]:
    """The certificate in DER, and its key as SubjectPublicKeyInfo. Raises ToolFailed."""
    try:
        certificate = x509.load_der_x509_certificate(data)
        return certificate, spki(certificate.public_key())
    except (ValueError, *UNREADABLE) as error:
        raise ToolFailed(f"NV index {slot.certificate} holds no certificate") from error
