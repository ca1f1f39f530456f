package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"testing/synctest"
)

func newTestDisk() *disk {
	return &disk{content: make([]byte, 4*sectorBytes), flushed: make([]byte, 4*sectorBytes)}
}

// fill writes sectors full of a byte.
func (d *disk) fill(t *testing.T, b byte, from, sectors int) {
	t.Helper()
	if err := d.write(bytes.Repeat([]byte{b}, sectors*sectorBytes), int64(from)*sectorBytes); err != nil {
		t.Fatal(err)
	}
}

// sectors is the first byte of each.
func (d *disk) sectors(t *testing.T) string {
	t.Helper()
	all := make([]byte, len(d.content))
	if _, err := d.read(all, 0); err != nil {
		t.Fatal(err)
	}
	var first []byte
	for i := 0; i < len(all); i += sectorBytes {
		first = append(first, all[i])
	}
	return string(first)
}

// TestDisk: a cut keeps what was flushed, and of the rest any sectors.
func TestDisk(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	left := map[string]int{}
	for range 1000 {
		d := newTestDisk()
		d.fill(t, 'a', 0, 4)
		if err := d.flush(); err != nil {
			t.Fatal(err)
		}
		d.fill(t, 'b', 1, 2)
		d.fill(t, 'c', 2, 1)
		if got := d.sectors(t); got != "abca" {
			t.Fatalf("before the cut it has %s", got)
		}
		d.cut(dice)
		d.fail()
		if err := d.write([]byte("late"), 0); !errors.Is(err, syscall.EIO) {
			t.Fatalf("a write without power: %v", err)
		}
		d.restore()
		left[d.sectors(t)]++
	}
	for _, possible := range []string{"aaaa", "abaa", "aaba", "abba", "aaca", "abca"} {
		if left[possible] == 0 {
			t.Errorf("no cut has left %s", possible)
		}
		delete(left, possible)
	}
	if len(left) > 0 {
		t.Errorf("cuts have left %v", left)
	}
}

// TestDiskWaits: nobody learns from the disk that power has failed before fail.
func TestDiskWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestDisk()
		d.cut(rand.New(rand.NewPCG(1, 2)))
		flushed := make(chan error, 1)
		go func() { flushed <- d.flush() }()
		synctest.Wait()
		select {
		case err := <-flushed:
			t.Fatalf("flushed before fail: %v", err)
		default:
		}
		d.fail()
		if err := <-flushed; !errors.Is(err, syscall.EIO) {
			t.Errorf("flushed without power: %v", err)
		}
	})
}

func TestInjected(t *testing.T) {
	const seen = `101 fsync(5</data/a>) = 0
102   fsync(5</data/a> <unfinished ...>
101 fsync(6</data/b.db-wal>)     = -1 EIO (Input/output error) (INJECTED)
102 <... fsync resumed>)              = -1 EIO (Input/output error) (INJECTED)
101 fsync(7</data/c>) = -1 EIO (Input/output error) (INJ`
	if got, want := injected(seen), "[/data/b.db-wal /data/a]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
}
