# SPDX-License-Identifier: Apache-2.0
"""AMD's signing authorities for SEV-SNP, pinned: one ARK, ASK and ASVK for each product line.

The ARK (root) signs the ASK, which signs VCEKs, and the ASVK, which signs VLEKs. What evidence brings of them is never
used. ARK and ASK are files in `verifiers/snp/anchors`, each held against a SHA-256 written here; of an ASVK the facts
stand here that judging a VLEK needs. RSA 4096 throughout, RSASSA-PSS with SHA-384. Source: AMD publication 57230 (VCEK
certificate and KDS interface), 58369 (VLEK).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from verifiers import der
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Product

KEY_BITS: Final = 4096
SALT_BYTES: Final = 48

_PSS: Final = padding.PSS(padding.MGF1(SHA384()), SALT_BYTES)


@dataclass(frozen=True, slots=True, eq=False)
class AmdAuthority:
    """One authority: what its certificates and CRLs are judged by. Equal by key and name.

    Attributes:
        subject: content of the DER Name, as issuer fields of what it signs must be. spki: DER SubjectPublicKeyInfo.
        certificate_sha256: SHA-256 of its DER certificate, 32 bytes.
    """

    common_name: str
    subject: bytes
    spki: bytes
    public_key: rsa.RSAPublicKey
    serial_number: int
    not_before: datetime
    not_after: datetime
    certificate_sha256: bytes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AmdAuthority) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[bytes, bytes, int, datetime, datetime]:
        return self.subject, self.spki, self.serial_number, self.not_before, self.not_after


@dataclass(frozen=True, slots=True)
class AmdHierarchy:
    """The three authorities of one product line."""

    product: Product
    ark: AmdAuthority
    ask: AmdAuthority
    asvk: AmdAuthority

    @classmethod
    def from_certificates(
        cls, product: Product, ark: bytes, ask: bytes, asvk: bytes
    ) -> AmdHierarchy:
        """The hierarchy of three DER certificates: the root signed itself and both others.

        Raises:
            VerificationError: `chain`.
        """
        root = x509_certificate(ark)
        authorities = tuple(
            _signed_by(root, der_, name)
            for der_, name in (
                (ark, f"ARK-{product}"),
                (ask, f"SEV-{product}"),
                (asvk, f"SEV-VLEK-{product}"),
            )
        )
        return cls(product, *authorities)


def pss_signed(key: rsa.RSAPublicKey, signature: bytes, signed: bytes) -> bool:
    """Whether `signature` is RSASSA-PSS of `key` over `signed`: SHA-384, MGF1 with SHA-384, 48 bytes of salt."""
    try:
        key.verify(signature, signed, _PSS, SHA384())
    except InvalidSignature:
        return False
    return True


def x509_certificate(data: bytes) -> x509.Certificate:
    """An authority's certificate by the library. Raises VerificationError (`chain`)."""
    try:
        return x509.load_der_x509_certificate(data)
    except ValueError as error:
        raise VerificationError(Reason.CHAIN, f"certificate cannot be read: {error}") from error


def _signed_by(root: x509.Certificate, data: bytes, name: str) -> AmdAuthority:
    """The authority in `data`, which `root` must have signed. Raises VerificationError (`chain`)."""
    certificate = x509_certificate(data)
    authority = _authority(certificate)
    if authority.common_name != name:
        raise VerificationError(
            Reason.CHAIN, f"{authority.common_name} stands where {name} belongs"
        )
    signer = _authority(root)
    issuer = der.only(certificate.issuer.public_bytes(), der.SEQUENCE)
    if issuer != signer.subject or not pss_signed(
        signer.public_key, certificate.signature, certificate.tbs_certificate_bytes
    ):
        raise VerificationError(Reason.CHAIN, f"{name} is not signed by {signer.common_name}")
    return authority


def _authority(certificate: x509.Certificate) -> AmdAuthority:
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size != KEY_BITS:
        raise VerificationError(Reason.CHAIN, f"its key is not RSA with {KEY_BITS} bits")
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    data = certificate.public_bytes(Encoding.DER)
    return AmdAuthority(
        common_name=str(names[0].value) if len(names) == 1 else "",
        subject=der.only(certificate.subject.public_bytes(), der.SEQUENCE),
        spki=key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public_key=key,
        serial_number=certificate.serial_number,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        certificate_sha256=hashlib.sha256(data).digest(),
    )


@dataclass(frozen=True, slots=True)
class _Asvk:
    """What is pinned of an ASVK. Its exponent is 65537; its subject differs in the common name alone."""

    modulus: str
    serial_number: int
    not_before: datetime
    not_after: datetime
    certificate_sha256: str

    def authority(self, product: Product) -> AmdAuthority:
        name = f"SEV-VLEK-{product}"
        key = rsa.RSAPublicNumbers(_EXPONENT, int(self.modulus, 16)).public_key()
        return AmdAuthority(
            common_name=name,
            subject=subject_name(name),
            spki=key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            public_key=key,
            serial_number=self.serial_number,
            not_before=self.not_before,
            not_after=self.not_after,
            certificate_sha256=bytes.fromhex(self.certificate_sha256),
        )


def builtin_hierarchies() -> tuple[AmdHierarchy, ...]:
    """The production hierarchies. Raises RuntimeError if a file is not the one that this module names."""
    return tuple(_builtin(product) for product in Product)


def _builtin(product: Product) -> AmdHierarchy:
    root = _pinned(product, "ark", _CERTIFICATES_SHA256[product][0])
    ask = _pinned(product, "ask", _CERTIFICATES_SHA256[product][1])
    return AmdHierarchy(
        product,
        _signed_by(root, root.public_bytes(Encoding.DER), f"ARK-{product}"),
        _signed_by(root, ask.public_bytes(Encoding.DER), f"SEV-{product}"),
        _ASVKS[product].authority(product),
    )


def _pinned(product: Product, role: str, sha256: str) -> x509.Certificate:
    """The certificate in a packaged file, if it is the very one."""
    name = f"{product.lower()}-{role}.pem"
    pem = (files("verifiers.snp") / "anchors" / name).read_bytes()
    certificate = x509.load_pem_x509_certificate(pem)
    if hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest() != sha256:
        raise RuntimeError(f"the packaged {name} is not the pinned one: reinstall attestca")
    return certificate


def subject_name(common_name: str) -> bytes:
    """Content of the Name of AMD's authorities: six UTF8String or PrintableString attributes, the common name last."""
    value = bytes((0x0C, len(common_name))) + common_name.encode()
    attribute = bytes.fromhex("0603550403") + value
    sequence = bytes((0x30, len(attribute))) + attribute
    return _SUBJECT_BEFORE_COMMON_NAME + bytes((0x31, len(sequence))) + sequence


_EXPONENT: Final = 65537
_SUBJECT_BEFORE_COMMON_NAME: Final = bytes.fromhex(  # OU, C, L, ST, O
    "31143012060355040b0c0b456e67696e656572696e67310b30090603550406130255533114301206035504070c0b"
    "53616e746120436c617261310b300906035504080c024341311f301d060355040a0c16416476616e636564204d69"
    "63726f2044657669636573"
)
_CERTIFICATES_SHA256: Final = {  # of the DER: ARK, ASK
    Product.MILAN: (
        "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd",
        "67d303bd3905fd38db8b20e0793699870e7fa612eaad5dec358293fd8c0bac1b",
    ),
    Product.GENOA: (
        "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1",
        "5464738c1546aed5f2cecf1dc98c5c960a92e8913238a61711bc90ec6e828521",
    ),
    Product.TURIN: (
        "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a",
        "5b77ef5fe7a7a004fd9032668fba9d0fda22f88c4442069a479636a6ae3b3185",
    ),
}
_ASVKS: Final = {
    Product.MILAN: _Asvk(
        modulus=(
            "d44516933e454cfcfeb964f68421328ac6a6f0546e5d90264b797ead781209e4b5434fb5a2572715"
            "22698b07ecb1f868bad26a78fca272ef8e8645f5df53cc78efd53ad1f7ba92b860d266ab7e88269e"
            "d95889b99cad9f24d9181075b49bf35770803d5368879796c043971b1a9f7bfc568e2785661a84cc"
            "57ae7c628c7fa6516665115f45cb30da1c8d86a525d60cdda6720880f932814a2f14481a6b42154a"
            "018b1d085942279b34b2d255645545ebded2df78ce544845176bcfce1c7243fd1fd0d301433241ac"
            "5265b3c834a6d5e933e6b6bc0057d50fd50ab8d7cc67f48f82d12b16bad3ffe52d4e88bf0e4f3438"
            "0af81b1ce7ddd85df256fe310c1cdae127a51768a0a037fe045e1723f2081c92f6379b8acb7fa091"
            "20765e5ea9ae8860566a9116f056f4e4c211adf65a15eed2dd59d5a6c42836772e966df7f0ab83ac"
            "f23e95c32d1fed2c71e949a3d18fb093cc789e28c4f3f90e91ac209070719f6800ff113358e7a687"
            "bcd2516606f35c3509be72ebddd6323afbe7fc3b4a8424a2989ca79fb2de9f802b0d5415c1744f7b"
            "7851fdab0213609a8d3ee4182d403ad53342e20a652d83d1093be20dbdec984b1e91019508b28d12"
            "7e2c2599371f6e25c8b11b2cdabfa7e2396c7853cb96851cc7b3c9ef0c075c4b82d6df5b4f940f41"
            "78e2bf0468a6413bbb84ce4c0c564bd02f5d58ae69b825097b1e88daf4aabf27"
        ),
        serial_number=0x010101,
        not_before=datetime(2022, 11, 16, 22, 45, 24, tzinfo=UTC),
        not_after=datetime(2047, 11, 16, 22, 45, 24, tzinfo=UTC),
        certificate_sha256="c5e081f59b7efab1fe2f8b505e159704e72f29cab7ef7cf628a05a42439082f5",
    ),
    Product.GENOA: _Asvk(
        modulus=(
            "ccbdbfc62847b1c129c52dfe3ac419a40b8d20919211066b92858fb6a28c8e364ec9730c44702179"
            "39b9e848b431bf1325995b1834b9c7f01d6e8c2cb469a91ea876cef4af8d93bb578bfa16df38a7bd"
            "4fe865df395110802b9ab62b337c8c05ad1424fdc994ec7b8969d06ae97b5813ea8124c8eeb3c0b4"
            "5b05bf21663d8faa4d6c40354a752f560eadf3dcdf13e01c07950308aab4f71eeac3eacfb7da53a4"
            "4721d1fd5b1dd445265a605864ead36a211fd6d3fba6aef243e9bcc6b79b6a7ccdd208aadbae486e"
            "acac88a6ae9b76e25b2be2d2e1406eb947f45b5494fd32c2b850ba5b0143b93707652f06e7a4b587"
            "894c2862bc92303f25df1443be13e6227957105128f256a1718965c6224947ca2aa80eb1de33c52a"
            "691f84481a41e7dc9f83fc9c0e1249ca80a0b8a19fbe62883b54dbe66590f9ca81c36ce54d4b7b8e"
            "35ca97a7da7ec13a7472866c3201404693739c3171ec27a286a432724d509a0b77d65f77b1e08bf8"
            "2e4b8a440e8ef72bb7cc73f6dcdfee6c4f3f63291f7c88cc6ed068380cdd5829fd944e1a9a8e1567"
            "ef1ec08bad6406260b94c840efb0594a8a62bd220286dc70c9d97498d43918d5a2a550f9d2ebfbfd"
            "68b64dfa81f3dcd0ba6685664a7c05c5f6c82f62d42371a47dc251abf32491b59d98256a1fb91ef3"
            "8181493c45d1c009db011ff4e61066a20ec232dd45f582929a4bba25f45e718f"
        ),
        serial_number=0x020101,
        not_before=datetime(2022, 11, 18, 20, 48, 34, tzinfo=UTC),
        not_after=datetime(2047, 11, 18, 20, 48, 34, tzinfo=UTC),
        certificate_sha256="197e610743a917d6b9bb982a5a9226ccc0a15b611be0619e626aca9151457372",
    ),
    Product.TURIN: _Asvk(
        modulus=(
            "a63aee8b89746688048747c37557c9e2e9e8c061a8964db05f2ce36e30bf7e7aa5845aa2163d4948"
            "a764612bf33d57e00d1d0c53658b972b6b006a8e1d805d938328cf7c474d726eb3be4d79fd04059a"
            "4693d3383d0185fa74ea622fa10e0baad78c1050496d37dc06ba79d479a333d1eea17c26ac0debe4"
            "ca920b329a27bd3bda338f51022a42bd38263d14e4400f218e5ded03a47b4bf1ca4e7ebf4374fbe0"
            "0d017f280ae3d2cb91d1c5d395a8d2967daa63f2862d1187d7a96342fefd3d9ed7b7e88567026af8"
            "04f8a17918ee5720dcee9f02a89420b21f7f77d220266f5befe6fe0f8a69c6b1f1f889ce24200a51"
            "d61640a54dd81b7a9413ce2a91be52100490b136424f426ffc0c42f52a39876c2b695cd6cfa1afa4"
            "f1c4b512afb9ee6f7a19303e3162a49313e59ec298db9773ed2571549930749bb301521ca2ada781"
            "74503a0f9ee216c3f7631838e41974bd5b9336377cd549b9fde1c27108ccce4f320b85c5ff9496ad"
            "a28b257f1beab9c147f0fa52f7104c86e3787d33e5364fe855b43ac3ca7110c89ba342bc43e80eaa"
            "acdd566ea2ee3a2da1bb2e6311f51edb63b1ceb5bd2b244834f82643e3a935a2c8e9ac148fba39bf"
            "e1c9afdfaa97b410fcbaf133e4f3908e0bbbaa34cceee7cc5bd2e02db746de7a30f1dbd99145b88f"
            "34be6d9f02bd2859990e9799592660cef9f62be4904caf3464a9fc62ad9229f5"
        ),
        serial_number=0x030101,
        not_before=datetime(2023, 5, 15, 21, 9, 41, tzinfo=UTC),
        not_after=datetime(2048, 5, 15, 21, 9, 41, tzinfo=UTC),
        certificate_sha256="104e10a8bd060a3c20a434261a57d0588fd65a88915b4f65b08bdecaf8df1a3c",
    ),
}
