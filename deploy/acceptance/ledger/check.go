package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Report is what a check found. All but the last three count readings that their devices dated.
type Report struct {
	Sent         int
	Acknowledged int
	Found        int // of those acknowledged: stored once, with the content that was published
	Missing      int // of those acknowledged: not stored
	Duplicated   int // stored more than once
	Different    int // stored with another content than was published
	Unexpected   int // stored, and never sent

	// Readings with a bad clock, which Telltale dates itself, are counted and not judged: one that is sent
	// again after a broken connection is stored twice, and of one that falls on the millisecond of another
	// reading of its device the later is a dead letter. Where that is the other one, it is Displaced.
	UndatedAcknowledged, UndatedStored, Displaced int

	Details []string // the first few of what is wrong
}

// Err is nil when everything is as it must be, and says what is not.
func (r Report) Err() error {
	if r.Missing+r.Duplicated+r.Different+r.Unexpected == 0 {
		return nil
	}
	return fmt.Errorf("%d missing, %d duplicated, %d different, %d unexpected:\n%s",
		r.Missing, r.Duplicated, r.Different, r.Unexpected, strings.Join(r.Details, "\n"))
}

// String is r in one line.
func (r Report) String() string {
	s := fmt.Sprintf("%d sent, %d acknowledged, %d found, %d missing, %d duplicated, %d different, %d unexpected",
		r.Sent, r.Acknowledged, r.Found, r.Missing, r.Duplicated, r.Different, r.Unexpected)
	if r.UndatedAcknowledged+r.UndatedStored > 0 {
		s += fmt.Sprintf("; with a bad clock %d acknowledged, %d stored, %d others displaced by them",
			r.UndatedAcknowledged, r.UndatedStored, r.Displaced)
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

// Check walks the readings of all devices of l at api (http://host:port). An error is a walk that could
// not be finished; what it found wrong is in the report.
func (l *Ledger) Check(ctx context.Context, api string) (Report, error) {
	var r Report
	for _, id := range l.ids() {
		readings, err := walk(ctx, api, id)
		if err != nil {
			return r, fmt.Errorf("readings of device %d: %w", id, err)
		}
		l.devices[id].judge(&r, id, readings)
	}
	return r, nil
}

// judge holds what is stored of a device against what it sent.
func (d *device) judge(r *Report, id int64, readings []stored) {
	at := map[int64][]string{}  // the contents stored at each millisecond
	undated := map[int64]bool{} // the milliseconds of readings that Telltale dated
	for _, s := range readings {
		content, ms := s.content(), s.Timestamp.UnixMilli()
		_, known := d.sent[ms]
		switch {
		case s.Source == "server" && d.undated[content] > 0:
			r.UndatedStored++
			undated[ms] = true
		case s.Source == "server" || s.Device != id || !known:
			r.wrong(&r.Unexpected, "unexpected: device %d at %s: %s", s.Device, format(ms), content)
		default:
			at[ms] = append(at[ms], content)
		}
	}
	r.UndatedAcknowledged += d.undatedAcknowledged

	for ms, sent := range d.sent {
		r.Sent++
		if sent.acknowledged {
			r.Acknowledged++
		}
		switch contents := at[ms]; {
		case len(contents) == 0 && sent.acknowledged && undated[ms]:
			r.Displaced++
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
		if err == nil && r.Missing == 0 {
			return r, nil
		}
		select {
		case <-ctx.Done():
			return r, err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// walk returns all stored readings of a device. A device that the API does not know has none.
func walk(ctx context.Context, api string, id int64) ([]stored, error) {
	var all []stored
	visited := map[string]bool{}
	next := fmt.Sprintf("%s/api/devices/%d/readings/?limit=10000", strings.TrimRight(api, "/"), id)
	for next != "" {
		if visited[next] {
			return nil, fmt.Errorf("the link %s leads in a circle", next)
		}
		visited[next] = true
		page, link, err := fetch(ctx, next)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		next = link
	}
	return all, nil
}

// fetch returns a page, and the URL of the next one or "".
func fetch(ctx context.Context, page string) (readings []stored, next string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return nil, "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return nil, "", err
	case response.StatusCode == http.StatusNotFound:
		return nil, "", nil
	case response.StatusCode != http.StatusOK:
		return nil, "", fmt.Errorf("GET %s: %s: %.200s", page, response.Status, body)
	}
	if err := json.Unmarshal(body, &readings); err != nil {
		return nil, "", fmt.Errorf("GET %s: %w", page, err)
	}
	next, err = nextLink(response)
	return readings, next, err
}

var linkNext = regexp.MustCompile(`<([^>]*)>\s*;\s*rel="?next"?`)

// nextLink returns the absolute URL of the Link header with rel="next", or "".
func nextLink(response *http.Response) (string, error) {
	match := linkNext.FindStringSubmatch(strings.Join(response.Header.Values("Link"), ", "))
	if match == nil {
		return "", nil
	}
	target, err := url.Parse(match[1])
	if err != nil {
		return "", errors.New("the Link header has no URL in it")
	}
	return response.Request.URL.ResolveReference(target).String(), nil
}

func format(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }
