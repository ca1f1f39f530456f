package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/telltale-iot/telltale/pkg/proxytest"
)

// newAllInOne describes an all-in-one on embedded parts. Its data is put in place by renew.
func newAllInOne(dir string) (*system, error) {
	addrs, err := proxytest.FreeAddrs(5)
	if err != nil {
		return nil, err
	}
	y := &system{
		services: map[string]*service{}, api: "http://" + addrs[0], kafka: addrs[1], partitions: 1,
		devices: map[string]string{listen: "tcp://" + addrs[2]}, data: filepath.Join(dir, "data"), probeAddr: addrs[4],
	}
	y.add(allInOne, dir, allInOne, addrs[3], "DATA_DIR="+y.data, "HTTP_ADDR="+addrs[0], "KAFKA_LISTEN_ADDR="+addrs[1],
		"MQTT_LISTEN_ADDR="+addrs[2], "LATEST_TTL=10m")
	return y, nil
}

// renew gives an all-in-one that does not run an empty folder for its data, on a disk of its own where this program
// may have one.
func (y *system) renew() (err error) {
	if err := y.closeDisk(); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(y.data), os.Mkdir(y.data, 0o755)); err != nil {
		return err
	}
	y.disk, y.diskless = newDisk(y.data)
	return nil
}

func (y *system) closeDisk() (err error) {
	if y.disk != nil {
		err = y.disk.close()
		y.disk = nil
	}
	return err
}

// filesUnder returns the files below data whose names there begin with in.
func filesUnder(data, in string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was deleted just now
		}
		if err == nil && d.Type().IsRegular() && strings.HasPrefix(path, filepath.Join(data, in)) {
			files = append(files, path)
		}
		return err
	})
	return files, err
}

// months is the beginning of the names of the readings' files: a year.
const months = "readings/2"

// newestMonth returns the file of the readings that come in.
func (t *trial) newestMonth() (string, error) {
	files, err := filesUnder(t.data, months) // ascending
	if err != nil {
		return "", err
	}
	for _, file := range slices.Backward(files) {
		if strings.HasSuffix(file, ".db") {
			return file, nil
		}
	}
	return "", fmt.Errorf("nothing is in the files %s*.db", months)
}

// needDisk is nil where there is a disk for all-in-one's data.
func (y *system) needDisk() error {
	if y.disk == nil {
		return fmt.Errorf("%w: it takes root, FUSE and a loop device to have a disk: %w", errNotHere, y.diskless)
	}
	return nil
}

// errNotHere is why a row cannot run on this machine. It does not fail.
var errNotHere = errors.New("not run")

// fillDisk leaves no byte free under DATA_DIR, for a while.
func fillDisk(ctx context.Context, t *trial) error {
	if err := t.needDisk(); err != nil {
		return err
	}
	lift := t.fault()
	defer lift()
	filler := filepath.Join(t.data, "filler")
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
