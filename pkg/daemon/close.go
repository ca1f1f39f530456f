package daemon

import (
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/telltale-iot/telltale/pkg/timeouts"
)

var errNoGoodbye = errors.New("the server does not answer its goodbye")

// Close closes c, the client of the server called name, and waits for that timeouts.CloseClient at most. A server that
// hangs would otherwise hold up the process that is about to end: drivers wait for it to answer a last word.
func Close(log *slog.Logger, name string, c io.Closer) {
	closed := make(chan error, 1)
	go func() { closed <- c.Close() }()
	var err error
	select {
	case err = <-closed:
	case <-time.After(timeouts.CloseClient):
		err = errNoGoodbye
	}
	if err != nil {
		log.Warn("closed without a word", "server", name, "err", err)
	}
}
