package sparkplug

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds of what is remembered. Of more than that, what was not in use for longest is forgotten, and asked for again when
// it is needed.
const (
	MaxNodes   = 4096
	MaxDevices = 1000 // of a node
	MaxBytes   = 32 << 20

	perNode   = 512 // bytes, about, that are taken by a node without its names,
	perDevice = 256 // a device,
	perMetric = 192 // and a metric, which stands in two tables
)

// rebirthInterval is how often an edge node is asked at most. One answers at once, or does not listen.
const rebirthInterval = time.Minute

// Nodes is what edge nodes said in their BIRTHs. The zero Nodes knows none. It is safe for concurrent use.
type Nodes struct {
	mu    sync.Mutex
	nodes map[nodeName]*node
	bytes int
}

type nodeName struct{ group, node string }

// node is an edge node.
type node struct {
	born      bool // its BIRTH was seen
	death     uint64
	hasDeath  bool
	next      uint64             // the number of the message that comes next
	tracked   bool               // that is known
	devices   map[string]*device // "" is the node itself
	bytes     int
	used      time.Time
	requested time.Time
}

// device is a device of a node. What its BIRTH said is nil where it does not hold any more.
type device struct {
	key     string // what others know it by
	types   map[string]Type
	aliases map[uint64]string
	bytes   int // of these
}

// Message is a message of an edge node.
type Message struct {
	Group, Kind, Node, Device string // of its topic
	Key                       string // what others know by what the topic names: the device, or the node
	*Payload
	Received time.Time
}

// Outcome is what a message means beside its metrics.
type Outcome struct {
	Stale   bool     // it is the death of an earlier session
	Dead    []string // the keys of those that are offline from now on
	Born    bool     // what the message is of is online from now on
	Rebirth bool     // the node is to be asked for its BIRTHs
}

// Parse reads the levels of a topic behind spBv1.0/, and reports whether it is one of BIRTHs, data and DEATHs.
func (m *Message) Parse(topic string) bool {
	var rest string
	m.Group, rest, _ = strings.Cut(topic, "/")
	m.Kind, rest, _ = strings.Cut(rest, "/")
	m.Node, m.Device, _ = strings.Cut(rest, "/")
	return strings.HasPrefix(m.Kind, "D") == (m.Device != "") && m.Group != "" && m.Node != "" && !strings.Contains(m.Device, "/")
}

// Receive takes the messages of a node, in the order in which they were published. It gives the metrics of m the names and
// types that they have from the BIRTH; a metric without a name, or that needs a type and has none, is not known.
func (s *Nodes) Receive(m Message) (o Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.node(nodeName{m.Group, m.Node}, m.Received)
	if m.Kind != "NBIRTH" && m.Kind != "NDEATH" && !n.follows(m.Payload) {
		s.clear(n) // a BIRTH may be what was missed
		n.hasDeath, o.Rebirth = false, true
	}
	switch m.Kind {
	case "NBIRTH":
		s.empty(n)
		n.born, n.tracked, n.next = true, m.HasSeq, m.Seq+1
		n.death, n.hasDeath = m.death()
		s.learn(n, m)
		o.Born = true
	case "DBIRTH":
		s.learn(n, m)
		o.Born, o.Rebirth = true, o.Rebirth || !n.born
	case "NDATA", "DDATA":
		o.Rebirth = !n.devices[m.Device].resolve(m.Metrics) || o.Rebirth
	case "DDEATH":
		s.forget(n.devices[m.Device], n)
		o.Dead = []string{m.Key}
	case "NDEATH":
		death, ok := m.death()
		if n.born && n.hasDeath && ok && death != n.death {
			return Outcome{Stale: true}
		}
		o.Rebirth = !n.born // it may be the death of an earlier session: one that lives says so
		s.clear(n)
		o.Dead = []string{m.Key}
		for name, d := range n.devices {
			if name != "" {
				o.Dead = append(o.Dead, d.key)
			}
		}
		slices.Sort(o.Dead[1:])
	}
	s.shrink(n)
	if o.Rebirth = o.Rebirth && m.Received.Sub(n.requested).Abs() >= rebirthInterval; o.Rebirth {
		n.requested = m.Received
	}
	return o
}

// Alone gives the metrics of a message the names and types that they have in it, and nowhere else.
func Alone(m Message) Outcome { return new(Nodes).Receive(m) }

// Missed tells that a message of a node may have been missed, of which topic is what Parse reads: what the node said does
// not hold any more.
func (s *Nodes) Missed(topic string) {
	var m Message
	if !m.Parse(topic) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.nodes[nodeName{m.Group, m.Node}]; n != nil {
		s.missed(n)
	}
}

// MissedAny is Missed for all nodes.
func (s *Nodes) MissedAny() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.nodes {
		s.missed(n)
	}
}

func (s *Nodes) missed(n *node) {
	s.clear(n)
	n.born, n.tracked = false, false
}

// node returns a node, which is made where there is none.
func (s *Nodes) node(name nodeName, now time.Time) *node {
	n := s.nodes[name]
	if n == nil {
		n = new(node)
		if s.nodes == nil {
			s.nodes = make(map[nodeName]*node)
		}
		name = nodeName{strings.Clone(name.group), strings.Clone(name.node)}
		s.nodes[name] = n
		s.grow(n, perNode+len(name.group)+len(name.node))
	}
	n.used = now
	return n
}

func (s *Nodes) grow(n *node, bytes int) {
	n.bytes += bytes
	s.bytes += bytes
}

// learn notes what a BIRTH says, unless its node has too many devices.
func (s *Nodes) learn(n *node, m Message) {
	d := n.devices[m.Device]
	if d == nil {
		if len(n.devices) == MaxDevices {
			return
		}
		if n.devices == nil {
			n.devices = make(map[string]*device)
		}
		d = &device{key: strings.Clone(m.Key)}
		n.devices[strings.Clone(m.Device)] = d
		s.grow(n, perDevice+len(m.Device)+len(m.Key))
	}
	s.forget(d, n)
	d.types, d.aliases = make(map[string]Type, len(m.Metrics)), make(map[uint64]string)
	for i := range m.Metrics {
		metric := &m.Metrics[i]
		if metric.Name == "" {
			continue
		}
		d.types[metric.Name] = metric.Type
		if metric.HasAlias {
			d.aliases[metric.Alias] = metric.Name
		}
		d.bytes += perMetric + len(metric.Name)
	}
	s.grow(n, d.bytes)
}

// forget forgets what the BIRTH of a device of n said, and not that there is one. d may be nil.
func (s *Nodes) forget(d *device, n *node) {
	if d != nil {
		s.grow(n, -d.bytes)
		d.types, d.aliases, d.bytes = nil, nil, 0
	}
}

// clear forgets what all BIRTHs of n said.
func (s *Nodes) clear(n *node) {
	for _, d := range n.devices {
		s.forget(d, n)
	}
}

// empty forgets the devices of n.
func (s *Nodes) empty(n *node) {
	s.clear(n)
	for name, d := range n.devices {
		s.grow(n, -perDevice-len(name)-len(d.key))
	}
	n.devices = nil
}

// shrink keeps s within its bounds.
func (s *Nodes) shrink(latest *node) {
	for len(s.nodes) > MaxNodes || s.bytes > MaxBytes {
		var oldest nodeName
		var found *node
		for name, n := range s.nodes {
			if n != latest && (found == nil || n.used.Before(found.used)) {
				oldest, found = name, n
			}
		}
		if found == nil { // it alone says too much
			s.empty(latest)
			return
		}
		s.bytes -= found.bytes
		delete(s.nodes, oldest)
	}
}

// follows reports whether a message is the one behind the last.
func (n *node) follows(p *Payload) bool {
	const numbers = 256
	follows := !n.tracked || p.Seq%numbers == n.next%numbers
	if p.HasSeq || n.tracked {
		n.tracked, n.next = true, p.Seq+1
	}
	return follows
}

// death returns the number of the DEATH that belongs to a BIRTH, and the other way round.
func (p *Payload) death() (uint64, bool) {
	for i := range p.Metrics {
		if m := &p.Metrics[i]; m.Name == "bdSeq" && m.Value == integer {
			return m.bits, true
		}
	}
	return 0, false
}

// resolve gives metrics the names and types of d, which may be nil, and reports whether all are known.
func (d *device) resolve(metrics []Metric) bool {
	known := true
	for i := range metrics {
		m := &metrics[i]
		if d != nil {
			if m.Name == "" && m.HasAlias {
				m.Name = d.aliases[m.Alias]
			}
			if m.Type == 0 {
				m.Type = d.types[m.Name]
			}
		}
		known = known && m.Known()
	}
	return known
}

// Known reports whether it is known what m means.
func (m *Metric) Known() bool { return m.Name != "" && (m.Type != 0 || m.Value != integer) }
