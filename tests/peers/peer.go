// A peer that shares no code with the product: it answers JSON lines with golang.org/x/mod/sumdb/note and .../tlog.
//
//	apt-get install golang-go golang-golang-x-mod-dev
//	GO111MODULE=off GOPATH=/usr/share/gocode go build -o peer peer.go && ./peer <requests >answers
//
// One request a line, one answer a line, in order: {"ok":true,...} or {"ok":false,"error":"..."}. Bytes are base64.
//
//	note          note|note_b64, keys              -> text, signed_by   (kind 1 by x/mod; kind 4, a cosignature, by witness)
//	record        size, root, index, leaf, proof   -> tlog.CheckRecord
//	tree          size, root, old, old_root, proof -> tlog.CheckTree
//	prove_record  leaves, index [, size]           -> proof, root       (no leaves: those of the last request that had some)
//	prove_tree    leaves, old [, size]             -> proof, root, old_root
//	sign          name, seed, text [, time]        -> note, key         (with a time: a cosignature/v1)
package main

import (
	"bufio"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type request struct {
	Op, Note, Root, Leaf, Name, Seed, Text string
	Note64                                 string `json:"note_b64"`
	OldRoot                                string `json:"old_root"`
	Keys, Proof, Leaves                    []string
	Size, Index, Old                       int64
	Time                                   *uint64
}

type answer map[string]interface{}

var stored []tlog.Hash // of the last leaves, in tlog's storage order
var leaves int64
var reader = tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		found[i] = stored[at]
	}
	return found, nil
})

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[T any](found T, err error) T {
	check(err)
	return found
}

func decoded(text string) []byte { return must(base64.StdEncoding.DecodeString(text)) }

func hashes(texts ...string) []tlog.Hash {
	found := make([]tlog.Hash, len(texts))
	for i, text := range texts {
		found[i] = must(tlog.ParseHash(text))
	}
	return found
}

// witness is what x/mod lacks: cosignature/v1, Ed25519 over the time and the checkpoint.
type witness struct {
	name    string
	public  ed25519.PublicKey
	private ed25519.PrivateKey
	time    uint64
}

func (w witness) Name() string    { return w.name }
func (w witness) KeyHash() uint32 { return keyHash(w.name, append([]byte{4}, w.public...)) }

func (w witness) Verify(text, sig []byte) bool {
	return len(sig) == 72 && ed25519.Verify(w.public, cosigned(binary.BigEndian.Uint64(sig), text), sig[8:])
}

func (w witness) Sign(text []byte) ([]byte, error) {
	sig := make([]byte, 8)
	binary.BigEndian.PutUint64(sig, w.time)
	return append(sig, ed25519.Sign(w.private, cosigned(w.time, text))...), nil
}

func cosigned(time uint64, text []byte) []byte {
	return []byte(fmt.Sprintf("cosignature/v1\ntime %d\n%s", time, text))
}

func keyHash(name string, raw []byte) uint32 {
	sum := sha256.Sum256(append([]byte(name+"\n"), raw...))
	return binary.BigEndian.Uint32(sum[:])
}

func keyText(name string, hash uint32, kind byte, bytes []byte) string {
	return fmt.Sprintf("%s+%08x+%s", name, hash, base64.StdEncoding.EncodeToString(append([]byte{kind}, bytes...)))
}

func verifier(text string) note.Verifier {
	if parts := strings.SplitN(text, "+", 3); len(parts) == 3 && strings.HasPrefix(parts[2], "B") { // kinds 4 to 7
		w := witness{name: parts[0], public: decoded(parts[2])[1:]}
		if len(w.public) != 32 || keyText(w.name, w.KeyHash(), 4, w.public) != text {
			panic("malformed verifier id")
		}
		return w
	}
	return must(note.NewVerifier(text))
}

func signer(r request) (note.Signer, string) {
	private := ed25519.NewKeyFromSeed(decoded(r.Seed))
	public := private.Public().(ed25519.PublicKey)
	if r.Time != nil {
		w := witness{r.Name, public, private, *r.Time}
		return w, keyText(r.Name, w.KeyHash(), 4, public)
	}
	hash := keyHash(r.Name, append([]byte{1}, public...))
	return must(note.NewSigner("PRIVATE+KEY+" + keyText(r.Name, hash, 1, private.Seed()))), keyText(r.Name, hash, 1, public)
}

// root of the first r.Size leaves, by default of all; takes the leaves in if the request has some.
func root(r *request) tlog.Hash {
	if r.Leaves != nil {
		stored, leaves = nil, 0
		for _, leaf := range hashes(r.Leaves...) {
			stored, leaves = append(stored, must(tlog.StoredHashesForRecordHash(leaves, leaf, reader))...), leaves+1
		}
	}
	if r.Size == 0 {
		r.Size = leaves
	}
	return must(tlog.TreeHash(r.Size, reader)) // an index out of range is a panic, and so an answer
}

func do(line []byte) (a answer) {
	defer func() {
		if failed := recover(); failed != nil {
			a = answer{"ok": false, "error": fmt.Sprint(failed)}
		}
	}()
	var r request
	check(json.Unmarshal(line, &r))
	switch r.Op {
	case "note":
		var known []note.Verifier
		for _, text := range r.Keys {
			known = append(known, verifier(text))
		}
		opened := must(note.Open(append([]byte(r.Note), decoded(r.Note64)...), note.VerifierList(known...)))
		signed := []string{}
		for _, one := range opened.Sigs {
			signed = append(signed, fmt.Sprintf("%s+%08x", one.Name, one.Hash))
		}
		return answer{"ok": true, "text": opened.Text, "signed_by": signed}
	case "record":
		check(tlog.CheckRecord(hashes(r.Proof...), r.Size, hashes(r.Root)[0], r.Index, hashes(r.Leaf)[0]))
		return answer{"ok": true}
	case "tree":
		check(tlog.CheckTree(hashes(r.Proof...), r.Size, hashes(r.Root)[0], r.Old, hashes(r.OldRoot)[0]))
		return answer{"ok": true}
	case "prove_record":
		top := root(&r)
		proof := must(tlog.ProveRecord(r.Size, r.Index, reader))
		return answer{"ok": true, "proof": append([]tlog.Hash{}, proof...), "root": top}
	case "prove_tree":
		top := root(&r)
		proof, old := must(tlog.ProveTree(r.Size, r.Old, reader)), must(tlog.TreeHash(r.Old, reader))
		return answer{"ok": true, "proof": append([]tlog.Hash{}, proof...), "root": top, "old_root": old}
	case "sign":
		by, key := signer(r)
		return answer{"ok": true, "note": string(must(note.Sign(&note.Note{Text: r.Text}, by))), "key": key}
	}
	return answer{"ok": false, "error": "no such op"}
}

func main() {
	in, out := bufio.NewReaderSize(os.Stdin, 1<<20), bufio.NewWriter(os.Stdout)
	to := json.NewEncoder(out)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			check(to.Encode(do(line)))
		}
		if err != nil || in.Buffered() == 0 {
			check(out.Flush())
		}
		if err != nil {
			return
		}
	}
}
