package metadatatest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata"
)

// concurrently runs f(0) to f(n-1) at the same time and fails the test when one of them fails.
func concurrently(t *testing.T, n int, f func(ctx context.Context, i int) error) {
	t.Helper()
	group, ctx := errgroup.WithContext(t.Context())
	start := make(chan struct{})
	for i := range n {
		group.Go(func() error {
			<-start
			return f(ctx, i)
		})
	}
	close(start)
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

func together() []promise {
	return []promise{
		{"one of several creations of a username wins, the others are ErrConflict", func(t *testing.T, db *database) {
			stores := []metadata.Store{db.prepared(), db.prepared()}
			won := make([]bool, 12)
			concurrently(t, len(won), func(ctx context.Context, i int) error {
				_, err := stores[i%2].CreateUser(ctx, iot.User{Username: "ann", Email: fmt.Sprint(i)})
				won[i] = err == nil
				if errors.Is(err, iot.ErrConflict) {
					return nil
				}
				return err
			})
			all, err := stores[0].Users(t.Context(), iot.UserQuery{Limit: 10})
			if err != nil || len(all) != 1 {
				t.Fatalf("users %v, %v, want one", all, err)
			}
			for i, w := range won {
				wantEqual(t, w, all[0].Email == fmt.Sprint(i))
			}
		}},
		{"updates of two fields at once lose neither", func(t *testing.T, db *database) {
			stores := []metadata.Store{db.prepared(), db.prepared()}
			ann := newUser(t, stores[0], "ann")
			newDevice(t, stores[0], iot.Device{ID: 5, Name: "x", Owner: ann.ID})
			for round := range 10 {
				value := fmt.Sprint(round)
				concurrently(t, 4, func(ctx context.Context, i int) (err error) {
					s := stores[i%2]
					switch i {
					case 0:
						_, _, err = s.UpdateDevice(ctx, 5, iot.DeviceChange{Name: &value})
					case 1:
						_, _, err = s.UpdateDevice(ctx, 5, iot.DeviceChange{Location: &value})
					case 2:
						_, err = s.UpdateUser(ctx, ann.ID, iot.UserChange{Username: &value})
					case 3:
						_, err = s.UpdateUser(ctx, ann.ID, iot.UserChange{Email: &value})
					}
					return err
				})
				d, u := findDevice(t, stores[1], 5), findUser(t, stores[1], ann.ID)
				wantEqual(t, []string{d.Name, d.Location, u.Username, u.Email}, []string{value, value, value, value})
			}
		}},
		{"ids are generated while devices register themselves, each once, without an error", func(t *testing.T, db *database) {
			stores := []metadata.Store{db.prepared(), db.prepared(), db.prepared(), db.prepared()}
			ann := newUser(t, stores[0], "ann")
			const workers, rounds = 8, 12
			var generated [workers][]iot.DeviceID
			var registered [workers]int
			concurrently(t, 2*workers, func(ctx context.Context, i int) error {
				s, w := stores[i%len(stores)], i/2
				for round := range rounds {
					if i%2 == 0 {
						d, err := s.CreateDevice(ctx, iot.Device{Name: "generated", Owner: ann.ID})
						if err != nil {
							return err
						}
						generated[w] = append(generated[w], d.ID)
						continue
					}
					// Right where the next generated id would be.
					ids := make([]iot.DeviceID, 10)
					for j := range ids {
						ids[j] = iot.DeviceID(round*workers + w + j + 1)
					}
					n, err := s.EnsureDevices(ctx, seen(ids...), iot.Admission{})
					if err != nil {
						return err
					}
					registered[w] += n.Created
				}
				return nil
			})
			seen, sum := map[iot.DeviceID]bool{}, 0
			for w := range workers {
				for _, id := range generated[w] {
					if seen[id] {
						t.Errorf("device %d was created twice", id)
					}
					seen[id] = true
					wantEqual(t, findDevice(t, stores[0], id).Name, "generated")
				}
				sum += len(generated[w]) + registered[w]
			}
			wantEqual(t, len(seen), workers*rounds)
			wantEqual(t, len(allDevices(t, stores[0])), sum)
		}},
		{"ids that are generated and deleted at once are never given again", func(t *testing.T, db *database) {
			stores := []metadata.Store{db.prepared(), db.prepared()}
			ann := newUser(t, stores[0], "ann")
			const workers, rounds = 6, 15
			var generated [workers][]iot.DeviceID
			concurrently(t, workers, func(ctx context.Context, i int) error {
				s := stores[i%2]
				for range rounds {
					d, err := s.CreateDevice(ctx, iot.Device{Name: "x", Owner: ann.ID})
					if err != nil {
						return err
					}
					generated[i] = append(generated[i], d.ID)
					if _, err := s.DeleteDevice(ctx, d.ID); err != nil {
						return err
					}
				}
				return nil
			})
			all := slices.Sorted(slices.Values(slices.Concat(generated[:]...)))
			wantEqual(t, len(slices.Compact(all)), workers*rounds)
		}},
		{"devices register themselves while the default user is deleted, without an error", func(t *testing.T, db *database) {
			stores := []metadata.Store{db.prepared(), db.prepared()}
			concurrently(t, 6, func(ctx context.Context, i int) error {
				s := stores[i%2]
				for round := range 15 {
					if i < 4 {
						ids := []iot.DeviceID{1, 2, iot.DeviceID(100*i + round + 3)}
						if _, err := s.EnsureDevices(ctx, seen(ids...), iot.Admission{}); err != nil {
							return err
						}
						continue
					}
					found, err := s.Users(ctx, iot.UserQuery{Username: iot.DefaultUsername, Limit: 1})
					if err != nil {
						return err
					}
					for _, u := range found {
						if _, err := s.DeleteUser(ctx, u.ID); err != nil && !errors.Is(err, iot.ErrNotFound) {
							return err
						}
					}
				}
				return nil
			})
			if _, err := stores[0].EnsureDevices(t.Context(), []iot.Identity{{ID: 1}, {ID: 2}, {ID: 3}}, iot.Admission{}); err != nil {
				t.Fatal(err)
			}
			owner := defaultUser(t, stores[0])
			for _, d := range allDevices(t, stores[0]) {
				wantEqual(t, d.Owner, owner.ID)
			}
		}},
		{"devices change owners while owners are deleted: done, ErrNotFound or ErrInvalid", func(t *testing.T, db *database) {
			stores := []metadata.Store{db.prepared(), db.prepared()}
			ann := newUser(t, stores[0], "ann")
			for round := range 8 {
				bob := newUser(t, stores[0], fmt.Sprint("bob ", round))
				for id := range iot.DeviceID(4) {
					newDevice(t, stores[0], iot.Device{ID: iot.DeviceID(10*round) + id + 1, Name: "x", Owner: ann.ID})
				}
				concurrently(t, 5, func(ctx context.Context, i int) error {
					if i == 4 {
						return errOf(stores[1].DeleteUser(ctx, bob.ID))
					}
					_, _, err := stores[i%2].UpdateDevice(ctx, iot.DeviceID(10*round+i+1), iot.DeviceChange{Owner: &bob.ID})
					if errors.Is(err, iot.ErrInvalid) || errors.Is(err, iot.ErrNotFound) {
						return nil
					}
					return err
				})
			}
			for _, d := range allDevices(t, stores[0]) {
				wantEqual(t, d.Owner, ann.ID)
			}
		}},
	}
}
