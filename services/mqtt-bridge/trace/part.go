package trace

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// What an entry takes beside its texts, with its place in a map.
const (
	deviceBytes = 232
	clientBytes = 264
	limitBytes  = 48
)

// part is what was seen of some devices and clients.
type part struct {
	number int

	mu                   sync.Mutex
	devices              map[iot.DeviceID]*device
	clients              map[string]*client // by id
	inDevices, inClients int                // bytes
	news, moved          bool               // since it was told last
	told                 time.Time

	waiting time.Time // since when it is due; of who tells
}

type device struct {
	topic      string
	clients    [maxClients]string // the last one first
	at, said   int64              // Unix ms; said may be 0
	deadLetter bool
}

func (d *device) bytes() (n int) {
	n = deviceBytes + len(d.topic)
	for _, c := range d.clients {
		n += len(c)
	}
	return n
}

type client struct {
	user, address, protocol string
	since, until            time.Time // until is zero while it is there
	refused                 string
	limited                 *event.Limit // nil where it is not
}

func (c *client) bytes(id string) int {
	n := clientBytes + len(id) + len(c.user) + len(c.address) + len(c.refused)
	if c.limited != nil {
		n += limitBytes
	}
	return n
}

// device takes in a message. For one like the last of its device it allocates nothing.
func (p *part) device(id iot.DeviceID, topic, client string, at, said int64, deadLetter bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.devices[id]
	if d == nil {
		d = new(device)
	} else if d.topic == topic && d.clients[0] == client && d.deadLetter == deadLetter {
		d.at, d.said, p.moved = at, said, true
		return
	} else {
		p.inDevices -= d.bytes()
	}
	if d.topic != topic {
		d.topic = strings.Clone(topic)
	}
	if client != "" && d.clients[0] != client {
		if i := slices.Index(d.clients[:], client); i > 0 {
			client = d.clients[i]
			copy(d.clients[1:i+1], d.clients[:i])
		} else {
			client = strings.Clone(client)
			copy(d.clients[1:], d.clients[:])
		}
		d.clients[0] = client
	}
	d.at, d.said, d.deadLetter = at, said, deadLetter
	p.devices[id] = d
	p.inDevices += d.bytes()
	for p.inDevices > maxBytes {
		p.forgetDevice()
	}
	p.news = true
}

// forgetDevice makes room: a part has some 100 devices.
func (p *part) forgetDevice() {
	var oldest iot.DeviceID
	for id, d := range p.devices {
		if o := p.devices[oldest]; o == nil || d.at < o.at {
			oldest = id
		}
	}
	p.inDevices -= p.devices[oldest].bytes()
	delete(p.devices, oldest)
}

// client takes in a connection, or its end. A later one of the client counts.
func (p *part) client(c Client, until time.Time, why string) {
	id := strings.Clone(cut(c.ID))
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.clients[id]
	if was != nil {
		there := was.until.IsZero() && !was.since.Equal(c.Since)
		if was.since.After(c.Since) || there && why != "" { // who is refused has not taken the place of who is there
			return
		}
		p.inClients -= was.bytes(id)
	}
	is := &client{
		user: strings.Clone(cut(c.User)), address: c.Address.String(), protocol: c.Protocol,
		since: c.Since, until: until, refused: strings.Clone(cut(why)),
	}
	p.clients[id] = is
	p.inClients += is.bytes(id)
	for p.inClients > maxBytes {
		p.forgetClient()
	}
	p.news = true
}

// limit takes in that a connection is slowed, or is no more. It counts while it is the client's last.
func (p *part) limit(c Client, limited *event.Limit) {
	id := cut(c.ID)
	p.mu.Lock()
	defer p.mu.Unlock()
	is := p.clients[id]
	if is == nil || !is.since.Equal(c.Since) || !is.until.IsZero() {
		return
	}
	p.inClients -= is.bytes(id)
	is.limited = limited
	p.inClients += is.bytes(id)
	for p.inClients > maxBytes {
		p.forgetClient()
	}
	p.news = true
}

// forgetClient makes room: of clients that have left, or else of all, the one that connected first goes.
func (p *part) forgetClient() {
	var first string
	var goes *client
	for id, c := range p.clients {
		if goes == nil || goes.until.IsZero() && !c.until.IsZero() || goes.until.IsZero() == c.until.IsZero() && c.since.Before(goes.since) {
			first, goes = id, c
		}
	}
	p.inClients -= goes.bytes(first)
	delete(p.clients, first)
}

// due reports whether there is something to tell at now, and sets since when that waits.
func (p *part) due(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	after := againAfter
	switch {
	case p.news:
		after = newsAfter
	case p.moved:
		after = movedAfter
	case len(p.devices) == 0 && len(p.clients) == 0:
		return false
	}
	p.waiting = p.told.Add(after)
	return !now.Before(p.waiting)
}

// tell returns what to tell, which is told then.
func (p *part) tell(now time.Time) event.Seen {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.news, p.moved, p.told = false, false, now
	seen := event.Seen{Part: p.number}
	for id, d := range p.devices {
		s := event.SeenDevice{Device: id, Topic: d.topic, At: time.UnixMilli(d.at).UTC(), DeadLetter: d.deadLetter}
		if d.said != 0 {
			s.Clock = time.UnixMilli(d.said).UTC()
		}
		for _, c := range d.clients {
			if c != "" {
				s.Clients = append(s.Clients, c)
			}
		}
		seen.Devices = append(seen.Devices, s)
	}
	for id, c := range p.clients {
		s := event.SeenClient{
			ID: id, User: c.user, Address: c.address, Protocol: c.protocol, Since: millis(c.since), Refused: c.refused, Limited: c.limited,
		}
		if !c.until.IsZero() {
			s.Until = millis(c.until)
		}
		seen.Clients = append(seen.Clients, s)
	}
	return seen
}

func millis(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
