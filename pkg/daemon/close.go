package daemon

import (
	"errors"
	"io"
	"log/slog"
	"time"
)

// closeTime is how long the client of a server may take to close, when all its calls have ended: there may be
// several, one after the other, within timeouts.RunDrain.
const closeTime = 300 * time.Millisecond

var errNoGoodbye = errors.New("the server does not answer its goodbye")

// Close closes c, the client of the server called name, and waits for that closeTime at most. A server that hangs
// would otherwise hold up the process that is about to end: drivers wait for it to answer a last word.
func Close(log *slog.Logger, name string, c io.Closer) {
	closed := make(chan error, 1)
	go func() { closed <- c.Close() }()
	var err error
	select {
	case err = <-closed:
	case <-time.After(closeTime):
		err = errNoGoodbye
	}
	if err != nil {
		log.Warn("closed without a word", "server", name, "err", err)
	}
}
