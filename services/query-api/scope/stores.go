package scope

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Stores are what somebody asks, who sees what is in them.
type Stores struct {
	Metadata    Metadata
	Readings    Readings
	Latest      Latest
	DeadLetters DeadLetters
}

// Metadata is of an iot.MetadataStore what people ask.
type Metadata interface {
	User(ctx context.Context, id int64) (iot.User, error)
	Users(ctx context.Context, q iot.UserQuery) ([]iot.User, error)

	CreateDevice(ctx context.Context, d iot.Device) (iot.Device, error)
	Device(ctx context.Context, id iot.DeviceID) (iot.Device, error)
	Devices(ctx context.Context, q iot.DeviceQuery) ([]iot.Device, error)
	UpdateDevice(ctx context.Context, id iot.DeviceID, c iot.DeviceChange) (d iot.Device, credentials []int64, err error)
	DeleteDevice(ctx context.Context, id iot.DeviceID) (credentials []int64, err error)
}

// Readings is what people ask of stored readings.
type Readings interface {
	iot.ReadingReader
	iot.HistoryReader
	// Usage is -1 of what nobody knows, and of everything for who sees some devices alone: a disk is not divided among them.
	Usage(ctx context.Context) (iot.Usage, error)
}

// Latest is of an iot.LatestCache what people ask.
type Latest interface {
	Latest(ctx context.Context, id iot.DeviceID) (iot.Reading, error)
	AllLatest(ctx context.Context) ([]iot.Reading, error)
}

// DeadLetters is of an iot.DeadLetterStore what people ask.
type DeadLetters interface {
	DeadLetter(ctx context.Context, id iot.DeadLetterID) (iot.DeadLetter, error)
	FindDeadLetters(ctx context.Context, q iot.DeadLetterQuery) (iot.DeadLetterPage, error)
	CountDeadLetters(ctx context.Context, q iot.DeadLetterQuery) ([]iot.ReasonCount, error)
	CountDeadLetterSources(ctx context.Context, q iot.DeadLetterQuery) ([]iot.SourceCount, error)
	DeleteDeadLetter(ctx context.Context, id iot.DeadLetterID) error
	DeleteDeadLetters(ctx context.Context, q iot.DeadLetterQuery) (deleted int, err error)
}

// Of returns all as who has s sees them. A nil s is of everything.
func (s *Scope) Of(all Stores) Stores {
	if s == nil {
		return all
	}
	return Stores{metadata{s, all}, readings{s, all.Readings}, latest{s, all.Latest}, deadLetters{s, all.DeadLetters}}
}

type readings struct {
	scope *Scope
	store Readings
}

func (r readings) FindReadings(ctx context.Context, q iot.ReadingQuery) (iot.Page, error) {
	if q.Devices = r.scope.Devices(q.Devices); len(q.Devices) == 0 {
		return iot.Page{}, nil
	}
	return r.store.FindReadings(ctx, q)
}

func (r readings) CountReadings(ctx context.Context) (counts []iot.DeviceCount, err error) {
	all, err := r.store.CountReadings(ctx)
	for _, n := range all {
		if r.scope.Has(n.Device) {
			counts = append(counts, n)
		}
	}
	return counts, err
}

func (r readings) ScanReadings(ctx context.Context, q iot.ScanQuery, take func(*iot.Reading) (more bool, err error)) error {
	if q.Devices = r.scope.Devices(q.Devices); len(q.Devices) == 0 {
		return nil
	}
	return r.store.ScanReadings(ctx, q, take)
}

func (r readings) ReadSamples(ctx context.Context, q iot.SampleQuery, take func(iot.Samples) error) error {
	if q.Devices = r.scope.Devices(q.Devices); len(q.Devices) == 0 {
		return nil
	}
	return r.store.ReadSamples(ctx, q, take)
}

func (r readings) ReadBuckets(ctx context.Context, q iot.BucketQuery, take func(iot.Buckets) error) error {
	if q.Devices = r.scope.Devices(q.Devices); len(q.Devices) == 0 {
		return nil
	}
	return r.store.ReadBuckets(ctx, q, take)
}

func (r readings) Horizon(ctx context.Context) (time.Time, error) { return r.store.Horizon(ctx) }

func (r readings) Usage(context.Context) (iot.Usage, error) {
	return iot.Usage{Readings: -1, Rollups: -1, Free: -1, PerDay: -1}, nil
}

type latest struct {
	scope *Scope
	cache Latest
}

func (l latest) Latest(ctx context.Context, id iot.DeviceID) (iot.Reading, error) {
	if !l.scope.Has(id) {
		return iot.Reading{}, iot.ErrNotFound
	}
	return l.cache.Latest(ctx, id)
}

func (l latest) AllLatest(ctx context.Context) (found []iot.Reading, err error) {
	all, err := l.cache.AllLatest(ctx)
	for i := range all {
		if l.scope.Has(all[i].Device) {
			found = append(found, all[i])
		}
	}
	return found, err
}

type deadLetters struct {
	scope *Scope
	store DeadLetters
}

func (d deadLetters) DeadLetter(ctx context.Context, id iot.DeadLetterID) (iot.DeadLetter, error) {
	found, err := d.store.DeadLetter(ctx, id)
	if err == nil && !d.scope.Has(found.Device) {
		return iot.DeadLetter{}, iot.ErrNotFound
	}
	return found, err
}

// within returns what q selects of the scope.
func (d deadLetters) within(q iot.DeadLetterQuery) iot.DeadLetterQuery {
	q.Devices = d.scope.Devices(q.Devices)
	return q
}

func (d deadLetters) FindDeadLetters(ctx context.Context, q iot.DeadLetterQuery) (iot.DeadLetterPage, error) {
	return d.store.FindDeadLetters(ctx, d.within(q))
}

func (d deadLetters) CountDeadLetters(ctx context.Context, q iot.DeadLetterQuery) ([]iot.ReasonCount, error) {
	return d.store.CountDeadLetters(ctx, d.within(q))
}

func (d deadLetters) CountDeadLetterSources(ctx context.Context, q iot.DeadLetterQuery) ([]iot.SourceCount, error) {
	return d.store.CountDeadLetterSources(ctx, d.within(q))
}

func (d deadLetters) DeleteDeadLetter(ctx context.Context, id iot.DeadLetterID) error {
	if _, err := d.DeadLetter(ctx, id); err != nil {
		return err
	}
	return d.store.DeleteDeadLetter(ctx, id)
}

func (d deadLetters) DeleteDeadLetters(ctx context.Context, q iot.DeadLetterQuery) (deleted int, err error) {
	return d.store.DeleteDeadLetters(ctx, d.within(q))
}

type metadata struct {
	scope *Scope
	all   Stores
}

func (m metadata) User(ctx context.Context, id int64) (iot.User, error) {
	if id != m.scope.user {
		return iot.User{}, iot.ErrNotFound
	}
	return m.all.Metadata.User(ctx, id)
}

// Users returns who has the scope, where q selects him.
func (m metadata) Users(ctx context.Context, q iot.UserQuery) ([]iot.User, error) {
	u, err := m.all.Metadata.User(ctx, m.scope.user)
	switch {
	case errors.Is(err, iot.ErrNotFound): // a device has no user
		return nil, nil
	case err != nil:
		return nil, err
	case u.ID <= q.After, q.Username != "" && q.Username != u.Username:
		return nil, nil
	}
	return []iot.User{u}, nil
}

// CreateDevice creates one that is in the scope then. It is none that is not there any more, or was never created, and of which
// something is stored: whoever creates a device sees that.
func (m metadata) CreateDevice(ctx context.Context, d iot.Device) (iot.Device, error) {
	switch {
	case m.scope.owner != 0 && d.Owner != m.scope.owner, m.scope.named != nil && !slices.Contains(m.scope.named, d.ID):
		return iot.Device{}, ErrForbidden
	case len(m.scope.devices) >= MaxDevices && !m.scope.Has(d.ID):
		return iot.Device{}, ErrTooMany
	}
	if d.ID != 0 {
		if err := m.checkUnknown(ctx, d.ID); err != nil {
			return iot.Device{}, err
		}
	}
	return m.all.Metadata.CreateDevice(ctx, d)
}

// checkUnknown returns ErrKnown for a device that is not there, and of which something is stored.
func (m metadata) checkUnknown(ctx context.Context, id iot.DeviceID) error {
	if _, err := m.all.Metadata.Device(ctx, id); !errors.Is(err, iot.ErrNotFound) {
		return err
	}
	only := []iot.DeviceID{id}
	page, err := m.all.Readings.FindReadings(ctx, iot.ReadingQuery{Devices: only, Limit: 1})
	if err != nil {
		return err
	}
	letters, err := m.all.DeadLetters.FindDeadLetters(ctx, iot.DeadLetterQuery{Devices: only, Limit: 1})
	if err == nil && len(page.Readings)+len(letters.DeadLetters) > 0 {
		return ErrKnown
	}
	return err
}

func (m metadata) Device(ctx context.Context, id iot.DeviceID) (iot.Device, error) {
	if !m.scope.Has(id) {
		return iot.Device{}, iot.ErrNotFound
	}
	d, err := m.all.Metadata.Device(ctx, id)
	if err == nil && m.scope.owner != 0 && d.Owner != m.scope.owner { // since a moment ago
		return iot.Device{}, iot.ErrNotFound
	}
	return d, err
}

func (m metadata) Devices(ctx context.Context, q iot.DeviceQuery) ([]iot.Device, error) {
	if m.scope.owner != 0 {
		if q.Owner != 0 && q.Owner != m.scope.owner {
			return nil, nil
		}
		q.Owner = m.scope.owner
	}
	switch {
	case m.scope.named == nil: // and he sees one that has become his a moment ago
	case q.Devices == nil:
		q.Devices = m.scope.named
	default:
		q.Devices = m.scope.Devices(q.Devices)
	}
	return m.all.Metadata.Devices(ctx, q)
}

// UpdateDevice changes a device, which stays its owner's.
func (m metadata) UpdateDevice(ctx context.Context, id iot.DeviceID, c iot.DeviceChange) (iot.Device, []int64, error) {
	d, err := m.Device(ctx, id)
	if err != nil {
		return iot.Device{}, nil, err
	}
	if c.Owner != nil && *c.Owner != d.Owner {
		return iot.Device{}, nil, ErrForbidden
	}
	return m.all.Metadata.UpdateDevice(ctx, id, c)
}

func (m metadata) DeleteDevice(ctx context.Context, id iot.DeviceID) ([]int64, error) {
	if _, err := m.Device(ctx, id); err != nil {
		return nil, err
	}
	return m.all.Metadata.DeleteDevice(ctx, id)
}
