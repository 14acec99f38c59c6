// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev RFC 9162, section 2.1, as it is written there: recursive, over the leaf hashes themselves. Shares no code with
/// what it tests. Needs a leaf.
library Reference {
    /// @dev MTH(D[from:to]).
    function root(bytes32[] memory leaves, uint256 from, uint256 to) internal pure returns (bytes32) {
        if (to - from == 1) return leaves[from];
        uint256 k = powerBelow(to - from);
        return hash(root(leaves, from, from + k), root(leaves, from + k, to));
    }

    /// @dev PATH(m, D[from:to]).
    function path(uint256 m, bytes32[] memory leaves, uint256 from, uint256 to)
        internal
        pure
        returns (bytes32[] memory)
    {
        if (to - from == 1) return new bytes32[](0);
        uint256 k = powerBelow(to - from);
        if (m < k) return append(path(m, leaves, from, from + k), root(leaves, from + k, to));
        return append(path(m - k, leaves, from + k, to), root(leaves, from, from + k));
    }

    /// @dev PROOF(m, D_n) for 0 < m < n.
    function consistency(uint256 m, bytes32[] memory leaves, uint256 n) internal pure returns (bytes32[] memory) {
        return subproof(m, leaves, 0, n, true);
    }

    function subproof(uint256 m, bytes32[] memory leaves, uint256 from, uint256 to, bool known)
        private
        pure
        returns (bytes32[] memory)
    {
        if (m == to - from) {
            bytes32[] memory none = new bytes32[](0);
            return known ? none : append(none, root(leaves, from, to));
        }
        uint256 k = powerBelow(to - from);
        if (m <= k) return append(subproof(m, leaves, from, from + k, known), root(leaves, from + k, to));
        return append(subproof(m - k, leaves, from + k, to, false), root(leaves, from, from + k));
    }

    function append(bytes32[] memory list, bytes32 last) internal pure returns (bytes32[] memory longer) {
        longer = new bytes32[](list.length + 1);
        for (uint256 i = 0; i < list.length; ++i) {
            longer[i] = list[i];
        }
        longer[list.length] = last;
    }

    function hash(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return sha256(bytes.concat(hex"01", left, right));
    }

    /// @dev The largest power of two below n > 1.
    function powerBelow(uint256 n) private pure returns (uint256 k) {
        k = 1;
        while (k * 2 < n) k *= 2;
    }
}
