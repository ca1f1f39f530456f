package mongo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mongodb"
)

const (
	// computeGrace is for how long the hour of the oldest readings that are taken can be computed, after it has ended.
	computeGrace = hour
	// grace is how much longer than it takes them the server keeps readings: an hour since a reading may be the last one of
	// its hour, computeGrace, and an hour for clocks that differ and for what is under way.
	grace = hour + computeGrace + hour
)

// taken returns what of batch is not too old to be stored, the indexes in batch of that, and of the rest. No indexes:
// all is taken.
func (s *Store) taken(ctx context.Context, batch []iot.Reading) (taken []iot.Reading, indexes, tooOld []int, err error) {
	p, err := s.lately(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	horizon := int64(p.Horizon) // whoever inserts heeds it, with a retention or without
	if s.retention.Readings > 0 {
		horizon = max(horizon, s.horizon(p.now))
	}
	if horizon == 0 {
		return batch, nil, nil, nil
	}
	if !slices.ContainsFunc(batch, func(r iot.Reading) bool { return r.At.UnixMilli() < horizon }) {
		return batch, nil, nil, nil
	}
	for i, r := range batch {
		if r.At.UnixMilli() < horizon {
			tooOld = append(tooOld, i)
		} else {
			taken, indexes = append(taken, r), append(indexes, i)
		}
	}
	return taken, indexes, tooOld, nil
}

// horizon is the time before which readings are too old.
func (s *Store) horizon(now time.Time) int64 { return now.Add(-s.retention.Readings).UnixMilli() }

// Horizon implements iot.HistoryReader. What is noted will do: the server keeps readings for some hours longer.
func (s *Store) Horizon(ctx context.Context) (time.Time, error) {
	p, err := s.progress(ctx)
	if err != nil || p.Horizon == 0 {
		return time.Time{}, err
	}
	return time.UnixMilli(p.gone()).UTC(), nil
}

// serverTime is the primary's, by which it removes readings. That of this machine does not count: were it ahead once, the
// horizon would be for ever.
func (s *Store) serverTime(ctx context.Context) (time.Time, error) {
	if s.clock != nil {
		return s.clock(), nil
	}
	var hello struct {
		Time time.Time `bson:"localTime"`
	}
	if err := s.ask(ctx, bson.D{{Key: "hello", Value: 1}}, &hello); err != nil {
		return time.Time{}, fmt.Errorf("ask the server for the time: %w", err)
	}
	if hello.Time.IsZero() {
		return time.Time{}, errors.New("ask the server for the time: it does not say")
	}
	return hello.Time, nil
}

// horizonNow returns the horizon as it is by now: the TTL index moves it on while nobody notes that.
func (s *Store) horizonNow(ctx context.Context, p progress) (int64, error) {
	expiry, err := s.Expiry(ctx, fieldAt)
	if err != nil || expiry == 0 {
		return int64(p.Horizon), err
	}
	now, err := s.serverTime(ctx)
	return max(int64(p.Horizon), now.Add(-expiry).UnixMilli()+grace), err
}

// goneNow returns the time before which readings may be removed by now.
func (s *Store) goneNow(ctx context.Context) (int64, error) {
	p, err := s.progress(ctx)
	if err != nil {
		return 0, err
	}
	horizon, err := s.horizonNow(ctx, p)
	p.Horizon = bson.DateTime(horizon)
	return p.gone(), err
}

// advanceHorizon notes what nobody takes any more, since the server may remove it: for good, whatever becomes of the
// setting. It stays while not all behind it is rolled up, since nothing else has charts of what is gone; but a server that
// removes readings already goes on.
func (m *maintainer) advanceHorizon(ctx context.Context, p progress) error {
	horizon, err := m.horizonNow(ctx, p)
	if err != nil {
		return err
	}
	if m.retention.Readings > 0 && int64(p.Since) <= p.gone() {
		now, err := m.serverTime(ctx)
		if err != nil {
			return err
		}
		horizon = max(horizon, m.horizon(now))
	}
	if horizon == int64(p.Horizon) {
		return nil
	}
	_, err = m.advance(ctx, nil, bson.D{{Key: "$max", Value: bson.D{{Key: "horizon", Value: bson.DateTime(horizon)}}}})
	return err
}

// retain has the server remove what is older than the retention says, once inserts had a while to see the horizon in p.
func (m *maintainer) retain(ctx context.Context, p progress) error {
	if m.retention.Readings == 0 {
		return m.expireAfter(ctx, 0)
	}
	now, err := m.serverTime(ctx)
	if err != nil {
		return err
	}
	if int64(p.Horizon) < m.horizon(now)-hour { // see advanceHorizon
		return nil
	}
	if err := m.expireAfter(ctx, m.retention.Readings+time.Duration(grace)*time.Millisecond); err != nil {
		return err
	}
	if !m.foreign {
		m.returnSpace(ctx)
	}
	if m.retention.Rollups == 0 {
		return nil
	}
	// What is rolled up goes after the readings, of which it would be missed.
	keep := max(m.retention.Rollups.Milliseconds(), m.retention.Readings.Milliseconds()+grace+day)
	before := bson.DateTime(dayOf(now.UnixMilli() - keep))
	_, err = m.write(ctx, daysName, []mongo.WriteModel{
		mongo.NewDeleteManyModel().SetFilter(bson.D{{Key: "_id.day", Value: bson.D{{Key: "$lt", Value: before}}}}),
	})
	if err != nil {
		return fmt.Errorf("remove old rollups: %w", err)
	}
	return nil
}

// expireAfter has the server remove readings that long after their time; 0: not any more. An index of somebody else stops
// nothing but that.
func (m *maintainer) expireAfter(ctx context.Context, after time.Duration) error {
	err := m.ExpireAfter(ctx, fieldAt, after)
	if !errors.Is(err, mongodb.ErrForeignIndex) {
		m.foreign = false
		return err
	}
	if !m.foreign {
		m.log.Warn("the server does not remove readings as RETENTION_READINGS says: drop the index, or make another one in its place, such as "+
			"{timestamp: 1, device_id: 1}", "error", err)
	}
	m.foreign = true
	return nil
}

// returnSpace has the server give the disk space of what it has removed back, once: else it keeps it for what comes.
func (m *maintainer) returnSpace(ctx context.Context) {
	if m.returns {
		return
	}
	m.returns = true
	database, err := m.DB.Database(ctx)
	if err == nil {
		err = database.Client().Database("admin").RunCommand(ctx, bson.D{{Key: "autoCompact", Value: true}}).Err()
	}
	switch {
	case err == nil:
		m.log.Info("the server gives the disk space of removed readings back")
	case mongodb.IsCommandNotFound(err):
		m.log.Info("the server keeps the disk space of removed readings for new ones; MongoDB 8 gives it back, "+
			"and db.runCommand({compact: \"readings\"}) does once", "error", err)
	default:
		m.log.Info("whether the server gives the disk space of removed readings back is not known; db.adminCommand({autoCompact: true}) "+
			"on each of its members has it do so", "error", err)
	}
}
