package doctor

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Clock looks whether this machine has a time. One without a battery begins in 1970 until it is set.
func Clock() Check {
	return Check{"clock", func(context.Context) []Finding { return lookAtClock(time.Now()) }}
}

func lookAtClock(now time.Time) []Finding {
	const notSet = 2024
	text := now.UTC().Format(time.RFC3339)
	if now.UTC().Year() < notSet {
		return Fail(text+" cannot be", "set this machine's clock, by NTP for example")
	}
	return Fine("%s", text)
}

// Port looks whether addr, the setting of variable, can be listened on. It listens there for an instant. The service may have it
// already: the process that listens on opsAddr, too. Another of the same name keeps it from starting.
func Port(variable, addr, opsAddr string) Check {
	return Check{variable, func(ctx context.Context) []Finding {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
		if err == nil {
			_ = l.Close()
			return Fine("%s is free", addr)
		}
		_, port, _ := net.SplitHostPort(addr)
		_, opsPort, _ := net.SplitHostPort(opsAddr)
		holder := ListenerOf(port)
		switch {
		case holder.Name == ownName() && holder.hasOneOf(listenersOn(opsPort)):
			return Fine("%s is in use by %s: it runs", addr, holder)
		case holder.Name == ownName():
			return Fail(fmt.Sprintf("%s is in use by another %s, which does not listen on OPS_ADDR=%q", addr, holder, opsAddr),
				"stop that, or set "+variable+" to another address")
		case holder.PID != 0:
			return Fail(fmt.Sprintf("%s is in use by %s", addr, holder), "stop that, or set "+variable+" to another address")
		case isTaken(ctx, addr):
			return Warn(addr+" is in use by a process that this user cannot see",
				"leave it if that is this service, which runs; else stop it, or set "+variable+" to another address")
		}
		return Fail(err.Error(), "set "+variable+" to an address of this machine, and a port that its user may use")
	}}
}

// isTaken reports whether somebody answers at addr.
func isTaken(ctx context.Context, addr string) bool {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// What a disk should have left. With less than noBytes nothing goes on for long: a sealed month is written anew beside the old
// one, and the log keeps a gigabyte.
const (
	noBytes  = 64 << 20
	fewBytes = 2 << 30
)

// Dir looks whether dir, the setting of variable, can be written, who may read it, and how much room its disk has. One that is missing is made
// when the program starts.
func Dir(variable, dir string) Check {
	return Check{variable, func(context.Context) []Finding {
		dir, err := filepath.Abs(dir)
		if err != nil {
			return Fail(err.Error(), "set "+variable+" to a folder")
		}
		there := existing(dir)
		info, err := os.Stat(there)
		switch {
		case err != nil:
			return Fail(err.Error(), "set "+variable+" to a folder that can be reached")
		case !info.IsDir():
			return Fail(there+" is no folder", "set "+variable+" to one")
		}
		if path, err := unwritable(there, there == dir); err != nil {
			return Fail(fmt.Sprintf("%s cannot be written: %v", path, err),
				fmt.Sprintf("give it to the user who runs this (%d), or set %s to another folder", os.Getuid(), variable))
		}
		what := dir + " can be written"
		if there != dir {
			what = dir + " is not there, and is made at the start"
		}
		if holder := holderOf(dir); holder.PID != 0 {
			what += ", and " + holder.String() + " has it: it runs"
		}
		findings := Fine("%s", what)
		if there == dir {
			findings = append(findings, lookAtReaders(dir, info.Mode())...)
		}
		return append(findings, lookAtRoom(there)...)
	}}
}

func lookAtRoom(dir string) []Finding {
	free, err := freeBytes(dir)
	do := "make room, or have less kept: RETENTION_READINGS, DATA_MAX_BYTES"
	text := fmt.Sprintf("its disk has %.1f GB left", float64(free)/1e9)
	switch {
	case err != nil:
		return Warn(fmt.Sprintf("how much room its disk has is not known: %v", err), "look at it by hand")
	case free < noBytes:
		return Fail(text, do)
	case free < fewBytes:
		return Warn(text, do)
	}
	return Fine("%s", text)
}

// existing is dir or, of the folders above it, the first that is there.
func existing(dir string) string {
	for {
		parent := filepath.Dir(dir)
		if _, err := os.Stat(dir); !os.IsNotExist(err) || parent == dir {
			return dir
		}
		dir = parent
	}
}

// maxEntries is how many of what is in a folder are looked at. There are a handful, and one for each month of readings.
const maxEntries = 1000

// unwritable returns what cannot be written of dir and, with inside, of what is in it and its folders: files that another user
// made, as one who ran the program once as root.
func unwritable(dir string, inside bool) (path string, err error) {
	if err := access(dir); err != nil || !inside {
		return dir, err
	}
	f, err := os.Open(dir)
	if err != nil {
		return dir, err
	}
	defer f.Close()
	entries, _ := f.ReadDir(maxEntries) // io.EOF where it is empty
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.IsDir() {
			path, err = unwritable(path, inside)
		} else {
			err = access(path)
		}
		if err != nil && !os.IsNotExist(err) { // one that has just been removed
			return path, err
		}
	}
	return "", nil
}

// holderOf is the process that says in the lock file of dir that it has it, where it still runs and is this program. The lock
// itself is not tried: the program could be starting.
func holderOf(dir string) Process {
	text, err := os.ReadFile(filepath.Join(dir, "lock"))
	if err != nil {
		return Process{}
	}
	var pid int
	if _, err := fmt.Sscan(string(text), &pid); err != nil || pid == os.Getpid() {
		return Process{}
	}
	if p := processOf(pid); p.Name == ownName() {
		return p
	}
	return Process{}
}

// ownName is this program's name, as the system shows it.
func ownName() string {
	const shown = 15 // characters; Linux keeps no more
	path, err := os.Executable()
	if err != nil {
		return ""
	}
	name := filepath.Base(path)
	return strings.TrimSpace(name[:min(len(name), shown)])
}
