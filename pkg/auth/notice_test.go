package auth

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestNotice(t *testing.T) {
	everywhere, local := &net.TCPAddr{IP: net.IPv4zero, Port: 80}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}
	for _, tt := range []struct {
		name     string
		mode     Mode
		listener net.Addr
		moved    bool
		level    string
		state    string
		lines    int // in three hours
	}{
		{"off", Off, local, false, "WARN", "127.0.0.1:80: AUTH=off", 1},
		{"this machine", Auto, local, false, "INFO", "127.0.0.1:80: open", 1},
		{"a network", Auto, everywhere, false, "INFO", "0.0.0.0:80: asks for credentials", 1},
		{"a network, of a moved site", Auto, everywhere, true, "WARN", "0.0.0.0:80: who has no credentials may do everything", 3},
		{"warn", Warn, everywhere, true, "WARN", "0.0.0.0:80: AUTH=warn", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				n := NewNotice(tt.mode, tt.listener, slog.New(slog.NewTextHandler(&log, nil)))
				if !strings.Contains(n.State(), "not known") {
					t.Errorf("at first: %s", n.State())
				}
				for range 3 * 60 {
					n.Tell(tt.mode.Policy(tt.listener, tt.moved))
					time.Sleep(time.Minute)
				}
				if !strings.HasPrefix(n.State(), tt.state) {
					t.Errorf("it says %q", n.State())
				}
				if got := strings.Count(log.String(), "level="+tt.level); got != tt.lines || strings.Count(log.String(), "\n") != got {
					t.Errorf("%d lines, want %d:\n%s", got, tt.lines, log.String())
				}
			})
		})
	}
}
