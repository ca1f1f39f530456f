package mongo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/telltale-iot/telltale/pkg/iot"
)

const (
	// maintainEvery is how often what is marked is computed anew. A series that gets late readings all the time costs a
	// look at one hour of it as often.
	maintainEvery = time.Minute
	// closeAfter is how long after its end inserts begin to mark an hour, and closeGrace how much later it is computed.
	// By then every insert has ended that did not know, since what it knew was younger than maxProgressAge, or knows. Clocks
	// that differ make hours close earlier or later, and nothing wrong.
	closeAfter = 5 * time.Minute
	closeGrace = 5 * time.Minute
	// leaseFor is how long the others leave the work to one that is not heard of any more. Two at once do no harm.
	leaseFor = 2 * maintainEvery
	// recomputeDevices is of how many devices the days are in memory at once.
	recomputeDevices = 100
)

// Maintain implements readings.Store.
func (s *Store) Maintain(ctx context.Context) error {
	m := s.newMaintainer()
	defer m.release(context.WithoutCancel(ctx))
	ticks := time.NewTicker(maintainEvery)
	defer ticks.Stop()
	for failing := false; ; {
		err := m.maintain(ctx, ticks.C)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !failing {
			s.log.Warn("cannot roll up: charts are made of the readings meanwhile", "error", err)
		}
		if failing = err != nil; err == nil {
			continue // a tick has come
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// maintainer is one of those who roll up, of whom one has the lease at a time.
type maintainer struct {
	*Store
	id    bson.ObjectID
	grace time.Duration // closeGrace, and less in tests

	// When it saw that inserts mark the hours before closing, and the hours before which it has waited for.
	generation bson.ObjectID
	closing    int64
	seen       time.Time
	closed     int64

	filling filling
	returns bool // the server was asked to return disk space
	foreign bool // an index of somebody else was logged
}

// filling is what is left of a day that is backfilled.
type filling struct {
	interval
	devices []iot.DeviceID // none: no day is
	since   int64          // the progress before it
}

func (s *Store) newMaintainer() *maintainer {
	return &maintainer{Store: s, id: bson.NewObjectID(), grace: closeGrace}
}

// maintain does what is to be done now, and then goes on with the backfill until the next tick.
func (m *maintainer) maintain(ctx context.Context, next <-chan time.Time) error {
	p, now, err := m.observe(ctx)
	if err != nil {
		return err
	}
	mine, err := m.lease(ctx, now)
	if mine {
		if err := m.work(ctx, p); err != nil {
			return err
		}
	}
	for mine && err == nil {
		select {
		case <-next:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		default:
			mine, err = m.backfill(ctx)
		}
	}
	if err == nil {
		select {
		case <-next:
		case <-ctx.Done():
		}
	}
	return err
}

// work does what is to be done each time. What is marked comes before a new horizon, behind which it would be left as it is.
func (m *maintainer) work(ctx context.Context, p progress) error {
	if err := m.drain(ctx); err != nil {
		return err
	}
	if err := m.close(ctx, p); err != nil {
		return err
	}
	if err := m.advanceHorizon(ctx, p); err != nil {
		return err
	}
	return m.retain(ctx, p)
}

// observe returns the progress, with the hours closing that have ended for a while, and the server's time: of machines with
// clocks of their own, each would undo what the others do.
func (m *maintainer) observe(ctx context.Context) (p progress, now time.Time, err error) {
	if now, err = m.serverTime(ctx); err != nil {
		return p, now, err
	}
	closing := hourOf(now.Add(-closeAfter).UnixMilli())
	if err := m.prepareDays(ctx); err != nil {
		return p, now, err
	}
	if p, err = m.progress(ctx); err != nil {
		return p, now, err
	}
	if int64(p.Closing) > closing+hour { // the server's clock was ahead: it would be marked for as long, on every insert
		err = m.beginAnew(ctx)
		p.Generation = bson.ObjectID{}
	}
	if err == nil && p.Generation.IsZero() {
		err = m.begin(ctx, closing)
	} else if err == nil && int64(p.Closing) < closing {
		_, err = m.advance(ctx, bson.D{{Key: "generation", Value: p.Generation}}, bson.D{{Key: "$max", Value: bson.D{{Key: "closing", Value: bson.DateTime(closing)}}}})
	}
	if err == nil {
		p, err = m.progress(ctx)
	}
	if err != nil {
		return p, now, err
	}
	if p.Generation != m.generation {
		m.generation, m.closing, m.closed = p.Generation, 0, 0
	}
	if int64(p.Closing) > m.closing {
		m.closing, m.seen = int64(p.Closing), time.Now()
	}
	if time.Since(m.seen) >= m.grace {
		m.closed = m.closing
	}
	return p, now, nil
}

// lease reports whether m is the one that works.
func (m *maintainer) lease(ctx context.Context, now time.Time) (mine bool, err error) {
	return m.advance(ctx, bson.D{{Key: "$or", Value: bson.A{
		bson.D{{Key: "lease.by", Value: m.id}},
		bson.D{{Key: "lease.until", Value: bson.D{{Key: "$lt", Value: now}}}},
		bson.D{{Key: "lease.until", Value: bson.D{{Key: "$gt", Value: now.Add(leaseFor)}}}}, // the server's clock was ahead
		bson.D{{Key: "lease", Value: nil}},
	}}}, bson.D{{Key: "$set", Value: bson.D{{Key: "lease", Value: bson.D{{Key: "by", Value: m.id}, {Key: "until", Value: now.Add(leaseFor)}}}}}})
}

// release leaves the work to others.
func (m *maintainer) release(ctx context.Context) {
	_, _ = m.advance(ctx, bson.D{{Key: "lease.by", Value: m.id}}, bson.D{{Key: "$unset", Value: bson.D{{Key: "lease", Value: ""}}}})
}

// close computes the hours that are closed, one after the other, each for all devices.
func (m *maintainer) close(ctx context.Context, p progress) error {
	for at := int64(p.Until); at < m.closed; at += hour {
		if err := m.recomputeAll(ctx, interval{at, at + hour}); err != nil {
			return err
		}
		_, err := m.advance(ctx, bson.D{{Key: "generation", Value: p.Generation}, {Key: "until", Value: bson.DateTime(at)}},
			bson.D{{Key: "$set", Value: bson.D{{Key: "until", Value: bson.DateTime(at + hour)}}}})
		if err != nil {
			return err
		}
	}
	return nil
}

// backfill computes a part of a day of readings that were there before rollups, from new to old, and reports whether
// there is more.
func (m *maintainer) backfill(ctx context.Context) (more bool, err error) {
	p, err := m.progress(ctx)
	if err != nil || p.Generation != m.generation || m.closed < int64(p.Since) || int64(p.Since) <= p.gone() {
		m.filling = filling{}
		return false, err
	}
	if m.filling.since != int64(p.Since) || len(m.filling.devices) == 0 {
		if m.filling, err = m.dayBefore(ctx, int64(p.Since), p.gone()); err != nil {
			return false, err
		}
	}
	n := min(len(m.filling.devices), recomputeDevices)
	if err := m.recompute(ctx, m.filling.devices[:n], m.filling.interval); err != nil {
		return false, err
	}
	if m.filling.devices = m.filling.devices[n:]; len(m.filling.devices) > 0 {
		return true, nil
	}
	return m.advance(ctx, bson.D{{Key: "generation", Value: p.Generation}, {Key: "since", Value: p.Since}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "since", Value: bson.DateTime(m.filling.from)}}}})
}

// dayBefore returns the last day before since, and not before gone, of which there is something; where there is none, all
// of the past without devices.
func (s *Store) dayBefore(ctx context.Context, since, gone int64) (filling, error) {
	at, err := s.lastDay(ctx, since)
	if err != nil {
		return filling{}, err
	}
	if at+day <= gone {
		return filling{interval: interval{beginning, since}, since: since}, nil
	}
	f := filling{interval: interval{max(at, gone), min(at+day, since)}, since: since}
	f.devices, err = s.devicesOf(ctx, f.interval)
	return f, err
}

// newestBefore returns the time of the newest reading before at, or one before beginning where there is none.
func (s *Store) newestBefore(ctx context.Context, at int64) (found int64, err error) {
	collection, err := s.durable(ctx)
	if err != nil {
		return 0, err
	}
	found = beginning - 1
	err = s.DB.Find(ctx, collection, filterOf(nil, interval{beginning, at}.times()), func(document bson.Raw) (more bool) {
		_, found, _ = placeOf(document)
		return false
	}, options.Find().SetSort(newest.Keys).SetLimit(1).
		SetProjection(bson.D{{Key: "_id", Value: 0}, {Key: fieldDevice, Value: 1}, {Key: fieldAt, Value: 1}}))
	return found, err
}

// recomputeAll computes the hours of a day of all devices.
func (s *Store) recomputeAll(ctx context.Context, in interval) error {
	devices, err := s.devicesOf(ctx, in)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(devices, recomputeDevices) {
		if err := s.recompute(ctx, chunk, in); err != nil {
			return err
		}
	}
	return nil
}

// mark is one that was read.
type mark struct {
	ID      markID        `bson:"_id"`
	Version bson.ObjectID `bson:"v"`
	Open    bool          `bson:"open"`
}

// maxDrained is how many marks are read at once.
const maxDrained = 2000

// drain computes the hours that are marked, and removes the marks that it has read. What was marked since then stays.
func (m *maintainer) drain(ctx context.Context) error {
	ctx, done, err := m.DB.InOrder(ctx)
	if err != nil {
		return err
	}
	defer done()
	for after := any(bson.D{}); ; {
		marks, err := m.marksAfter(ctx, after)
		if err != nil || len(marks) == 0 {
			return err
		}
		after = marks[len(marks)-1].ID
		if err := m.drainMarks(ctx, marks); err != nil {
			return err
		}
	}
}

// openFor is how long the mark of an insert stays that does not end, and is not repeated either.
const openFor = time.Hour

func (m mark) isOpen() bool { return m.Open && time.Since(m.Version.Timestamp()) < openFor }

func (m mark) key() key { return key{iot.DeviceID(m.ID.Device), int64(m.ID.Hour)} }

// marksAfter returns the first maxDrained marks behind one, by device and hour.
func (s *Store) marksAfter(ctx context.Context, after any) (marks []mark, err error) {
	collection, err := s.collection(ctx, dirtyName)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.DB.Timeout)
	defer cancel()
	cursor, err := collection.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$gt", Value: after}}}},
		options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(maxDrained))
	if err == nil {
		err = cursor.All(ctx, &marks)
	}
	if err != nil {
		return nil, fmt.Errorf("read marks: %w", err)
	}
	return marks, nil
}

// drainMarks computes the hours that marks name, those of devices that have the same ones together.
func (m *maintainer) drainMarks(ctx context.Context, marks []mark) error {
	devices := map[interval][]iot.DeviceID{} // by hours of one day
	marks = slices.DeleteFunc(marks, func(of mark) bool { return of.isOpen() || m.isAside(of) })
	for rest := marks; len(rest) > 0; {
		first, n := rest[0].key(), 1
		for n < len(rest) && rest[n].key() == (key{first.device, first.at + int64(n)*hour}) && dayOf(rest[n].key().at) == dayOf(first.at) {
			n++
		}
		of := interval{first.at, first.at + int64(n)*hour}
		devices[of] = append(devices[of], first.device)
		rest = rest[n:]
	}
	for of, devices := range devices {
		for chunk := range slices.Chunk(devices, recomputeDevices) {
			if err := m.recompute(ctx, chunk, of); err != nil {
				return err
			}
		}
	}
	return m.unmark(ctx, marks)
}

// unmark removes marks that are as they were read.
func (s *Store) unmark(ctx context.Context, marks []mark) error {
	if len(marks) == 0 {
		return nil
	}
	var models []mongo.WriteModel
	for _, mark := range marks {
		models = append(models, mongo.NewDeleteOneModel().SetFilter(bson.D{{Key: "_id", Value: mark.ID}, {Key: fieldVersion, Value: mark.Version}}))
	}
	if _, err := s.write(ctx, dirtyName, models); err != nil {
		return fmt.Errorf("remove marks: %w", err)
	}
	return nil
}
