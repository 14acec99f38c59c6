// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAttestationRegistry} from "../src/IAttestationRegistry.sol";
import {Reference} from "./Reference.sol";
import {RegistryTest} from "./RegistryTest.sol";
import {vm} from "./Vm.sol";

/// @dev What forge calls in any order: the keys of one namespace do as they like, honestly or not. Whatever was
/// anchored or revoked once is remembered here.
contract Actor is RegistryTest {
    uint256 private constant HANDLES = 24;
    uint256 private constant KEYS = 2;

    uint256 private time = START;
    uint256 private logKey = LOG_KEY;
    uint256 private guardian = GUARDIAN;
    IAttestationRegistry.Head private last;
    mapping(bytes32 => uint256) private seen;
    mapping(uint256 day => uint256) private byLogKey;
    mapping(uint256 day => uint256) private byGuardian;
    uint256 public anchored;
    uint256 public refused;

    constructor() {
        setUp();
    }

    /// @dev A head that may go back, fork, be early or late, with any tombstones, by any of the log keys there are.
    function anchorAny(uint64 size, uint64 count, int16 ahead, uint8 handleAt, uint8 many, uint8 key, bool fork)
        external
    {
        size = around(last.size, size);
        count = around(last.revocationCount, count % 2);
        IAttestationRegistry.Head memory h = headOf(size, count, uint64(uint256(int256(time) + ahead % 600)));
        fork = fork && last.size != 0; // nothing is before the first
        if (fork) h.logRoot = keccak256(abi.encode(h.logRoot));
        uint256 from = handleAt % HANDLES;
        bytes32[] memory tombstones = handleRange(from, from + many % 8);
        bytes memory signature = sign(LOG_KEY + key % KEYS, anchorMessage(ns, h, tombstones));
        uint256 before = tombstonesThere();
        try registry.anchor(ns, h, proofTo(h.size), tombstones, signature) {
            ++anchored;
            require(LOG_KEY + key % KEYS == logKey, "another key");
            require(!fork && h.time > last.time && h.time <= time + 300, "a head that is none");
            byLogKey[time / 1 days] += tombstonesThere() - before;
            last = h;
        } catch {
            ++refused;
        }
    }

    function revokeAny(uint8 handleAt, uint8 many, uint8 key) external {
        uint256 from = handleAt % HANDLES;
        uint256 before = tombstonesThere();
        vm.prank(vm.addr(GUARDIAN + key % KEYS));
        try registry.guardianRevoke(ns, handleRange(from, from + many % 5), "") {
            require(GUARDIAN + key % KEYS == guardian, "another guardian");
            byGuardian[time / 1 days] += tombstonesThere() - before;
        } catch {
            ++refused;
        }
    }

    function replaceLogKey(uint8 key) external {
        logKey = LOG_KEY + key % KEYS;
        registry.setLogKey(ns, vm.addr(logKey), sign(ADMIN, setLogKeyMessage(vm.addr(logKey), nextNonce())));
    }

    function replaceGuardian(uint8 key) external {
        guardian = GUARDIAN + key % KEYS;
        registry.setGuardian(ns, vm.addr(guardian), sign(ADMIN, setGuardianMessage(vm.addr(guardian), nextNonce())));
    }

    function wait_(uint16 seconds_) external {
        time += seconds_;
        vm.warp(time);
    }

    /// @dev The head is the last that was accepted, and what every head before it was is in it.
    function check() external {
        IAttestationRegistry.Head memory h = registry.head(ns);
        if (last.time != 0) require(hashOf(h) == hashOf(last), "another head");
        if (h.size != 0) require(h.logRoot == Reference.root(leaves, 0, h.size), "another log");
        for (uint256 i = 0; i < HANDLES + 8; ++i) {
            uint256 now_ = registry.revokedAt(ns, handle(i));
            require(seen[handle(i)] == 0 || seen[handle(i)] == now_, "a tombstone is gone");
            seen[handle(i)] = now_;
        }
        for (uint256 day = START / 1 days; day <= time / 1 days; ++day) {
            require(byLogKey[day] <= LOG_KEY_CAP, "above the log key's cap");
            require(byGuardian[day] <= GUARDIAN_CAP, "above the guardian's cap");
        }
    }

    /// @dev Mostly a little more, at times less, at most all entries.
    function around(uint64 value, uint64 random) private pure returns (uint64) {
        uint64 next = value + random % 4;
        return next == 0 ? 0 : next > 40 ? 40 : next - (random % 5 == 0 ? 1 : 0);
    }

    function tombstonesThere() private view returns (uint256 there) {
        for (uint256 i = 0; i < HANDLES + 8; ++i) {
            if (registry.revokedAt(ns, handle(i)) != 0) ++there;
        }
    }
}

/// @dev Heads move forward and tombstones stay, whatever is done in whatever order.
contract InvariantsTest {
    struct Calls {
        address target;
        bytes4[] selectors;
    }

    Actor private actor;

    function setUp() external {
        actor = new Actor();
    }

    /// @dev forge asks what it may call.
    function targetSelectors() external view returns (Calls[] memory list) {
        list = new Calls[](1);
        list[0].target = address(actor);
        list[0].selectors = new bytes4[](5);
        list[0].selectors[0] = Actor.anchorAny.selector;
        list[0].selectors[1] = Actor.revokeAny.selector;
        list[0].selectors[2] = Actor.replaceLogKey.selector;
        list[0].selectors[3] = Actor.replaceGuardian.selector;
        list[0].selectors[4] = Actor.wait_.selector;
    }

    function targetContracts() external view returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(actor);
    }

    /// @dev Of every run: something was anchored, and something refused.
    function afterInvariant() external view {
        require(actor.anchored() > 0 && actor.refused() > 0, "nothing was tried");
    }

    function invariantWhatWasSaidStays() external {
        actor.check();
    }
}
