// SPDX-License-Identifier: Apache-2.0

// What Go's own transparency log packages say of a log that others wrote: one question per line, one answer per line.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type question struct {
	Op            string
	Key, Note     string
	Entries       [][]byte
	Index         int64
	Size, OldSize int64
	Leaf          []byte
	Root, OldRoot []byte
	Proof         [][]byte
	Tiles         map[string][]byte
}

type answer struct {
	Error string   `json:"error,omitempty"`
	Text  string   `json:"text,omitempty"`
	Root  []byte   `json:"root,omitempty"`
	Proof [][]byte `json:"proof,omitempty"`
}

func hash(b []byte) (h tlog.Hash) {
	if len(b) != tlog.HashSize {
		panic("not a hash")
	}
	copy(h[:], b)
	return
}

func hashes(all [][]byte) (found []tlog.Hash) {
	for _, b := range all {
		found = append(found, hash(b))
	}
	return
}

func plain(all []tlog.Hash) (found [][]byte) {
	for _, h := range all {
		found = append(found, append([]byte(nil), h[:]...))
	}
	return
}

// memory holds every stored hash of a tree that Go computed itself.
type memory []tlog.Hash

func (m memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		found[i] = m[at]
	}
	return found, nil
}

// served reads the tiles of the question, under the paths of C2SP tlog-tiles.
type served map[string][]byte

func (s served) Height() int { return 8 }

func (s served) SaveTiles([]tlog.Tile, [][]byte) {}

func (s served) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	found := make([][]byte, len(tiles))
	for i, tile := range tiles {
		path := "tile/" + strings.TrimPrefix(tile.Path(), "tile/8/")
		data, there := s[path]
		if !there {
			return nil, fmt.Errorf("not served: %s", path)
		}
		found[i] = data
	}
	return found, nil
}

func (q *question) tree() tlog.Tree { return tlog.Tree{N: q.Size, Hash: hash(q.Root)} }

func (q *question) answer() (a answer, err error) {
	switch q.Op {
	case "open":
		verifier, err := note.NewVerifier(q.Key)
		if err != nil {
			return a, err
		}
		opened, err := note.Open([]byte(q.Note), note.VerifierList(verifier))
		if err != nil {
			return a, err
		}
		return answer{Text: opened.Text}, nil
	case "root":
		var all memory
		for i, entry := range q.Entries {
			stored, err := tlog.StoredHashes(int64(i), entry, all)
			if err != nil {
				return a, err
			}
			all = append(all, stored...)
		}
		root, err := tlog.TreeHash(int64(len(q.Entries)), all)
		return answer{Root: root[:]}, err
	case "included":
		return a, tlog.CheckRecord(hashes(q.Proof), q.Size, hash(q.Root), q.Index, hash(q.Leaf))
	case "consistent":
		return a, tlog.CheckTree(hashes(q.Proof), q.Size, hash(q.Root), q.OldSize, hash(q.OldRoot))
	case "prove-included":
		proof, err := tlog.ProveRecord(q.Size, q.Index, tlog.TileHashReader(q.tree(), served(q.Tiles)))
		return answer{Proof: plain(proof)}, err
	case "prove-consistent":
		proof, err := tlog.ProveTree(q.Size, q.OldSize, tlog.TileHashReader(q.tree(), served(q.Tiles)))
		return answer{Proof: plain(proof)}, err
	}
	return a, errors.New("no such question")
}

func main() {
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var q question
		if err := json.Unmarshal(line, &q); err != nil {
			panic(err)
		}
		a, err := q.answer()
		if err != nil {
			a = answer{Error: err.Error()}
		}
		text, _ := json.Marshal(a)
		fmt.Println(string(text))
	}
}
