package trace

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/typo"
)

// Name is what a device is called.
type Name struct {
	ID  iot.DeviceID
	Key string // "" where it is the id, or not known
}

// String is what people call it.
func (n Name) String() string {
	if n.Key != "" {
		return n.Key
	}
	return n.ID.String()
}

func (n Name) is(text string) bool { return text != "" && (text == n.Key || text == n.ID.String()) }

// Names reports whether a level of topic, or several for a key with a /, is what the device is called.
func (n Name) Names(topic string) bool {
	for level := range strings.SplitSeq(topic, "/") {
		if n.is(level) {
			return true
		}
	}
	return strings.Contains(n.Key, "/") && strings.Contains("/"+topic+"/", "/"+n.Key+"/")
}

// Sent reports whether d may be the device's: its topic names it, or its bytes do, where that is another than the topic's.
func (n Name) Sent(d iot.DeadLetter) bool {
	if n.Names(d.Source) {
		return true
	}
	if d.Reason != iot.ReasonDeviceIDMismatch {
		return false
	}
	var said struct {
		Device any `json:"device_id"`
	}
	decoder := json.NewDecoder(bytes.NewReader(d.Bytes))
	decoder.UseNumber() // a float64 shows ids of keys otherwise
	return decoder.Decode(&said) == nil && n.is(fmt.Sprint(said.Device))
}

// likeOneIn reports whether a level of topic is what the device is called but for a slip of the fingers.
func (n Name) likeOneIn(topic string) bool {
	for level := range strings.SplitSeq(topic, "/") {
		if n.like(level) {
			return true
		}
	}
	return false
}

// like reports whether text is what the device is called, but for letters' case or a letter or two: the fewer there are, the
// more each says. Other digits are another device's.
func (n Name) like(text string) bool {
	name, text := strings.ToLower(n.String()), strings.ToLower(text)
	if len(text) > iot.MaxKeyBytes || digits(name) != digits(text) {
		return false
	}
	return typo.Distance(name, text) <= min(typo.Most, len(name)/4)
}

func digits(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return r
		}
		return -1
	}, text)
}

// NearMisses returns those of what is ignored that may be the device's: on a topic that names it, or something similar, or where
// the hint does.
func (n Name) NearMisses(all []event.Ignored) (near []event.Ignored) {
	for _, i := range all {
		if n.Names(i.Topic) || n.likeOneIn(i.Topic) || n.hinted(i.Hint) {
			near = append(near, i)
		}
	}
	return near
}

// hinted reports whether a topic that stands in a hint names the device.
func (n Name) hinted(hint string) bool {
	for word := range strings.FieldsSeq(hint) {
		if strings.Contains(word, "/") && n.Names(strings.TrimRight(word, "?.,")) {
			return true
		}
	}
	return false
}
