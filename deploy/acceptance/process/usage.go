package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc, the same on all platforms of Linux that Go runs on.
const tick = 10 * time.Millisecond

// Usage returns the CPU time that the process has spent so far, user+sys, and the peak of its resident memory
// in bytes, since its start or ResetPeak. It reads them from /proc, and fails when the process has ended.
func (p *Process) Usage() (cpu time.Duration, peak int64, err error) {
	stat, err := os.ReadFile(p.proc("stat"))
	if err != nil {
		return 0, 0, err
	}
	for _, field := range strings.Fields(string(stat))[13:15] { // utime and stime; no name of a service has a space
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, 0, err
		}
		cpu += time.Duration(ticks) * tick
	}
	peak, err = p.status("VmHWM")
	return cpu, peak, err
}

// AnonymousMemory returns the resident memory in bytes as it is now, without what is mapped from files, of the program and its
// data, which the kernel takes back when it needs it.
func (p *Process) AnonymousMemory() (int64, error) { return p.status("RssAnon") }

// Written returns how many bytes the process has had written to disks, from its start on: /proc's write_bytes, which
// counts a page of memory as often as it is changed and written.
func (p *Process) Written() (n int64, err error) {
	io, err := os.ReadFile(p.proc("io"))
	if err != nil {
		return 0, err
	}
	_, line, _ := strings.Cut(string(io), "\nwrite_bytes:")
	if _, err := fmt.Sscanf(line, "%d", &n); err != nil {
		return 0, fmt.Errorf("read write_bytes: %w", err)
	}
	return n, nil
}

// status returns a size in bytes of /proc's status.
func (p *Process) status(name string) (size int64, err error) {
	status, err := os.ReadFile(p.proc("status"))
	if err != nil {
		return 0, err
	}
	_, line, _ := strings.Cut(string(status), name+":")
	if _, err := fmt.Sscanf(line, "%d kB", &size); err != nil {
		return 0, fmt.Errorf("read %s: %w", name, err)
	}
	return size << 10, nil
}

// ResetPeak begins the peak of the resident memory anew. It fails when the process has ended.
func (p *Process) ResetPeak() error {
	return os.WriteFile(p.proc("clear_refs"), []byte("5"), 0)
}

func (p *Process) proc(file string) string {
	return fmt.Sprintf("/proc/%d/%s", p.PID(), file)
}
