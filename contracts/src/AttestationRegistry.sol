// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IAttestationRegistry} from "./IAttestationRegistry.sol";
import {Rfc9162} from "./Rfc9162.sol";

/// @title The registry of attestation authorities
/// @notice See IAttestationRegistry.
/// @dev Rules that hold for every namespace, whoever calls:
/// - its keys change by a signature of its admin, and by nothing else;
/// - size, revocationCount and time of its head never fall, and each head's log begins with the one before;
/// - what `revokedAt` has once is never written again.
/// No address is in the code or in a constructor, so the code at every deployment is the same, byte for byte.
contract AttestationRegistry is IAttestationRegistry {
    /// @dev Packed so that an anchor reads `logKey` in one slot and writes the head in four.
    struct Namespace {
        address logKey;
        Caps caps;
        bool registered;
        // next slot
        address guardian;
        uint32 guardianDay;
        uint32 guardianUsed;
        // next slot
        address admin;
        uint64 nonce;
        // next slot
        uint64 size;
        uint64 revocationCount;
        uint64 time;
        uint32 logKeyDay;
        uint32 logKeyUsed;
        // a slot each
        bytes32 logRoot;
        bytes32 revocationRoot;
        bytes32 crlDigest;
        mapping(bytes32 handle => uint256 time) revokedAt;
        mapping(uint256 day => Caps) extra;
    }

    /// @notice By how many seconds a head may be ahead of the chain's clock.
    uint256 public constant MAX_AHEAD = 5 minutes;

    bytes32 private constant DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant REGISTER_TYPE = keccak256(
        "Register(bytes32 caId,address admin,address logKey,address guardian,Caps caps)"
        "Caps(uint32 logKeyPerDay,uint32 guardianPerDay)"
    );
    bytes32 private constant SET_LOG_KEY_TYPE = keccak256("SetLogKey(bytes32 namespace,address logKey,uint64 nonce)");
    bytes32 private constant SET_GUARDIAN_TYPE =
        keccak256("SetGuardian(bytes32 namespace,address guardian,uint64 nonce)");
    bytes32 private constant SET_CAPS_TYPE = keccak256(
        "SetCaps(bytes32 namespace,Caps caps,uint64 nonce)" "Caps(uint32 logKeyPerDay,uint32 guardianPerDay)"
    );
    bytes32 private constant ALLOW_TYPE = keccak256(
        "Allow(bytes32 namespace,uint32 day,Caps extra,uint64 nonce)" "Caps(uint32 logKeyPerDay,uint32 guardianPerDay)"
    );
    bytes32 private constant HAND_OVER_TYPE = keccak256("HandOver(bytes32 namespace,address admin,uint64 nonce)");
    bytes32 private constant HEAD_TYPE = keccak256(
        "Head(uint64 size,bytes32 logRoot,uint64 revocationCount,bytes32 revocationRoot,bytes32 crlDigest,uint64 time)"
    );
    bytes32 private constant ANCHOR_TYPE = keccak256(
        "Anchor(bytes32 namespace,Head head,bytes32[] tombstones)"
        "Head(uint64 size,bytes32 logRoot,uint64 revocationCount,bytes32 revocationRoot,bytes32 crlDigest,uint64 time)"
    );
    bytes32 private constant REVOKE_TYPE = keccak256("Revoke(bytes32 namespace,bytes32[] handles)");
    bytes32 private constant CAPS_TYPE = keccak256("Caps(uint32 logKeyPerDay,uint32 guardianPerDay)");

    mapping(bytes32 namespace => Namespace) private _namespaces;

    // what the admin signs

    /// @inheritdoc IAttestationRegistry
    function register(
        bytes32 caId,
        address admin,
        address logKey,
        address guardian,
        Caps calldata caps_,
        bytes calldata adminSignature
    ) external returns (bytes32 namespace) {
        namespace = namespaceOf(caId, admin);
        Namespace storage entry = _namespaces[namespace];
        if (entry.registered) revert AlreadyRegistered(namespace);
        _checkSigned(
            admin, keccak256(abi.encode(REGISTER_TYPE, caId, admin, logKey, guardian, _hash(caps_))), adminSignature
        );
        entry.registered = true;
        entry.admin = admin;
        entry.logKey = logKey;
        entry.guardian = guardian;
        entry.caps = caps_;
        entry.logRoot = Rfc9162.EMPTY;
        emit Registered(namespace, caId, admin, logKey, guardian, caps_);
    }

    /// @inheritdoc IAttestationRegistry
    function setLogKey(bytes32 namespace, address logKey, bytes calldata adminSignature) external {
        Namespace storage entry = _registered(namespace);
        bytes32 message = keccak256(abi.encode(SET_LOG_KEY_TYPE, namespace, logKey, entry.nonce++));
        _checkSigned(entry.admin, message, adminSignature);
        entry.logKey = logKey;
        emit LogKeyChanged(namespace, logKey);
    }

    /// @inheritdoc IAttestationRegistry
    function setGuardian(bytes32 namespace, address guardian, bytes calldata adminSignature) external {
        Namespace storage entry = _registered(namespace);
        bytes32 message = keccak256(abi.encode(SET_GUARDIAN_TYPE, namespace, guardian, entry.nonce++));
        _checkSigned(entry.admin, message, adminSignature);
        entry.guardian = guardian;
        emit GuardianChanged(namespace, guardian);
    }

    /// @inheritdoc IAttestationRegistry
    function setCaps(bytes32 namespace, Caps calldata caps_, bytes calldata adminSignature) external {
        Namespace storage entry = _registered(namespace);
        bytes32 message = keccak256(abi.encode(SET_CAPS_TYPE, namespace, _hash(caps_), entry.nonce++));
        _checkSigned(entry.admin, message, adminSignature);
        entry.caps = caps_;
        emit CapsChanged(namespace, caps_);
    }

    /// @inheritdoc IAttestationRegistry
    function allow(bytes32 namespace, uint32 day, Caps calldata extra, bytes calldata adminSignature) external {
        Namespace storage entry = _registered(namespace);
        bytes32 message = keccak256(abi.encode(ALLOW_TYPE, namespace, day, _hash(extra), entry.nonce++));
        _checkSigned(entry.admin, message, adminSignature);
        entry.extra[day] = extra;
        emit Allowed(namespace, day, extra);
    }

    /// @inheritdoc IAttestationRegistry
    function handOver(bytes32 namespace, address admin, bytes calldata adminSignature, bytes calldata newAdminSignature)
        external
    {
        Namespace storage entry = _registered(namespace);
        bytes32 message = keccak256(abi.encode(HAND_OVER_TYPE, namespace, admin, entry.nonce++));
        _checkSigned(entry.admin, message, adminSignature);
        _checkSigned(admin, message, newAdminSignature);
        entry.admin = admin;
        emit HandedOver(namespace, admin);
    }

    // what the log key and the guardian sign

    /// @inheritdoc IAttestationRegistry
    function anchor(
        bytes32 namespace,
        Head calldata head_,
        bytes32[] calldata consistencyProof,
        bytes32[] calldata tombstones,
        bytes calldata signature
    ) external {
        Namespace storage entry = _registered(namespace);
        address logKey = entry.logKey;
        // The log key is a plain key on every chain, whatever code an address has (EIP-7702).
        (address signer,,) = ECDSA.tryRecover(_anchorDigest(namespace, head_, tombstones), signature);
        if (signer == address(0) || signer != logKey) revert BadSignature(logKey);
        _advance(entry, head_, consistencyProof);
        _emitAnchored(namespace, head_);
        if (tombstones.length != 0) _revokeByLogKey(namespace, entry, tombstones, logKey);
    }

    /// @inheritdoc IAttestationRegistry
    function guardianRevoke(bytes32 namespace, bytes32[] calldata handles, bytes calldata signature) external {
        Namespace storage entry = _registered(namespace);
        address guardian = entry.guardian;
        if (signature.length != 0) {
            bytes32 message = keccak256(abi.encode(REVOKE_TYPE, namespace, keccak256(abi.encodePacked(handles))));
            _checkSigned(guardian, message, signature);
        } else if (msg.sender != guardian) {
            revert NotGuardian(msg.sender);
        }
        uint256 today = _today();
        uint256 left = _left(entry.caps.guardianPerDay, entry.extra[today].guardianPerDay, _guardianUsed(entry, today));
        uint256 fresh = _revoke(namespace, entry, handles, guardian, left);
        entry.guardianUsed = SafeCast.toUint32(_guardianUsed(entry, today) + fresh);
        entry.guardianDay = SafeCast.toUint32(today);
    }

    // for relying parties

    /// @inheritdoc IAttestationRegistry
    function head(bytes32 namespace) external view returns (Head memory) {
        return _head(_registered(namespace));
    }

    /// @inheritdoc IAttestationRegistry
    function head(bytes32 namespace, uint64 maxAge) external view returns (Head memory) {
        return _head(_fresh(namespace, maxAge));
    }

    /// @inheritdoc IAttestationRegistry
    function revokedAt(bytes32 namespace, bytes32 handle) external view returns (uint64) {
        return uint64(_registered(namespace).revokedAt[handle]);
    }

    /// @inheritdoc IAttestationRegistry
    function anyRevoked(bytes32 namespace, bytes32[] calldata handles, uint64 maxAge) external view returns (bool) {
        Namespace storage entry = _fresh(namespace, maxAge);
        for (uint256 i = 0; i < handles.length; ++i) {
            if (entry.revokedAt[handles[i]] != 0) return true;
        }
        return false;
    }

    /// @inheritdoc IAttestationRegistry
    function verifyInclusion(bytes32 namespace, bytes32 leafHash, uint64 index, bytes32[] calldata proof, uint64 maxAge)
        external
        view
        returns (bool)
    {
        Namespace storage entry = _fresh(namespace, maxAge);
        return Rfc9162.isIncluded(leafHash, index, entry.size, entry.logRoot, proof);
    }

    /// @inheritdoc IAttestationRegistry
    function status(bytes32 namespace, bytes32[] calldata handles)
        external
        view
        returns (Head memory head_, uint64[] memory revoked, uint256 blockNumber, uint256 blockTime)
    {
        Namespace storage entry = _registered(namespace);
        head_ = _head(entry);
        revoked = new uint64[](handles.length);
        for (uint256 i = 0; i < handles.length; ++i) {
            revoked[i] = uint64(entry.revokedAt[handles[i]]);
        }
        (blockNumber, blockTime) = (block.number, block.timestamp);
    }

    /// @inheritdoc IAttestationRegistry
    function keys(bytes32 namespace)
        external
        view
        returns (address admin, address logKey, address guardian, uint64 nonce)
    {
        Namespace storage entry = _registered(namespace);
        return (entry.admin, entry.logKey, entry.guardian, entry.nonce);
    }

    /// @inheritdoc IAttestationRegistry
    function caps(bytes32 namespace)
        external
        view
        returns (Caps memory perDay, uint256 logKeyLeft, uint256 guardianLeft)
    {
        Namespace storage entry = _registered(namespace);
        uint256 today = _today();
        Caps memory extra = entry.extra[today];
        perDay = entry.caps;
        logKeyLeft = _left(perDay.logKeyPerDay, extra.logKeyPerDay, _logKeyUsed(entry, today));
        guardianLeft = _left(perDay.guardianPerDay, extra.guardianPerDay, _guardianUsed(entry, today));
    }

    /// @inheritdoc IAttestationRegistry
    function namespaceOf(bytes32 caId, address admin) public pure returns (bytes32) {
        return keccak256(abi.encode(caId, admin));
    }

    /// @inheritdoc IAttestationRegistry
    function domainSeparator() public view returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPE, keccak256("attestca"), keccak256("1"), block.chainid, address(this)));
    }

    // the rules

    /// @dev Every check of a head stands here. The last one is of the log, for it costs the most.
    function _advance(Namespace storage entry, Head calldata next, bytes32[] calldata proof) private {
        (uint64 size, uint64 count, uint64 time) = (entry.size, entry.revocationCount, entry.time);
        if (next.time <= time) revert NotLater(time, next.time);
        if (next.time > block.timestamp + MAX_AHEAD) revert TooFarAhead(next.time, block.timestamp + MAX_AHEAD);
        if (next.size < size) revert LogShrank(size, next.size);
        if (next.revocationCount < count) revert RevocationsShrank(count, next.revocationCount);
        (uint64 entries, uint64 revocations) = (next.size - size, next.revocationCount - count);
        if (revocations > entries) revert RevocationsOutgrowLog(entries, revocations);
        if (revocations == 0 && next.revocationRoot != entry.revocationRoot) revert RevocationsForked(count);
        if (!Rfc9162.isConsistent(size, entry.logRoot, next.size, next.logRoot, proof)) {
            revert LogForked(size, next.size);
        }
        (entry.size, entry.revocationCount, entry.time) = (next.size, next.revocationCount, next.time);
        entry.logRoot = next.logRoot;
        entry.revocationRoot = next.revocationRoot;
        entry.crlDigest = next.crlDigest;
    }

    function _emitAnchored(bytes32 namespace, Head calldata head_) private {
        emit Anchored(
            namespace,
            head_.size,
            head_.logRoot,
            head_.revocationCount,
            head_.revocationRoot,
            head_.crlDigest,
            head_.time
        );
    }

    function _revokeByLogKey(bytes32 namespace, Namespace storage entry, bytes32[] calldata tombstones, address logKey)
        private
    {
        uint256 today = _today();
        uint256 used = _logKeyUsed(entry, today);
        uint256 left = _left(entry.caps.logKeyPerDay, entry.extra[today].logKeyPerDay, used);
        used += _revoke(namespace, entry, tombstones, logKey, left);
        entry.logKeyUsed = SafeCast.toUint32(used);
        entry.logKeyDay = SafeCast.toUint32(today);
    }

    /// @return fresh how many were not revoked before; at most `left`
    function _revoke(bytes32 namespace, Namespace storage entry, bytes32[] calldata handles, address by, uint256 left)
        private
        returns (uint256 fresh)
    {
        mapping(bytes32 => uint256) storage tombstones = entry.revokedAt;
        for (uint256 i = 0; i < handles.length; ++i) {
            bytes32 handle = handles[i];
            if (tombstones[handle] != 0) continue;
            tombstones[handle] = block.timestamp;
            emit Revoked(namespace, handle, by);
            ++fresh;
        }
        if (fresh > left) revert CapExceeded(by, fresh, left);
    }

    function _registered(bytes32 namespace) private view returns (Namespace storage entry) {
        entry = _namespaces[namespace];
        if (!entry.registered) revert NotRegistered(namespace);
    }

    function _fresh(bytes32 namespace, uint64 maxAge) private view returns (Namespace storage entry) {
        entry = _registered(namespace);
        uint64 time = entry.time;
        if (time == 0 || block.timestamp > uint256(time) + maxAge) revert Stale(namespace, time, maxAge);
    }

    function _head(Namespace storage entry) private view returns (Head memory) {
        return Head({
            size: entry.size,
            logRoot: entry.logRoot,
            revocationCount: entry.revocationCount,
            revocationRoot: entry.revocationRoot,
            crlDigest: entry.crlDigest,
            time: entry.time
        });
    }

    // caps

    function _today() private view returns (uint256) {
        return block.timestamp / 1 days;
    }

    function _logKeyUsed(Namespace storage entry, uint256 today) private view returns (uint256) {
        return entry.logKeyDay == today ? entry.logKeyUsed : 0;
    }

    function _guardianUsed(Namespace storage entry, uint256 today) private view returns (uint256) {
        return entry.guardianDay == today ? entry.guardianUsed : 0;
    }

    /// @dev Caps may have been lowered since: then nothing is left, which is not less than nothing.
    function _left(uint256 perDay, uint256 extra, uint256 used) private pure returns (uint256) {
        return perDay + extra > used ? perDay + extra - used : 0;
    }

    // EIP-712

    /// @dev Reverts unless `signer` signed: a key, or a contract that says so (ERC-1271).
    function _checkSigned(address signer, bytes32 message, bytes calldata signature) private view {
        if (!SignatureChecker.isValidSignatureNow(signer, _digest(message), signature)) {
            revert BadSignature(signer);
        }
    }

    function _anchorDigest(bytes32 namespace, Head calldata head_, bytes32[] calldata tombstones)
        private
        view
        returns (bytes32)
    {
        bytes32 headHash = keccak256(abi.encode(HEAD_TYPE, head_));
        return _digest(keccak256(abi.encode(ANCHOR_TYPE, namespace, headHash, keccak256(abi.encodePacked(tombstones)))));
    }

    function _digest(bytes32 message) private view returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(domainSeparator(), message);
    }

    function _hash(Caps calldata caps_) private pure returns (bytes32) {
        return keccak256(abi.encode(CAPS_TYPE, caps_));
    }
}
