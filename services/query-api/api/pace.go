package api

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// How slow the client of a file may be: one at 20 kB/s, which is little for a phone, is twice as fast as needed. One that sends a
// byte, or takes a buffer, now and then is cut off within half a minute, or two minutes after what is buffered is full.
const (
	leastRate = 10 << 10 // bytes a second, on average
	firstWait = 15 * time.Second
	// mostWait is for what a client was faster before. Its system buffers MBs, and shows nothing of what it reads until it has
	// read much of them: with sendBuffer that takes curl --limit-rate 100k 25 to 75 s.
	mostWait = 2 * time.Minute
	// sendBuffer is how much the system keeps that the network has not taken. Of its own accord it keeps some MB, and shows
	// for a minute and more nothing of what a slow client takes of them. It bounds an export to 10 MB/s on a way of 20 ms.
	sendBuffer = 128 << 10
)

// pace is how long the client of a file may still have the server wait, in one direction, beyond what leastRate needs. The time
// that the server takes is not counted.
type pace struct{ left time.Duration }

func newPace() pace { return pace{firstWait} }

// move has f send size bytes, or receive some where that is 0, and ends it where the client does not do its part in time.
func (p *pace) move(size int, setDeadline func(time.Time) error, f func() (int, error)) (int, error) {
	began := time.Now()
	_ = setDeadline(began.Add(p.left + needed(size)))
	n, err := f()
	p.left = min(p.left+needed(n)-time.Since(began), mostWait)
	return n, err
}

// needed is the time for so many bytes.
func needed(bytes int) time.Duration { return time.Duration(bytes) * time.Second / leastRate }

// connection is the key of the connection in the context of its requests.
type connection struct{}

func withConnection(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connection{}, c)
}

// limitSendBuffer has the system keep sendBuffer at most for the connection of a request.
func limitSendBuffer(request context.Context) {
	c := request.Value(connection{})
	if secured, ok := c.(*tls.Conn); ok {
		c = secured.NetConn()
	}
	if c, ok := c.(interface{ SetWriteBuffer(bytes int) error }); ok {
		_ = c.SetWriteBuffer(sendBuffer)
	}
}
