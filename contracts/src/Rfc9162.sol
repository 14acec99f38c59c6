// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Proofs about a Merkle tree of RFC 9162 (section 2.1, SHA-256)
/// @dev Sizes come from heads that were checked. A proof of the wrong length is no proof.
library Rfc9162 {
    /// @dev The root hash of the tree without entries: SHA-256 of nothing.
    bytes32 internal constant EMPTY = 0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855;

    /// @notice Whether the new tree begins with all of the old one (section 2.1.4.2).
    /// @dev Every tree begins with the empty one; that needs no proof, and takes none.
    function isConsistent(uint64 oldSize, bytes32 oldRoot, uint64 newSize, bytes32 newRoot, bytes32[] calldata proof)
        internal
        pure
        returns (bool)
    {
        if (oldSize > newSize) return false;
        if (oldSize == newSize) return proof.length == 0 && oldRoot == newRoot;
        if (oldSize == 0) return proof.length == 0 && oldRoot == EMPTY;
        if (proof.length == 0) return false;
        uint256 number = oldSize - 1;
        uint256 last = newSize - 1;
        while (number & 1 == 1) (number, last) = (number >> 1, last >> 1);
        // An old tree of 2^n entries is itself the first node: the proof leaves out what the verifier has.
        uint256 next = number == 0 ? 0 : 1;
        bytes32 old_ = next == 0 ? oldRoot : proof[0];
        bytes32 new_ = old_;
        for (; next < proof.length; ++next) {
            if (last == 0) return false;
            bytes32 sibling = proof[next];
            if (number & 1 == 1 || number == last) {
                old_ = node(sibling, old_);
                new_ = node(sibling, new_);
                (number, last) = _toRightChild(number, last);
            } else {
                new_ = node(new_, sibling);
            }
            (number, last) = (number >> 1, last >> 1);
        }
        return last == 0 && old_ == oldRoot && new_ == newRoot;
    }

    /// @notice Whether `leafHash` is number `index` (from 0) of the tree (section 2.1.3.2).
    function isIncluded(bytes32 leafHash, uint64 index, uint64 size, bytes32 root, bytes32[] calldata proof)
        internal
        pure
        returns (bool)
    {
        if (index >= size) return false;
        (uint256 number, uint256 last) = (index, size - 1);
        bytes32 computed = leafHash;
        for (uint256 i = 0; i < proof.length; ++i) {
            if (last == 0) return false;
            if (number & 1 == 1 || number == last) {
                computed = node(proof[i], computed);
                (number, last) = _toRightChild(number, last);
            } else {
                computed = node(computed, proof[i]);
            }
            (number, last) = (number >> 1, last >> 1);
        }
        return last == 0 && computed == root;
    }

    /// @notice The hash over two hashes.
    function node(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x01), left, right));
    }

    /// @dev At the right edge a node has no sibling until it is a right child; those levels have no hash of their own.
    function _toRightChild(uint256 number, uint256 last) private pure returns (uint256, uint256) {
        while (number != 0 && number & 1 == 0) (number, last) = (number >> 1, last >> 1);
        return (number, last);
    }
}
