// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Rfc9162} from "../src/Rfc9162.sol";
import {Reference} from "./Reference.sol";
import {vm} from "./Vm.sol";

/// @dev The proofs of the log: every small tree against the definition, large ones against `ca/merkle.py`.
contract Rfc9162Test {
    struct Consistency {
        bytes32 newRoot;
        uint64 newSize;
        bytes32 oldRoot;
        uint64 oldSize;
        bytes32[] proof;
    }

    struct Inclusion {
        uint64 index;
        bytes32 leaf;
        bytes32[] proof;
        bytes32 root;
        uint64 size;
    }

    uint64 private constant SMALL = 33;

    function consistent(Consistency calldata c) external pure returns (bool) {
        return Rfc9162.isConsistent(c.oldSize, c.oldRoot, c.newSize, c.newRoot, c.proof);
    }

    function included(Inclusion calldata i) external pure returns (bool) {
        return Rfc9162.isIncluded(i.leaf, i.index, i.size, i.root, i.proof);
    }

    function testEmptyTreeIsTheHashOfNothing() external pure {
        require(Rfc9162.EMPTY == sha256(""), "EMPTY");
    }

    function testEverySmallTreeBeginsWithEverySmallerOne() external view {
        bytes32[] memory leaves = _leaves(SMALL, 0);
        for (uint64 n = 2; n <= SMALL; ++n) {
            for (uint64 m = 1; m < n; ++m) {
                require(this.consistent(_consistency(leaves, m, n)), "not consistent");
            }
        }
    }

    function testNoSmallTreeBeginsWithAnotherOne() external view {
        bytes32[] memory leaves = _leaves(SMALL, 0);
        bytes32[] memory others = _leaves(SMALL, 1);
        for (uint64 n = 2; n <= SMALL; ++n) {
            for (uint64 m = 1; m < n; ++m) {
                Consistency memory c = _consistency(leaves, m, n);
                c.oldRoot = Reference.root(others, 0, m);
                require(!this.consistent(c), "another old tree");
                c = _consistency(leaves, m, n);
                c.newRoot = Reference.root(others, 0, n);
                require(!this.consistent(c), "another new tree");
            }
        }
    }

    function testProofIsOfItsOldSize() external view {
        bytes32[] memory leaves = _leaves(16, 0);
        for (uint64 n = 3; n <= 16; ++n) {
            for (uint64 m = 1; m < n; ++m) {
                for (uint64 other = 1; other < n; ++other) {
                    if (other == m) continue;
                    Consistency memory c = _consistency(leaves, m, n);
                    c.oldRoot = Reference.root(leaves, 0, other);
                    c.oldSize = other;
                    require(!this.consistent(c), "of another size");
                }
            }
        }
    }

    function testEmptyTreeAndTheSameTreeTakeNoProof() external view {
        bytes32 root = keccak256("root");
        bytes32[] memory none = new bytes32[](0);
        bytes32[] memory one = new bytes32[](1);
        require(this.consistent(Consistency(root, 5, Rfc9162.EMPTY, 0, none)), "from the empty tree");
        require(!this.consistent(Consistency(root, 5, Rfc9162.EMPTY, 0, one)), "with a node");
        require(!this.consistent(Consistency(root, 5, bytes32(0), 0, none)), "an empty tree has one root");
        require(this.consistent(Consistency(Rfc9162.EMPTY, 0, Rfc9162.EMPTY, 0, none)), "empty to empty");
        require(!this.consistent(Consistency(root, 0, Rfc9162.EMPTY, 0, none)), "empty to another");
        require(this.consistent(Consistency(root, 5, root, 5, none)), "the same");
        require(!this.consistent(Consistency(root, 5, root, 5, one)), "the same, with a node");
        require(!this.consistent(Consistency(Rfc9162.EMPTY, 5, root, 5, none)), "another of the size");
        require(!this.consistent(Consistency(root, 6, root, 5, none)), "grown without a proof");
        require(!this.consistent(Consistency(root, 8, root, 4, none)), "a power of two without a proof");
        require(!this.consistent(Consistency(root, 4, root, 5, none)), "shrunk");
    }

    /// @dev Whoever signs heads chooses the new root and the proof freely. What they cannot choose is the old root, and
    /// where its parts are in a log of the new size: proofs of another depth take the same hashes apart otherwise.
    function testProofHasTheDepthOfItsSizes() external view {
        bytes32[] memory l = _leaves(6, 0);
        bytes32 left = Reference.root(l, 0, 4);
        bytes32[] memory proof = new bytes32[](4);
        (proof[0], proof[1], proof[2], proof[3]) = (l[5], keccak256("forged"), l[4], left);
        bytes32 deep = _node(left, _node(l[4], _node(l[5], proof[1])));
        require(!this.consistent(Consistency(deep, 7, Reference.root(l, 0, 6), 6, proof)), "too deep");
        proof = new bytes32[](1);
        proof[0] = keccak256("forged");
        require(!this.consistent(Consistency(_node(l[0], proof[0]), 8, l[0], 1, proof)), "too shallow");
        require(this.consistent(Consistency(_node(l[0], proof[0]), 2, l[0], 1, proof)), "as deep as two entries");
    }

    function testNothingBeginsWithALargerLog() external view {
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = keccak256("root");
        require(!this.consistent(Consistency(proof[0], 1, proof[0], 3, proof)), "shrunk");
    }

    function testEntryIsAsDeepAsTheSizeSays() external view {
        bytes32[] memory l = _leaves(3, 0);
        bytes32[] memory proof = new bytes32[](2);
        (proof[0], proof[1]) = (l[1], l[0]);
        require(!this.included(Inclusion(1, l[2], proof, _node(l[0], _node(l[1], l[2])), 2)), "too deep");
        require(!this.included(Inclusion(0, l[0], new bytes32[](0), l[0], 2)), "too shallow");
    }

    function testFuzzNothingOfAConsistencyProofMayChange(
        uint64 m,
        uint64 n,
        uint256 seed,
        uint256 position,
        bytes32 bits
    ) external view {
        n = 2 + n % 199;
        m = 1 + m % (n - 1);
        vm.assume(bits != 0);
        Consistency memory c = _consistency(_leaves(n, seed), m, n);
        require(this.consistent(c), "not consistent");
        position %= c.proof.length;
        c.proof[position] ^= bits;
        require(!this.consistent(c), "a node changed");
        c.proof[position] ^= bits;
        bytes32[] memory proof = c.proof;
        c.proof = Reference.append(proof, bits);
        require(!this.consistent(c), "longer");
        c.proof = _without(proof, position);
        require(!this.consistent(c), "shorter");
    }

    function testFuzzRandomNodesProveNothing(
        uint64 oldSize,
        uint64 newSize,
        bytes32 oldRoot,
        bytes32 newRoot,
        bytes32[] calldata proof
    ) external view {
        vm.assume(oldSize != 0 && oldSize < newSize);
        require(!this.consistent(Consistency(newRoot, newSize, oldRoot, oldSize, proof)), "consistent");
        require(!this.included(Inclusion(oldSize, oldRoot, proof, newRoot, newSize)), "included");
    }

    function testEveryEntryOfEverySmallTreeIsIncluded() external view {
        bytes32[] memory leaves = _leaves(SMALL, 0);
        for (uint64 n = 1; n <= SMALL; ++n) {
            for (uint64 m = 0; m < n; ++m) {
                require(this.included(_inclusion(leaves, m, n)), "not included");
                Inclusion memory i = _inclusion(leaves, m, n);
                i.leaf ^= bytes32(uint256(1));
                require(!this.included(i), "another entry");
                i = _inclusion(leaves, m, n);
                i.index = (m + 1) % (n + 1);
                require(!this.included(i), "at another place");
                i.index = n;
                require(!this.included(i), "behind the end");
            }
        }
    }

    function testFuzzNothingOfAnInclusionProofMayChange(
        uint64 m,
        uint64 n,
        uint256 seed,
        uint256 position,
        bytes32 bits
    ) external view {
        n = 2 + n % 199;
        m %= n;
        vm.assume(bits != 0);
        Inclusion memory i = _inclusion(_leaves(n, seed), m, n);
        require(this.included(i), "not included");
        position %= i.proof.length;
        i.proof[position] ^= bits;
        require(!this.included(i), "a node changed");
        i.proof[position] ^= bits;
        bytes32[] memory proof = i.proof;
        i.proof = Reference.append(proof, bits);
        require(!this.included(i), "longer");
        i.proof = _without(proof, position);
        require(!this.included(i), "shorter");
    }

    /// @dev An inner node is no entry: an entry's hash begins with 0x00 inside, a node's with 0x01; here a node that is
    /// given out for a leaf has no place, because a proof has the length of its place.
    function testInnerNodeHasNoPlace() external view {
        bytes32[] memory leaves = _leaves(4, 0);
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = Reference.root(leaves, 2, 4);
        bytes32 inner = Reference.root(leaves, 0, 2);
        for (uint64 index = 0; index < 4; ++index) {
            require(!this.included(Inclusion(index, inner, proof, Reference.root(leaves, 0, 4), 4)), "a node");
        }
    }

    function testLargeTreesOfTheLog() external view {
        string memory json = vm.readFile("test/vectors/proofs.json");
        Consistency[] memory steps = abi.decode(vm.parseJson(json, ".consistency"), (Consistency[]));
        require(steps.length == 8, "steps");
        for (uint256 k = 0; k < steps.length; ++k) {
            require(this.consistent(steps[k]), "not consistent");
            for (uint256 node = 0; node < steps[k].proof.length; ++node) {
                steps[k].proof[node] ^= bytes32(uint256(1));
                require(!this.consistent(steps[k]), "a node changed");
                steps[k].proof[node] ^= bytes32(uint256(1));
            }
        }
        Inclusion[] memory entries = abi.decode(vm.parseJson(json, ".inclusion"), (Inclusion[]));
        require(entries.length == 8, "entries");
        for (uint256 k = 0; k < entries.length; ++k) {
            require(this.included(entries[k]), "not included");
            entries[k].leaf ^= bytes32(uint256(1));
            require(!this.included(entries[k]), "another entry");
        }
    }

    function testLargestSizesEnd() external view {
        bytes32[] memory proof = new bytes32[](66);
        uint64 max = type(uint64).max;
        require(!this.consistent(Consistency(0, max, 0, max - 1, proof)), "consistent");
        require(!this.consistent(Consistency(0, max, 0, 1, proof)), "consistent");
        require(!this.included(Inclusion(max, 0, proof, 0, max)), "included");
        require(!this.included(Inclusion(max - 1, 0, proof, 0, max)), "included");
        require(!this.included(Inclusion(0, 0, proof, 0, 0)), "in the empty tree");
    }

    function _consistency(bytes32[] memory leaves, uint64 m, uint64 n) private pure returns (Consistency memory) {
        bytes32[] memory proof = Reference.consistency(m, leaves, n);
        return Consistency(Reference.root(leaves, 0, n), n, Reference.root(leaves, 0, m), m, proof);
    }

    function _inclusion(bytes32[] memory leaves, uint64 m, uint64 n) private pure returns (Inclusion memory) {
        return Inclusion(m, leaves[m], Reference.path(m, leaves, 0, n), Reference.root(leaves, 0, n), n);
    }

    function _node(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return sha256(bytes.concat(hex"01", left, right));
    }

    function _leaves(uint256 count, uint256 seed) private pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            leaves[i] = keccak256(abi.encode(seed, i));
        }
    }

    function _without(bytes32[] memory list, uint256 position) private pure returns (bytes32[] memory shorter) {
        shorter = new bytes32[](list.length - 1);
        for (uint256 i = 0; i < shorter.length; ++i) {
            shorter[i] = list[i < position ? i : i + 1];
        }
    }
}
