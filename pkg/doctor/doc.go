// Package doctor looks at what a program needs before, or while, it runs, and says in a line each what is wrong and what
// to do about it. What there is to look at a service says with a list of Checks; those of a server stand beside its
// client, in the packages kafka, mongodb, metadata and latest.
//
// A check changes nothing: it makes no file, topic, group or session that stays, and it takes no lock. It does open
// connections, and a port that is free for an instant (docs/adr/0202-doctor-changes-nothing.md).
//
// Checks run at the same time. Each has 4 s for an answer, and is left behind after 5 s; so an examination ends within
// that, whatever hangs. No line shows a password, and none is longer than 1,000 bytes.
package doctor

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/settings"
)

const (
	// lookFor is how long a check waits for what it asks. A server that hangs is named by the error of its client then.
	lookFor = 4 * time.Second
	// leaveAfter is how long a check that does not heed its context is waited for.
	leaveAfter = 5 * time.Second
	// maxLine is the longest text of a finding. Drivers quote what servers say.
	maxLine = 1000
)

// Level is how much a finding matters.
type Level string

// The levels. The program ends with 1 when there is one that is Failed.
const (
	OK     Level = "ok"
	Warned Level = "warn" // it works, and not as it should
	Failed Level = "fail" // it does not work
)

// Finding is one line: what is so and, where that is not right, what to do.
type Finding struct {
	Level Level
	What  string
	Do    string
}

// Fine is what is as it should be.
func Fine(format string, args ...any) []Finding {
	return []Finding{{Level: OK, What: fmt.Sprintf(format, args...)}}
}

// Fail is what does not work, and what to do.
func Fail(what, do string) []Finding { return []Finding{{Failed, what, do}} }

// Warn is what does not work as it should, and what to do.
func Warn(what, do string) []Finding { return []Finding{{Warned, what, do}} }

// Check is a look at a part of what a program needs.
type Check struct {
	Part string // "kafka", or the variable that names it
	Look func(ctx context.Context) []Finding
}

// look is Look within leaveAfter.
func (c Check) look(ctx context.Context) []Finding {
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	found := make(chan []Finding, 1)
	go func() { found <- c.Look(ctx) }()
	select {
	case findings := <-found:
		return findings
	case <-time.After(leaveAfter):
		return Fail(fmt.Sprintf("no answer within %v", leaveAfter), "look whether it hangs, or the network in between")
	}
}

// Run makes all checks, writes a line for each finding in the order of checks, and one that counts them. It reports
// whether nothing has failed.
func Run(ctx context.Context, w io.Writer, checks []Check) bool {
	width := 0
	results := make([]chan []Finding, len(checks))
	for i, c := range checks {
		width = max(width, len(c.Part))
		results[i] = make(chan []Finding, 1)
		go func() { results[i] <- c.look(ctx) }()
	}
	count := map[Level]int{}
	for i, c := range checks {
		for _, f := range <-results[i] {
			count[f.Level]++
			_, _ = fmt.Fprintf(w, "%-4s  %-*s  %s\n", f.Level, width, c.Part, f.text())
		}
	}
	_, _ = fmt.Fprintf(w, "\n%d ok, %d warn, %d fail\n", count[OK], count[Warned], count[Failed])
	return count[Failed] == 0
}

// text is the finding in one line without passwords.
func (f Finding) text() string {
	text := settings.Redact(f.What)
	if f.Do != "" {
		text += "; " + f.Do
	}
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
	if len(text) > maxLine {
		text = strings.ToValidUTF8(text[:maxLine], "") + " …"
	}
	return text
}
