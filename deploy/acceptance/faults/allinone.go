package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// newAllInOne describes an all-in-one on embedded parts, with its data on a file system of 48 MiB of its own
// where this program may mount one. unmount ends that.
func newAllInOne(dir string) (y *system, unmount func(), err error) {
	var addrs [4]string
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, err
		}
		defer l.Close() // held until all are chosen, so that they differ
		addrs[i] = l.Addr().String()
	}
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o755); err != nil {
		return nil, nil, err
	}
	y = &system{services: map[string]*service{}, api: "http://" + addrs[0], kafka: addrs[1], partitions: 4, devices: map[string]string{listen: "tcp://" + addrs[2]}}
	y.add(allInOne, dir, allInOne, addrs[3], "DATA_DIR="+data, "HTTP_ADDR="+addrs[0], "KAFKA_LISTEN_ADDR="+addrs[1],
		"MQTT_LISTEN_ADDR="+addrs[2], "LATEST_TTL=10m")
	if err := mount(filepath.Join(dir, "disk"), data); err != nil {
		return y, func() {}, nil //nolint:nilerr // not root, say: the row that needs it tells
	}
	y.disk = data
	return y, func() { _ = run(exec.Command("umount", data)) }, nil
}

// mount makes a file into a disk with a file system on it.
func mount(file, at string) error {
	return errors.Join(
		run(exec.Command("truncate", "--size", "48M", file)),
		run(exec.Command("mkfs.ext4", "-q", "-m", "0", file)),
		run(exec.Command("mount", "-o", "loop", file, at)))
}

// errNotHere is why a row cannot run on this machine. It does not fail.
var errNotHere = errors.New("not run")

// fillDisk leaves no byte free under DATA_DIR, for a while.
func fillDisk(ctx context.Context, t *trial) error {
	if t.disk == "" {
		return fmt.Errorf("%w: it takes root and a loop device to have a small disk", errNotHere)
	}
	lift := t.fault()
	defer lift()
	filler := filepath.Join(t.disk, "filler")
	f, err := os.Create(filler)
	if err != nil {
		return err
	}
	_, full := io.Copy(f, zeros{})
	err = f.Close()
	if !errors.Is(full, syscall.ENOSPC) {
		full = fmt.Errorf("the disk does not get full: %w", full)
	} else {
		full = nil
	}
	begin := time.Now()
	return errors.Join(err, full, t.silent(ctx, listen), sleep(ctx, brief+time.Second-time.Since(begin)), os.Remove(filler))
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
