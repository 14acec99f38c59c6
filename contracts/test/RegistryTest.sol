// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AttestationRegistry} from "../src/AttestationRegistry.sol";
import {IAttestationRegistry} from "../src/IAttestationRegistry.sol";
import {Reference} from "./Reference.sol";
import {vm} from "./Vm.sol";

/// @dev A registry with one namespace, its keys, and a log to be anchored. Messages are encoded here from the words of
/// their types, not by the code of the registry.
abstract contract RegistryTest {
    uint256 internal constant ADMIN = 0xa11ce;
    uint256 internal constant LOG_KEY = 0x106;
    uint256 internal constant GUARDIAN = 0x9a4d;
    uint256 internal constant STRANGER = 0xbad;
    uint64 internal constant START = 1_800_000_000; // 2027-01-15T08:00:00Z
    uint32 internal constant LOG_KEY_CAP = 5;
    uint32 internal constant GUARDIAN_CAP = 3;
    bytes32 internal constant CA_ID = keccak256("root");
    string internal constant HEAD_TYPE =
        "Head(uint64 size,bytes32 logRoot,uint64 revocationCount,bytes32 revocationRoot,bytes32 crlDigest,uint64 time)";
    string internal constant CAPS_TYPE = "Caps(uint32 logKeyPerDay,uint32 guardianPerDay)";

    AttestationRegistry internal registry;
    bytes32 internal ns;
    bytes32[] internal leaves;
    bytes32[] internal none;

    function setUp() public virtual {
        vm.warp(START);
        registry = new AttestationRegistry();
        for (uint256 i = 0; i < 40; ++i) {
            leaves.push(keccak256(abi.encode("entry", i)));
        }
        ns = register(CA_ID, ADMIN);
    }

    // what is signed

    function domain(uint256 chain, address verifier) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("attestca"),
                keccak256("1"),
                chain,
                verifier
            )
        );
    }

    function digest(bytes32 message) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domain(block.chainid, address(registry)), message));
    }

    function sign(uint256 key, bytes32 message) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest(message));
        return abi.encodePacked(r, s, v);
    }

    function hashOf(IAttestationRegistry.Caps memory caps) internal pure returns (bytes32) {
        return keccak256(abi.encode(keccak256(bytes(CAPS_TYPE)), caps.logKeyPerDay, caps.guardianPerDay));
    }

    function hashOf(IAttestationRegistry.Head memory h) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(bytes(HEAD_TYPE)), h.size, h.logRoot, h.revocationCount, h.revocationRoot, h.crlDigest, h.time
            )
        );
    }

    function hashOf(bytes32[] memory list) internal pure returns (bytes32) {
        bytes memory packed;
        for (uint256 i = 0; i < list.length; ++i) {
            packed = bytes.concat(packed, list[i]);
        }
        return keccak256(packed);
    }

    function registerMessage(
        bytes32 caId,
        address admin,
        address logKey,
        address guardian,
        IAttestationRegistry.Caps memory caps
    ) internal pure returns (bytes32) {
        bytes32 kind = keccak256(
            bytes.concat(
                "Register(bytes32 caId,address admin,address logKey,address guardian,Caps caps)", bytes(CAPS_TYPE)
            )
        );
        return keccak256(abi.encode(kind, caId, admin, logKey, guardian, hashOf(caps)));
    }

    function keyMessage(string memory kind, address key, uint64 nonce) internal view returns (bytes32) {
        return keccak256(abi.encode(keccak256(bytes(kind)), ns, key, nonce));
    }

    function setLogKeyMessage(address key, uint64 nonce) internal view returns (bytes32) {
        return keyMessage("SetLogKey(bytes32 namespace,address logKey,uint64 nonce)", key, nonce);
    }

    function setGuardianMessage(address key, uint64 nonce) internal view returns (bytes32) {
        return keyMessage("SetGuardian(bytes32 namespace,address guardian,uint64 nonce)", key, nonce);
    }

    function handOverMessage(address key, uint64 nonce) internal view returns (bytes32) {
        return keyMessage("HandOver(bytes32 namespace,address admin,uint64 nonce)", key, nonce);
    }

    function setCapsMessage(IAttestationRegistry.Caps memory caps, uint64 nonce) internal view returns (bytes32) {
        bytes32 kind = keccak256(bytes.concat("SetCaps(bytes32 namespace,Caps caps,uint64 nonce)", bytes(CAPS_TYPE)));
        return keccak256(abi.encode(kind, ns, hashOf(caps), nonce));
    }

    function allowMessage(uint32 day, IAttestationRegistry.Caps memory extra, uint64 nonce)
        internal
        view
        returns (bytes32)
    {
        bytes32 kind = keccak256(
            bytes.concat("Allow(bytes32 namespace,uint32 day,Caps extra,uint64 nonce)", bytes(CAPS_TYPE))
        );
        return keccak256(abi.encode(kind, ns, day, hashOf(extra), nonce));
    }

    function anchorMessage(bytes32 namespace, IAttestationRegistry.Head memory h, bytes32[] memory tombstones)
        internal
        pure
        returns (bytes32)
    {
        bytes32 kind = keccak256(
            bytes.concat("Anchor(bytes32 namespace,Head head,bytes32[] tombstones)", bytes(HEAD_TYPE))
        );
        return keccak256(abi.encode(kind, namespace, hashOf(h), hashOf(tombstones)));
    }

    function revokeMessage(bytes32[] memory handles) internal view returns (bytes32) {
        return keccak256(abi.encode(keccak256("Revoke(bytes32 namespace,bytes32[] handles)"), ns, hashOf(handles)));
    }

    // what is done

    function register(bytes32 caId, uint256 admin) internal returns (bytes32) {
        IAttestationRegistry.Caps memory caps = IAttestationRegistry.Caps(LOG_KEY_CAP, GUARDIAN_CAP);
        (address log, address guardian) = (vm.addr(LOG_KEY), vm.addr(GUARDIAN));
        bytes memory signature = sign(admin, registerMessage(caId, vm.addr(admin), log, guardian, caps));
        return registry.register(caId, vm.addr(admin), log, guardian, caps, signature);
    }

    /// @dev The head of the first `size` entries, of which `count` revoke.
    function headOf(uint64 size, uint64 count, uint64 time) internal view returns (IAttestationRegistry.Head memory) {
        return IAttestationRegistry.Head({
            size: size,
            logRoot: size == 0 ? sha256("") : Reference.root(leaves, 0, size),
            revocationCount: count,
            revocationRoot: count == 0 ? bytes32(0) : keccak256(abi.encode("revocations", count)),
            crlDigest: keccak256(abi.encode("crls", time)),
            time: time
        });
    }

    function proofTo(uint64 size) internal view returns (bytes32[] memory) {
        uint64 before = registry.head(ns).size;
        return before == 0 || before >= size ? none : Reference.consistency(before, leaves, size);
    }

    /// @dev Signed by the log key and with the right proof; sent by nobody in particular.
    function anchor(IAttestationRegistry.Head memory h, bytes32[] memory tombstones) internal {
        anchorBy(LOG_KEY, h, proofTo(h.size), tombstones);
    }

    function anchorBy(
        uint256 key,
        IAttestationRegistry.Head memory h,
        bytes32[] memory proof,
        bytes32[] memory tombstones
    ) internal {
        bytes memory signature = sign(key, anchorMessage(ns, h, tombstones));
        registry.anchor(ns, h, proof, tombstones, signature);
    }

    /// @dev The same, where it must revert.
    function refuseAnchor(
        IAttestationRegistry.Head memory h,
        bytes32[] memory proof,
        bytes32[] memory tombstones,
        bytes memory reason
    ) internal {
        bytes memory signature = sign(LOG_KEY, anchorMessage(ns, h, tombstones));
        vm.expectRevert(reason);
        registry.anchor(ns, h, proof, tombstones, signature);
    }

    function handleRange(uint256 from, uint256 to) internal pure returns (bytes32[] memory list) {
        list = new bytes32[](to - from);
        for (uint256 i = from; i < to; ++i) {
            list[i - from] = handle(i);
        }
    }

    function handle(uint256 number) internal pure returns (bytes32) {
        return keccak256(abi.encode("handle", number));
    }

    function nextNonce() internal view returns (uint64 next) {
        (,,, next) = registry.keys(ns);
    }

    function badSignature(uint256 expected) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IAttestationRegistry.BadSignature.selector, vm.addr(expected));
    }

    function requireHead(IAttestationRegistry.Head memory expected) internal view {
        require(hashOf(registry.head(ns)) == hashOf(expected), "another head");
    }
}
