package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
	"github.com/telltale-iot/telltale/services/query-api/trace"
)

const (
	tracedDeadLetters  = 5   // in an answer
	scannedDeadLetters = 200 // the newest of all, for those that name the device
)

// deviceTrace is what is known of a device, as clients see it.
type deviceTrace struct {
	ID           iot.DeviceID       `json:"device_id"`
	Key          *string            `json:"device_key"`
	Registered   bool               `json:"registered"`
	Status       iot.Status         `json:"status"`
	LastSeen     *string            `json:"last_seen"`
	OfflineAfter float64            `json:"offline_after"`
	Listens      bool               `json:"listens"`
	Connections  []tracedConnection `json:"connections"`
	LastMessage  *lastMessage       `json:"last_message"`
	DeadLetters  []json.RawMessage  `json:"dead_letters"`
	LastStored   json.RawMessage    `json:"last_stored"`
	ClockSkew    *float64           `json:"clock_skew_seconds"`
	NearMisses   []ignoredTopic     `json:"near_misses"`
	Hints        []string           `json:"hints"`
}

type tracedConnection struct {
	Client   string  `json:"client_id"`
	Address  string  `json:"address"`
	Protocol string  `json:"protocol"`
	Since    *string `json:"since"`
	Until    *string `json:"until"`
	Refused  *string `json:"refused"`
	Replica  string  `json:"replica"`
}

type lastMessage struct {
	Topic   string  `json:"topic"`
	Client  *string `json:"client_id"`
	At      *string `json:"at"`
	Outcome string  `json:"outcome"`
}

// getTrace answers for any id or key, whether or not there is such a device: who asks does not know why it does not appear.
func (a *API) getTrace(ctx context.Context, r *request) (*answer, error) {
	named, err := a.device(ctx, r)
	if err != nil {
		return nil, err
	}
	d, err := r.Metadata.Device(ctx, named.ID)
	registered := err == nil && (named.Key == "" || d.Key == "" || d.Key == named.Key)
	switch {
	case err != nil && !errors.Is(err, iot.ErrNotFound):
		return nil, err
	case !registered:
		d = iot.Device{}
	}
	e := trace.Evidence{
		Now: time.Now(), Device: trace.Name{ID: named.ID, Key: cmp.Or(named.Key, d.Key)}, Registered: registered,
		LastSeen: d.LastSeen, OfflineAfter: cmp.Or(d.OfflineAfter, a.OfflineAfter),
	}
	status := d.Status(e.Now, a.OfflineAfter)
	e.Online = status == iot.StatusOnline
	release, err := take(ctx, a.limits.deadLetterPages, 1)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := a.gather(ctx, r, &e); err != nil {
		return nil, err
	}
	return encodeAny(http.StatusOK, showTrace(&e, status))
}

// gather asks for all that is known of e.Device.
func (a *API) gather(ctx context.Context, r *request, e *trace.Evidence) (err error) {
	if r.scope == nil { // else it would show messages of which nobody knows whose they are
		ignored, err := a.Ignored.All(ctx)
		if err != nil {
			return err
		}
		e.NearMisses = e.Device.NearMisses(ignored)
	}
	var clients []string
	for _, i := range e.NearMisses {
		if e.Device.Names(i.Topic) && i.ClientID != "" {
			clients = append(clients, i.ClientID)
		}
	}
	if e.Seen, err = a.Bridges.Seen(ctx, e.Device, clients); err != nil {
		return err
	}
	if e.DeadLetters, err = deadLettersOf(ctx, r, e.Device); err != nil {
		return err
	}
	page, err := r.Readings.FindReadings(ctx, iot.ReadingQuery{Devices: []iot.DeviceID{e.Device.ID}, Limit: 1})
	if err == nil && len(page.Readings) > 0 {
		e.Stored = &page.Readings[0]
	}
	return err
}

// deadLettersOf returns the newest dead letters of a device, and others that name it.
func deadLettersOf(ctx context.Context, r *request, device trace.Name) ([]iot.DeadLetter, error) {
	of, err := r.DeadLetters.FindDeadLetters(ctx, iot.DeadLetterQuery{Device: device.ID, Limit: tracedDeadLetters})
	if err != nil {
		return nil, err
	}
	all, err := r.DeadLetters.FindDeadLetters(ctx, iot.DeadLetterQuery{Limit: scannedDeadLetters})
	if err != nil {
		return nil, err
	}
	found := of.DeadLetters
	for _, d := range all.DeadLetters {
		if d.Device != device.ID && device.Sent(d) {
			found = append(found, d)
		}
	}
	slices.SortStableFunc(found, func(a, b iot.DeadLetter) int { return b.Received.Compare(a.Received) })
	return found[:min(len(found), tracedDeadLetters)], nil
}

func showTrace(e *trace.Evidence, status iot.Status) deviceTrace {
	t := deviceTrace{
		ID: e.Device.ID, Key: orNull(e.Device.Key), Registered: e.Registered, Status: status, LastSeen: timeOrNull(e.LastSeen),
		OfflineAfter: e.OfflineAfter.Seconds(), Listens: e.Seen.Listens,
		Connections: []tracedConnection{}, DeadLetters: []json.RawMessage{}, NearMisses: showAllIgnored(e.NearMisses), Hints: e.Hints(),
	}
	for _, c := range e.Seen.Connections {
		t.Connections = append(t.Connections, tracedConnection{
			c.ID, c.Address, c.Protocol, timeOrNull(c.Since), timeOrNull(c.Until), orNull(c.Refused), c.Replica,
		})
	}
	if m := e.LastMessage(); m != nil {
		t.LastMessage = &lastMessage{m.Topic, orNull(m.Client), timeOrNull(m.At), m.Outcome}
	}
	for _, d := range e.DeadLetters {
		t.DeadLetters = append(t.DeadLetters, appendDeadLetter(nil, d))
	}
	if e.Stored != nil {
		t.LastStored = readingjson.Append(nil, *e.Stored)
	}
	if skew, ok := e.ClockSkew(); ok {
		seconds := skew.Seconds()
		t.ClockSkew = &seconds
	}
	return t
}
