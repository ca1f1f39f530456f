package credentials

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/credentials"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/heaptest"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/metadata"
)

var quiet = slog.New(slog.DiscardHandler)

// What is published lets in within moments, and what is ended does not any more.
func TestPublish(t *testing.T) {
	w := newWorld(t)
	k := w.replica(t)
	kafkatest.Start(t, k.Run)
	table := credentials.New(w.kafka, quiet)
	kafkatest.Start(t, table.Run)
	<-table.Ready()

	c, password := w.create(t, 7)
	if err := k.Publish(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	kafkatest.Eventually(t, kafkatest.Timeout, "it lets in", func() bool { _, ok := table.Password("7", password); return ok })
	w.delete(t, c.ID)
	if err := k.End(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	kafkatest.Eventually(t, kafkatest.Timeout, "it does not let in", func() bool { _, ok := table.Password("7", password); return !ok })
}

// The topic becomes what the database is, whatever it was, and then stays.
func TestRepair(t *testing.T) {
	w := newWorld(t)
	k := w.replica(t)
	missing, _ := w.create(t, 1)
	there, _ := w.create(t, 2)
	w.send(t, event.CredentialRecord(w.topic, there), event.CredentialRecord(w.topic, iot.Credential{ID: 99, Type: iot.CredentialCertificate, Name: "gone"}))
	w.send(t, kafka.Record{Topic: w.topic, Key: []byte("another's"), Value: []byte("junk")})

	w.wantChanges(t, k, changes{published: 1, ended: 1, site: 1})
	w.wantTopic(t, missing.ID, there.ID)
	records := kafkatest.ReadAll(t, w.kafka.Brokers, w.topic)
	if last := string(records[len(records)-1].Key); last != "site" {
		t.Errorf("the last record is %q; bridges wait for the site to know all", last)
	}
	w.wantChanges(t, k, changes{})

	w.send(t, event.SiteRecord(w.topic, event.Site{Moved: true}))
	w.wantChanges(t, k, changes{site: 1})
	w.wantChanges(t, k, changes{})
	if got := w.read(t, k); *got.site != (event.Site{}) {
		t.Errorf("the site is %+v", *got.site)
	}
}

// A replica that is slow publishes a credential that another one has ended meanwhile: it does not come back.
func TestDeletedMeanwhile(t *testing.T) {
	t.Run("between commit and publishing", func(t *testing.T) {
		w := newWorld(t)
		slow, fast := w.replica(t), w.replica(t)
		c, _ := w.create(t, 7)
		w.delete(t, c.ID)
		if err := fast.End(t.Context(), c.ID); err != nil {
			t.Fatal(err)
		}
		if err := slow.Publish(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		w.wantTopic(t)
	})
	t.Run("between comparing and publishing", func(t *testing.T) {
		w := newWorld(t)
		fast := w.replica(t)
		gone, _ := w.create(t, 7)
		stays, _ := w.create(t, 8)
		hooked := &hook{Store: w.store}
		hooked.found = func() {
			hooked.found = nil
			w.delete(t, gone.ID)
			if err := fast.End(t.Context(), gone.ID); err != nil {
				t.Error(err)
			}
		}
		slow := w.replicaOn(t, hooked)
		if _, err := slow.compare(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wantTopic(t, stays.ID)
	})
	t.Run("while kafka took nothing", func(t *testing.T) {
		w := newWorld(t)
		slow, fast := w.replica(t), w.replica(t)
		kafkatest.Start(t, slow.Run)
		kafkatest.Eventually(t, kafkatest.Timeout, "the site is published", func() bool { return w.read(t, fast).site != nil })
		c, _ := w.create(t, 7)
		ended, cancel := context.WithCancel(t.Context())
		cancel() // as that of a request whose time is over
		if err := slow.Publish(ended, c); err == nil {
			t.Fatal("it has not waited, and says that it was published")
		}
		w.delete(t, c.ID)
		if err := fast.End(t.Context(), c.ID); err != nil {
			t.Fatal(err)
		}
		w.eventuallyTopic(t)
	})
}

// A credential that another replica makes and publishes while the topic and the database are compared stays.
func TestMadeMeanwhile(t *testing.T) {
	w := newWorld(t)
	fast := w.replica(t)
	before, _ := w.create(t, 7)
	var meanwhile iot.Credential
	hooked := &hook{Store: w.store}
	hooked.found = func() {
		hooked.found = nil
		meanwhile, _ = w.create(t, 8)
		if err := fast.Publish(t.Context(), meanwhile); err != nil {
			t.Error(err)
		}
	}
	if _, err := w.replicaOn(t, hooked).compare(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.wantTopic(t, before.ID, meanwhile.ID)
}

// hook is a store that calls found after credentials were found, before they are returned.
type hook struct {
	metadata.Store
	found func()
}

func (h *hook) Credentials(ctx context.Context, q iot.CredentialQuery) ([]iot.Credential, error) {
	all, err := h.Store.Credentials(ctx, q)
	if h.found != nil && len(all) > 0 {
		h.found()
	}
	return all, err
}

// Replicas create, delete and compare at the same time. What each has published is right without being compared once more, and
// no credential is on the topic after the request that deleted it was answered.
func TestReplicas(t *testing.T) {
	const replicas, rounds, devices = 3, 60, 5
	w := newWorld(t)
	for d := range iot.DeviceID(devices) {
		w.createDevice(t, d+1)
	}
	keepers := make([]*Keeper, replicas)
	for i := range keepers {
		keepers[i] = w.replica(t)
	}
	var group sync.WaitGroup
	for i, k := range keepers {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			for range rounds {
				device := iot.DeviceID(rng.IntN(devices) + 1)
				switch rng.IntN(5) {
				case 0:
					if _, err := k.compare(t.Context()); err != nil {
						t.Error(err)
					}
				case 1, 2:
					if c, err := w.store.CreateCredential(t.Context(), passwordOf(device)); err == nil {
						if err := k.Publish(t.Context(), c); err != nil {
							t.Error(err)
						}
					} else if !errors.Is(err, iot.ErrConflict) {
						t.Error(err)
					}
				default:
					all, err := w.store.Credentials(t.Context(), iot.CredentialQuery{Device: device, Limit: 1})
					if err != nil {
						t.Error(err)
					}
					if len(all) == 0 {
						continue
					}
					if err := w.store.DeleteCredential(t.Context(), all[0].ID); err != nil {
						continue // another replica was faster
					}
					if err := k.End(t.Context(), all[0].ID); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	group.Wait()
	w.wantTopic(t, w.stored(t)...)
}

// TestManyCredentials bounds what a comparison takes of memory, and tells how long it takes, and publishing all of them.
func TestManyCredentials(t *testing.T) {
	const many, most = 100_000, 16 << 20
	w := newWorld(t)
	w.createMany(t, many)
	k := w.replica(t)
	grown, start := heaptest.Watch(t), time.Now()
	w.wantChanges(t, k, changes{published: many, site: 1})
	published := time.Since(start)
	start = time.Now()
	w.wantChanges(t, k, changes{})
	compared := time.Since(start)
	if n := grown(); n > most {
		t.Errorf("%d KiB, want %d at most", n>>10, most>>10)
	} else {
		t.Logf("%d KiB; published in %v, compared in %v", n>>10, published, compared)
	}
}
