// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AttestationRegistry} from "../src/AttestationRegistry.sol";
import {IAttestationRegistry} from "../src/IAttestationRegistry.sol";
import {RegistryTest} from "./RegistryTest.sol";
import {vm} from "./Vm.sol";

/// @dev A contract that holds a namespace (ERC-1271): it signs what its owner signs, while it is not locked.
contract Wallet {
    address private immutable OWNER;
    bool public locked;

    constructor(address owner) {
        OWNER = owner;
    }

    function lock() external {
        locked = true;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        (bytes32 r, bytes32 s) = abi.decode(signature[:64], (bytes32, bytes32));
        bool valid = !locked && ecrecover(hash, uint8(signature[64]), r, s) == OWNER;
        return valid ? bytes4(0x1626ba7e) : bytes4(0xffffffff);
    }
}

/// @dev Registration and what the admin signs.
contract AdminTest is RegistryTest {
    event Registered(
        bytes32 indexed namespace,
        bytes32 indexed caId,
        address indexed admin,
        address logKey,
        address guardian,
        IAttestationRegistry.Caps caps
    );

    IAttestationRegistry.Caps private caps = IAttestationRegistry.Caps(1, 2);

    // registration

    function testAnybodyCarriesARegistration() external {
        (address admin, address log) = (vm.addr(8), vm.addr(9));
        bytes memory signature = sign(8, registerMessage(CA_ID, admin, log, address(0), caps));
        bytes32 expected = keccak256(abi.encode(CA_ID, admin));
        vm.expectEmit(true, true, true, true);
        emit Registered(expected, CA_ID, admin, log, address(0), caps);
        vm.prank(vm.addr(STRANGER));
        bytes32 namespace = registry.register(CA_ID, admin, log, address(0), caps, signature);
        require(namespace == expected && namespace == registry.namespaceOf(CA_ID, admin), "namespace");
        requireKeys(namespace, admin, log, address(0), 0);
        (IAttestationRegistry.Caps memory perDay, uint256 logKeyLeft, uint256 guardianLeft) = registry.caps(namespace);
        require(perDay.logKeyPerDay == 1 && logKeyLeft == 1, "log key's cap");
        require(perDay.guardianPerDay == 2 && guardianLeft == 2, "guardian's cap");
    }

    function testNamespaceIsRegisteredOnce() external {
        bytes memory reason = abi.encodeWithSelector(IAttestationRegistry.AlreadyRegistered.selector, ns);
        bytes memory signature = sign(ADMIN, registerMessage(CA_ID, vm.addr(ADMIN), vm.addr(9), vm.addr(9), caps));
        vm.expectRevert(reason);
        registry.register(CA_ID, vm.addr(ADMIN), vm.addr(9), vm.addr(9), caps, signature);
        bytes32 message = handOverMessage(vm.addr(8), 0);
        registry.handOver(ns, vm.addr(8), sign(ADMIN, message), sign(8, message));
        vm.expectRevert(reason); // not after it was handed over either
        registry.register(CA_ID, vm.addr(ADMIN), vm.addr(9), vm.addr(9), caps, signature);
        requireKeys(ns, vm.addr(8), vm.addr(LOG_KEY), vm.addr(GUARDIAN), 1);
    }

    /// @dev Another authority's id with a key of one's own is a namespace of one's own.
    function testNobodyTakesAnothersNamespace() external {
        bytes32 own = register(CA_ID, STRANGER);
        require(own != ns, "the same namespace");
        requireKeys(ns, vm.addr(ADMIN), vm.addr(LOG_KEY), vm.addr(GUARDIAN), 0);
        bytes memory signature =
            sign(STRANGER, registerMessage(keccak256("victim"), vm.addr(8), vm.addr(STRANGER), address(0), caps));
        vm.expectRevert(badSignature(8));
        registry.register(keccak256("victim"), vm.addr(8), vm.addr(STRANGER), address(0), caps, signature);
    }

    function testFuzzEveryFieldOfARegistrationIsSigned(uint8 field, uint32 change) external {
        vm.assume(change != 0);
        (bytes32 caId, address log, address guardian) = (keccak256("new"), vm.addr(9), vm.addr(10));
        bytes memory signature = sign(8, registerMessage(caId, vm.addr(8), log, guardian, caps));
        field %= 5;
        if (field == 0) caId ^= bytes32(uint256(change));
        if (field == 1) log = address(uint160(log) ^ change);
        if (field == 2) guardian = address(uint160(guardian) ^ change);
        if (field == 3) caps.logKeyPerDay ^= change;
        if (field == 4) caps.guardianPerDay ^= change;
        vm.expectRevert(badSignature(8));
        registry.register(caId, vm.addr(8), log, guardian, caps, signature);
    }

    function testRegistrationIsOfItsChainAndItsRegistry() external {
        bytes memory signature = sign(8, registerMessage(CA_ID, vm.addr(8), vm.addr(9), address(0), caps));
        AttestationRegistry other = new AttestationRegistry();
        vm.expectRevert(badSignature(8));
        other.register(CA_ID, vm.addr(8), vm.addr(9), address(0), caps, signature);
        vm.chainId(block.chainid + 1);
        vm.expectRevert(badSignature(8));
        registry.register(CA_ID, vm.addr(8), vm.addr(9), address(0), caps, signature);
    }

    function testNobodyIsNoAdmin() external {
        bytes memory reason = abi.encodeWithSelector(IAttestationRegistry.BadSignature.selector, address(0));
        vm.expectRevert(reason);
        registry.register(CA_ID, address(0), vm.addr(9), address(0), caps, new bytes(65));
        vm.expectRevert(reason);
        registry.register(CA_ID, address(0), vm.addr(9), address(0), caps, "");
        bytes memory signature = sign(ADMIN, handOverMessage(address(0), 0));
        vm.expectRevert(reason);
        registry.handOver(ns, address(0), signature, signature);
    }

    // changes

    function testAdminReplacesTheLogKey() external {
        registry.setLogKey(ns, vm.addr(9), sign(ADMIN, setLogKeyMessage(vm.addr(9), 0)));
        requireKeys(ns, vm.addr(ADMIN), vm.addr(9), vm.addr(GUARDIAN), 1);
    }

    function testAdminReplacesTheGuardian() external {
        registry.setGuardian(ns, vm.addr(9), sign(ADMIN, setGuardianMessage(vm.addr(9), 0)));
        requireKeys(ns, vm.addr(ADMIN), vm.addr(LOG_KEY), vm.addr(9), 1);
    }

    function testAdminSetsTheCaps() external {
        registry.setCaps(ns, caps, sign(ADMIN, setCapsMessage(caps, 0)));
        (IAttestationRegistry.Caps memory perDay,,) = registry.caps(ns);
        require(perDay.logKeyPerDay == 1 && perDay.guardianPerDay == 2, "caps");
        require(nextNonce() == 1, "nonce");
    }

    function testHandOverNeedsBoth() external {
        address next = vm.addr(8);
        bytes32 message = handOverMessage(next, 0);
        bytes memory byBoth = sign(ADMIN, message);
        vm.expectRevert(badSignature(8));
        registry.handOver(ns, next, byBoth, byBoth);
        bytes memory byNext = sign(8, message);
        vm.expectRevert(badSignature(ADMIN));
        registry.handOver(ns, next, byNext, byNext);
        registry.handOver(ns, next, byBoth, byNext);
        requireKeys(ns, next, vm.addr(LOG_KEY), vm.addr(GUARDIAN), 1);
        bytes memory old = sign(ADMIN, setLogKeyMessage(vm.addr(9), 1));
        vm.expectRevert(badSignature(8));
        registry.setLogKey(ns, vm.addr(9), old);
        registry.setLogKey(ns, vm.addr(9), sign(8, setLogKeyMessage(vm.addr(9), 1)));
    }

    function testNothingOfTheAdminIsReplayed() external {
        bytes memory signature = sign(ADMIN, setLogKeyMessage(vm.addr(9), 0));
        registry.setLogKey(ns, vm.addr(9), signature);
        registry.setLogKey(ns, vm.addr(LOG_KEY), sign(ADMIN, setLogKeyMessage(vm.addr(LOG_KEY), 1)));
        vm.expectRevert(badSignature(ADMIN));
        registry.setLogKey(ns, vm.addr(9), signature);
        bytes memory early = sign(ADMIN, setLogKeyMessage(vm.addr(9), 3));
        vm.expectRevert(badSignature(ADMIN));
        registry.setLogKey(ns, vm.addr(9), early);
        require(nextNonce() == 2, "a refused message costs no nonce");
    }

    /// @dev One nonce for all kinds of message: what was signed before something else is void.
    function testMessagesShareOneNonce() external {
        bytes memory signature = sign(ADMIN, setCapsMessage(caps, 0));
        registry.setGuardian(ns, vm.addr(9), sign(ADMIN, setGuardianMessage(vm.addr(9), 0)));
        vm.expectRevert(badSignature(ADMIN));
        registry.setCaps(ns, caps, signature);
    }

    function testMessageOfOneKindIsNoneOfAnother() external {
        bytes memory signature = sign(ADMIN, setGuardianMessage(vm.addr(9), 0));
        vm.expectRevert(badSignature(ADMIN));
        registry.setLogKey(ns, vm.addr(9), signature);
        vm.expectRevert(badSignature(ADMIN));
        registry.handOver(ns, vm.addr(9), signature, signature);
        signature = sign(ADMIN, setCapsMessage(caps, 0));
        vm.expectRevert(badSignature(ADMIN));
        registry.allow(ns, 0, caps, signature);
    }

    function testFuzzNobodyElseChangesAnything(uint256 key) external {
        key = 1 + key % (2 ** 255);
        vm.assume(vm.addr(key) != vm.addr(ADMIN));
        refuseAllChanges(key);
    }

    /// @dev Not the one who deployed, not the log key, not the guardian, not the admin of another namespace.
    function testNobodyHasAGlobalRole() external {
        register(CA_ID, STRANGER);
        uint256[3] memory others = [LOG_KEY, GUARDIAN, STRANGER];
        for (uint256 i = 0; i < others.length; ++i) {
            refuseAllChanges(others[i]);
        }
    }

    function testFuzzEveryArgumentOfAChangeIsSigned(uint32 change) external {
        vm.assume(change != 0);
        address other = address(uint160(vm.addr(9)) ^ change);
        IAttestationRegistry.Caps memory wide = IAttestationRegistry.Caps(caps.logKeyPerDay ^ change, 2);
        IAttestationRegistry.Caps memory wider = IAttestationRegistry.Caps(1, caps.guardianPerDay ^ change);
        bytes memory signature = sign(ADMIN, setLogKeyMessage(vm.addr(9), 0));
        vm.expectRevert(badSignature(ADMIN));
        registry.setLogKey(ns, other, signature);
        signature = sign(ADMIN, setGuardianMessage(vm.addr(9), 0));
        vm.expectRevert(badSignature(ADMIN));
        registry.setGuardian(ns, other, signature);
        signature = sign(ADMIN, handOverMessage(vm.addr(9), 0));
        vm.expectRevert(badSignature(ADMIN));
        registry.handOver(ns, other, signature, signature);
        signature = sign(ADMIN, setCapsMessage(caps, 0));
        vm.expectRevert(badSignature(ADMIN));
        registry.setCaps(ns, wide, signature);
        vm.expectRevert(badSignature(ADMIN));
        registry.setCaps(ns, wider, signature);
        signature = sign(ADMIN, allowMessage(7, caps, 0));
        vm.expectRevert(badSignature(ADMIN));
        registry.allow(ns, 7 ^ change, caps, signature);
        vm.expectRevert(badSignature(ADMIN));
        registry.allow(ns, 7, wide, signature);
        vm.expectRevert(badSignature(ADMIN));
        registry.allow(ns, 7, wider, signature);
    }

    function testUnknownNamespaceHasNoAdmin() external {
        bytes32 unknown = keccak256("nobody's");
        bytes memory reason = abi.encodeWithSelector(IAttestationRegistry.NotRegistered.selector, unknown);
        vm.expectRevert(reason);
        registry.setLogKey(unknown, vm.addr(9), "");
        vm.expectRevert(reason);
        registry.setGuardian(unknown, vm.addr(9), "");
        vm.expectRevert(reason);
        registry.setCaps(unknown, caps, "");
        vm.expectRevert(reason);
        registry.allow(unknown, 1, caps, "");
        vm.expectRevert(reason);
        registry.handOver(unknown, vm.addr(9), "", "");
    }

    // contracts

    function testContractMayBeAdmin() external {
        Wallet wallet = new Wallet(vm.addr(8));
        bytes memory signature = sign(8, registerMessage(CA_ID, address(wallet), vm.addr(LOG_KEY), address(0), caps));
        ns = registry.register(CA_ID, address(wallet), vm.addr(LOG_KEY), address(0), caps, signature);
        registry.setLogKey(ns, vm.addr(9), sign(8, setLogKeyMessage(vm.addr(9), 0)));
        requireKeys(ns, address(wallet), vm.addr(9), address(0), 1);
        wallet.lock();
        signature = sign(8, setLogKeyMessage(vm.addr(10), 1));
        vm.expectRevert(abi.encodeWithSelector(IAttestationRegistry.BadSignature.selector, address(wallet)));
        registry.setLogKey(ns, vm.addr(10), signature);
    }

    function testContractThatSignsNothingIsNoAdmin() external {
        bytes memory signature = sign(8, registerMessage(CA_ID, address(registry), vm.addr(9), address(0), caps));
        vm.expectRevert(abi.encodeWithSelector(IAttestationRegistry.BadSignature.selector, address(registry)));
        registry.register(CA_ID, address(registry), vm.addr(9), address(0), caps, signature);
    }

    function testContractMayBeGuardian() external {
        Wallet wallet = new Wallet(vm.addr(8));
        registry.setGuardian(ns, address(wallet), sign(ADMIN, setGuardianMessage(address(wallet), 0)));
        registry.guardianRevoke(ns, handleRange(0, 1), sign(8, revokeMessage(handleRange(0, 1))));
        vm.prank(address(wallet));
        registry.guardianRevoke(ns, handleRange(1, 2), "");
        require(registry.revokedAt(ns, handle(0)) == START && registry.revokedAt(ns, handle(1)) == START, "revoked");
    }

    /// @dev A key is a key, whatever code stands at its address (EIP-7702).
    function testLogKeyIsAPlainKey() external {
        vm.etch(vm.addr(LOG_KEY), address(new Wallet(vm.addr(8))).code);
        IAttestationRegistry.Head memory h = headOf(5, 0, START);
        bytes memory signature = sign(8, anchorMessage(ns, h, none));
        vm.expectRevert(badSignature(LOG_KEY));
        registry.anchor(ns, h, none, none, signature);
        anchor(h, none);
    }

    function testTakesNoEther() external {
        (bool ok,) = address(registry).call{value: 1}("");
        require(!ok, "took ether");
        (ok,) = address(registry).call{value: 1}(abi.encodeCall(registry.keys, (ns)));
        require(!ok, "took ether");
        (ok,) = address(registry).call(abi.encodeWithSignature("owner()"));
        require(!ok, "has an owner");
    }

    function refuseAllChanges(uint256 key) private {
        address caller = vm.addr(key);
        bytes memory reason = badSignature(ADMIN);
        bytes memory signature = sign(key, setLogKeyMessage(caller, 0));
        vm.prank(caller);
        vm.expectRevert(reason);
        registry.setLogKey(ns, caller, signature);
        signature = sign(key, setGuardianMessage(caller, 0));
        vm.prank(caller);
        vm.expectRevert(reason);
        registry.setGuardian(ns, caller, signature);
        signature = sign(key, setCapsMessage(caps, 0));
        vm.prank(caller);
        vm.expectRevert(reason);
        registry.setCaps(ns, caps, signature);
        signature = sign(key, allowMessage(1, caps, 0));
        vm.prank(caller);
        vm.expectRevert(reason);
        registry.allow(ns, 1, caps, signature);
        signature = sign(key, handOverMessage(caller, 0));
        vm.prank(caller);
        vm.expectRevert(reason);
        registry.handOver(ns, caller, signature, signature);
    }

    function requireKeys(bytes32 namespace, address admin, address logKey, address guardian, uint64 expected)
        private
        view
    {
        (address isAdmin, address isLogKey, address isGuardian, uint64 isNonce) = registry.keys(namespace);
        require(isAdmin == admin, "admin");
        require(isLogKey == logKey, "log key");
        require(isGuardian == guardian, "guardian");
        require(isNonce == expected, "nonce");
    }
}
