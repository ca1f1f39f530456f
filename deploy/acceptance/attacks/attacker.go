package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// attacker is whoever attacks a target: as many hosts and connections as it takes.
type attacker struct {
	*target
	site *site
	dice *rand.Rand

	mu    sync.Mutex
	gone  bool
	conns map[net.Conn]bool
}

func (s *site) attacker(t *target) *attacker {
	return &attacker{target: t, site: s, dice: rand.New(rand.NewPCG(s.dice.Uint64(), 0)), conns: map[net.Conn]bool{}} //nolint:gosec // dice, not secrets
}

// leave closes all connections, for good.
func (a *attacker) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gone = true
	for c := range a.conns {
		_ = c.Close()
	}
	clear(a.conns)
}

var errLeft = errors.New("the attacker has left")

// peer is a connection of an attacker, closed when it leaves.
type peer struct {
	net.Conn
	in *bufio.Reader
	of *attacker
}

// host is the nth host of attackers. The fleet is 127.0.0.1, and so is host 1.
func host(n int) net.IP { return net.IPv4(127, 0, byte(n>>8), byte(n)) }

// dial connects the nth host to addr.
func (a *attacker) dial(ctx context.Context, n int, addr string) (*peer, error) {
	c, err := dialer(host(n)).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return a.hold(c)
}

func (a *attacker) hold(c net.Conn) (*peer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone {
		_ = c.Close()
		return nil, errLeft
	}
	a.conns[c] = true
	return &peer{Conn: c, in: bufio.NewReader(c), of: a}, nil
}

// Close closes the connection before its attacker leaves.
func (p *peer) Close() error {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	delete(p.of.conns, p.Conn)
	return p.Conn.Close()
}

// connect connects the nth host, and waits for the CONNACK.
func (a *attacker) connect(ctx context.Context, n int, h hello) (*peer, error) {
	p, err := a.dial(ctx, n, a.mqtt)
	if err != nil {
		return nil, err
	}
	answer, err := p.ask(h.bytes())
	if err == nil && (answer.first != connackByte || answer.reason() != 0) {
		err = fmt.Errorf("CONNECT was answered by %x %x", answer.first, answer.body)
	}
	if err != nil {
		_ = p.Close()
		return nil, err
	}
	return p, nil
}

// answerTime is how long an answer may take. It is longer than the limit of probes, which are measured.
const answerTime = 5 * time.Second

// ask sends a packet, and returns the next that comes.
func (p *peer) ask(b []byte) (received, error) {
	_ = p.SetDeadline(time.Now().Add(answerTime))
	defer func() { _ = p.SetDeadline(time.Time{}) }()
	if _, err := p.Write(b); err != nil {
		return received{}, err
	}
	return read(p.in)
}

// drain reads until the connection ends, and drops what it reads.
func (p *peer) drain() {
	buffer := make([]byte, 4096)
	for {
		if _, err := p.in.Read(buffer); err != nil {
			return
		}
	}
}

// dismissed sends a packet of MQTT 5, and is nil when the answer is a CONNACK or DISCONNECT with the reason,
// and the end of the connection.
func (p *peer) dismissed(b []byte, reason byte) error {
	defer func() { _ = p.Close() }()
	_ = p.SetDeadline(time.Now().Add(answerTime))
	_, err := p.Write(b) // what is not read any more may break it; what was answered can be read all the same
	for {
		answer, failed := read(p.in)
		switch {
		case failed != nil:
			return fmt.Errorf("no DISCONNECT with %#x: %w", reason, errors.Join(err, failed))
		case answer.first != connackByte && answer.first != disconnectByte:
			continue
		case answer.reason() != reason:
			return fmt.Errorf("%#x with reason %#x instead of %#x", answer.first, answer.reason(), reason)
		}
		if _, failed := read(p.in); failed == nil {
			return fmt.Errorf("the connection goes on after a reason %#x", reason)
		}
		return nil
	}
}

// crowd calls each for 0 to n-1, some at a time. Each handles its own errors: that a connection is refused or cut
// off is what an attacker must expect.
func crowd(ctx context.Context, n, atATime int, each func(i int)) {
	var g errgroup.Group
	g.SetLimit(atATime)
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error { each(i); return nil })
	}
	_ = g.Wait()
}

// flood writes b again and again until the connection breaks or ctx ends.
func (p *peer) flood(ctx context.Context, b []byte) {
	for ctx.Err() == nil {
		if _, err := p.Write(b); err != nil {
			return
		}
	}
}

// attackTime is how long attacks last that have no end of their own: long enough for some hundred readings of the
// fleet.
const attackTime = 2500 * time.Millisecond

// wait waits for a time, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
