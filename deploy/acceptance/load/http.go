package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const httpConnections = 32

// getAll sends GET requests for paths in turn, over connections that are kept open and with one request at
// a time on each, for a given time. It speaks HTTP itself: net/http's client costs more than most
// answers do, and shares the machine with the server.
func getAll(ctx context.Context, addr string, paths []string, how time.Duration) (figures, error) {
	var requests [][]byte
	for _, path := range paths {
		requests = append(requests, fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: application/json\r\n\r\n", path, addr))
	}
	start := time.Now()
	var mu sync.Mutex
	var all []time.Duration
	clients, ctx := errgroup.WithContext(ctx)
	for range httpConnections {
		clients.Go(func() error {
			latencies, err := get(ctx, addr, requests, start.Add(how))
			mu.Lock()
			defer mu.Unlock()
			all = append(all, latencies...)
			return err
		})
	}
	if err := clients.Wait(); err != nil {
		return figures{}, err
	}
	return figures{
		n: len(all), rate: float64(len(all)) / time.Since(start).Seconds(),
		p50: quantile(all, 0.5), p99: quantile(all, 0.99),
	}, nil
}

// quantile returns the latency that the share q of all is not above, and sorts all.
func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(int(q*float64(len(all))), len(all)-1)]
}

// get sends requests over one connection until the given time, and returns how long each took.
func get(ctx context.Context, addr string, requests [][]byte, until time.Time) (latencies []time.Duration, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(until.Add(10 * time.Second)); err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(conn, 64<<10)
	for n := 0; ; n++ {
		start := time.Now()
		if start.After(until) || ctx.Err() != nil {
			return latencies, ctx.Err()
		}
		if _, err := conn.Write(requests[n%len(requests)]); err != nil {
			return nil, err
		}
		if err := skipAnswer(r); err != nil {
			return nil, fmt.Errorf("%s: %w", bytes.SplitN(requests[n%len(requests)], []byte("\r"), 2)[0], err)
		}
		latencies = append(latencies, time.Since(start))
	}
}

// skipAnswer reads an answer, which must be 200 and have something in it.
func skipAnswer(r *bufio.Reader) error {
	status, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("answer %q", bytes.TrimSpace(status))
	}
	length, chunked := 0, false
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		switch value = bytes.TrimSpace(value); {
		case len(name) == 0 && chunked:
			return skipChunks(r)
		case len(name) == 0 && length < 3:
			return errors.New("an empty answer")
		case len(name) == 0:
			_, err := r.Discard(length)
			return err
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		}
	}
}

func skipChunks(r *bufio.Reader) error {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 16, 31)
		if err != nil {
			return err
		}
		if _, err := r.Discard(int(size) + len("\r\n")); err != nil || size == 0 {
			return err
		}
	}
}
