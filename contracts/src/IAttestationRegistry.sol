// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title What attestation authorities have said on this chain, for all time
/// @notice One registry for many authorities. Each has a namespace: the head of its public log as of the last anchor,
/// and a tombstone for each handle that it revoked. A head only moves forward and a tombstone stays. All that counts is
/// who signed; who sends the transaction, and pays for it, does not matter.
///
/// Three keys per namespace, and nobody above them:
/// - the log key signs heads, and revokes up to a number of handles per day;
/// - the guardian revokes up to a number of handles per day, and can do nothing else;
/// - the admin, a cold key or a contract wallet (ERC-1271), replaces keys and lifts caps, and can do nothing else.
///
/// Messages are EIP-712 typed data of the domain ("attestca", "1", chain id, address of the registry); their types
/// stand at the functions. Not upgradeable, takes no ether.
interface IAttestationRegistry {
    /// @notice What an authority stands by at one time; the same that a signed checkpoint of its log says.
    /// @param size entries of the log
    /// @param logRoot root hash over them (RFC 9162, section 2.1, SHA-256)
    /// @param revocationCount handles that these entries revoke
    /// @param revocationRoot root of the tree of those handles; zero where there are none
    /// @param crlDigest digest over the revocation lists that were served
    /// @param time seconds since 1970-01-01T00:00:00Z
    struct Head {
        uint64 size;
        bytes32 logRoot;
        uint64 revocationCount;
        bytes32 revocationRoot;
        bytes32 crlDigest;
        uint64 time;
    }

    /// @notice How many handles may be revoked in one day (UTC).
    struct Caps {
        uint32 logKeyPerDay;
        uint32 guardianPerDay;
    }

    event Registered(
        bytes32 indexed namespace,
        bytes32 indexed caId,
        address indexed admin,
        address logKey,
        address guardian,
        Caps caps
    );
    event Anchored(
        bytes32 indexed namespace,
        uint64 size,
        bytes32 logRoot,
        uint64 revocationCount,
        bytes32 revocationRoot,
        bytes32 crlDigest,
        uint64 time
    );
    /// @param by the key that said so: the log key or the guardian of that time
    event Revoked(bytes32 indexed namespace, bytes32 indexed handle, address indexed by);
    event LogKeyChanged(bytes32 indexed namespace, address logKey);
    event GuardianChanged(bytes32 indexed namespace, address guardian);
    event CapsChanged(bytes32 indexed namespace, Caps caps);
    event Allowed(bytes32 indexed namespace, uint32 day, Caps extra);
    event HandedOver(bytes32 indexed namespace, address admin);

    /// @notice Nobody has registered this namespace.
    error NotRegistered(bytes32 namespace);
    /// @notice A namespace is registered once.
    error AlreadyRegistered(bytes32 namespace);
    /// @notice Not a signature by `expected` of exactly these arguments for this registry on this chain.
    error BadSignature(address expected);
    /// @notice Without a signature only the guardian itself may call.
    error NotGuardian(address caller);
    /// @notice A log has as many entries as before, or more.
    error LogShrank(uint64 anchored, uint64 given);
    /// @notice The log does not begin with the anchored one, or the proof does not show that it does.
    error LogForked(uint64 anchored, uint64 given);
    /// @notice As many handles are revoked as before, or more.
    error RevocationsShrank(uint64 anchored, uint64 given);
    /// @notice As many handles are revoked as before, but others.
    error RevocationsForked(uint64 revocationCount);
    /// @notice Each handle is revoked by an entry of its own; the log has not grown by as many.
    error RevocationsOutgrowLog(uint64 entries, uint64 revocations);
    /// @notice A head is later than the anchored one: each is anchored once.
    error NotLater(uint64 anchored, uint64 given);
    /// @notice A head may be ahead of the chain's clock by `MAX_AHEAD` seconds.
    error TooFarAhead(uint64 given, uint256 latest);
    /// @notice `by` may not revoke so many handles today (UTC); see `allow`.
    error CapExceeded(address by, uint256 wanted, uint256 left);
    /// @notice The last anchored head is older than the caller accepts, or there is none yet (`time` 0).
    error Stale(bytes32 namespace, uint64 time, uint64 maxAge);

    // what the admin signs

    /// @notice Make a namespace. Anybody may carry the admin's signature; once only.
    /// @dev Register(bytes32 caId,address admin,address logKey,address guardian,Caps caps)Caps(uint32 logKeyPerDay,uint32 guardianPerDay)
    /// @param caId SHA-256 of the authority's root SubjectPublicKeyInfo. The registry cannot check it: that a namespace is
    /// the authority's is what the authority's root signs elsewhere (the trust bundle)
    /// @param guardian may be zero: nobody
    /// @return namespace as `namespaceOf(caId, admin)`, whoever the admin is later
    function register(
        bytes32 caId,
        address admin,
        address logKey,
        address guardian,
        Caps calldata caps_,
        bytes calldata adminSignature
    ) external returns (bytes32 namespace);

    /// @notice Replace the log key, at once. Zero: nobody can anchor until it is set again.
    /// @dev SetLogKey(bytes32 namespace,address logKey,uint64 nonce)
    function setLogKey(bytes32 namespace, address logKey, bytes calldata adminSignature) external;

    /// @notice Replace the guardian, at once. Zero: nobody.
    /// @dev SetGuardian(bytes32 namespace,address guardian,uint64 nonce)
    function setGuardian(bytes32 namespace, address guardian, bytes calldata adminSignature) external;

    /// @notice Set how many handles may be revoked per day.
    /// @dev SetCaps(bytes32 namespace,Caps caps,uint64 nonce)Caps(uint32 logKeyPerDay,uint32 guardianPerDay)
    function setCaps(bytes32 namespace, Caps calldata caps_, bytes calldata adminSignature) external;

    /// @notice Set by how many handles the caps are higher on one day. A second call for a day replaces the first.
    /// @dev Allow(bytes32 namespace,uint32 day,Caps extra,uint64 nonce)Caps(uint32 logKeyPerDay,uint32 guardianPerDay)
    /// @param day days since 1970-01-01 (UTC)
    function allow(bytes32 namespace, uint32 day, Caps calldata extra, bytes calldata adminSignature) external;

    /// @notice Make another key the admin. Both sign, so that no namespace goes to an address that cannot.
    /// @dev HandOver(bytes32 namespace,address admin,uint64 nonce)
    function handOver(bytes32 namespace, address admin, bytes calldata adminSignature, bytes calldata newAdminSignature)
        external;

    // what the log key and the guardian sign

    /// @notice Move the head forward, and revoke.
    /// @dev Anchor(bytes32 namespace,Head head,bytes32[] tombstones)Head(uint64 size,bytes32 logRoot,uint64 revocationCount,bytes32 revocationRoot,bytes32 crlDigest,uint64 time)
    /// @param consistencyProof RFC 9162, section 2.1.4, from the anchored size to this one; empty from 0 and to itself
    /// @param tombstones handles to be revoked. Those that are already cost nothing of the cap
    /// @param signature 65 bytes by the log key
    function anchor(
        bytes32 namespace,
        Head calldata head_,
        bytes32[] calldata consistencyProof,
        bytes32[] calldata tombstones,
        bytes calldata signature
    ) external;

    /// @notice Revoke, and nothing else.
    /// @dev Revoke(bytes32 namespace,bytes32[] handles). There is no nonce: what is revoked stays so, a repetition does nothing.
    /// @param signature of the guardian; empty where the guardian itself calls
    function guardianRevoke(bytes32 namespace, bytes32[] calldata handles, bytes calldata signature) external;

    // for relying parties: each reverts for a namespace that is not registered; with `maxAge` (seconds), also when the
    // anchored head is older by the chain's clock

    /// @notice The anchored head, however old; of size and time 0 before the first.
    function head(bytes32 namespace) external view returns (Head memory);

    /// @notice The anchored head.
    function head(bytes32 namespace, uint64 maxAge) external view returns (Head memory);

    /// @notice When a handle was revoked, seconds since 1970-01-01T00:00:00Z by the chain's clock; 0: it is not.
    /// The absence of a revocation is worth as much as the head is fresh: see `anyRevoked`.
    function revokedAt(bytes32 namespace, bytes32 handle) external view returns (uint64);

    /// @notice Whether any of these handles is revoked.
    function anyRevoked(bytes32 namespace, bytes32[] calldata handles, uint64 maxAge) external view returns (bool);

    /// @notice Whether an entry is in the log of the anchored head.
    /// @param leafHash SHA-256(0x00 || entry)
    /// @param proof RFC 9162, section 2.1.3: from the leaf's sibling up, for the size of the anchored head
    function verifyInclusion(bytes32 namespace, bytes32 leafHash, uint64 index, bytes32[] calldata proof, uint64 maxAge)
        external
        view
        returns (bool);

    /// @notice All that a relying party off the chain asks, of one block: the head, `revokedAt` of each handle, and the
    /// block. For readers who judge the age by their own clock, and compare what several nodes say.
    function status(bytes32 namespace, bytes32[] calldata handles)
        external
        view
        returns (Head memory head_, uint64[] memory revoked, uint256 blockNumber, uint256 blockTime);

    /// @notice Who holds the keys, and the nonce that the admin signs next.
    function keys(bytes32 namespace)
        external
        view
        returns (address admin, address logKey, address guardian, uint64 nonce);

    /// @notice The caps of every day, and how many handles each may still revoke today.
    function caps(bytes32 namespace)
        external
        view
        returns (Caps memory perDay, uint256 logKeyLeft, uint256 guardianLeft);

    /// @notice keccak256(abi.encode(caId, admin)), where `admin` is the one that registers.
    function namespaceOf(bytes32 caId, address admin) external pure returns (bytes32);

    /// @notice The EIP-712 domain separator of this registry on this chain.
    function domainSeparator() external view returns (bytes32);
}
