package trace

import (
	"fmt"
	"time"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// noSkew is how far a clock may be off without a word: the messages of a device take their time, too.
const noSkew = iot.MaxAhead

// hints are sentences, each added once.
type hints []string

func (h *hints) add(format string, args ...any) { *h = append(*h, fmt.Sprintf(format, args...)) }

// Hints returns what may keep the device's readings from appearing, the likeliest first: what became of its last message, then
// its connection, its clock, its silence, and what else may be it.
func (e *Evidence) Hints() []string {
	h := hints{}
	if !e.Seen.Running {
		h.add("No mqtt-bridge has said within %s that it runs: what is published over MQTT is not taken then.", short(event.SeenAlive))
	}
	e.rejected(&h)
	e.unread(&h)
	e.connection(&h)
	e.clock(&h)
	e.silent(&h)
	e.mistaken(&h)
	e.unknown(&h)
	if len(h) == 0 {
		h.add("Nothing is wrong that Telltale knows of: its last reading arrived %s.", e.ago(e.heard()))
	}
	return h
}

// rejected is for a device whose last message became a dead letter.
func (e *Evidence) rejected(h *hints) {
	last := e.LastMessage()
	if last == nil || last.Outcome != BecameDeadLetter {
		return
	}
	if len(e.DeadLetters) == 0 || e.DeadLetters[0].Received.Before(last.At) { // which is on its way to the store
		h.add("Its last message, on %s %s, became a dead letter.", last.Topic, e.ago(last.At))
		return
	}
	d := e.DeadLetters[0]
	if d.Reason == iot.ReasonTooOld {
		h.add("Its readings are rejected as too old (%s): its clock may be wrong, or it sends what it kept for longer than readings are.", d.Detail)
		return
	}
	h.add("Its last message, on %s %s, became a dead letter: %s (%s).", last.Topic, e.ago(last.At), d.Reason, d.Detail)
}

// unread is for a device that publishes where nobody reads.
func (e *Evidence) unread(h *hints) {
	if i := e.ignored(); i != nil && i.Last.After(e.heard()) {
		h.add("It publishes on %s, which nobody reads%s (%s).", i.Topic, advice(i.Hint), e.ago(i.Last))
	}
	for _, i := range e.NearMisses {
		if i.Member != "" && e.Device.Names(i.Topic) {
			h.add("Its readings are kept without the member %s: %s.", i.Member, i.Hint)
			break
		}
	}
}

func advice(hint string) string {
	if hint == "" {
		return ""
	}
	return ": " + hint
}

// connection is for a device whose client is refused, or connected and silent.
func (e *Evidence) connection(h *hints) {
	for _, c := range e.Seen.Connections {
		if c.Refused != "" && c.Until.After(e.heard()) {
			h.add("Its client %s was refused %s: %s.", c.ID, e.ago(c.Until), c.Refused)
			break
		}
	}
	last := e.LastMessage()
	for _, c := range e.Seen.Connections {
		if c.Until.IsZero() && (last == nil || last.At.Before(c.Since)) {
			h.add("Its client %s is connected since %s, and has published nothing that names it.", c.ID, at(c.Since))
			break
		}
	}
}

// clock is for a device whose times are not ours.
func (e *Evidence) clock(h *hints) {
	const own, ours = "its readings are stored under its own times", "its readings are stored under the time at which they came"
	said, arrived, ok := e.said()
	behind, last := arrived.Sub(said), e.LastMessage()
	switch {
	case !ok:
	case behind < -noSkew:
		h.add("Its clock is %s ahead: %s.", short(-behind), ours)
	case behind <= noSkew:
	case said.Before(iot.MinTime): // no device keeps a reading for so long
		h.add("Its clock is %s behind: %s.", short(behind), ours)
	case last != nil && last.Outcome == BecameDeadLetter:
		h.add("Its clock is %s behind, or it sent what it had kept.", short(behind))
	default:
		h.add("Its clock is %s behind, or it sent what it had kept: %s.", short(behind), own)
	}
}

// silent is for a device that was heard of.
func (e *Evidence) silent(h *hints) {
	heard := e.heard()
	if heard.IsZero() || e.Online {
		return
	}
	if e.Registered && e.LastSeen.IsZero() {
		h.add("It has sent nothing itself since Telltale notes that: what is stored of it is older, or is from a file or a dead letter.")
		e.broker(h)
		return
	}
	left := ""
	if all := e.Seen.Connections; len(all) > 0 && !all[0].Until.IsZero() { // else one is there
		left = fmt.Sprintf(", and its client %s left %s", all[0].ID, e.ago(all[0].Until))
	}
	h.add("It is silent: its last reading arrived %s, which counts as offline after %s%s.", e.ago(heard), short(e.OfflineAfter), left)
	e.broker(h)
}

// mistaken is for a device that is called otherwise somewhere.
func (e *Evidence) mistaken(h *hints) {
	for _, i := range e.NearMisses {
		if i.Member == "" && !e.Device.Names(i.Topic) {
			h.add("Somebody publishes on %s, which nobody reads%s (%s).", i.Topic, advice(i.Hint), e.ago(i.Last))
			break
		}
	}
	for _, topic := range e.Seen.Similar {
		h.add("Messages of a device with almost the same name come on %s.", topic)
	}
}

// unknown is for a device that nothing is known of.
func (e *Evidence) unknown(h *hints) {
	if e.LastMessage() == nil && e.heard().IsZero() {
		h.add("No message that names it is known.")
		if e.Seen.Running && e.Seen.Listens && len(e.Seen.Connections) == 0 {
			h.add("No client is known whose id or user is %s: is it connected to this address and port?", e.Device)
		}
		e.broker(h)
	}
	switch {
	case e.Registered:
	case !e.heard().IsZero():
		h.add("No device is registered as %s, though there are readings of it: it will be again with the next one.", e.Device)
	default:
		h.add("No device is registered as %s: it will be with its first reading.", e.Device)
	}
}

// broker is for a device whose connections Telltale knows nothing of.
func (e *Evidence) broker(h *hints) {
	if e.Seen.Running && !e.Seen.Listens {
		h.add("Telltale reads from a broker, which knows whether the device is connected, and what it publishes.")
	}
}

// ago says when t was.
func (e *Evidence) ago(t time.Time) string {
	if d := e.Now.Sub(t); d >= time.Second {
		return short(d) + " ago"
	}
	return "just now"
}

func at(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// short says how long d is, with one unit.
func short(d time.Duration) string {
	const day = 24 * time.Hour
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{day, "days"}, {time.Hour, "h"}, {time.Minute, "min"}} {
		if d >= 2*unit.size {
			return fmt.Sprintf("%d %s", d/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%d s", d/time.Second)
}
