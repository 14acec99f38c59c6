// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AttestationRegistry} from "../src/AttestationRegistry.sol";
import {IAttestationRegistry} from "../src/IAttestationRegistry.sol";
import {Reference} from "./Reference.sol";
import {RegistryTest} from "./RegistryTest.sol";
import {vm} from "./Vm.sol";

/// @dev Heads: what is anchored, and all that is not.
contract AnchorTest is RegistryTest {
    event Anchored(
        bytes32 indexed namespace,
        uint64 size,
        bytes32 logRoot,
        uint64 revocationCount,
        bytes32 revocationRoot,
        bytes32 crlDigest,
        uint64 time
    );

    function testAnybodyCarriesWhatTheLogKeySigned() external {
        IAttestationRegistry.Head memory h = headOf(7, 2, START);
        bytes memory signature = sign(LOG_KEY, anchorMessage(ns, h, none));
        vm.expectEmit(true, true, true, true);
        emit Anchored(ns, h.size, h.logRoot, h.revocationCount, h.revocationRoot, h.crlDigest, h.time);
        vm.prank(vm.addr(STRANGER));
        registry.anchor(ns, h, none, none, signature);
        requireHead(h);
    }

    function testLogGrows() external {
        anchor(headOf(3, 0, START), none);
        anchor(headOf(9, 1, START + 1), none);
        anchor(headOf(40, 31, START + 2), none);
        requireHead(headOf(40, 31, START + 2));
    }

    function testHeartbeatIsTheSameTreeLater() external {
        anchor(headOf(5, 1, START), none);
        anchor(headOf(5, 1, START + 1), none);
        requireHead(headOf(5, 1, START + 1));
    }

    function testFirstAnchorMayBeOfTheEmptyLog() external {
        anchor(headOf(0, 0, START), none);
        requireHead(headOf(0, 0, START));
    }

    function testEmptyLogHasOneRoot() external {
        IAttestationRegistry.Head memory h = headOf(0, 0, START);
        h.logRoot = bytes32(0);
        refuseAnchor(h, none, none, forked(0, 0));
    }

    function testEmptyTreeOfRevocationsHasOneRoot() external {
        IAttestationRegistry.Head memory h = headOf(3, 0, START);
        h.revocationRoot = keccak256("something");
        refuseAnchor(h, none, none, abi.encodeWithSelector(IAttestationRegistry.RevocationsForked.selector, 0));
    }

    function testFuzzForkedLogIsRefused(uint64 m, uint64 n, uint64 fork) external {
        m = 1 + m % 39;
        n = m + 1 + n % (40 - m);
        fork %= m; // an entry that was anchored
        anchor(headOf(m, 0, START), none);
        leaves[fork] = keccak256("another entry");
        IAttestationRegistry.Head memory h = headOf(n, 0, START + 1);
        refuseAnchor(h, Reference.consistency(m, leaves, n), none, forked(m, n));
        requireHeadSize(m);
    }

    function testFuzzShrunkLogIsRefused(uint64 m, uint64 n) external {
        m = 1 + m % 40;
        n %= m;
        anchor(headOf(m, 0, START), none);
        bytes memory reason = abi.encodeWithSelector(IAttestationRegistry.LogShrank.selector, m, n);
        refuseAnchor(headOf(n, 0, START + 1), none, none, reason);
        requireHeadSize(m);
    }

    function testLogOfTheSameSizeIsTheSame() external {
        anchor(headOf(5, 1, START), none);
        leaves[4] = keccak256("another entry");
        refuseAnchor(headOf(5, 1, START + 1), none, none, forked(5, 5));
    }

    function testProofIsNeeded() external {
        anchor(headOf(5, 0, START), none);
        refuseAnchor(headOf(9, 0, START + 1), none, none, forked(5, 9));
        bytes32[] memory proof = Reference.append(Reference.consistency(5, leaves, 9), bytes32(0));
        refuseAnchor(headOf(9, 0, START + 1), proof, none, forked(5, 9));
    }

    function testRevocationsDoNotShrink() external {
        anchor(headOf(9, 3, START), none);
        bytes memory reason = abi.encodeWithSelector(IAttestationRegistry.RevocationsShrank.selector, 3, 2);
        refuseAnchor(headOf(10, 2, START + 1), proofTo(10), none, reason);
    }

    function testAsManyRevocationsAreTheSame() external {
        anchor(headOf(9, 3, START), none);
        IAttestationRegistry.Head memory h = headOf(10, 3, START + 1);
        h.revocationRoot = keccak256("others");
        bytes memory reason = abi.encodeWithSelector(IAttestationRegistry.RevocationsForked.selector, 3);
        refuseAnchor(h, proofTo(10), none, reason);
    }

    function testRevocationsAreEntries() external {
        refuseAnchor(headOf(2, 3, START), none, none, outgrow(2, 3));
        anchor(headOf(9, 3, START), none);
        refuseAnchor(headOf(9, 4, START + 1), none, none, outgrow(0, 1));
        refuseAnchor(headOf(11, 6, START + 1), proofTo(11), none, outgrow(2, 3));
        anchor(headOf(11, 5, START + 1), none);
    }

    function testReplayIsRefused() external {
        IAttestationRegistry.Head memory first = headOf(5, 0, START);
        IAttestationRegistry.Head memory second = headOf(5, 0, START + 1);
        anchor(first, none);
        refuseAnchor(first, none, none, notLater(START, START));
        anchor(second, none);
        refuseAnchor(first, none, none, notLater(START + 1, START));
        refuseAnchor(second, none, none, notLater(START + 1, START + 1));
    }

    function testTimeZeroIsNoHead() external {
        refuseAnchor(headOf(5, 0, 0), none, none, notLater(0, 0));
    }

    function testHeadIsAheadOfTheChainByFiveMinutesAtMost() external {
        bytes memory reason =
            abi.encodeWithSelector(IAttestationRegistry.TooFarAhead.selector, START + 301, uint256(START) + 300);
        refuseAnchor(headOf(5, 0, START + 301), none, none, reason);
        reason =
            abi.encodeWithSelector(IAttestationRegistry.TooFarAhead.selector, type(uint64).max, uint256(START) + 300);
        refuseAnchor(headOf(5, 0, type(uint64).max), none, none, reason);
        anchor(headOf(5, 0, START + 300), none);
    }

    function testHeadMayBeOld() external {
        anchor(headOf(5, 0, 1), none);
        requireHead(headOf(5, 0, 1));
    }

    function testLargestSize() external {
        IAttestationRegistry.Head memory h = headOf(5, 5, START);
        (h.size, h.revocationCount) = (type(uint64).max, type(uint64).max);
        anchor(h, none);
        h.time += 1;
        anchor(h, none);
        requireHead(h);
        h.time += 1;
        h.size -= 1;
        refuseAnchor(h, none, none, abi.encodeWithSelector(IAttestationRegistry.LogShrank.selector, h.size + 1, h.size));
    }

    // signatures

    function testFuzzForeignKeyIsRefused(uint256 key) external {
        key = 1 + key % (2 ** 255);
        vm.assume(vm.addr(key) != vm.addr(LOG_KEY));
        refuseSigned(headOf(5, 0, START), none, sign(key, anchorMessage(ns, headOf(5, 0, START), none)));
    }

    function testAdminAndGuardianDoNotAnchor() external {
        bytes32 message = anchorMessage(ns, headOf(5, 0, START), none);
        vm.prank(vm.addr(ADMIN));
        refuseSigned(headOf(5, 0, START), none, sign(ADMIN, message));
        refuseSigned(headOf(5, 0, START), none, sign(GUARDIAN, message));
    }

    function testFuzzEveryFieldIsSigned(uint8 field, uint64 change) external {
        vm.assume(change != 0);
        IAttestationRegistry.Head memory h = headOf(9, 3, START);
        bytes32[] memory tombstones = handleRange(0, 2);
        bytes memory signature = sign(LOG_KEY, anchorMessage(ns, h, tombstones));
        field %= 8;
        if (field == 0) h.size ^= change;
        if (field == 1) h.logRoot ^= bytes32(uint256(change));
        if (field == 2) h.revocationCount ^= change;
        if (field == 3) h.revocationRoot ^= bytes32(uint256(change));
        if (field == 4) h.crlDigest ^= bytes32(uint256(change));
        if (field == 5) h.time ^= change;
        if (field == 6) tombstones[1] ^= bytes32(uint256(change));
        if (field == 7) tombstones = handleRange(0, 1);
        refuseSigned(h, tombstones, signature);
    }

    function testOrderOfTombstonesIsSigned() external {
        bytes32[] memory tombstones = handleRange(0, 2);
        bytes memory signature = sign(LOG_KEY, anchorMessage(ns, headOf(5, 2, START), tombstones));
        (tombstones[0], tombstones[1]) = (tombstones[1], tombstones[0]);
        refuseSigned(headOf(5, 2, START), tombstones, signature);
    }

    function testSignatureIsOfItsNamespace() external {
        bytes32 other = register(keccak256("another root"), ADMIN); // with the same log key
        IAttestationRegistry.Head memory h = headOf(5, 0, START);
        bytes memory signature = sign(LOG_KEY, anchorMessage(other, h, none));
        refuseSigned(h, none, signature);
        registry.anchor(other, h, none, none, signature);
        requireHeadSize(0);
    }

    function testSignatureIsOfItsChain() external {
        IAttestationRegistry.Head memory h = headOf(5, 0, START);
        bytes memory signature = sign(LOG_KEY, anchorMessage(ns, h, none));
        vm.chainId(block.chainid + 1); // the chain has split
        refuseSigned(h, none, signature);
    }

    function testSignatureIsOfItsRegistry() external {
        IAttestationRegistry.Head memory h = headOf(5, 0, START);
        bytes memory signature = sign(LOG_KEY, anchorMessage(ns, h, none));
        registry = new AttestationRegistry();
        require(register(CA_ID, ADMIN) == ns, "the same namespace");
        refuseSigned(h, none, signature);
    }

    function testSignatureHasOneForm() external {
        IAttestationRegistry.Head memory h = headOf(5, 0, START);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(LOG_KEY, digest(anchorMessage(ns, h, none)));
        bytes32 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        bytes32 high = bytes32(uint256(order) - uint256(s));
        refuseSigned(h, none, abi.encodePacked(r, high, v == 27 ? uint8(28) : uint8(27)));
        refuseSigned(h, none, abi.encodePacked(r, s, v - 27));
        refuseSigned(h, none, abi.encodePacked(r, bytes32(uint256(s) | (uint256(v - 27) << 255)))); // EIP-2098
        refuseSigned(h, none, abi.encodePacked(r, s, v, uint8(0)));
        refuseSigned(h, none, abi.encodePacked(r, s));
        refuseSigned(h, none, "");
    }

    /// @dev ecrecover answers 0 to nonsense, and 0 is what a namespace without a log key has.
    function testNobodyIsNoSigner() external {
        registry.setLogKey(ns, address(0), sign(ADMIN, setLogKeyMessage(address(0), 0)));
        IAttestationRegistry.Head memory h = headOf(5, 0, START);
        bytes memory reason = abi.encodeWithSelector(IAttestationRegistry.BadSignature.selector, address(0));
        vm.expectRevert(reason);
        registry.anchor(ns, h, none, none, abi.encodePacked(bytes32(0), bytes32(0), uint8(27)));
        vm.expectRevert(reason);
        registry.anchor(ns, h, none, none, new bytes(65));
        vm.expectRevert(reason);
        registry.anchor(ns, h, none, none, "");
    }

    function testUnknownNamespaceIsNotAnchored() external {
        IAttestationRegistry.Head memory h = headOf(5, 0, START);
        bytes32 unknown = keccak256("nobody's");
        bytes memory signature = sign(LOG_KEY, anchorMessage(unknown, h, none));
        vm.expectRevert(abi.encodeWithSelector(IAttestationRegistry.NotRegistered.selector, unknown));
        registry.anchor(unknown, h, none, none, signature);
    }

    function refuseSigned(IAttestationRegistry.Head memory h, bytes32[] memory tombstones, bytes memory signature)
        private
    {
        vm.expectRevert(badSignature(LOG_KEY));
        registry.anchor(ns, h, none, tombstones, signature);
    }

    function requireHeadSize(uint64 size) private view {
        require(registry.head(ns).size == size, "the head moved");
    }

    function forked(uint64 m, uint64 n) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IAttestationRegistry.LogForked.selector, m, n);
    }

    function notLater(uint64 anchored, uint64 given) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IAttestationRegistry.NotLater.selector, anchored, given);
    }

    function outgrow(uint64 entries, uint64 revocations) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IAttestationRegistry.RevocationsOutgrowLog.selector, entries, revocations);
    }
}
