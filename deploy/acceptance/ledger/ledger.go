// Package ledger finds out whether a deployment lost, repeated, changed or invented readings. It holds the
// ledger that the simulator keeps (--publish-ledger: what was sent, and what was acknowledged) against what
// the HTTP API returns:
//
//	acknowledged ⊆ stored ⊆ sent, each once and with the content that was published
//
// It looks from outside only, and knows nothing of how Telltale stores readings.
package ledger

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Ledger is what a simulator recorded, by device.
type Ledger struct {
	devices map[int64]*device
	mayLose []window
}

// window is a time, both ends included, in milliseconds since the epoch.
type window struct{ from, to int64 }

// MayLose has Check count, and not hold against anybody, what is missing of the readings that were dated in a
// time: a server in between may lose it. All that is stored of it must be right all the same.
func (l *Ledger) MayLose(from, to time.Time) {
	l.mayLose = append(l.mayLose, window{from.UnixMilli(), to.UnixMilli()})
}

func excused(mayLose []window, ms int64) bool {
	return slices.ContainsFunc(mayLose, func(w window) bool { return w.from <= ms && ms <= w.to })
}

// Acknowledged returns, by device, when those readings were dated, in milliseconds since the epoch, that were
// acknowledged and that MayLose does not excuse.
func (l *Ledger) Acknowledged() map[int64][]int64 {
	all := map[int64][]int64{}
	for id, d := range l.devices {
		for ms, sent := range d.sent {
			if sent.acknowledged && !excused(l.mayLose, ms) {
				all[id] = append(all[id], ms)
			}
		}
	}
	return all
}

// device is what the ledger says of one device.
type device struct {
	sent    map[int64]entry    // by timestamp, in milliseconds since the epoch
	undated map[string]undated // readings dated so that Telltale dates them itself, by content
}

type undated struct{ sent, acknowledged int }

type entry struct {
	content      string
	acknowledged bool
}

// Read reads the ledger at path. A last line that was cut off by a kill is passed over.
func Read(path string) (*Ledger, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	l, err := Parse(f)
	if err != nil {
		return nil, fmt.Errorf("read ledger %s: %w", path, err)
	}
	return l, nil
}

// Parse reads a ledger whose readings were all sent before now.
func Parse(r io.Reader) (*Ledger, error) { return parse(r, time.Now()) }

// parse reads a ledger whose readings were all sent before now.
func parse(r io.Reader, now time.Time) (*Ledger, error) {
	l := &Ledger{devices: map[int64]*device{}}
	lines := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return l, nil
		}
		if err != nil {
			return nil, err
		}
		if err := l.add(line, now); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
}

func (l *Ledger) add(line []byte, now time.Time) error {
	var record struct {
		Event   string
		Reading json.RawMessage
	}
	if err := json.Unmarshal(line, &record); err != nil {
		return err
	}
	p, err := parsePublished(record.Reading)
	if err != nil {
		return err
	}
	d := l.devices[p.device]
	if d == nil {
		d = &device{sent: map[int64]entry{}, undated: map[string]undated{}}
		l.devices[p.device] = d
	}
	ms := p.at.UnixMilli()
	dated := p.at.Year() >= 2000 && p.at.Before(now.Add(5*time.Minute)) // the contract, section 1
	switch {
	case record.Event == "sent" && dated:
		if _, again := d.sent[ms]; again {
			return fmt.Errorf("device %d sent two readings at %v", p.device, p.at)
		}
		d.sent[ms] = entry{content: p.content}
	case record.Event == "sent":
		n := d.undated[p.content]
		n.sent++
		d.undated[p.content] = n
	case record.Event == "acknowledged" && dated:
		if d.sent[ms].content != p.content {
			return fmt.Errorf("device %d: the reading acknowledged at %v was not sent", p.device, p.at)
		}
		d.sent[ms] = entry{content: p.content, acknowledged: true}
	case record.Event == "acknowledged":
		n := d.undated[p.content]
		if n.acknowledged == n.sent {
			return fmt.Errorf("device %d: of readings with a bad clock that say %s more were acknowledged than sent", p.device, p.content)
		}
		n.acknowledged++
		d.undated[p.content] = n
	default:
		return fmt.Errorf("unknown event %q", record.Event)
	}
	return nil
}

// published is a reading as a device sent it.
type published struct {
	device  int64
	at      time.Time
	content string
}

func parsePublished(text []byte) (published, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return published{}, err
	}
	var p published
	values := map[string]float64{}
	for name, raw := range members {
		var err error
		switch name {
		case "device_id":
			err = json.Unmarshal(raw, &p.device)
		case "timestamp":
			err = json.Unmarshal(raw, &p.at)
		default:
			var v float64
			err = json.Unmarshal(raw, &v)
			values[name] = v
		}
		if err != nil {
			return published{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	p.content = content(values)
	return p, nil
}

// content is what a reading says, in a form to compare.
func content(metrics map[string]float64) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(metrics)) {
		fmt.Fprintf(&b, "%s=%s ", name, strconv.FormatFloat(metrics[name], 'g', -1, 64))
	}
	return strings.TrimRight(b.String(), " ")
}

// stored is a reading as the API returns it.
type stored struct {
	Device      int64              `json:"device_id"`
	Timestamp   time.Time          `json:"timestamp"`
	Temperature *float64           `json:"temperature"`
	Humidity    *float64           `json:"humidity"`
	Metrics     map[string]float64 `json:"metrics"`
	Source      string             `json:"timestamp_source"`
}

func (s stored) content() string {
	values := map[string]float64{}
	maps.Copy(values, s.Metrics)
	if s.Temperature != nil {
		values["temperature"] = *s.Temperature
	}
	if s.Humidity != nil {
		values["humidity"] = *s.Humidity
	}
	return content(values)
}

// ids returns the devices of l, ascending.
func (l *Ledger) ids() []int64 { return slices.SortedFunc(maps.Keys(l.devices), cmp.Compare) }
