package credentials

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/IBM/sarama"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/embedded/embeddedtest"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/heaptest"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
)

var quiet = slog.New(slog.DiscardHandler)

const topic = "raw-data.credentials"

func password(id int64, name, secret string, devices ...iot.DeviceID) iot.Credential {
	return iot.Credential{ID: id, Type: iot.CredentialPassword, Name: name, Secret: auth.Hash(secret), Devices: devices}
}

// filled returns a table that has read what the credentials say.
func filled(credentials ...iot.Credential) *Table {
	t := New(kafka.Config{Topic: "raw-data"}, quiet)
	t.anew = newState(t.now.seed)
	for _, c := range credentials {
		t.take([]kafka.Record{event.CredentialRecord(topic, c)})
	}
	t.take([]kafka.Record{event.SiteRecord(topic, event.Site{})})
	t.caughtUp()
	return t
}

func TestPassword(t *testing.T) {
	table := filled(
		password(1, "7", "one", 7), password(2, "7", "two", 7), password(3, "gateway", "g", 9, 8), password(4, "boiler", "b", iot.KeyID("boiler")),
		iot.Credential{ID: 5, Type: iot.CredentialPassword, Name: "grafana", Secret: auth.Hash("v"), Viewer: true},
		iot.Credential{ID: 6, Type: iot.CredentialCertificate, Name: "7", Secret: auth.Hash("c")},
	)
	for _, tt := range []struct {
		name, password string
		want           int64
	}{
		{"7", "one", 1}, {"7", "two", 2}, {"gateway", "g", 3}, {"boiler", "b", 4}, {"grafana", "v", 5},
		{"7", "g", 0}, {"7", "", 0}, {"7", "c", 0}, {"", "", 0}, {"gatewaY", "g", 0},
	} {
		var got int64
		if p, ok := table.Password(tt.name, tt.password); ok {
			got = p.ID
		}
		if got != tt.want {
			t.Errorf("%s with %q is %d, want %d", tt.name, tt.password, got, tt.want)
		}
	}
	if !table.HasPassword("7") || table.HasPassword("8") {
		t.Error("it does not know which names have passwords")
	}

	gateway, _ := table.Password("gateway", "g")
	viewer, _ := table.Password("grafana", "v")
	boiler, _ := table.Password("boiler", "b")
	if !gateway.May(8) || !gateway.May(9) || gateway.May(7) || viewer.May(7) {
		t.Error("a principal speaks for others than its devices")
	}
	if _, ok := gateway.Device(); ok {
		t.Error("a gateway of two devices has one of its own")
	}
	if own, ok := boiler.Device(); !ok || own != (iot.Identity{ID: iot.KeyID("boiler"), Key: "boiler"}) {
		t.Errorf("the boiler's own device is %v", own)
	}
}

func TestCertificate(t *testing.T) {
	cert := func(raw, uri string) *x509.Certificate {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		return &x509.Certificate{Raw: []byte(raw), URIs: []*url.URL{u}}
	}
	table := filled(
		iot.Credential{ID: 1, Type: iot.CredentialCertificate, Name: "7", Secret: sha256.Sum256([]byte("seven")), Devices: []iot.DeviceID{7}},
		iot.Credential{ID: 2, Type: iot.CredentialCertificate, Name: "a boiler", Devices: []iot.DeviceID{iot.KeyID("a boiler")}},
		password(3, "8", "", 8),
	)
	for _, tt := range []struct {
		cert *x509.Certificate
		want int64
	}{
		{cert("seven", "urn:telltale:device:a%20boiler"), 1}, // the fingerprint says more than the name
		{cert("x", "urn:telltale:device:a%20boiler"), 2},
		{cert("x", "urn:telltale:device:7"), 0}, // one certificate of that name is allowed, and not any
		{cert("x", "urn:telltale:device:8"), 0}, // a password's
		{cert("x", "urn:other:device:a%20boiler"), 0},
		{cert("x", "https://example.com/telltale:device:a%20boiler"), 0},
		{cert("", ""), 0},
	} {
		var got int64
		if p, ok := table.Certificate(tt.cert); ok {
			got = p.ID
		}
		if got != tt.want {
			t.Errorf("%q with %v is %d, want %d", tt.cert.Raw, tt.cert.URIs, got, tt.want)
		}
	}
}

// TestExpiry: from its time on a credential lets nobody in, and its end is told once.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		short, long := password(1, "7", "one", 7), password(2, "7", "two", 7)
		short.ExpiresAt, long.ExpiresAt = time.Now().Add(10*time.Second), time.Now().Add(time.Hour)
		table := filled(short, long)
		var ended []int64
		table.OnEnd(func(id int64) { ended = append(ended, id) })
		p, ok := table.Password("7", "one")
		if !ok {
			t.Fatal("it does not get in")
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { _ = table.expire(ctx); close(done) }()
		time.Sleep(10 * time.Second)
		if _, ok := table.Password("7", "one"); ok {
			t.Error("it gets in when it has expired")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !p.Ended() || !slices.Equal(ended, []int64{1}) {
			t.Errorf("told of the end of %v", ended)
		}
		if _, ok := table.Password("7", "two"); !ok {
			t.Error("the other one does not get in")
		}
		if n := table.count(); n != 2 {
			t.Errorf("%d are on the topic", n)
		}
		cancel()
		<-done
	})
}

// TestRemove: whatever is taken out, all others are found.
func TestRemove(t *testing.T) {
	s := newState(New(kafka.Config{}, quiet).now.seed)
	const names = 50 // with many of a name, so that they are behind each other
	for id := range int64(1000) {
		s.add(NewPrincipal(password(id+1, fmt.Sprint(id%names), fmt.Sprint(id), 7)))
	}
	for out := range int64(1000) {
		s.remove(out + 1)
		for id := out + 1; id < 1000; id++ {
			p := s.byID[id+1]
			if s.find(s.hashOf(p), func(q *Principal) bool { return q == p }) != p {
				t.Fatalf("without %d, %d is not found", out+1, id+1)
			}
		}
	}
	if s.bytes != 0 || len(s.index) != 0 {
		t.Errorf("%d bytes and %d entries are left", s.bytes, len(s.index))
	}
}

// TestMemory: of 100,000 credentials, each of the kind that takes most.
func TestMemory(t *testing.T) {
	for _, kind := range []iot.CredentialType{iot.CredentialPassword, iot.CredentialCertificate} {
		before := heaptest.InUse()
		table := New(kafka.Config{Topic: "raw-data"}, quiet)
		table.anew = newState(table.now.seed)
		for id := range int64(100_000) {
			c := password(id+1, fmt.Sprintf("sensor-%06d", id), fmt.Sprint(id), iot.DeviceID(id+1))
			c.Type = kind
			table.take([]kafka.Record{event.CredentialRecord(topic, c)})
		}
		table.caughtUp()
		took := heaptest.InUse() - before
		t.Logf("%s: %.1f MB, counted as %.1f MB", kind, float64(took)/1e6, float64(table.now.bytes)/1e6)
		if took > 20e6 || took > table.now.bytes*11/10 {
			t.Errorf("%d bytes, counted as %d", took, table.now.bytes)
		}
		if _, ok := table.Password("sensor-000007", "7"); ok != (kind == iot.CredentialPassword) {
			t.Error("one does not get in")
		}
	}
}

// TestBound: whatever is on the topic. Those that come last are not taken, which shows.
func TestBound(t *testing.T) {
	table := filled()
	many := make([]iot.DeviceID, 10_000)
	for i := range many {
		many[i] = iot.DeviceID(i + 1)
	}
	before := heaptest.InUse()
	for id := range int64(2000) {
		table.follow([]kafka.Record{event.CredentialRecord(topic, password(id+1, fmt.Sprint(id), "x", many...))})
	}
	if n := heaptest.InUse() - before; n > maxBytes*11/10 {
		t.Errorf("it takes %d MiB", n>>20)
	}
	if err := table.Check(t.Context()); err == nil {
		t.Error("it does not say that there is no room")
	}
	if _, ok := table.Password("1", "x"); !ok {
		t.Error("the first ones do not get in")
	}
	if _, ok := table.Password("1999", "x"); ok || !table.isOver() {
		t.Error("the last one gets in")
	}
}

// world is a broker with the topic.
type world struct {
	t        *testing.T
	cfg      kafka.Config
	producer *producer.Producer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	broker := embeddedtest.Start(t)
	w := &world{t: t, cfg: kafka.Config{Brokers: []string{broker.Addr()}, Topic: "raw-data", Partitions: 1, ClientID: "test"}}
	w.ensure()
	w.producer = producer.New(w.cfg, quiet, prometheus.NewRegistry())
	kafkatest.Start(t, w.producer.Run)
	return w
}

func (w *world) ensure() {
	w.t.Helper()
	if err := kafka.EnsureTopics(w.t.Context(), w.cfg, quiet); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) put(records ...kafka.Record) {
	w.t.Helper()
	answers := make(chan error, len(records))
	for _, rec := range records {
		w.producer.Produce(rec, func(err error) { answers <- err })
	}
	for range records {
		if err := <-answers; err != nil {
			w.t.Fatal(err)
		}
	}
}

// remake deletes the topic and makes it again.
func (w *world) remake() {
	w.t.Helper()
	admin, err := sarama.NewClusterAdmin(w.cfg.Brokers, kafkatest.SaramaConfig())
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	if err := admin.DeleteTopic(topic); err != nil {
		w.t.Fatal(err)
	}
	w.ensure()
}

func (w *world) table() (t *Table, ended chan int64) {
	w.t.Helper()
	t, ended = New(w.cfg, kafkatest.Logger(w.t)), make(chan int64, 100)
	t.OnEnd(func(id int64) { ended <- id })
	kafkatest.Start(w.t, t.Run)
	return t, ended
}

// await waits until a condition holds.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain: " + what)
		}
	}
}

func next(t *testing.T, ended <-chan int64) int64 {
	t.Helper()
	select {
	case id := <-ended:
		return id
	case <-time.After(30 * time.Second):
		t.Fatal("the end of no credential is told")
		return 0
	}
}

var site = event.SiteRecord(topic, event.Site{Moved: true})

// TestFollow: what was on the topic before is read, whatever is superseded there, and then what is new.
func TestFollow(t *testing.T) {
	w := newWorld(t)
	var records []kafka.Record
	for id := range int64(3000) {
		records = append(records, event.CredentialRecord(topic, password(id+1, "7", fmt.Sprint(id), 7)))
		if id != 41 {
			records = append(records, event.CredentialEnd(topic, id+1))
		}
	}
	w.put(append(records, kafka.Record{Topic: topic, Key: []byte("stranger"), Value: []byte("x")})...)
	table, ended := w.table()
	await(t, "the topic to be read", func() bool { _, ok := table.Password("7", "41"); return ok })
	select {
	case <-table.Ready():
		t.Fatal("it is ready before the site is known")
	default:
	}
	if err := table.Check(t.Context()); err == nil {
		t.Error("it does not say what it waits for")
	}
	w.put(site)
	<-table.Ready()
	if err := table.Check(t.Context()); err != nil || !table.Site().Moved {
		t.Errorf("%v, %v", err, table.Site())
	}
	if n := table.count(); n != 1 {
		t.Errorf("%d credentials, want 1", n)
	}

	w.put(event.CredentialRecord(topic, password(5000, "8", "new", 8)))
	await(t, "the new one", func() bool { _, ok := table.Password("8", "new"); return ok })
	p, _ := table.Password("8", "new")
	w.put(event.CredentialEnd(topic, 5000))
	if id := next(t, ended); id != 5000 || !p.Ended() {
		t.Errorf("the end of %d is told", id)
	}
	if _, ok := table.Password("8", "new"); ok {
		t.Error("it gets in after its end")
	}
}

// TestMadeAgain: a topic that was made again is read anew. What was known holds until the new one is whole, but for what it
// says has ended.
func TestMadeAgain(t *testing.T) {
	w := newWorld(t)
	stays, lost, revoked := password(1, "1", "x", 1), password(2, "2", "x", 2), password(3, "3", "x", 3)
	w.put(event.CredentialRecord(topic, stays), event.CredentialRecord(topic, lost), event.CredentialRecord(topic, revoked), site)
	table, ended := w.table()
	<-table.Ready()
	before, _ := table.Password("1", "x")

	w.remake()
	w.put(event.CredentialEnd(topic, 3), event.CredentialRecord(topic, stays), event.CredentialRecord(topic, password(4, "4", "x", 4)))
	await(t, "the new topic to be read", func() bool {
		table.mu.RLock()
		defer table.mu.RUnlock()
		return table.anew != nil && table.failure == nil
	})
	if _, ok := table.Password("2", "x"); !ok {
		t.Error("a valid one is cut while the topic is not whole")
	}
	w.put(event.SiteRecord(topic, event.Site{}))
	got := []int64{next(t, ended), next(t, ended)}
	slices.Sort(got)
	if !slices.Equal(got, []int64{2, 3}) {
		t.Errorf("the ends of %v are told", got)
	}
	if after, ok := table.Password("1", "x"); !ok || after != before || before.Ended() {
		t.Error("the one that is on both does not stay")
	}
	if _, ok := table.Password("4", "x"); !ok {
		t.Error("the new one does not get in")
	}
	for _, gone := range []string{"2", "3"} {
		if _, ok := table.Password(gone, "x"); ok {
			t.Errorf("%s gets in", gone)
		}
	}
}

// TestRevokedBefore: while a topic is read anew, one that it brings and then ends never gets in.
func TestRevokedBefore(t *testing.T) {
	table := filled(password(1, "1", "x", 1))
	table.anew = newState(table.now.seed)
	table.take([]kafka.Record{event.CredentialRecord(topic, password(2, "2", "x", 2)), event.SiteRecord(topic, event.Site{})})
	if _, ok := table.Password("2", "x"); ok {
		t.Error("one whose end may come gets in")
	}
	if _, ok := table.Password("1", "x"); !ok {
		t.Error("a valid one is cut")
	}
	table.take([]kafka.Record{event.CredentialEnd(topic, 2)})
	table.caughtUp()
	if _, ok := table.Password("2", "x"); ok {
		t.Error("a revoked one gets in")
	}
}

// TestAway: without Kafka it says so.
func TestAway(t *testing.T) {
	table := New(kafka.Config{Topic: "raw-data", Brokers: []string{"127.0.0.1:1"}}, quiet)
	kafkatest.Start(t, table.Run)
	await(t, "the failure", func() bool { return errors.Is(table.Check(t.Context()), sarama.ErrOutOfBrokers) })
}

func BenchmarkPassword(b *testing.B) {
	var all []iot.Credential
	for id := range int64(100_000) {
		all = append(all, password(id+1, fmt.Sprint(id), "x", iot.DeviceID(id)))
	}
	table := filled(all...)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := table.Password("77777", "x"); !ok {
			b.Fatal("it does not get in")
		}
	}
}

func BenchmarkMay(b *testing.B) {
	devices := make([]iot.DeviceID, 100_000)
	for i := range devices {
		devices[i] = iot.DeviceID(i + 1)
	}
	p := NewPrincipal(password(1, "gateway", "x", devices...))
	for b.Loop() {
		if !p.May(77_777) {
			b.Fatal("it may not")
		}
	}
}

// count is how many credentials are on the topic, expired ones too, as far as it is read.
func (t *Table) count() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.now.byID)
}
