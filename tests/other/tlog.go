// Choir's receipts and tree heads, judged by code that nobody of Choir wrote:
// Go's own sumdb/note and sumdb/tlog. Reads lines from standard input:
//
//	vkey KEY                          the broker's, as note.NewVerifier takes it
//	receipt FILE LEAF                 a receipt, and its leaf's data in hex
//	growth OLD HASH NEW HASH PATH...  consistency, everything in hex
//
// and answers each receipt and growth with `yes` or `no WHY`.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

var verifiers note.Verifiers

func hash(text string, from func(string) ([]byte, error)) (h tlog.Hash, err error) {
	b, err := from(text)
	if err == nil && len(b) != len(h) {
		err = fmt.Errorf("a hash of %d bytes", len(b))
	}
	copy(h[:], b)
	return
}

// A tree head as c2sp.org/tlog-checkpoint has it: origin, size, root, more.
func head(signed []byte) (size int64, root tlog.Hash, err error) {
	n, err := note.Open(signed, verifiers)
	if err != nil {
		return
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) < 4 || lines[0] != n.Sigs[0].Name {
		return 0, root, fmt.Errorf("not a tree head of its signer")
	}
	if size, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return
	}
	root, err = hash(lines[2], base64.StdEncoding.DecodeString)
	return
}

func receipt(file, leaf string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	top, signed, ok := bytes.Cut(text, []byte("\n\n"))
	lines := strings.Split(string(top), "\n")
	if !ok || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return fmt.Errorf("not a tlog-proof")
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	if err != nil {
		return err
	}
	var path tlog.RecordProof
	for _, line := range lines[3:] {
		h, err := hash(line, base64.StdEncoding.DecodeString)
		if err != nil {
			return err
		}
		path = append(path, h)
	}
	data, err := hex.DecodeString(leaf)
	if err != nil {
		return err
	}
	size, root, err := head(signed)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(path, size, root, index, tlog.RecordHash(data))
}

func growth(words []string) error {
	var hashes []tlog.Hash
	var sizes []int64
	for i, word := range words {
		if i == 0 || i == 2 {
			n, err := strconv.ParseInt(word, 10, 64)
			if err != nil {
				return err
			}
			sizes = append(sizes, n)
			continue
		}
		h, err := hash(word, hex.DecodeString)
		if err != nil {
			return err
		}
		hashes = append(hashes, h)
	}
	if len(sizes) != 2 || len(hashes) < 2 {
		return fmt.Errorf("too few words")
	}
	return tlog.CheckTree(hashes[2:], sizes[1], hashes[1], sizes[0], hashes[0])
}

func judge(words []string) error {
	switch {
	case len(words) == 2 && words[0] == "vkey":
		v, err := note.NewVerifier(words[1])
		if err != nil {
			return err
		}
		verifiers = note.VerifierList(v)
		return nil
	case len(words) == 3 && words[0] == "receipt":
		return receipt(words[1], words[2])
	case len(words) > 4 && words[0] == "growth":
		return growth(words[1:])
	}
	return fmt.Errorf("not understood")
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		if err := judge(strings.Fields(in.Text())); err != nil {
			fmt.Println("no", err)
		} else {
			fmt.Println("yes")
		}
	}
}
