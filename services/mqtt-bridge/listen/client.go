package listen

import (
	"bytes"
	"container/list"
	"crypto/rand"
	"time"

	"github.com/telltale-iot/telltale/services/mqtt-bridge/packet"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/pipeline"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/session"
)

// sessionID is whose a session is: nobody takes over one of another's.
type sessionID struct{ principal, client string }

// client is an MQTT session, with or without a connection.
type client struct {
	*session.Session
	id sessionID

	// Guarded by Endpoint.mu.
	conn    *connection   // nil while it is away
	expiry  time.Duration // how long the session outlives its connection
	expires time.Time     // while it is away
	will    *lastWill     // of the connection or, while it is away, to be published at willDue
	willDue time.Time
	element *list.Element
}

// establish makes c the connection of the client that sent p, and answers.
func (e *Endpoint) establish(c *connection, p packet.Connect) error {
	answer := packet.Connack{
		ReceiveMaximum: session.WindowSize, MaxPacketSize: uint32(e.cfg.MaxPacketBytes), TopicAliases: topicAliases,
	}
	id := sessionID{client: string(p.ClientID)}
	if id.client == "" {
		id.client = rand.Text()
		answer.AssignedID, c.who.ID, c.clientID = id.client, id.client, id.client
	}
	if c.principal != nil {
		id.principal = c.principal.Name
	}
	expiry := time.Duration(0)
	switch {
	case p.Version == packet.V5:
		if expiry = time.Duration(p.SessionExpiry) * time.Second; expiry > sessionExpiry {
			expiry = sessionExpiry
			answer.HasExpiry, answer.SessionExpiry = true, uint32(sessionExpiry/time.Second)
		}
	case !p.Clean:
		expiry = sessionExpiry
	}

	e.mu.Lock()
	cl := e.clients[id]
	known := cl != nil
	most := e.cfg.MaxConnections
	if known && cl.conn != nil {
		most += spareConnections // one of them is replaced
	}
	if e.established >= most {
		e.mu.Unlock()
		return &refusal{reason: byConnections, code: packet.ServerBusy, what: "too many connections"}
	}
	if !known {
		cl = &client{id: id}
		cl.Session = session.New(e.budget, e.pipe.Metrics.Acknowledged, func() { e.idle(cl) })
	}
	var last *lastWill
	if p.HasWill {
		last = c.newWill(p.Will)
		if !cl.Memory.TryTake(last.bytes()) {
			e.mu.Unlock()
			return &refusal{reason: byWill, code: packet.QuotaExceeded, what: "too many long wills"}
		}
	}
	answer.SessionPresent = known && !p.Clean && cl.expiry > 0
	before, due := cl.conn, e.takeWill(cl, answer.SessionPresent)
	if !answer.SessionPresent {
		e.hub.forget(cl)
		cl.Forget()
	}
	if cl.element != nil {
		e.detached.Remove(cl.element)
		cl.element = nil
	}
	cl.conn, cl.expiry, cl.will = c, expiry, last
	cl.Attach(c.Conn)
	e.clients[id] = cl
	e.conns[c] = cl
	c.client, c.sends = cl, c.sender()
	e.rates.enter(c)
	e.established++
	c.who.Since = time.Now() // of two connections of a client the later one has the session
	e.hub.attach(cl, nil)    // before has left
	e.mu.Unlock()

	e.seen.Connected(c.who)
	e.pipe.Metrics.Connects.Inc()
	e.pipe.Metrics.Connections.Inc()
	c.leavePending()
	if before != nil {
		if n := e.takeovers.Event(); n > 0 {
			e.log.Warn("a client connects with the id of another connection, which is closed",
				"client_id", id.client, "principal", id.principal, "remote", c.RemoteAddr().String(), "closed", before.RemoteAddr().String(), "count", n)
		}
		e.serving.Go(func() { before.replaced() })
	}
	e.publishWill(due)
	if _, err := c.Write(answer.Append(nil, c.version)); err != nil {
		return err
	}
	if c.hasEnded() { // before the connection was among those that are cut
		e.serving.Go(c.revoked)
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if cl.conn == c { // no other connection has taken the session over meanwhile
		e.hub.attach(cl, c)
	}
	return nil
}

// changeSubscriptions calls change for the subscriptions of c's client, unless another connection took the session over.
func (e *Endpoint) changeSubscriptions(c *connection, change func(*hub)) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c.client.conn != c {
		return errClosing
	}
	change(&e.hub)
	return nil
}

// takeWill returns the will that is to be published when a client connects anew: that of a session which ends with
// it, or one without a delay of a connection that is replaced. Any other will is dropped.
func (e *Endpoint) takeWill(cl *client, resumed bool) *lastWill {
	w := cl.will
	cl.will = nil
	if w == nil {
		return nil
	}
	cl.Memory.Release(w.bytes())
	if resumed && (cl.conn == nil || w.Delay > 0) {
		return nil
	}
	return w
}

// removeConnection ends the connection c, of which nothing is served any more.
func (e *Endpoint) removeConnection(c *connection) {
	e.mu.Lock()
	delete(e.conns, c)
	e.rates.leave(c)
	cl := c.client
	if cl == nil {
		e.mu.Unlock()
		return
	}
	e.established--
	e.pipe.Metrics.Connections.Dec()
	cl.Memory.Release(c.aliasBytes)
	if cl.conn != c { // another took the session over
		e.mu.Unlock()
		cl.Detach(c.Conn)
		return
	}
	now := time.Now()
	cl.conn = nil
	if c.hasExpiry {
		cl.expiry = c.expiry
	}
	if c.hasEnded() {
		cl.expiry = 0
	}
	cl.expires = now.Add(cl.expiry)
	e.hub.attach(cl, nil)
	if cl.will != nil {
		delay := min(time.Duration(cl.will.Delay)*time.Second, cl.expiry, maxWillDelay)
		cl.willDue = now.Add(delay)
	}
	var due []*lastWill
	if c.hasLeft || c.hasEnded() || e.stopping() { // a will is not for a bridge that stops
		e.dropWill(cl)
	}
	cl.element = e.detached.PushBack(cl)
	if e.detached.Len() > maxDetached {
		due = e.remove(e.detached.Front().Value.(*client), due)
	}
	due = e.expire(cl, now, due)
	e.mu.Unlock()
	cl.Detach(c.Conn)
	for _, w := range due {
		e.publishWill(w)
	}
}

func (e *Endpoint) stopping() bool {
	select {
	case <-e.stop:
		return true
	default:
		return false
	}
}

// idle ends the session of cl when nothing of it is left.
func (e *Endpoint) idle(cl *client) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.clients[cl.id] == cl && cl.conn == nil && !e.hasState(cl, time.Now()) {
		e.remove(cl, nil)
	}
}

// hasState reports whether the session of cl, which has no connection, has to be kept.
func (e *Endpoint) hasState(cl *client, now time.Time) bool {
	return cl.will != nil || cl.Producing() || now.Before(cl.expires) && (cl.HasUnreleased() || e.hub.has(cl))
}

// expire appends the will of cl, which is away, to due when its time has come, and ends the session when its
// time has.
func (e *Endpoint) expire(cl *client, now time.Time, due []*lastWill) []*lastWill {
	if cl.will != nil && !now.Before(cl.willDue) {
		due = append(due, cl.will)
		e.dropWill(cl)
	}
	if !e.hasState(cl, now) {
		due = e.remove(cl, due)
	}
	return due
}

// remove ends the session of cl, which is away, whatever is left of it. A will that waits is due with that.
func (e *Endpoint) remove(cl *client, due []*lastWill) []*lastWill {
	delete(e.clients, cl.id)
	if cl.element != nil {
		e.detached.Remove(cl.element)
		cl.element = nil
	}
	if cl.will != nil {
		due = append(due, cl.will)
		e.dropWill(cl)
	}
	e.hub.forget(cl)
	cl.End()
	return due
}

// expireUntil ends sessions, and publishes delayed wills, when their time has come.
func (e *Endpoint) expireUntil(stop <-chan struct{}) {
	tick := time.NewTicker(expireEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case now := <-tick.C:
			var due []*lastWill
			e.mu.Lock()
			for at := e.detached.Front(); at != nil; {
				next := at.Next()
				due = e.expire(at.Value.(*client), now, due)
				at = next
			}
			e.mu.Unlock()
			for _, w := range due {
				e.publishWill(w)
			}
			e.rates.expire(now, func(c *connection) { e.seen.Limited(c.who, "", time.Time{}) })
		}
	}
}

func (e *Endpoint) dropWill(cl *client) {
	if cl.will != nil {
		cl.Memory.Release(cl.will.bytes())
		cl.will = nil
	}
}

// lastWill is what is published for who has connected, when he is gone.
type lastWill struct {
	packet.Will
	from party
}

// newWill returns w with all that it needs when the connection is gone.
func (c *connection) newWill(w packet.Will) *lastWill {
	return &lastWill{packet.Will{Topic: bytes.Clone(w.Topic), Payload: bytes.Clone(w.Payload), Delay: w.Delay}, c.party}
}

// bytes is what w takes of memory.
func (w *lastWill) bytes() int {
	return 256 + len(w.Topic) + len(w.Payload) + len(w.from.user) + len(w.from.clientID)
}

// publishWill takes a will as any message at QoS 0; nil is none. Where there is no room, it is dropped.
func (e *Endpoint) publishWill(w *lastWill) {
	if w == nil || w.from.hasEnded() {
		return
	}
	e.pipe.Metrics.ReceiveWill()
	topic := string(w.Topic)
	m := e.pipe.Message(topic, w.from.sender(), w.Payload, false)
	if _, ok := e.pipe.Reserve(m); !ok {
		e.pipe.Metrics.CountOutcome(pipeline.Dropped)
		e.pipe.Missed(topic)
		return
	}
	e.pipe.Handle(m, func(error) {})
	if !w.from.strayed {
		e.hub.forward(nil, topic, packet.Publish{Payload: w.Payload})
	}
}
