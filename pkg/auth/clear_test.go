package auth

import (
	"errors"
	"net"
	"testing"
)

func TestInClear(t *testing.T) {
	all, here := &net.TCPAddr{IP: net.IPv6zero, Port: 8000}, &net.TCPAddr{IP: net.IPv6loopback, Port: 8000}
	away := errors.New("the database is away")
	tests := []struct {
		name     string
		mode     Mode
		listener net.Addr
		moved    bool
		asked    bool // whether the site is from before
		want     bool
	}{
		{"a new site", Auto, all, false, true, true},
		{"one from before", Auto, all, true, true, false},
		{"on this machine", Auto, here, false, false, false},
		{"all need credentials", On, all, true, false, true},
		{"on this machine, too", On, here, true, false, false},
		{"nobody needs any", Off, all, false, false, false},
		{"nobody is refused", Warn, all, false, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			asked := false
			got, err := tt.mode.InClear(tt.listener, func() (bool, error) { asked = true; return tt.moved, nil })
			if err != nil || got != tt.want || asked != tt.asked {
				t.Errorf("%v, %v; asked: %v", got, err, asked)
			}
			if _, err := tt.mode.InClear(tt.listener, func() (bool, error) { return false, away }); (err != nil) != tt.asked {
				t.Errorf("while the database is away: %v", err)
			}
		})
	}
}
