// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAttestationRegistry} from "../src/IAttestationRegistry.sol";
import {Reference} from "./Reference.sol";
import {RegistryTest} from "./RegistryTest.sol";
import {vm} from "./Vm.sol";

/// @dev docs/chain.md, "Recovery": each case as its steps stand there, with what relying parties see.
contract RecoveryTest is RegistryTest {
    uint64 private constant MAX_AGE = 3600;
    uint256 private constant NEW_LOG_KEY = 0x107;
    uint256 private constant NEW_GUARDIAN = 0x9a4e;
    uint256 private constant NEW_ADMIN = 0xa11cf;

    function setUp() public override {
        super.setUp();
        anchor(headOf(10, 1, START), handleRange(0, 1));
    }

    // stolen gas key

    function testStolenGasKeyIsWorthItsGas() external {
        address thief = vm.addr(STRANGER); // which carried every anchor until now
        IAttestationRegistry.Head memory forged = headOf(12, 1, START + 1);
        bytes32[] memory proof = proofTo(12);
        bytes memory signature = sign(STRANGER, anchorMessage(ns, forged, none));
        vm.prank(thief);
        vm.expectRevert(badSignature(LOG_KEY));
        registry.anchor(ns, forged, proof, none, signature);
        vm.prank(thief);
        vm.expectRevert(abi.encodeWithSelector(IAttestationRegistry.NotGuardian.selector, thief));
        registry.guardianRevoke(ns, handleRange(1, 2), "");
        signature = sign(LOG_KEY, anchorMessage(ns, forged, none));
        vm.prank(vm.addr(8)); // any other account carries the next one
        registry.anchor(ns, forged, proof, none, signature);
        requireHead(forged);
    }

    // stolen log key

    function testStolenLogKeyIsLockedOutAndTheLogGoesOn() external {
        bytes memory signature = sign(ADMIN, setLogKeyMessage(vm.addr(NEW_LOG_KEY), 0));
        registry.setLogKey(ns, vm.addr(NEW_LOG_KEY), signature);
        IAttestationRegistry.Head memory h = headOf(12, 1, START + 1);
        bytes32[] memory proof = proofTo(12);
        signature = sign(LOG_KEY, anchorMessage(ns, h, handleRange(1, 2)));
        vm.expectRevert(badSignature(NEW_LOG_KEY));
        registry.anchor(ns, h, proof, handleRange(1, 2), signature);
        anchorBy(NEW_LOG_KEY, h, proof, none);
        require(registry.head(ns, MAX_AGE).size == 12, "the log goes on");
        require(registry.revokedAt(ns, handle(0)) == START, "what was revoked is");
    }

    /// @dev With the clock of its heads a thief cannot hold the namespace for longer than a head may be ahead.
    function testThiefsClockIsFiveMinutesAhead() external {
        anchor(headOf(10, 1, START + 300), none);
        address next = vm.addr(NEW_LOG_KEY);
        registry.setLogKey(ns, next, sign(ADMIN, setLogKeyMessage(next, 0)));
        vm.warp(START + 301);
        anchorBy(NEW_LOG_KEY, headOf(11, 1, START + 301), proofTo(11), none);
        requireHead(headOf(11, 1, START + 301));
    }

    function testThiefRevokesUpToTheCap() external {
        uint256 left = LOG_KEY_CAP - 1; // one of today is the authority's own
        anchor(headOf(10, 1, START + 1), handleRange(100, 100 + left));
        bytes memory reason = abi.encodeWithSelector(IAttestationRegistry.CapExceeded.selector, vm.addr(LOG_KEY), 1, 0);
        refuseAnchor(headOf(10, 1, START + 2), none, handleRange(200, 201), reason);
        address next = vm.addr(NEW_LOG_KEY);
        registry.setLogKey(ns, next, sign(ADMIN, setLogKeyMessage(next, 0)));
        // What the authority must revoke on the same day, the admin allows.
        uint32 today = uint32(START / 1 days);
        IAttestationRegistry.Caps memory extra = IAttestationRegistry.Caps(2, 0);
        registry.allow(ns, today, extra, sign(ADMIN, allowMessage(today, extra, 1)));
        anchorBy(NEW_LOG_KEY, headOf(12, 3, START + 2), proofTo(12), handleRange(1, 3));
        require(registry.anyRevoked(ns, handleRange(1, 2), MAX_AGE), "revoked");
        require(registry.anyRevoked(ns, handleRange(100, 101), MAX_AGE), "and so is what the thief revoked");
    }

    /// @dev A thief can make a log of their own go on from the true one. It cannot be undone: the namespace ends, those
    /// who know only of it refuse everything from then on, and the successor has the true log.
    function testForgedHeadEndsTheNamespace() external {
        bytes32 truth = leaves[10];
        leaves[10] = keccak256("forged");
        anchor(headOf(12, 1, START + 1), none);
        leaves[10] = truth;
        registry.setLogKey(ns, address(0), sign(ADMIN, setLogKeyMessage(address(0), 0)));

        // Neither the thief nor the true log goes on here.
        IAttestationRegistry.Head memory h = headOf(13, 1, START + 2);
        bytes32[] memory proof = Reference.consistency(10, leaves, 13);
        bytes memory reason = abi.encodeWithSelector(IAttestationRegistry.BadSignature.selector, address(0));
        bytes memory signature = sign(LOG_KEY, anchorMessage(ns, h, none));
        vm.expectRevert(reason);
        registry.anchor(ns, h, proof, none, signature);
        vm.warp(START + 2 + MAX_AGE);
        vm.expectRevert(abi.encodeWithSelector(IAttestationRegistry.Stale.selector, ns, START + 1, MAX_AGE));
        registry.anyRevoked(ns, handleRange(5, 6), MAX_AGE);

        bytes32 old = ns;
        succeed();
        IAttestationRegistry.Head memory now_ = headOf(13, 1, uint64(block.timestamp));
        anchorBy(NEW_LOG_KEY, now_, none, handleRange(0, 1));
        requireHead(now_);
        require(registry.anyRevoked(ns, handleRange(0, 1), MAX_AGE), "revocations are made again");
        require(registry.head(old).time == START + 1, "the old namespace stands still");
    }

    /// @dev Whatever the thief did, a new key that knows the true log cannot go on from a forged one.
    function testForgedHeadIsNotOvergrown() external {
        bytes32 truth = leaves[10];
        leaves[10] = keccak256("forged");
        anchor(headOf(12, 1, START + 1), none);
        leaves[10] = truth;
        for (uint64 size = 12; size < 16; ++size) {
            bytes32[] memory proof = size == 12 ? none : Reference.consistency(12, leaves, size);
            bytes memory reason = abi.encodeWithSelector(IAttestationRegistry.LogForked.selector, 12, size);
            refuseAnchor(headOf(size, 1, START + 2), proof, none, reason);
        }
    }

    // stolen guardian

    function testStolenGuardianIsReplaced() external {
        vm.prank(vm.addr(GUARDIAN));
        registry.guardianRevoke(ns, handleRange(100, 100 + GUARDIAN_CAP), "");
        bytes memory unsent = sign(GUARDIAN, revokeMessage(handleRange(200, 201)));
        registry.setGuardian(ns, vm.addr(NEW_GUARDIAN), sign(ADMIN, setGuardianMessage(vm.addr(NEW_GUARDIAN), 0)));
        vm.warp(START + 1 days);
        vm.prank(vm.addr(GUARDIAN));
        vm.expectRevert(abi.encodeWithSelector(IAttestationRegistry.NotGuardian.selector, vm.addr(GUARDIAN)));
        registry.guardianRevoke(ns, handleRange(200, 201), "");
        vm.expectRevert(badSignature(NEW_GUARDIAN));
        registry.guardianRevoke(ns, handleRange(200, 201), unsent);
        vm.prank(vm.addr(NEW_GUARDIAN));
        registry.guardianRevoke(ns, handleRange(1, 2), "");
        anchor(headOf(11, 1, START + 1 days), none); // heads never were the guardian's
        require(registry.anyRevoked(ns, handleRange(100, 101), MAX_AGE), "stays revoked");
        require(!registry.anyRevoked(ns, handleRange(200, 201), MAX_AGE), "not revoked");
    }

    // lost admin

    /// @dev Everything goes on. A successor is made beside it, both are anchored while relying parties change over.
    function testLostAdminIsSucceeded() external {
        bytes32 old = ns;
        bytes32[] memory proof = proofTo(12);
        succeed();
        IAttestationRegistry.Head memory h = headOf(12, 2, START + 1);
        registry.anchor(old, h, proof, handleRange(1, 2), sign(LOG_KEY, anchorMessage(old, h, handleRange(1, 2))));
        anchorBy(NEW_LOG_KEY, h, none, handleRange(0, 2));
        require(hashOf(registry.head(old, MAX_AGE)) == hashOf(registry.head(ns, MAX_AGE)), "one log, two namespaces");
        require(registry.anyRevoked(old, handleRange(1, 2), MAX_AGE), "in the old");
        require(registry.anyRevoked(ns, handleRange(1, 2), MAX_AGE), "in the new");
        require(registry.anyRevoked(ns, handleRange(0, 1), MAX_AGE), "and what was before");
    }

    // stolen admin

    /// @dev Where the thief is the faster one the namespace is theirs. It says nothing to those who have the new bundle.
    function testStolenAdminIsSucceeded() external {
        bytes32 message = handOverMessage(vm.addr(STRANGER), 0);
        registry.handOver(ns, vm.addr(STRANGER), sign(ADMIN, message), sign(STRANGER, message));
        bytes memory signature = sign(ADMIN, setLogKeyMessage(vm.addr(NEW_LOG_KEY), 1));
        vm.expectRevert(badSignature(STRANGER));
        registry.setLogKey(ns, vm.addr(NEW_LOG_KEY), signature);
        succeed();
        anchorBy(NEW_LOG_KEY, headOf(12, 1, START + 1), none, handleRange(0, 1));
        require(registry.head(ns, MAX_AGE).size == 12, "the successor");
    }

    /// @dev A namespace of the same authority under another admin.
    function succeed() private {
        IAttestationRegistry.Caps memory caps = IAttestationRegistry.Caps(LOG_KEY_CAP, GUARDIAN_CAP);
        (address admin, address log) = (vm.addr(NEW_ADMIN), vm.addr(NEW_LOG_KEY));
        bytes32 message = registerMessage(CA_ID, admin, log, vm.addr(NEW_GUARDIAN), caps);
        ns = registry.register(CA_ID, admin, log, vm.addr(NEW_GUARDIAN), caps, sign(NEW_ADMIN, message));
    }
}
