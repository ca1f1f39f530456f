package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// disk is a disk with a cache of its own, which is lost when power fails. It is a file in the memory of this
// process, shown by FUSE, with a loop device and ext4 on top:
//
//	process → page cache → ext4 and its journal → loop device → FUSE → disk
//
// Nothing is copied while it changes: each write and each flush of the file system comes by here, one at a time.
// A cut keeps all that was written before the last flush, and of what was written after it any sectors, newer ones
// without older ones too, as disks do. What ext4 has not written yet never came here: the page cache is lost as a
// whole. Nobody writes it but who syncs: ext4's own commits are 5 minutes apart (see mount), and the kernel writes
// back what is older than 30 s, which is longer than the time from one cut to the next.
type disk struct {
	at     string // where it is mounted
	file   string // which the loop device is on
	server *fuse.Server

	mu      sync.Mutex
	content []byte   // what is read
	flushed []byte   // the content at the last flush
	cached  []sector // written since, in order
	flushes int
	latency time.Duration // of a flush
	losing  int           // writes that are to fail, and are lost
	off     chan struct{} // after a cut requests wait until it is closed, and fail then; nil: the power is on
}

const (
	diskBytes   = 128 << 20
	sectorBytes = 4096
)

// sector is a part of a write that reaches the medium as a whole or not at all.
type sector struct {
	offset int64
	data   []byte
}

// errPower is what requests get from a disk that is off.
const errPower = syscall.EIO

func (d *disk) read(into []byte, offset int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.awaitPower(); err != nil {
		return 0, err
	}
	return copy(into, d.content[min(offset, int64(len(d.content))):]), nil
}

func (d *disk) write(data []byte, offset int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.awaitPower(); err != nil {
		return err
	}
	if offset+int64(len(data)) > int64(len(d.content)) {
		return syscall.ENOSPC
	}
	if d.losing > 0 {
		d.losing--
		return syscall.EIO
	}
	copy(d.content[offset:], data)
	for len(data) > 0 {
		n := min(sectorBytes-int(offset%sectorBytes), len(data))
		d.cached = append(d.cached, sector{offset, append([]byte(nil), data[:n]...)})
		data, offset = data[n:], offset+int64(n)
	}
	return nil
}

// flush returns when what was written before is on the medium.
func (d *disk) flush() error {
	d.mu.Lock()
	latency := d.latency
	d.mu.Unlock()
	time.Sleep(latency)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.awaitPower(); err != nil {
		return err
	}
	d.keep(1, nil)
	d.flushes++
	return nil
}

// keep puts a share of the sectors in the cache onto the medium, and forgets the others.
func (d *disk) keep(share float64, dice *rand.Rand) {
	for _, s := range d.cached {
		if share == 1 || dice.Float64() < share {
			copy(d.flushed[s.offset:], s.data)
		}
	}
	d.cached = nil
}

// awaitPower is called with the lock, and gives it away while it waits.
func (d *disk) awaitPower() error {
	off := d.off
	if off == nil {
		return nil
	}
	d.mu.Unlock()
	<-off
	d.mu.Lock()
	return errPower
}

// cut takes the power. What waits for the disk from then on, waits until fail is called.
func (d *disk) cut(dice *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	share := []float64{0, dice.Float64(), 1}[dice.IntN(3)] // also nothing, and everything
	d.keep(share, dice)
	d.off = make(chan struct{})
}

// fail ends the waiting of requests since cut.
func (d *disk) fail() { close(d.off) }

// restore gives the disk power again.
func (d *disk) restore() {
	d.mu.Lock()
	defer d.mu.Unlock()
	copy(d.content, d.flushed)
	d.off = nil
}

// setLatency has each flush take that long.
func (d *disk) setLatency(latency time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.latency = latency
}

// lose has the next writes fail. The disk is healthy again after that.
func (d *disk) lose(writes int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.losing = writes
}

// newDisk makes an empty disk, and mounts it at the folder at. Its file gets a folder of that name with .disk behind.
func newDisk(at string) (_ *disk, err error) {
	d := &disk{at: at, content: make([]byte, diskBytes), flushed: make([]byte, diskBytes)}
	dir := at + ".disk"
	d.file = filepath.Join(dir, "disk")
	if err := errors.Join(os.MkdirAll(at, 0o755), os.MkdirAll(dir, 0o755)); err != nil {
		return nil, err
	}
	root := new(fs.Inode)
	d.server, err = fs.Mount(dir, root, &fs.Options{
		MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "telltale-faults"},
		OnAdd: func(ctx context.Context) {
			root.AddChild("disk", root.NewPersistentInode(ctx, &diskFile{disk: d}, fs.StableAttr{Mode: syscall.S_IFREG}), false)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("mount with FUSE: %w", err)
	}
	if err := run(exec.Command("mkfs.ext4", "-q", "-b", "4096", "-m", "0", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", d.file)); err != nil {
		return nil, errors.Join(err, d.server.Unmount())
	}
	if err := d.mount(); err != nil {
		return nil, errors.Join(err, d.server.Unmount())
	}
	return d, nil
}

// save returns what is on the disk.
func (d *disk) save() ([]byte, error) {
	if err := d.unmount(); err != nil {
		return nil, err
	}
	return slices.Clone(d.content), d.mount()
}

// load puts back what save has returned.
func (d *disk) load(saved []byte) error {
	if err := d.unmount(); err != nil {
		return err
	}
	d.mu.Lock()
	copy(d.content, saved)
	copy(d.flushed, saved)
	d.cached = nil
	d.mu.Unlock()
	return d.mount()
}

func (d *disk) mount() error {
	return run(exec.Command("mount", "-o", "loop,commit=300", d.file, d.at))
}

// unmount returns when nothing is left of the mount. A container that starts at this moment has a copy of it for a
// while, and whatever the file system still writes then would come after the cut.
func (d *disk) unmount() error {
	if err := run(exec.Command("umount", d.at)); err != nil {
		return err
	}
	return eventually(context.Background(), brief, func() error {
		out, err := exec.Command("losetup", "--associated", d.file).Output()
		if err == nil && len(out) > 0 {
			err = fmt.Errorf("the disk is still in use: %s", out)
		}
		return err
	})
}

// close unmounts the disk and forgets it.
func (d *disk) close() error { return errors.Join(d.unmount(), d.server.Unmount()) }

// diskFile is the file that FUSE shows.
type diskFile struct {
	fs.Inode
	*disk
}

func (f *diskFile) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = 0o600, uint64(len(f.content))
	return 0
}

// Open has the kernel cache nothing of what is on the disk.
func (f *diskFile) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

func (f *diskFile) Read(_ context.Context, _ fs.FileHandle, into []byte, offset int64) (fuse.ReadResult, syscall.Errno) {
	n, err := f.read(into, offset)
	return fuse.ReadResultData(into[:n]), fs.ToErrno(err)
}

func (f *diskFile) Write(_ context.Context, _ fs.FileHandle, data []byte, offset int64) (uint32, syscall.Errno) {
	if err := f.write(data, offset); err != nil {
		return 0, fs.ToErrno(err)
	}
	return uint32(len(data)), 0
}

func (f *diskFile) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	return fs.ToErrno(f.flush())
}
