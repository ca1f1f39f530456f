package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// ports are those that speak HTTP: of the API and of operations.
func (a *attacker) ports() []string { return []string{a.http, a.OpsAddr()} }

// slowHeaders begins 1,000 requests on each port, and adds to them slowly.
func slowHeaders(ctx context.Context, a *attacker) error {
	ctx, cancel := context.WithTimeout(ctx, attackTime)
	defer cancel()
	for _, addr := range a.ports() {
		crowd(ctx, 1000, 32, func(i int) {
			p, err := a.dial(ctx, 2+i%10, addr)
			if err != nil {
				return
			}
			_, err = p.Write([]byte("GET /readyz HTTP/1.1\r\nHost: localhost\r\nX-A: "))
			go func() {
				for err == nil && ctx.Err() == nil {
					wait(ctx, 500*time.Millisecond)
					_, err = p.Write([]byte(strings.Repeat("a", 20)))
				}
			}()
		})
	}
	<-ctx.Done()
	return nil
}

// endlessHeaders sends headers that do not end.
func endlessHeaders(ctx context.Context, a *attacker) error {
	ctx, cancel := context.WithTimeout(ctx, attackTime)
	defer cancel()
	for _, addr := range a.ports() {
		crowd(ctx, 100, 16, func(i int) {
			p, err := a.dial(ctx, 2+i%10, addr)
			if err != nil {
				return
			}
			_ = p.SetWriteDeadline(time.Now().Add(time.Second))
			_, err = p.Write([]byte("GET /readyz HTTP/1.1\r\nHost: localhost\r\n"))
			for n := 0; n < 300 && err == nil; n++ {
				_, err = fmt.Fprintf(p, "X-%d: %s\r\n", n, strings.Repeat("a", 8000))
			}
		})
	}
	return nil
}

// slowBodies sends 1,000 bodies of the greatest size but for the last byte.
func slowBodies(ctx context.Context, a *attacker) error {
	body := strings.Repeat(" ", mega)
	b := fmt.Sprintf("POST /api/devices/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", mega, body[1:])
	crowd(ctx, 1000, 32, func(i int) {
		if p, err := a.dial(ctx, 2+i%10, a.http); err == nil {
			_ = p.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = p.Write([]byte(b))
		}
	})
	wait(ctx, time.Second)
	return nil
}

// httpIdle opens connections on each port, and keeps them: half of them after a request.
func httpIdle(n int) func(context.Context, *attacker) error {
	return func(ctx context.Context, a *attacker) error {
		for _, addr := range a.ports() {
			crowd(ctx, n, 32, func(i int) {
				if p, err := a.dial(ctx, 2+i%10, addr); err == nil && i%2 == 0 {
					_, _ = p.Write([]byte("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"))
				}
			})
		}
		wait(ctx, time.Second)
		return nil
	}
}

// unreadAnswers asks for long lists, and does not read them.
func unreadAnswers(ctx context.Context, a *attacker) error {
	if err := a.fill(ctx); err != nil {
		return err
	}
	crowd(ctx, 200, 16, func(i int) {
		if p, err := a.dial(ctx, 2+i%10, a.http); err == nil {
			_, _ = p.Write([]byte("GET /api/readings/?limit=10000 HTTP/1.1\r\nHost: localhost\r\n\r\n"))
		}
	})
	wait(ctx, attackTime)
	return nil
}

// unreadStreams follows what happens 1,900 times, more often than may be, and reads nothing of it.
func unreadStreams(ctx context.Context, a *attacker) error {
	ctx, cancel := context.WithTimeout(ctx, attackTime)
	defer cancel()
	crowd(ctx, 1900, 32, func(i int) {
		if p, err := a.dial(ctx, 2+i%10, a.http); err == nil {
			from := strings.Repeat("AQ", i%2*1000)
			_, _ = fmt.Fprintf(p, "GET /api/live/?last_event_id=%s HTTP/1.1\r\nHost: localhost\r\n\r\n", from)
		}
	})
	<-ctx.Done()
	return nil
}

// deepBodies posts what is expensive to read: JSON that is deep, or has very many members.
func deepBodies(ctx context.Context, a *attacker) error {
	ctx, cancel := context.WithTimeout(ctx, attackTime)
	defer cancel()
	bodies := []string{strings.Repeat("[", mega), strings.Repeat(`{"a":`, mega/5), "{" + strings.Repeat(`"a":1,`, mega/6-1) + `"b":1}`}
	crowd(ctx, 12, 12, func(i int) {
		body := bodies[i%len(bodies)]
		for ctx.Err() == nil {
			p, err := a.dial(ctx, 2+i, a.http)
			if err != nil {
				return
			}
			_ = p.SetDeadline(time.Now().Add(2 * time.Second))
			_, _ = fmt.Fprintf(p, "POST /api/devices/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			p.drain()
			_ = p.Close()
		}
	})
	return nil
}

// serves is a probe: the API and the operations port answer to others.
func serves(ctx context.Context, a *attacker) error {
	transport := &http.Transport{DialContext: dialer(host(0x1101)).DialContext, DisableKeepAlives: true}
	c := http.Client{Transport: transport, Timeout: answerTime}
	var errs []error
	for _, url := range []string{"http://" + a.http + "/api/users/", "http://" + a.OpsAddr() + "/livez", "http://" + a.OpsAddr() + "/readyz?verbose"} {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := c.Do(request)
		if err == nil {
			body, _ := io.ReadAll(io.LimitReader(response.Body, 2000))
			response.Body.Close()
			if response.StatusCode != http.StatusOK {
				err = fmt.Errorf("GET %s: %s\n%s", url, response.Status, body)
			}
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
