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
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Process{}
	}
	const listening = "0A"
	var sockets []string
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
	if sockets == nil {
		return Process{} // without a look at the files of all processes, which takes its time
	}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range processes {
		files, _ := filepath.Glob(process + "/fd/*")
		for _, file := range files {
			if target, err := os.Readlink(file); err == nil && slices.Contains(sockets, target) {
				pid, _ := strconv.Atoi(filepath.Base(process))
				return processOf(pid)
			}
		}
	}
	return Process{}
}
