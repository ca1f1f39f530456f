package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// slow sends bytes one at a time, from the host of the fleet, on as many connections as it can get.
func slow(ctx context.Context, a *attacker) error {
	ctx, cancel := context.WithTimeout(ctx, attackTime)
	defer cancel()
	b := hello{id: strings.Repeat("x", 200)}.bytes()
	crowd(ctx, 600, 600, func(int) {
		p, err := a.dial(ctx, 1, a.mqtt)
		if err != nil {
			return
		}
		for _, c := range b {
			if _, err := p.Write([]byte{c}); err != nil || ctx.Err() != nil {
				return
			}
			wait(ctx, 100*time.Millisecond)
		}
	})
	return nil
}

// idle opens connections that say nothing, from some hosts beginning with one.
func idle(n, from, hosts int) func(context.Context, *attacker) error {
	return func(ctx context.Context, a *attacker) error {
		crowd(ctx, n, 32, func(i int) { _, _ = a.dial(ctx, from+i%hosts, a.mqtt) })
		wait(ctx, 2*time.Second)
		return nil
	}
}

// handshakes begins TLS on many connections, with the longest ClientHello that is taken but for its end.
func handshakes(hosts int) func(context.Context, *attacker) error {
	return func(ctx context.Context, a *attacker) error {
		const record, hellos = 1 << 14, 4
		b := []byte{0x16, 0x03, 0x01, record >> 8, 0, 1, 0, 0xff, 0xf0}
		b = append(b, make([]byte, record-4)...)
		for range hellos - 1 {
			b = append(append(b, 0x16, 0x03, 0x01, record>>8, 0), make([]byte, record)...)
		}
		b = b[:len(b)-20]
		crowd(ctx, 2000, 32, func(i int) {
			if p, err := a.dial(ctx, 2+i%hosts, a.mqtt); err == nil {
				_, _ = p.Write(b)
			}
		})
		wait(ctx, time.Second)
		return nil
	}
}

// securely is a probe: a device from elsewhere gets in by TLS meanwhile.
func securely(ctx context.Context, a *attacker) error {
	p, err := a.dial(ctx, 0x1101, a.mqtt)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	c := tls.Client(p, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // who it is does not matter here
	_ = c.SetDeadline(time.Now().Add(answerTime))
	if _, err := c.Write(hello{id: "probe"}.bytes()); err != nil {
		return err
	}
	answer, err := read(bufio.NewReader(c))
	if err == nil && answer.first != connackByte {
		err = fmt.Errorf("CONNECT was answered by %x %x", answer.first, answer.body)
	}
	return err
}

// connects is a probe: a device from elsewhere gets in meanwhile.
func connects(ctx context.Context, a *attacker) error {
	p, err := a.connect(ctx, 0x1101, hello{id: "probe"})
	if err != nil {
		return err
	}
	return p.Close()
}

// crowded keeps as many connections as there can be, each of a client that has said who it is.
func crowded(ctx context.Context, a *attacker) error {
	crowd(ctx, 8000, 32, func(i int) {
		_, _ = a.connect(ctx, 2+i%100, hello{id: fmt.Sprintf("crowd-%d", i), keepalive: 65535})
	})
	return nil
}

// reasonCodes exceeds each limit once, and gets a reason code of MQTT 5.
func reasonCodes(ctx context.Context, a *attacker) error {
	var errs []error
	for i, c := range []struct {
		what   string
		client hello
		send   []byte // nil: the CONNECT itself is too much
		reason byte
	}{
		{what: "client id", client: hello{id: strings.Repeat("x", 257)}, reason: 0x85},
		{what: "packet size announced", send: append([]byte{publishByte}, varint(200<<20)...), reason: 0x95},
		{what: "packet size", send: publish(unread, 0, 0, properties(), strings.Repeat("x", 2*mega)), reason: 0x95},
		{what: "CONNECT size", client: hello{properties: userProperties(60_000)}, reason: 0x95},
		{what: "SUBSCRIBE size", send: subscribe5(manyFilters(100, 400)...), reason: 0x95},
		{what: "topic length", send: publish(strings.Repeat("x", 65535), 0, 0, properties(), ""), reason: 0x90},
		{what: "topic levels", send: publish(levels(30_000), 0, 0, properties(), ""), reason: 0x90},
		{what: "topic wildcard", send: publish("a/#", 0, 0, properties(), ""), reason: 0x90},
		{what: "will size", client: hello{will: &will{topic: unread, payload: strings.Repeat("x", 8000)}}, reason: 0x95},
		{what: "topic alias 0", send: publish(unread, 0, 0, properties(topicAlias(0)), ""), reason: 0x94},
		{what: "topic alias", send: publish(unread, 0, 0, properties(topicAlias(65535)), ""), reason: 0x94},
		{what: "topic alias unknown", send: publish("", 0, 0, properties(topicAlias(1)), ""), reason: 0x82},
		{what: "second CONNECT", send: hello{version: v5}.bytes(), reason: 0x82},
		{what: "QoS 3", send: packet(publishByte|6, text(unread), u16(1), properties()), reason: 0x81},
		{what: "malformed", send: packet(subscribeByte, u16(1), properties(), text("a")), reason: 0x81},
		{what: "reserved type", send: packet(0), reason: 0x81},
	} {
		c.client.id, c.client.version = c.client.id+fmt.Sprint("reason-codes-", i), v5
		p, err := a.dial(ctx, 2+i, a.mqtt)
		if err != nil {
			return err
		}
		first := c.client.bytes()
		if c.send != nil {
			if answer, err := p.ask(first); err != nil || answer.first != connackByte || answer.reason() != 0 {
				errs = append(errs, fmt.Errorf("%s: CONNECT was answered by %x, %w", c.what, answer, err))
				continue
			}
			first = c.send
		}
		if err := p.dismissed(first, c.reason); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.what, err))
		}
	}
	return errors.Join(errs...)
}

// subscribe5 is a SUBSCRIBE of MQTT 5.
func subscribe5(filters ...string) []byte {
	parts := [][]byte{u16(1), properties()}
	for _, f := range filters {
		parts = append(parts, text(f), []byte{0})
	}
	return packet(subscribeByte, parts...)
}

// manyFilters are n filters of so many bytes each.
func manyFilters(n, size int) (filters []string) {
	for i := range n {
		filters = append(filters, fmt.Sprintf("%0*d", size, i))
	}
	return filters
}

// refusedFilters subscribes to more and longer filters than are taken, each of which the SUBACK refuses.
func refusedFilters(ctx context.Context, a *attacker) error {
	p, err := a.connect(ctx, 2, hello{id: "filters", version: v5})
	if err != nil {
		return err
	}
	answer, err := p.ask(subscribe5(append(manyFilters(20, 10), "one/more", levels(17), strings.Repeat("x", 513), "$share/g/a/b")...))
	if err != nil {
		return err
	}
	want := append(make([]byte, 20), 0x97, 0x8f, 0x8f, 0x9e)
	if answer.first != subackByte || !slices.Equal(answer.body[3:], want) {
		return fmt.Errorf("SUBACK %x instead of reasons %x", answer.body, want)
	}
	return nil
}
