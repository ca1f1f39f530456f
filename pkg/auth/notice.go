package auth

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"
)

// remindEvery is how far apart lines of the log are about a listener that only warns.
const remindEvery = time.Hour

// Notice says what a listener asks of who connects: in the log, and to people who ask for its State. It is safe for concurrent use.
type Notice struct {
	mode     Mode
	listener net.Addr
	log      *slog.Logger

	mu   sync.Mutex
	says string
	next time.Time
}

// NewNotice returns one that says nothing yet.
func NewNotice(mode Mode, listener net.Addr, log *slog.Logger) *Notice {
	return &Notice{mode: mode, listener: listener, log: log}
}

// Tell takes what the policy is now, and may be called all the time. The log has a line when that is new, and one each hour
// where nobody has decided that the listener only warns.
func (n *Notice) Tell(p Policy) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now, says := time.Now(), n.mode.says(p)
	decided := n.mode != Auto || p != Warning
	if says == n.says && (decided || now.Before(n.next)) {
		return
	}
	n.says, n.next = says, now.Add(remindEvery)
	level := slog.LevelInfo
	if n.mode == Off || p == Warning {
		level = slog.LevelWarn
	}
	n.log.Log(context.Background(), level, "credentials of who connects", "addr", n.listener.String(), "policy", says)
}

// State is what was told last.
func (n *Notice) State() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.says == "" {
		return n.listener.String() + ": whether it asks for credentials is not known yet"
	}
	return n.listener.String() + ": " + n.says
}

// says is a policy in words.
func (m Mode) says(p Policy) string {
	switch {
	case m == Off:
		return "AUTH=off, so whoever connects may do everything"
	case p == Open:
		return "open, since only this machine reaches it"
	case p == Required:
		return "asks for credentials"
	case m == Warn:
		return "AUTH=warn, so who has no credentials may do everything, and is listed"
	default:
		return "who has no credentials may do everything, and is listed, since the site is from before there were accounts: set AUTH"
	}
}
