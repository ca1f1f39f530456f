package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// webRequest is what a WebSocket of MQTT begins with.
const webRequest = "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"

// The first bytes of frames: all of a message, and the first of several.
const (
	wholeFrame = 0x82
	pingFrame  = 0x89
)

// frameHead begins a frame of a length, with a mask of zeros, which leaves what follows as it is.
func frameHead(first byte, length uint64) []byte {
	b := binary.BigEndian.AppendUint64([]byte{first, 0xff}, length)
	return append(b, 0, 0, 0, 0)
}

func webFrame(first byte, payload []byte) []byte {
	if len(payload) < 126 {
		return append([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
	}
	return append(frameHead(first, uint64(len(payload))), payload...)
}

// openWeb makes a WebSocket from the nth host, of a client that is connected if h is not nil.
func (a *attacker) openWeb(ctx context.Context, n int, h *hello) (*peer, error) {
	p, err := a.dial(ctx, n, a.web)
	if err != nil {
		return nil, err
	}
	_ = p.SetDeadline(time.Now().Add(answerTime))
	defer func() { _ = p.SetDeadline(time.Time{}) }()
	if _, err := p.Write([]byte(webRequest)); err != nil {
		return nil, err
	}
	answer, err := http.ReadResponse(p.in, nil)
	if err != nil {
		return nil, err
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("a WebSocket was answered by %s", answer.Status)
	}
	if h == nil {
		return p, nil
	}
	if _, err := p.Write(webFrame(wholeFrame, h.bytes())); err != nil {
		return nil, err
	}
	connack := make([]byte, 2+4)
	if _, err := io.ReadFull(p.in, connack); err != nil || connack[2] != connackByte {
		return nil, fmt.Errorf("CONNECT was answered by % x, %w", connack, err)
	}
	return p, nil
}

// webConnects is a probe: a device from elsewhere gets in by a WebSocket meanwhile.
func webConnects(ctx context.Context, a *attacker) error {
	p, err := a.openWeb(ctx, 0x1101, &hello{id: "probe"})
	if err != nil {
		return err
	}
	return p.Close()
}

// webRequests begins many WebSockets, with as long a request as is taken, but for its end.
func webRequests(ctx context.Context, a *attacker) error {
	b := strings.Replace(webRequest, "\r\n\r\n", "\r\nX: "+strings.Repeat("x", 7<<10), 1)
	crowd(ctx, 2000, 32, func(i int) {
		if p, err := a.dial(ctx, 2+i%10, a.web); err == nil {
			_, _ = p.Write([]byte(b))
		}
	})
	wait(ctx, time.Second)
	return nil
}

// webPublishes connects clients, each of which sends a PUBLISH of 1 MiB in one frame but for its last byte.
func webPublishes(ctx context.Context, a *attacker) error {
	b := webFrame(wholeFrame, publish(unread, 1, 1, nil, strings.Repeat("x", mega)))
	crowd(ctx, 1000, 32, func(i int) {
		if p, err := a.openWeb(ctx, 2+i%10, &hello{id: fmt.Sprintf("web-%d", i)}); err == nil {
			_ = p.SetWriteDeadline(time.Now().Add(2 * time.Second))
			_, _ = p.Write(b[:len(b)-1])
		}
	})
	wait(ctx, time.Second)
	return nil
}

// webLengths announces frames of any length, on connections of clients and of nobody.
func webLengths(ctx context.Context, a *attacker) error {
	crowd(ctx, 1000, 32, func(i int) {
		var who *hello
		if i%2 == 0 {
			who = &hello{id: fmt.Sprintf("web-%d", i)}
		}
		if p, err := a.openWeb(ctx, 2+i%10, who); err == nil {
			_ = p.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = p.Write(frameHead(wholeFrame, 1<<(20+i%44)))
			_, _ = p.Write(make([]byte, 10_000))
			p.drain()
		}
	})
	return nil
}

// webPings sends pings and empty messages as fast as they go, and reads no answer.
func webPings(ctx context.Context, a *attacker) error {
	ctx, cancel := context.WithTimeout(ctx, attackTime)
	defer cancel()
	b := bytes.Repeat(append(webFrame(pingFrame, []byte(strings.Repeat("?", 100))), webFrame(wholeFrame, nil)...), 1000)
	crowd(ctx, 50, 50, func(i int) {
		if p, err := a.openWeb(ctx, 2+i%10, &hello{id: fmt.Sprintf("web-%d", i)}); err == nil {
			_ = p.SetWriteDeadline(time.Now().Add(attackTime))
			p.flood(ctx, b)
		}
	})
	return nil
}
