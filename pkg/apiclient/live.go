package apiclient

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// maxSilence is how long a stream may say nothing: it has a heartbeat every 15 s.
	maxSilence = 45 * time.Second
	maxPause   = 5 * time.Second // between attempts to come back
	// maxLine is more than an event has: a reading has up to 4 MiB of names and values, of which JSON may make twice that.
	maxLine = 16 << 20
)

// Event is one of the live stream.
type Event struct {
	Name string // reading, dead_letter, device or resync
	Data []byte // JSON; valid until the next event
}

// Follow calls each with the events of /api/live/ until ctx ends, and returns nil then. When the stream breaks off it comes
// back to the place behind the last event that each has taken; before each attempt it calls lost with the reason, and for how
// long nothing was heard. An error of each, of the first attempt, or one that says that the API will never answer, ends it.
func (c Client) Follow(ctx context.Context, query url.Values, each func(Event) error, lost func(err error, behind time.Duration)) error {
	s := &stream{Client: c, query: query, each: each, heard: time.Now()}
	pause := maxPause / 16
	for first := true; ; first = false {
		before := s.heard
		err := s.follow(ctx)
		var status *StatusError
		var refused *eachError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &refused):
			return refused.error
		case errors.As(err, &status) && status.Code != http.StatusTooManyRequests && status.Code < 500:
			return err
		case first && status == nil && s.heard.Equal(before): // nobody is there
			return err
		case !s.heard.Equal(before):
			pause = maxPause / 16
		}
		lost(err, time.Since(s.heard))
		wait := pause
		if status != nil {
			if seconds, err := strconv.Atoi(status.RetryAfter); err == nil {
				wait = min(time.Duration(seconds)*time.Second, time.Minute)
			}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
		pause = min(2*pause, maxPause)
	}
}

// eachError is what each returned.
type eachError struct{ error }

// stream is the live stream, over its connections.
type stream struct {
	Client
	query url.Values
	each  func(Event) error
	place string // behind the last event
	heard time.Time
}

// follow reads one connection to its end.
func (s *stream) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	header := http.Header{"Accept": {"text/event-stream"}}
	if s.place != "" {
		header.Set("Last-Event-ID", s.place)
	}
	late := time.AfterFunc(maxSilence, func() { cancel(errSilent) })
	answer, err := s.Do(ctx, "/api/live/", s.query, header)
	late.Stop()
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return s.read(ctx, cancel, answer.Body)
}

var (
	errSilent = fmt.Errorf("nothing for %v", maxSilence)
	errEnded  = errors.New("the stream has ended")
)

// read reads events from body, which fails when ctx ends. It cancels that when nothing comes for maxSilence.
func (s *stream) read(ctx context.Context, cancel context.CancelCauseFunc, body io.Reader) error {
	silence := time.AfterFunc(maxSilence, func() { cancel(errSilent) })
	defer silence.Stop()
	in := bufio.NewReaderSize(body, 64<<10)
	e, place := Event{}, s.place
	for {
		line, err := readLine(in)
		if err != nil {
			return cmp.Or(context.Cause(ctx), err)
		}
		s.heard = time.Now()
		silence.Reset(maxSilence)
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch {
		case len(line) == 0: // the end of an event
			if len(e.Data) > 0 {
				if err := s.each(e); err != nil {
					return &eachError{err}
				}
			}
			s.place, e = place, Event{Data: e.Data[:0]}
		case string(field) == "id":
			place = string(value)
		case string(field) == "event":
			e.Name = string(value)
		case string(field) == "data":
			e.Data = append(e.Data, value...) // which ours have in one line
		}
	}
}

// readLine returns the next line without its end. It is the reader's until the next call, but for a long one.
func readLine(in *bufio.Reader) (line []byte, err error) {
	line, err = in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		long := bytes.Clone(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			line, err = in.ReadSlice('\n')
			if long = append(long, line...); len(long) > maxLine {
				return nil, fmt.Errorf("a line of over %d bytes", maxLine)
			}
		}
		line = long
	}
	if errors.Is(err, io.EOF) {
		err = errEnded
	}
	return bytes.TrimRight(line, "\r\n"), err
}
