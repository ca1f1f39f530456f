package apiclient

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

const (
	maxNames = 10_000 // devices whose names are known; others are shown by key or id
	maxShown = 60     // characters of a text
)

// Tail prints readings as they come.
type Tail struct {
	Client
	Devices, Metrics []string // only of these, by id or key, and with one of these; nil: all
	JSON             bool     // as the API has them, one a line
	Out, Err         io.Writer

	names map[iot.DeviceID]string
}

// Run prints until ctx ends, and returns nil then.
func (t *Tail) Run(ctx context.Context) error {
	query := url.Values{}
	for _, d := range t.Devices {
		query.Add("device_id", InList(d))
	}
	for _, m := range t.Metrics {
		query.Add("metric", InList(m))
	}
	if !t.JSON {
		if err := t.learn(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return t.Follow(ctx, query, t.print, func(err error, behind time.Duration) {
		_, _ = fmt.Fprintf(t.Err, "reconnecting, %d s behind: %v\n", int(behind.Seconds()), err)
	})
}

// device is one as the API has it.
type device struct {
	ID      iot.DeviceID `json:"id"`
	Key     string       `json:"key"`
	Name    string       `json:"name"`
	Deleted bool         `json:"deleted"`
}

// learn asks what devices are called. The stream says what changes.
func (t *Tail) learn(ctx context.Context) error {
	t.names = map[iot.DeviceID]string{}
	for _, name := range t.Devices {
		var d device
		err := t.Get(ctx, "/api/devices/"+url.PathEscape(name)+"/", nil, &d)
		var status *StatusError
		if errors.As(err, &status) && status.Code == http.StatusNotFound {
			continue // it may come yet
		}
		if err != nil {
			return err
		}
		t.call(d)
	}
	if len(t.Devices) > 0 {
		return nil
	}
	var all []device
	if err := t.Get(ctx, "/api/devices/", url.Values{"limit": {strconv.Itoa(maxNames)}}, &all); err != nil {
		return err
	}
	for _, d := range all {
		t.call(d)
	}
	return nil
}

// call notes what a device is called.
func (t *Tail) call(d device) {
	if d.Deleted {
		delete(t.names, d.ID)
		return
	}
	if _, known := t.names[d.ID]; !known && len(t.names) >= maxNames {
		return
	}
	id := cmp.Or(d.Key, d.ID.String())
	switch d.Name {
	case "", id, "Device " + id: // by itself
		t.names[d.ID] = shown(id)
	default:
		t.names[d.ID] = shown(d.Name) + " (" + shown(id) + ")"
	}
}

// print prints an event, if it is one to print.
func (t *Tail) print(e Event) error {
	switch {
	case e.Name == "resync":
		_, _ = fmt.Fprintln(t.Err, "the log does not reach back so far: readings are missing here")
		return nil
	case e.Name == "reading" && t.JSON:
		_, err := fmt.Fprintf(t.Out, "%s\n", e.Data)
		return err
	case t.JSON:
		return nil
	case e.Name == "device":
		var d device
		if json.Unmarshal(e.Data, &d) == nil {
			t.call(d)
		}
		return nil
	case e.Name == "dead_letter":
		return t.deadLetter(e.Data)
	case e.Name == "reading":
		return t.reading(e.Data)
	}
	return nil // of a later version
}

// reading prints a line such as
//
//	12:00:00.250  Kitchen (kitchen-1)  humidity 40 %  temperature 21.5 °C  1 s old
func (t *Tail) reading(text []byte) error {
	r, err := readingjson.Parse(text)
	if err != nil {
		_, _ = fmt.Fprintln(t.Err, "of another version:", err)
		return nil
	}
	now := time.Now()
	b := t.begin(r.At, now, r.Device, r.Key)
	for _, m := range r.Metrics {
		if len(t.Metrics) == 0 || slices.Contains(t.Metrics, m.Name) {
			b = append(append(b, "  "...), shown(m.Name)...)
			b = strconv.AppendFloat(append(b, ' '), m.Value, 'g', -1, 64)
			b = append(b, units[m.Name]...)
		}
	}
	for _, a := range r.Attributes {
		if len(t.Metrics) == 0 {
			b = append(append(b, "  "...), shown(a.Name)...)
			b = append(append(b, ' '), strconv.Quote(shown(a.Value))...)
		}
	}
	b = append(append(b, "  "...), age(now.Sub(r.At))...)
	_, err = t.Out.Write(append(b, '\n'))
	return err
}

var units = map[string]string{iot.Temperature: " °C", iot.Humidity: " %"}

func (t *Tail) deadLetter(text []byte) error {
	var d struct {
		Reason, Detail, Source string
		Device                 iot.DeviceID `json:"device_id"`
		Key                    string       `json:"device_key"`
		Received               time.Time    `json:"received_at"`
	}
	if err := json.Unmarshal(text, &d); err != nil {
		_, _ = fmt.Fprintln(t.Err, "of another version:", err)
		return nil
	}
	b := t.begin(d.Received, time.Now(), d.Device, d.Key)
	b = fmt.Appendf(b, "  dead letter %s: %s (%s)\n", shown(d.Reason), shown(d.Detail), shown(d.Source))
	_, err := t.Out.Write(b)
	return err
}

// begin begins a line: when, here, and of which device.
func (t *Tail) begin(at, now time.Time, id iot.DeviceID, key string) (b []byte) {
	at, now = at.Local(), now.Local()
	if at.Format(time.DateOnly) != now.Format(time.DateOnly) {
		b = at.AppendFormat(b, "2006-01-02 ")
	}
	b = append(at.AppendFormat(b, "15:04:05.000"), "  "...)
	switch name := t.names[id]; {
	case name != "":
		return append(b, name...)
	case key != "":
		return append(b, shown(key)...)
	case id != 0:
		return append(b, id.String()...)
	default:
		return append(b, '-')
	}
}

// age says how old something is, which may be less than 0 by a device's clock.
func age(d time.Duration) string {
	if d < 0 {
		return span(-d) + " ahead"
	}
	return span(d) + " old"
}

func span(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return strconv.FormatFloat(math.Round(d.Seconds()*10)/10, 'g', -1, 64) + " s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	default:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
}

// shown returns a text as a terminal may have it: what a device sends may hold what moves the cursor.
func shown(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, text)
	if utf8.RuneCountInString(text) <= maxShown {
		return text
	}
	return string([]rune(text)[:maxShown]) + "…"
}
