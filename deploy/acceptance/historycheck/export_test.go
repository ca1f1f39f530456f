package historycheck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/history"
)

const (
	// maxExportMemory is how much resident memory an export may add, of any size.
	maxExportMemory = 64 << 20
	// freedWithin is how long after a client stalls or leaves everything is free again.
	freedWithin = 140 * time.Second
	// maxExports is how many one client may have at the same time.
	maxExports = 2
)

// TestExport: a walk and an export show the same readings, also one that is cut and goes on; clients that stall or leave hold
// nothing for long; and a file takes little memory, of whatever size. Imported elsewhere it becomes the same readings, once.
func TestExport(t *testing.T) {
	t.Parallel()
	l := load{first: 1, devices: 20, every: time.Second, from: time.Now().Add(-40 * 24 * time.Hour).Truncate(time.Hour)}
	l.ticks = choose(20_000, fromEnv(t, "HISTORY_EXPORTED", 1_000_000)) / l.devices
	s := start(t, sealing)
	s.publish(t, l.len(), l)
	s.awaitSealed(t)
	want := s.all(t)
	if want.n != l.len() {
		t.Fatalf("a walk shows %d readings, want %d", want.n, l.len())
	}
	t.Run("shows what a walk shows", func(t *testing.T) {
		got := &seen{}
		if err := s.export(t.Context(), got, 0, nil); err != nil || !got.equal(want) {
			t.Errorf("%v, %v, want %v", got, err, want)
		}
	})
	t.Run("goes on where it was cut", func(t *testing.T) {
		got := &seen{}
		for n := range 7 {
			if err := s.export(t.Context(), got, 1+n*l.len()/30, nil); !errors.Is(err, errCut) {
				t.Fatal(err)
			}
		}
		if err := s.export(t.Context(), got, 0, nil); err != nil || !got.equal(want) {
			t.Errorf("%v, %v, want %v", got, err, want)
		}
	})
	t.Run("clients that leave, or stall, hold nothing for long", func(t *testing.T) { s.abandonExports(t) })
	s.restart(t, sealing) // so that there is little garbage
	t.Run("takes little memory", func(t *testing.T) { s.exportInLittleMemory(t, want.n) })
	t.Run("is imported once", func(t *testing.T) { s.importElsewhere(t, want) })
}

// abandonExports has as many exports as there may be given up by their clients.
func (s *system) abandonExports(t *testing.T) {
	address := strings.TrimPrefix(s.api, "http://")
	leave := func(conns []net.Conn) {
		for _, conn := range conns {
			conn.Close()
		}
	}
	s.abandon(t, address, "leave", leave)
	if long() { // the clock cuts them off, and the file is longer than what systems buffer
		s.abandon(t, address, "stall", func([]net.Conn) {})
	}
}

func (s *system) abandon(t *testing.T, address, what string, giveUp func([]net.Conn)) {
	goroutines := func() float64 {
		http.DefaultClient.CloseIdleConnections()
		return s.metric(t, "go_goroutines")
	}
	before := goroutines()
	var conns []net.Conn
	for range maxExports {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
		if _, err := fmt.Fprintf(conn, "GET /api/readings/export/?format=ndjson HTTP/1.1\r\nHost: %s\r\n\r\n", address); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	during := goroutines()
	if err := s.exportsAtOnce(t.Context(), 1); long() && err == nil { // the short ones have ended
		t.Errorf("beside %d exports there is another one", maxExports)
	}
	begin := time.Now()
	giveUp(conns)
	eventually(t, freedWithin, "as many exports as before their clients "+what, func() bool { return s.exportsAtOnce(t.Context(), maxExports) == nil })
	if long() {
		eventually(t, freedWithin-time.Since(begin), "what exports held whose clients "+what, func() bool { return goroutines() < (before+during)/2 })
	}
	t.Logf("exports whose clients %s are over after %.1f s", what, time.Since(begin).Seconds())
}

// exportsAtOnce begins so many exports at the same time, and gives them up.
func (s *system) exportsAtOnce(ctx context.Context, n int) error {
	for range n {
		response, err := history.Open(ctx, s.api, "/api/readings/export/")
		if err != nil {
			return err
		}
		defer response.Body.Close()
	}
	return nil
}

// exportInLittleMemory exports in all formats, and looks at the peak of the memory.
func (s *system) exportInLittleMemory(t *testing.T, n int) {
	for _, format := range []string{"ndjson", "csv", "parquet"} {
		if err := s.ResetPeak(); err != nil {
			t.Fatal(err)
		}
		cpu, before, err := s.Usage()
		if err != nil {
			t.Fatal(err)
		}
		response, err := s.ask(t.Context(), "/api/readings/export/?format="+format)
		if err != nil {
			t.Fatal(err)
		}
		bytes, err := io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if err != nil || response.Trailer.Get("X-Readings-Count") != fmt.Sprint(n) {
			t.Errorf("%s: %v, of %s readings", format, err, response.Trailer.Get("X-Readings-Count"))
		}
		after, peak, err := s.Usage()
		if err != nil {
			t.Fatal(err)
		}
		if peak-before > maxExportMemory {
			t.Errorf("%s: %d MB more memory", format, (peak-before)>>20)
		}
		t.Logf("%s: %.1f B a reading, %.2f CPU-s per M, memory +%d MB", format, float64(bytes)/float64(n), (after-cpu).Seconds()/float64(n)*1e6, (peak-before)>>20)
	}
}

// importElsewhere imports an export into an empty system, twice, and then with a line that is none.
func (s *system) importElsewhere(t *testing.T, want *seen) {
	other := start(t, sealing)
	name := filepath.Join(t.TempDir(), "readings.ndjson")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	response, err := s.ask(t.Context(), "/api/readings/export/?format=ndjson")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(file, response.Body); err != nil {
		t.Fatal(err)
	}
	send := func(wrong int) {
		t.Helper()
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		body := io.MultiReader(file, strings.NewReader(strings.Repeat(`{"device_id":1,"timestamp":"2026-03-01T12:00:00Z","temperature":"wa`+"\n", wrong)))
		response, err := http.Post(other.api+"/api/readings/import/", "application/x-ndjson", body)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusAccepted || !bytes.Contains(answer, fmt.Appendf(nil, `"accepted":%d,"rejected":%d,`, want.n, wrong)) {
			t.Fatalf("import: %s %s, %v", response.Status, answer, err)
		}
	}
	begin := time.Now()
	send(0)
	other.awaitStored(t, want.n)
	t.Logf("imported in %.1f s", time.Since(begin).Seconds())
	if got := other.all(t); !got.equal(want) {
		t.Errorf("imported are %v, want %v", got, want)
	}
	for n := 1; n <= 2; n++ {
		send(n - 1)
		for last, since := 0, time.Now(); last < n*want.n; time.Sleep(20 * time.Millisecond) {
			if duplicates := other.became(t, "duplicate"); duplicates != last {
				last, since = duplicates, time.Now()
			}
			if time.Since(since) > waitTimeout {
				t.Fatalf("%d duplicates, want %d", last, n*want.n)
			}
		}
	}
	other.awaitDeadLetter(t, "invalid_json")
	other.awaitSealed(t)
	if got := other.all(t); !got.equal(want) || other.became(t, "stored") != want.n || other.became(t, "merged") != 0 {
		t.Errorf("imported again are %v, want %v", got, want)
	}
}
