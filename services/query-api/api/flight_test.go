package api

import (
	"context"
	"fmt"
	"io"
	"net"
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

func TestSharedAnswersEndWithTheAPI(t *testing.T) {
	for _, path := range []string{"/api/readings/latest_all/", "/api/readings/stats/"} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := embedded(t).api(t, nil)
				asked := make(chan context.Context, 1)
				a.Latest = cacheFunc{all: func(ctx context.Context) ([]iot.Reading, error) {
					asked <- ctx
					<-ctx.Done() // a server that hangs
					return nil, ctx.Err()
				}}
				l := make(pipes)
				stop := startOn(t, a, l)
				client, server := net.Pipe()
				defer client.Close()
				l <- server
				if _, err := io.WriteString(client, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				ctx := <-asked
				if err := stop(); err != nil {
					t.Error(err)
				}
				if ctx.Err() == nil {
					t.Error("the store is still asked for an answer after Run has returned")
				}
			})
		})
	}
}
