package ledger

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Report is what a check found. All but the last four count readings that their devices dated.
type Report struct {
	Sent         int
	Acknowledged int
	Found        int // of those acknowledged: stored once, with the content that was published
	Missing      int // of those acknowledged: not stored
	Excused      int // of those acknowledged: not stored, and MayLose says that it may be so
	Duplicated   int // stored more than once
	Different    int // stored with another content than was published
	Unexpected   int // stored, and never sent

	// Readings with a bad clock, which Telltale dates itself: one that is sent again after a broken connection
	// is stored twice, and of one that falls on the millisecond of another reading of its device the later is a
	// dead letter. Where that is the other one, it is Displaced. UndatedMissing were acknowledged, and are neither
	// stored nor dead letters.
	UndatedAcknowledged, UndatedStored, UndatedMissing, Displaced int

	Details []string // the first few of what is wrong
}

// Err is nil when everything is as it must be, and says what is not.
func (r Report) Err() error {
	missing := r.Missing + r.UndatedMissing
	if missing+r.Duplicated+r.Different+r.Unexpected == 0 {
		return nil
	}
	return fmt.Errorf("%d missing, %d duplicated, %d different, %d unexpected:\n%s",
		missing, r.Duplicated, r.Different, r.Unexpected, strings.Join(r.Details, "\n"))
}

// String is r in one line.
func (r Report) String() string {
	s := fmt.Sprintf("%d sent, %d acknowledged, %d found, %d missing, %d duplicated, %d different, %d unexpected",
		r.Sent, r.Acknowledged, r.Found, r.Missing, r.Duplicated, r.Different, r.Unexpected)
	if r.Excused > 0 {
		s += fmt.Sprintf(", %d lost as they may be", r.Excused)
	}
	if r.UndatedAcknowledged+r.UndatedStored > 0 {
		s += fmt.Sprintf("; with a bad clock %d acknowledged, %d stored, %d missing, %d others displaced by them",
			r.UndatedAcknowledged, r.UndatedStored, r.UndatedMissing, r.Displaced)
	}
	return s
}

const maxDetails = 10

func (r *Report) wrong(counter *int, format string, args ...any) {
	*counter++
	if len(r.Details) < maxDetails {
		r.Details = append(r.Details, fmt.Sprintf(format, args...))
	}
}

// Check pages through the readings of all devices of l at api (http://host:port). An error is a listing that could
// not be finished; what it found wrong is in the report.
func (l *Ledger) Check(ctx context.Context, api string) (Report, error) {
	var r Report
	for _, id := range l.ids() {
		d := l.devices[id]
		readings, err := pages[stored](ctx, fmt.Sprintf("%s/api/devices/%d/readings/?limit=10000", strings.TrimRight(api, "/"), id))
		if err != nil {
			return r, fmt.Errorf("readings of device %d: %w", id, err)
		}
		deadLetters := map[deadLetter]bool{}
		if len(d.undated) > 0 { // else there can be none
			if deadLetters, err = conflicts(ctx, api, id); err != nil {
				return r, fmt.Errorf("dead letters of device %d: %w", id, err)
			}
		}
		d.judge(&r, id, readings, deadLetters, l.mayLose)
	}
	return r, nil
}

// judge compares what is stored of a device, and what became conflicts, with what it sent.
func (d *device) judge(r *Report, id int64, readings []stored, deadLetters map[deadLetter]bool, mayLose []window) {
	at := map[int64][]string{}  // the contents stored at each millisecond
	undated := map[int64]bool{} // the milliseconds of readings that Telltale dated
	kept := map[string]int{}    // readings that Telltale dated, stored or dead letters, by content
	for _, s := range readings {
		content, ms := s.content(), s.Timestamp.UnixMilli()
		_, known := d.sent[ms]
		switch {
		case s.Source == "server" && d.undated[content].sent > 0:
			r.UndatedStored++
			undated[ms] = true
			kept[content]++
		case s.Source == "server" || s.Device != id || !known:
			r.wrong(&r.Unexpected, "unexpected: device %d at %s: %s", s.Device, format(ms), content)
		default:
			at[ms] = append(at[ms], content)
		}
	}
	for l := range deadLetters {
		if l.server {
			kept[l.content]++
		}
	}
	for content, n := range d.undated {
		r.UndatedAcknowledged += n.acknowledged
		for range n.acknowledged - kept[content] {
			r.wrong(&r.UndatedMissing, "missing: device %d with a bad clock: %s", id, content)
		}
	}

	for ms, sent := range d.sent {
		r.Sent++
		if sent.acknowledged {
			r.Acknowledged++
		}
		switch contents := at[ms]; {
		case len(contents) == 0 && sent.acknowledged && undated[ms] && deadLetters[deadLetter{ms: ms, content: sent.content}]:
			r.Displaced++
		case len(contents) == 0 && sent.acknowledged && excused(mayLose, ms):
			r.Excused++
		case len(contents) == 0 && sent.acknowledged:
			r.wrong(&r.Missing, "missing: device %d at %s: %s", id, format(ms), sent.content)
		case len(contents) == 0: // it was on its way when something was killed
		case len(contents) > 1:
			r.wrong(&r.Duplicated, "stored %d times: device %d at %s: %q", len(contents), id, format(ms), contents)
		case contents[0] != sent.content:
			r.wrong(&r.Different, "different: device %d at %s: %s was published, %s is stored", id, format(ms), sent.content, contents[0])
		case sent.acknowledged:
			r.Found++
		}
	}
}

// Await repeats Check until nothing is missing any more, or ctx ends; an API that does not answer yet is
// waited for. It returns the last report, and the error of the last Check where that failed.
func (l *Ledger) Await(ctx context.Context, api string) (Report, error) {
	for {
		r, err := l.Check(ctx, api)
		if err == nil && r.Missing+r.UndatedMissing == 0 {
			return r, nil
		}
		select {
		case <-ctx.Done():
			return r, err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func format(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }
