// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAttestationRegistry} from "../src/IAttestationRegistry.sol";
import {RegistryTest} from "./RegistryTest.sol";
import {vm} from "./Vm.sol";

/// @dev Revocations: who may, how many a day, and that they stay.
contract TombstonesTest is RegistryTest {
    event Revoked(bytes32 indexed namespace, bytes32 indexed handle, address indexed by);

    function testAnchorRevokes() external {
        vm.expectEmit(true, true, true, true);
        emit Revoked(ns, handle(0), vm.addr(LOG_KEY));
        anchor(headOf(5, 2, START), handleRange(0, 2));
        require(registry.revokedAt(ns, handle(0)) == START, "0");
        require(registry.revokedAt(ns, handle(1)) == START, "1");
        require(registry.revokedAt(ns, handle(2)) == 0, "2");
    }

    /// @dev The time of a tombstone is the chain's, whatever the head says.
    function testTimeIsOfTheChain() external {
        anchor(headOf(5, 2, START - 1 days), handleRange(0, 1));
        require(registry.revokedAt(ns, handle(0)) == START, "time");
    }

    function testFirstRevocationStays() external {
        anchor(headOf(5, 2, START), handleRange(0, 1));
        vm.warp(START + 100);
        anchor(headOf(5, 2, START + 100), handleRange(0, 2));
        revoke(handleRange(0, 2));
        require(registry.revokedAt(ns, handle(0)) == START, "written again");
        require(registry.revokedAt(ns, handle(1)) == START + 100, "1");
    }

    function testNamespacesHaveTombstonesOfTheirOwn() external {
        bytes32 other = register(keccak256("another root"), ADMIN);
        anchor(headOf(5, 2, START), handleRange(0, 1));
        require(registry.revokedAt(other, handle(0)) == 0, "another's");
    }

    // caps

    function testLogKeyRevokesUpToItsCap() external {
        anchor(headOf(9, 0, START), handleRange(0, 3));
        requireLeft(2, GUARDIAN_CAP);
        refuseAnchor(headOf(9, 0, START + 1), none, handleRange(3, 6), exceeded(LOG_KEY, 3, 2));
        require(registry.revokedAt(ns, handle(3)) == 0, "all or nothing");
        anchor(headOf(9, 0, START + 1), handleRange(3, 5));
        requireLeft(0, GUARDIAN_CAP);
        refuseAnchor(headOf(9, 0, START + 2), none, handleRange(5, 6), exceeded(LOG_KEY, 1, 0));
        anchor(headOf(9, 0, START + 2), none); // the head goes on
    }

    function testOneAnchorAboveTheCapIsRefused() external {
        refuseAnchor(headOf(9, 0, START), none, handleRange(0, 6), exceeded(LOG_KEY, 6, 5));
        anchor(headOf(9, 0, START), handleRange(0, 5));
    }

    function testRepetitionsCostNothing() external {
        anchor(headOf(9, 0, START), handleRange(0, 5));
        anchor(headOf(9, 0, START + 1), handleRange(0, 5));
        requireLeft(0, GUARDIAN_CAP);
        vm.warp(START + 1 days);
        bytes32[] memory twice = new bytes32[](20);
        for (uint256 i = 0; i < twice.length; ++i) {
            twice[i] = handle(6 + i % 2);
        }
        anchor(headOf(9, 0, START + 2), twice);
        requireLeft(LOG_KEY_CAP - 2, GUARDIAN_CAP);
    }

    function testDayEndsAtMidnight() external {
        uint64 midnight = (START / 1 days + 1) * 1 days;
        vm.warp(midnight - 1);
        anchor(headOf(9, 0, midnight - 1), handleRange(0, 5));
        requireLeft(0, GUARDIAN_CAP);
        refuseAnchor(headOf(9, 0, midnight), none, handleRange(5, 6), exceeded(LOG_KEY, 1, 0));
        vm.warp(midnight);
        requireLeft(LOG_KEY_CAP, GUARDIAN_CAP);
        anchor(headOf(9, 0, midnight), handleRange(5, 10));
        requireLeft(0, GUARDIAN_CAP);
    }

    /// @dev The day of a head is not the day that counts.
    function testDayIsOfTheChain() external {
        anchor(headOf(9, 0, START - 3 days), handleRange(0, 5));
        refuseAnchor(headOf(9, 0, START - 2 days), none, handleRange(5, 6), exceeded(LOG_KEY, 1, 0));
    }

    function testCapsOfTheTwoAreSeparate() external {
        anchor(headOf(9, 0, START), handleRange(0, 5));
        revoke(handleRange(5, 8));
        requireLeft(0, 0);
        refuseRevoke(handleRange(8, 9), exceeded(GUARDIAN, 1, 0));
        vm.warp(START + 1 days);
        revoke(handleRange(8, 9));
        requireLeft(LOG_KEY_CAP, GUARDIAN_CAP - 1);
    }

    function testAllowedOnTopForOneDay() external {
        uint32 today = uint32(START / 1 days);
        allow(today, IAttestationRegistry.Caps(2, 1));
        requireLeft(LOG_KEY_CAP + 2, GUARDIAN_CAP + 1);
        anchor(headOf(9, 0, START), handleRange(0, 7));
        revoke(handleRange(7, 11));
        requireLeft(0, 0);
        refuseAnchor(headOf(9, 0, START + 1), none, handleRange(11, 12), exceeded(LOG_KEY, 1, 0));
        vm.warp(START + 1 days);
        requireLeft(LOG_KEY_CAP, GUARDIAN_CAP);
        allow(today, IAttestationRegistry.Caps(100, 100)); // too late: it was yesterday
        requireLeft(LOG_KEY_CAP, GUARDIAN_CAP);
    }

    function testAllowanceIsReplaced() external {
        uint32 today = uint32(START / 1 days);
        allow(today, IAttestationRegistry.Caps(2, 1));
        allow(today, IAttestationRegistry.Caps(3, 0));
        requireLeft(LOG_KEY_CAP + 3, GUARDIAN_CAP);
        anchor(headOf(9, 0, START), handleRange(0, 8));
        allow(today, IAttestationRegistry.Caps(0, 0)); // below what is used
        requireLeft(0, GUARDIAN_CAP);
        refuseAnchor(headOf(9, 0, START + 1), none, handleRange(8, 9), exceeded(LOG_KEY, 1, 0));
    }

    function testAllowanceIsNotReplayed() external {
        uint32 today = uint32(START / 1 days);
        IAttestationRegistry.Caps memory extra = IAttestationRegistry.Caps(2, 1);
        bytes memory signature = sign(ADMIN, allowMessage(today, extra, 0));
        registry.allow(ns, today, extra, signature);
        require(nextNonce() == 1, "nonce");
        allow(today, IAttestationRegistry.Caps(0, 0)); // taken back
        vm.expectRevert(badSignature(ADMIN));
        registry.allow(ns, today, extra, signature);
        requireLeft(LOG_KEY_CAP, GUARDIAN_CAP);
    }

    function testLargestCapsAreNoLimitAndDoNotOverflow() external {
        uint32 max = type(uint32).max;
        IAttestationRegistry.Caps memory caps = IAttestationRegistry.Caps(max, max);
        registry.setCaps(ns, caps, sign(ADMIN, setCapsMessage(caps, nextNonce())));
        allow(uint32(START / 1 days), caps);
        anchor(headOf(9, 0, START), handleRange(0, 100));
        revoke(handleRange(100, 200));
        requireLeft(2 * uint256(max) - 100, 2 * uint256(max) - 100);
    }

    function testCapLoweredBelowWhatIsUsed() external {
        anchor(headOf(9, 0, START), handleRange(0, 5));
        IAttestationRegistry.Caps memory caps = IAttestationRegistry.Caps(1, 0);
        registry.setCaps(ns, caps, sign(ADMIN, setCapsMessage(caps, nextNonce())));
        requireLeft(0, 0);
        refuseAnchor(headOf(9, 0, START + 1), none, handleRange(5, 6), exceeded(LOG_KEY, 1, 0));
        refuseRevoke(handleRange(5, 6), exceeded(GUARDIAN, 1, 0));
    }

    /// @dev A new key has what the old one left: a thief's haste buys nothing by a replacement.
    function testReplacedLogKeyHasWhatIsLeftOfTheDay() external {
        anchor(headOf(9, 0, START), handleRange(0, 4));
        address next = vm.addr(77);
        registry.setLogKey(ns, next, sign(ADMIN, setLogKeyMessage(next, nextNonce())));
        anchorBy(77, headOf(9, 0, START + 1), none, handleRange(4, 5));
        requireLeft(0, GUARDIAN_CAP);
    }

    function testFuzzNoMoreThanTheCapIsRevokedInADay(uint8[16] calldata lengths, uint32[16] calldata waits) external {
        uint256 next;
        uint64 time = START;
        for (uint256 i = 0; i < lengths.length; ++i) {
            time += waits[i] % 12 hours + 1;
            vm.warp(time);
            uint256 length = lengths[i] % 8;
            (, uint256 left,) = registry.caps(ns);
            if (length > left) {
                bytes memory reason = exceeded(LOG_KEY, length, left);
                refuseAnchor(headOf(9, 0, time), none, handleRange(next, next + length), reason);
                length = left;
            }
            anchor(headOf(9, 0, time), handleRange(next, next + length));
            next += length;
        }
        uint256[] memory ofDay = new uint256[](time / 1 days - START / 1 days + 1);
        for (uint256 i = 0; i < next; ++i) {
            uint256 day = registry.revokedAt(ns, handle(i)) / 1 days - START / 1 days;
            require(++ofDay[day] <= LOG_KEY_CAP, "more than the cap");
        }
    }

    // the guardian

    function testGuardianRevokesBeforeTheFirstAnchor() external {
        vm.expectEmit(true, true, true, true);
        emit Revoked(ns, handle(0), vm.addr(GUARDIAN));
        vm.prank(vm.addr(GUARDIAN));
        registry.guardianRevoke(ns, handleRange(0, 1), "");
        require(registry.revokedAt(ns, handle(0)) == START, "revoked");
        require(registry.head(ns).time == 0, "no head yet");
    }

    function testAnybodyCarriesWhatTheGuardianSigned() external {
        bytes memory signature = sign(GUARDIAN, revokeMessage(handleRange(0, 2)));
        vm.expectEmit(true, true, true, true);
        emit Revoked(ns, handle(1), vm.addr(GUARDIAN)); // who signed, not who sent
        vm.prank(vm.addr(STRANGER));
        registry.guardianRevoke(ns, handleRange(1, 2), sign(GUARDIAN, revokeMessage(handleRange(1, 2))));
        registry.guardianRevoke(ns, handleRange(0, 2), signature);
        requireLeft(LOG_KEY_CAP, GUARDIAN_CAP - 2);
        registry.guardianRevoke(ns, handleRange(0, 2), signature); // once more does nothing
        requireLeft(LOG_KEY_CAP, GUARDIAN_CAP - 2);
    }

    function testNobodyElseRevokes() external {
        uint256[3] memory others = [ADMIN, LOG_KEY, STRANGER];
        for (uint256 i = 0; i < others.length; ++i) {
            address other = vm.addr(others[i]);
            vm.prank(other);
            vm.expectRevert(abi.encodeWithSelector(IAttestationRegistry.NotGuardian.selector, other));
            registry.guardianRevoke(ns, handleRange(0, 1), "");
            bytes memory signature = sign(others[i], revokeMessage(handleRange(0, 1)));
            vm.prank(vm.addr(GUARDIAN)); // a wrong signature is wrong, whoever sends it
            vm.expectRevert(badSignature(GUARDIAN));
            registry.guardianRevoke(ns, handleRange(0, 1), signature);
        }
    }

    function testGuardiansSignatureIsOfItsHandles() external {
        bytes memory signature = sign(GUARDIAN, revokeMessage(handleRange(0, 2)));
        vm.expectRevert(badSignature(GUARDIAN));
        registry.guardianRevoke(ns, handleRange(0, 3), signature);
        bytes32 other = register(keccak256("another root"), ADMIN);
        vm.expectRevert(badSignature(GUARDIAN));
        registry.guardianRevoke(other, handleRange(0, 2), signature);
        vm.chainId(block.chainid + 1);
        vm.expectRevert(badSignature(GUARDIAN));
        registry.guardianRevoke(ns, handleRange(0, 2), signature);
    }

    function testWithoutGuardianNobodyIsOne() external {
        registry.setGuardian(ns, address(0), sign(ADMIN, setGuardianMessage(address(0), 0)));
        bytes memory reason = abi.encodeWithSelector(IAttestationRegistry.NotGuardian.selector, vm.addr(GUARDIAN));
        vm.prank(vm.addr(GUARDIAN));
        vm.expectRevert(reason);
        registry.guardianRevoke(ns, handleRange(0, 1), "");
        reason = abi.encodeWithSelector(IAttestationRegistry.BadSignature.selector, address(0));
        vm.expectRevert(reason);
        registry.guardianRevoke(ns, handleRange(0, 1), new bytes(65));
    }

    function testNothingIsRevokedInAnUnknownNamespace() external {
        bytes32 unknown = keccak256("nobody's");
        vm.prank(address(0));
        vm.expectRevert(abi.encodeWithSelector(IAttestationRegistry.NotRegistered.selector, unknown));
        registry.guardianRevoke(unknown, handleRange(0, 1), "");
    }

    function testNothingToRevoke() external {
        revoke(none);
        anchor(headOf(5, 0, START), none);
        requireLeft(LOG_KEY_CAP, GUARDIAN_CAP);
    }

    function allow(uint32 day, IAttestationRegistry.Caps memory extra) private {
        registry.allow(ns, day, extra, sign(ADMIN, allowMessage(day, extra, nextNonce())));
    }

    function revoke(bytes32[] memory list) private {
        vm.prank(vm.addr(GUARDIAN));
        registry.guardianRevoke(ns, list, "");
    }

    function refuseRevoke(bytes32[] memory list, bytes memory reason) private {
        vm.prank(vm.addr(GUARDIAN));
        vm.expectRevert(reason);
        registry.guardianRevoke(ns, list, "");
    }

    function requireLeft(uint256 logKey, uint256 guardian) private view {
        (, uint256 logKeyLeft, uint256 guardianLeft) = registry.caps(ns);
        require(logKeyLeft == logKey, "left of the log key's cap");
        require(guardianLeft == guardian, "left of the guardian's cap");
    }

    function exceeded(uint256 key, uint256 wanted, uint256 left) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IAttestationRegistry.CapExceeded.selector, vm.addr(key), wanted, left);
    }
}
