package daemon

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"github.com/telltale-iot/telltale/pkg/doctor"
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
	if process := doctor.ListenerOf(port); process.PID != 0 {
		by = " by " + process.String()
	}
	return fmt.Errorf("%s: %w%s: stop what uses it, or set %s to another address", variable, err, by, variable)
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
