package api

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/telltale-iot/telltale/pkg/iot"
)

func TestSharedAnswers(t *testing.T) {
	for _, path := range []string{"/api/readings/latest_all/", "/api/readings/stats/"} {
		t.Run("requests at the same time share the answer: "+path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const together = 100
				release, asked := make(chan struct{}), new(atomic.Int64)
				a := embedded(t).api(t, nil)
				a.Latest = cacheFunc{all: func(context.Context) ([]iot.Reading, error) {
					id := asked.Add(1)
					<-release
					return []iot.Reading{reading(iot.DeviceID(id), 0)}, nil
				}}
				handler := a.Handler()
				answers := make(chan string)
				ask := func() { w := get(handler, path); answers <- fmt.Sprint(w.Code, w.Body) }
				for range together {
					go ask()
				}
				synctest.Wait()
				close(release)
				first, same := <-answers, true
				for range together - 1 {
					if other := <-answers; other != first {
						same = false
					}
				}
				if !same {
					t.Error("the answers differ")
				}
				go ask()
				if later := <-answers; asked.Load() != 2 || later == first {
					t.Errorf("the cache was asked %d times; later answer: %s", asked.Load(), later)
				}
				if !a.limits.sending.TryAcquire(maxSending) {
					t.Error("an answer that was sent still takes room")
				}
			})
		})
	}
}
