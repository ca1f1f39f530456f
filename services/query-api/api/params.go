package api

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/pkg/iot"
)

const (
	msgTime        = "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z], YYYY-MM-DD."
	msgCursor      = "Invalid cursor."
	msgBool        = "Must be a valid boolean."
	msgTopicFilter = "Not an MQTT topic filter: + and # stand for whole levels, # for the last ones."

	msgChoice = "Select a valid choice. %s is not one of the available choices. They are %s."

	msgNotAfter  = "It must not be after `%s`."
	msgNotBefore = "It must not be before `%s`."

	msgUnknown = "Unknown parameter."
	msgTooMany = "Ensure this field has no more than %d elements."
)

// pathDevice reads the id or the key in the path. What is neither names nothing, so it is not found.
func (r *request) pathDevice() (iot.Identity, error) {
	name := r.Param("id")
	if r.Request().URL.RawPath != "" { // else echo has matched the path as it is without its escapes
		var err error
		if name, err = url.PathUnescape(name); err != nil {
			return iot.Identity{}, errNotFound
		}
	}
	id, key, err := iot.ParseDevice(name)
	if err != nil {
		return iot.Identity{}, errNotFound
	}
	return iot.Identity{ID: id, Key: key}, nil
}

// params is the query string of a request. Its methods read one parameter each, and gather what is wrong
// with all of them. An empty parameter counts as not given; of one that stands twice the last counts, as
// in Django. Parameters that no method asks for are ignored, and named by unknown, unless refuseOthers is called.
type params struct {
	pairs []param
	asked []string // names that were read
	errs  fieldErrors
}

type param struct{ name, value string }

func readParams(c echo.Context) *params {
	return &params{pairs: readPairs(c.Request().URL.RawQuery)}
}

func readPairs(raw string) (pairs []param) {
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair != "" {
			name, value, _ := strings.Cut(pair, "=")
			pairs = append(pairs, param{unescape(name), unescape(value)})
		}
	}
	return pairs
}

// unescape makes invalid UTF-8 of what cannot be unescaped: no parameter takes it.
func unescape(s string) string {
	if t, err := url.QueryUnescape(s); err == nil {
		return t
	}
	return s + "\xff"
}

func (p *params) get(name string) string {
	p.asked = append(p.asked, name)
	for i := len(p.pairs) - 1; i >= 0; i-- {
		if p.pairs[i].name == name {
			return p.pairs[i].value
		}
	}
	return ""
}

// unknown names the parameters that no method has read, in the form of a query and separated by commas: the first few.
func (p *params) unknown() string {
	const most, longest = 10, 100
	var names []string
	for _, q := range p.pairs {
		name := url.QueryEscape(q.name[:min(len(q.name), longest)])
		if len(names) < most && !slices.Contains(p.asked, q.name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// nameUnknown names in the answer the parameters that no method has read.
func (r *request) nameUnknown() {
	if unknown := r.query.unknown(); unknown != "" {
		r.Response().Header().Set("X-Unknown-Parameters", unknown)
	}
}

// refuseOthers refuses the parameters that no method has read: for requests that would do too much where a name is
// mistyped.
func (p *params) refuseOthers() {
	for _, q := range p.pairs {
		if !slices.Contains(p.asked, q.name) && p.errs[q.name] == nil {
			p.fail(q.name, msgUnknown)
		}
	}
}

func (p *params) fail(name, message string) {
	if p.errs == nil {
		p.errs = fieldErrors{}
	}
	p.errs[name] = append(p.errs[name], message)
}

// failChoice says that value is none of choices.
func (p *params) failChoice(name, value string, choices ...string) {
	p.fail(name, fmt.Sprintf(msgChoice, value, strings.Join(choices, ", ")))
}

// err is what was wrong with the parameters that were read, or nil.
func (p *params) err() error {
	if p.errs == nil {
		return nil
	}
	return p.errs
}

// integer reads a number from 1 to most.
func (p *params) integer(name string, most, otherwise int64) int64 {
	s := p.get(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange):
		p.fail(name, msgInteger)
	case n < 1:
		p.fail(name, fmt.Sprintf(msgAtLeast, 1))
	case n > most:
		p.fail(name, fmt.Sprintf(msgAtMost, most))
	}
	return n
}

// device reads the id or the key of a device; 0 where none is given.
func (p *params) device(name string) iot.DeviceID {
	s := p.get(name)
	if s == "" {
		return 0
	}
	id, _, err := iot.ParseDevice(s)
	if err != nil {
		p.fail(name, msgDevice)
	}
	return id
}

// maxDevices bounds the devices that a query names.
const maxDevices = 1000

// devices reads the ids or keys of devices, as all does; nil where none is given.
func (p *params) devices(name string) (devices []iot.DeviceID) {
	for _, s := range p.all(name) {
		id, _, err := iot.ParseDevice(s)
		if err != nil {
			p.fail(name, msgDevice)
			return nil
		}
		if !slices.Contains(devices, id) {
			devices = append(devices, id)
		}
		if len(devices) > maxDevices {
			p.fail(name, fmt.Sprintf(msgTooMany, maxDevices))
			return nil
		}
	}
	return devices
}

// each reads all parameters of that name. What is empty counts as not given.
func (p *params) each(name string) (values []string) {
	return slices.DeleteFunc(p.every(name), func(value string) bool { return value == "" })
}

// every reads all parameters of that name, empty ones too.
func (p *params) every(name string) (values []string) {
	p.asked = append(p.asked, name)
	for _, q := range p.pairs {
		if q.name == name {
			values = append(values, q.value)
		}
	}
	return values
}

// all reads what stands in all parameters of that name, also separated by commas there; `\,` is a comma of a value, and
// `\\` a backslash. What is empty counts as not given.
func (p *params) all(name string) (values []string) {
	for _, list := range p.each(name) {
		var value []byte
		end := func() {
			if len(value) > 0 {
				values = append(values, string(value))
			}
			value = value[:0]
		}
		for i := 0; i < len(list); i++ {
			switch c := list[i]; {
			case c == ',':
				end()
			case c == '\\' && i+1 < len(list) && (list[i+1] == ',' || list[i+1] == '\\'):
				i++
				value = append(value, list[i])
			default:
				value = append(value, c)
			}
		}
		end()
	}
	return values
}

func (p *params) limit(otherwise int64) int { return int(p.integer("limit", iot.MaxPage, otherwise)) }

// cursor reads where a list of readings goes on.
func (p *params) cursor() iot.Cursor {
	cursor, err := iot.ParseCursor(p.get("cursor"))
	if err != nil {
		p.fail("cursor", msgCursor)
	}
	return cursor
}

// reason reads a reason of dead letters; "" where none is given.
func (p *params) reason(name string) iot.Reason { return choice(p, name, iot.Reasons) }

// choice reads one of choices; "" where none is given.
func choice[T ~string](p *params, name string, choices []T) T {
	value := T(p.get(name))
	if value != "" && !slices.Contains(choices, value) {
		var texts []string
		for _, c := range choices {
			texts = append(texts, string(c))
		}
		p.failChoice(name, string(value), texts...)
	}
	return value
}

// text reads up to most characters; "" where none are given.
func (p *params) text(name string, most int) string {
	s := p.get(name)
	switch {
	case !utf8.ValidString(s):
		p.fail(name, msgString)
	case strings.IndexByte(s, 0) >= 0:
		p.fail(name, msgNullChar)
	case utf8.RuneCountInString(s) > most:
		p.fail(name, fmt.Sprintf(msgTooLong, most))
	}
	return s
}

// topicFilter reads a filter for MQTT topics; "" where none is given.
func (p *params) topicFilter(name string) iot.TopicFilter {
	s := p.text(name, iot.MaxTopic)
	if s == "" {
		return ""
	}
	filter, err := iot.ParseTopicFilter(s)
	if err != nil {
		p.fail(name, msgTopicFilter)
	}
	return filter
}

// boolean reads true or false; nil where none is given.
func (p *params) boolean(name string) *bool {
	s := p.get(name)
	if s == "" {
		return nil
	}
	if s != "true" && s != "false" {
		p.fail(name, msgBool)
	}
	yes := s == "true"
	return &yes
}

// deadLetterCursor reads where a list of dead letters goes on.
func (p *params) deadLetterCursor() iot.DeadLetterCursor {
	cursor, err := iot.ParseDeadLetterCursor(p.get("cursor"))
	if err != nil {
		p.fail("cursor", msgCursor)
	}
	return cursor
}

// idCursor reads where a list by id goes on: behind the id that it returns.
func (p *params) idCursor() int64 {
	s := p.get("cursor")
	if s == "" {
		return 0
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != 8 || int64(binary.BigEndian.Uint64(b)) < 1 {
		p.fail("cursor", msgCursor)
		return 0
	}
	return int64(binary.BigEndian.Uint64(b))
}

func formatIDCursor(id int64) string {
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, uint64(id)))
}

// cutRows returns the first limit of all rows, which has one more where there are more, and links to the rest then.
func cutRows[T any, ID ~int64](r *request, all []T, limit int, id func(*T) ID) []T {
	if len(all) <= limit {
		return all
	}
	r.linkNext(formatIDCursor(int64(id(&all[limit-1]))))
	return all[:limit]
}

// linkNext sets the header that links to the rest of a list: the same request from cursor on. It is relative to the request
// (RFC 8288, section 3.1): whatever a proxy has made of scheme, host and port, only the client knows what it asked.
func (r *request) linkNext(cursor string) {
	var b strings.Builder
	b.WriteString("<" + r.Request().URL.EscapedPath() + "?")
	for _, q := range r.query.pairs {
		if q.name != "cursor" {
			b.WriteString(url.QueryEscape(q.name) + "=" + url.QueryEscape(q.value) + "&")
		}
	}
	b.WriteString("cursor=" + cursor + `>; rel="next"`)
	r.Response().Header().Set("Link", b.String())
}
