package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// progress tells on a terminal how far something is. The nil progress tells nothing.
type progress struct {
	begun, told time.Time
	bytes       int64
	width       int // of what was told last
}

// newProgress returns nil where nobody looks.
func newProgress(quiet bool) *progress {
	if quiet || !term.IsTerminal(int(os.Stderr.Fd())) {
		return nil
	}
	return &progress{begun: time.Now()}
}

// add counts n more bytes, and tells it now and then: part is of 1, or less than 0 where nobody knows.
func (p *progress) add(n int, part float64, what string) {
	if p == nil {
		return
	}
	p.bytes += int64(n)
	now := time.Now()
	if now.Sub(p.told) < 200*time.Millisecond {
		return
	}
	p.told = now
	line := fmt.Sprintf("%s, %s/s", size(p.bytes), size(int64(float64(p.bytes)/max(now.Sub(p.begun).Seconds(), 0.001))))
	if part >= 0 {
		done := min(int(part*30), 30)
		line = fmt.Sprintf("[%s%s] %3.0f %%  %s", strings.Repeat("=", done), strings.Repeat(" ", 30-done), min(part, 1)*100, line)
	}
	if what != "" {
		line += ", " + what
	}
	fmt.Fprintf(os.Stderr, "\r%s%s", line, strings.Repeat(" ", max(p.width-len(line), 0)))
	p.width = len(line)
}

// end clears the line.
func (p *progress) end() {
	if p != nil {
		fmt.Fprintf(os.Stderr, "\r%s\r", strings.Repeat(" ", p.width))
	}
}

// progressWriter counts what an export writes, and finds out how far it is by the time of the last reading.
type progressWriter struct {
	*progress
	e *export
}

func (w progressWriter) Write(b []byte) (int, error) {
	if w.progress == nil {
		return len(b), nil
	}
	part, at := -1.0, lastTime(b)
	if !w.e.from.IsZero() && !at.IsZero() {
		to := w.e.to
		if to.IsZero() {
			to = w.e.now
		}
		part = max(0, at.Sub(w.e.from).Seconds()/max(to.Sub(w.e.from).Seconds(), 1))
	}
	what := ""
	if !at.IsZero() {
		what = "at " + at.Format(time.DateTime)
	}
	w.add(len(b), part, what)
	return len(b), nil
}

// lastTime finds the last timestamp in a part of a file; zero where there is none.
func lastTime(b []byte) time.Time {
	const form = "2006-01-02T15:04:05.000Z"
	text := string(b[max(0, len(b)-1024):])
	for i := strings.LastIndexByte(text, 'Z'); i >= len(form)-1; i = strings.LastIndexByte(text[:i], 'Z') {
		if t, err := time.Parse(form, text[i+1-len(form):i+1]); err == nil {
			return t
		}
	}
	return time.Time{}
}

// size writes a number of bytes for people.
func size(n int64) string {
	switch {
	case n < 10_000:
		return fmt.Sprintf("%d B", n)
	case n < 10_000_000:
		return fmt.Sprintf("%d kB", n/1000)
	default:
		return fmt.Sprintf("%d MB", n/1_000_000)
	}
}
