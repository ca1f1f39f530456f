package daemon

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Listen listens for TCP connections on addr, the setting of variable: host:port, or :port for all addresses of
// the machine; port 0 takes a free one. It returns a *ConfigError for an address that nobody could listen on,
// and otherwise an error that names variable.
func Listen(variable, addr string) (net.Listener, error) {
	if err := CheckAddr(variable, addr); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, ListenError(variable, addr, err)
	}
	return l, nil
}

// ListenError returns err, of listening on addr, the setting of variable, with what to do about it.
func ListenError(variable, addr string, err error) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s: %w", variable, err)
	}
	_, port, _ := net.SplitHostPort(addr)
	by := ""
	if process := listenerOf(port); process != "" {
		by = " by " + process
	}
	return fmt.Errorf("%s: %w%s: stop what uses it, or set %s to another address", variable, err, by, variable)
}

// listenerOf names the process that listens on a TCP port, where the system shows it: Linux does, for the user's own
// processes.
func listenerOf(port string) string {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return ""
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
	files, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, file := range files {
		if target, err := os.Readlink(file); err == nil && slices.Contains(sockets, target) {
			process := filepath.Dir(filepath.Dir(file))
			name, _ := os.ReadFile(filepath.Join(process, "comm"))
			return fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(name)), filepath.Base(process))
		}
	}
	return ""
}

// CheckAddr returns a *ConfigError when addr, the setting of variable, is not one that Listen takes.
func CheckAddr(variable, addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return &ConfigError{Variable: variable, Value: addr, Err: errors.New("must be host:port or :port")}
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return &ConfigError{Variable: variable, Value: addr, Err: errors.New("the port must be a number from 0 to 65535")}
	}
	if _, err := net.ResolveTCPAddr("tcp", addr); err != nil {
		return &ConfigError{Variable: variable, Value: addr, Err: err}
	}
	return nil
}
