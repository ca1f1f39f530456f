package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Process is a process of this machine; the zero value is none.
type Process struct {
	Name string
	PID  int
}

func (p Process) String() string { return fmt.Sprintf("%s (process %d)", p.Name, p.PID) }

// processOf returns the process of that id, where the system shows it: Linux does.
func processOf(pid int) Process {
	name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
	if err != nil {
		return Process{}
	}
	return Process{Name: strings.TrimSpace(string(name)), PID: pid}
}

// ListenerOf returns the process that listens on a TCP port, where the system shows it: Linux does, for the user's own
// processes.
func ListenerOf(port string) Process {
	sockets := listenersOn(port)
	if sockets == nil {
		return Process{} // without a look at the files of all processes, which takes its time
	}
	folders, _ := filepath.Glob("/proc/[0-9]*")
	for _, folder := range folders {
		pid, _ := strconv.Atoi(filepath.Base(folder))
		if (Process{PID: pid}).hasOneOf(sockets) {
			return processOf(pid)
		}
	}
	return Process{}
}

// listenersOn returns the sockets that listen on a TCP port, as links in /proc name them.
func listenersOn(port string) (sockets []string) {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil
	}
	const listening = "0A"
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, _ := os.ReadFile(table) // not there on other systems
		for line := range strings.Lines(string(text)) {
			// sl, local address, remote address, state, queues, timer, retransmits, uid, timeout, inode
			fields := strings.Fields(line)
			if len(fields) > 9 && fields[3] == listening && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", n)) {
				sockets = append(sockets, "socket:["+fields[9]+"]")
			}
		}
	}
	return sockets
}

// hasOneOf reports whether p is seen to have one of sockets open.
func (p Process) hasOneOf(sockets []string) bool {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.PID))
	return slices.ContainsFunc(files, func(file string) bool {
		target, err := os.Readlink(file)
		return err == nil && slices.Contains(sockets, target)
	})
}
