package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/ledger"
)

// httpFleet is devices that send readings over HTTP, each until it is answered 202.
type httpFleet struct {
	url string

	mu       sync.Mutex
	ledger   bytes.Buffer
	accepted int
}

func (f *httpFleet) note(event, reading string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fmt.Fprintf(&f.ledger, `{"event":%q,"reading":%s}`+"\n", event, reading)
	if event == "acknowledged" {
		f.accepted++
	}
}

func (f *httpFleet) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.accepted
}

// run sends readings of a device until ctx ends.
func (f *httpFleet) run(ctx context.Context, device int) {
	begin := time.Now().Add(-time.Hour)
	for n := 0; ctx.Err() == nil; n++ {
		at := begin.Add(time.Duration(n) * time.Millisecond).UTC().Format("2006-01-02T15:04:05.000Z")
		reading := fmt.Sprintf(`{"device_id":%d,"timestamp":%q,"x":%d}`, device, at, n)
		f.note("sent", reading)
		for ctx.Err() == nil && !f.send(ctx, reading) {
			time.Sleep(10 * time.Millisecond) // the process is away
		}
	}
}

// send reports whether the reading was answered 202.
func (f *httpFleet) send(ctx context.Context, reading string) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url+"/api/readings/", strings.NewReader(reading))
	if err != nil {
		return false
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		return false
	}
	f.note("acknowledged", reading)
	return true
}

// TestKillHTTP is TestKill for devices that send over HTTP: what was answered 202 is there in the end, once.
func TestKillHTTP(t *testing.T) {
	const kills = 4
	data, addrs := t.TempDir(), freeAddrs(t)
	fleet := &httpFleet{url: "http://" + addrs["HTTP_ADDR"]}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var sending sync.WaitGroup
	for device := range 8 {
		sending.Go(func() { fleet.run(ctx, device+1) })
	}
	accepts := func() {
		before := fleet.count()
		eventually(t, 30*time.Second, "a 202 after the start", func() bool { return fleet.count() > before+20 })
	}
	for range kills {
		p := start(t, data, addrs)
		accepts()
		time.Sleep(rand.N(500 * time.Millisecond)) // the moment of the kill
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, data, addrs)
	accepts()
	stop()
	sending.Wait()

	l, err := ledger.Parse(&fleet.ledger)
	if err != nil {
		t.Fatal(err)
	}
	awaiting, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	report, err := l.Await(awaiting, p.api)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d kills: %v", kills, report)
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}
