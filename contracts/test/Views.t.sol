// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAttestationRegistry} from "../src/IAttestationRegistry.sol";
import {Reference} from "./Reference.sol";
import {RegistryTest} from "./RegistryTest.sol";
import {vm} from "./Vm.sol";

/// @dev What other contracts and relying parties read.
contract ViewsTest is RegistryTest {
    uint64 private constant HOUR = 3600;

    function testHeadIsFreshForItsAge() external {
        anchor(headOf(5, 1, START), none);
        vm.warp(START + HOUR);
        require(hashOf(registry.head(ns, HOUR)) == hashOf(headOf(5, 1, START)), "head");
        refuseStale(START, HOUR - 1);
        vm.warp(START + HOUR + 1);
        refuseStale(START, HOUR);
        requireHead(headOf(5, 1, START)); // which says itself how old it is
        require(registry.revokedAt(ns, handle(0)) == 0, "without an age");
    }

    /// @dev A head may be ahead of the chain's clock a little: then it is not older than nothing.
    function testHeadAheadOfTheClockIsFresh() external {
        anchor(headOf(5, 0, START + 300), none);
        require(registry.head(ns, 0).size == 5, "age 0");
        vm.warp(START + 300);
        require(registry.head(ns, 0).size == 5, "age 0");
        vm.warp(START + 301);
        refuseStale(START + 300, 0);
    }

    function testFuzzAge(uint64 age, uint64 maxAge) external {
        anchor(headOf(5, 0, START), none);
        vm.warp(uint256(START) + age);
        if (age > maxAge) {
            refuseStale(START, maxAge);
        } else {
            require(registry.head(ns, maxAge).time == START, "head");
        }
    }

    function testBeforeTheFirstAnchorNothingIsFresh() external {
        refuseStale(0, type(uint64).max);
        IAttestationRegistry.Head memory h = registry.head(ns);
        require(h.size == 0 && h.time == 0 && h.logRoot == sha256("") && h.revocationRoot == 0, "empty");
    }

    function testAnyRevoked() external {
        anchor(headOf(5, 1, START), handleRange(2, 3));
        require(registry.anyRevoked(ns, handleRange(0, 3), HOUR), "the last");
        require(registry.anyRevoked(ns, handleRange(2, 5), HOUR), "the first");
        require(!registry.anyRevoked(ns, handleRange(0, 2), HOUR), "none");
        require(!registry.anyRevoked(ns, none, HOUR), "nothing was asked");
    }

    function testInclusionInTheAnchoredHead() external {
        anchor(headOf(21, 0, START), none);
        for (uint64 i = 0; i < 21; ++i) {
            bytes32[] memory proof = Reference.path(i, leaves, 0, 21);
            require(registry.verifyInclusion(ns, leaves[i], i, proof, HOUR), "included");
            require(!registry.verifyInclusion(ns, leaves[i + 1], i, proof, HOUR), "another entry");
            require(!registry.verifyInclusion(ns, leaves[i], i + 1, proof, HOUR), "another place");
        }
        require(!registry.verifyInclusion(ns, leaves[3], 3, Reference.path(3, leaves, 0, 20), HOUR), "of another head");
    }

    function testStatusIsOneAnswer() external {
        anchor(headOf(5, 1, START), handleRange(1, 2));
        vm.warp(START + 7);
        (IAttestationRegistry.Head memory h, uint64[] memory revoked, uint256 number, uint256 time) =
            registry.status(ns, handleRange(0, 3));
        require(hashOf(h) == hashOf(headOf(5, 1, START)), "head");
        require(revoked.length == 3 && revoked[0] == 0 && revoked[1] == START && revoked[2] == 0, "revoked");
        require(number == block.number && time == START + 7, "block");
    }

    function testUnknownNamespaceHasNoAnswer() external {
        bytes32 unknown = keccak256("nobody's");
        bytes memory reason = abi.encodeWithSelector(IAttestationRegistry.NotRegistered.selector, unknown);
        vm.expectRevert(reason);
        registry.head(unknown);
        vm.expectRevert(reason);
        registry.head(unknown, type(uint64).max);
        vm.expectRevert(reason);
        registry.revokedAt(unknown, handle(0));
        vm.expectRevert(reason);
        registry.anyRevoked(unknown, none, type(uint64).max);
        vm.expectRevert(reason);
        registry.verifyInclusion(unknown, 0, 0, none, type(uint64).max);
        vm.expectRevert(reason);
        registry.status(unknown, none);
        vm.expectRevert(reason);
        registry.keys(unknown);
        vm.expectRevert(reason);
        registry.caps(unknown);
    }

    function testDomain() external {
        require(registry.domainSeparator() == domain(block.chainid, address(registry)), "domain");
        vm.chainId(5611);
        require(registry.domainSeparator() == domain(5611, address(registry)), "after a split");
        require(registry.MAX_AHEAD() == 300, "MAX_AHEAD");
    }

    /// @dev Every view with an age, alike.
    function refuseStale(uint64 time, uint64 maxAge) private {
        bytes memory reason = abi.encodeWithSelector(IAttestationRegistry.Stale.selector, ns, time, maxAge);
        vm.expectRevert(reason);
        registry.head(ns, maxAge);
        vm.expectRevert(reason);
        registry.anyRevoked(ns, none, maxAge);
        vm.expectRevert(reason);
        registry.verifyInclusion(ns, leaves[0], 0, none, maxAge);
    }
}
