// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAttestationRegistry} from "../src/IAttestationRegistry.sol";
import {RegistryTest} from "./RegistryTest.sol";
import {Rfc9162Test} from "./Rfc9162.t.sol";
import {vm} from "./Vm.sol";

/// @dev What each call costs as a transaction, calldata included: snapshots/Gas.json, from which docs/chain.md has its
/// table. Proofs are those of the log for 10,000 and 10,485,773 entries.
contract GasTest is RegistryTest {
    uint256 private constant ANCHOR_TARGET = 110_000;
    uint256 private constant TOMBSTONE_TARGET = 27_000;

    function testRegister() external {
        register(keccak256("another root"), ADMIN);
        vm.snapshotGasLastCall("Gas", "register");
    }

    function testFirstAnchor() external {
        anchor(headOf(40, 20, START), none);
        vm.snapshotGasLastCall("Gas", "anchor first");
    }

    function testHeartbeat() external {
        anchor(headOf(40, 20, START), none);
        anchor(headOf(40, 20, START + 60), none);
        vm.snapshotGasLastCall("Gas", "anchor unchanged log");
    }

    function testAnchor13() external {
        require(step(0, 13, 0, "anchor 13 nodes") <= ANCHOR_TARGET, "above the target");
    }

    function testAnchor24() external {
        step(1, 24, 0, "anchor 24 nodes");
    }

    function testTombstones() external {
        uint256 without = step(0, 13, 0, "anchor 13 nodes");
        step(0, 13, 1, "anchor 13 nodes and 1 tombstone");
        step(0, 13, 10, "anchor 13 nodes and 10 tombstones");
        uint256 with = step(0, 13, 100, "anchor 13 nodes and 100 tombstones");
        require((with - without) / 100 <= TOMBSTONE_TARGET, "above the target");
    }

    function testGuardian() external {
        vm.prank(vm.addr(GUARDIAN));
        registry.guardianRevoke(ns, handleRange(0, 1), "");
        vm.snapshotGasLastCall("Gas", "guardianRevoke 1 handle");
    }

    function testSetLogKey() external {
        registry.setLogKey(ns, vm.addr(9), sign(ADMIN, setLogKeyMessage(vm.addr(9), 0)));
        vm.snapshotGasLastCall("Gas", "setLogKey");
    }

    /// @dev A steady anchor: all of the head has another value before and after. In a namespace of its own.
    function step(uint256 which, uint256 nodes, uint256 tombstones, string memory name) private returns (uint256) {
        Rfc9162Test.Consistency memory c = abi.decode(
            vm.parseJson(vm.readFile("test/vectors/proofs.json"), ".consistency"), (Rfc9162Test.Consistency[])
        )[which];
        require(c.proof.length == nodes, "nodes");
        ns = register(keccak256(bytes(name)), ADMIN);
        IAttestationRegistry.Caps memory caps = IAttestationRegistry.Caps(100, 0);
        registry.setCaps(ns, caps, sign(ADMIN, setCapsMessage(caps, 0)));
        IAttestationRegistry.Head memory h = headOf(1, 1, START);
        (h.size, h.logRoot) = (c.oldSize, c.oldRoot);
        anchorBy(LOG_KEY, h, none, none);
        h = headOf(1, 5, START + 60);
        (h.size, h.logRoot) = (c.newSize, c.newRoot);
        anchorBy(LOG_KEY, h, c.proof, handleRange(0, tombstones));
        return vm.snapshotGasLastCall("Gas", name);
    }
}
