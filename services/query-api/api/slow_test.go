package api

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

const ada = `{"username": "ada", "email": "ada@example.com"}`

func TestSlowBodies(t *testing.T) {
	t.Run("the time that a body takes is not the stores'", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			handler := embedded(t).handler(t)
			body, client := io.Pipe()
			go func() {
				_, _ = io.WriteString(client, ada[:5])
				time.Sleep(timeouts.StoreRequest + time.Second)
				_, _ = io.WriteString(client, ada[5:])
				_ = client.Close()
			}()
			if w := post(handler, body, -1); w.Code != http.StatusCreated {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	})
	t.Run("however many bodies do not come, the others are answered", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			handler := embedded(t).handler(t)
			for i := range 2 * maxPerStore {
				body, client := io.Pipe()
				defer func() { _ = client.Close() }()
				go func() { _, _ = io.WriteString(client, "{") }()
				go post(handler, body, []int64{50, maxBody, -1}[i%3])
			}
			synctest.Wait()
			if w := get(handler, "/api/devices/"); w.Code != http.StatusOK {
				t.Errorf("a list: %d %s", w.Code, w.Body)
			}
			if w := post(handler, strings.NewReader(ada), int64(len(ada))); w.Code != http.StatusCreated {
				t.Errorf("another body: %d %s", w.Code, w.Body)
			}
		})
	})
	t.Run("a body that says that it is too large is 413 before it comes, whatever is asked", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			dial := startOnPipes(t, embedded(t).api(t, nil))
			for _, head := range []string{"POST /api/users/", "DELETE /api/devices/1/", "GET /api/readings/"} {
				c := dial()
				if _, err := fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", head, maxBody+1); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				answer, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); answer.StatusCode != http.StatusRequestEntityTooLarge || took != 0 {
					t.Errorf("%s: %s after %v", head, answer.Status, took)
				}
			}
		})
	})
	t.Run("a body that does not come in time is 408", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := startOnPipes(t, embedded(t).api(t, nil))()
			start := time.Now()
			if _, err := fmt.Fprintf(c, "POST /api/users/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); answer.StatusCode != http.StatusRequestTimeout || took != bodyTimeout {
				t.Errorf("%s after %v, want 408 after %v", answer.Status, took, bodyTimeout)
			}
		})
	})
}

func TestSlowReaders(t *testing.T) {
	t.Run("who does not take an answer holds up no other, and is cut off", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := embedded(t)
			var batch []iot.Reading
			for n := range 1000 {
				batch = append(batch, reading(iot.DeviceID(n+1), 0))
				batch[n].At = time.Now().UTC() // by synctest's clock; none of tomorrow is a latest value
			}
			s.insert(t, batch...)
			s.put(t, batch...)
			for _, r := range batch[:100] {
				s.keep(t, iot.DeadLetter{ID: iot.DeadLetterID{byte(r.Device)}, Received: r.At, Rejection: iot.Rejection{Bytes: make([]byte, 2000)}})
			}
			a := s.api(t, nil)
			paths := []string{"/api/readings/?limit=10000", "/api/readings/latest_all/", "/api/dead-letters/"}
			dial, start := startOnPipes(t, a), time.Now()
			var slow []net.Conn
			for range 20 {
				for _, path := range paths {
					c := dial()
					sendGet(t, c, path)
					slow = append(slow, c)
				}
			}
			synctest.Wait()
			for _, path := range paths {
				c := dial()
				sendGet(t, c, path)
				answer, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, answer.Body); answer.StatusCode != http.StatusOK || err != nil || n < 100_000 {
					t.Errorf("%s: %s, %d bytes, %v", path, answer.Status, n, err)
				}
			}
			if took := time.Since(start); took != 0 {
				t.Errorf("they took %v", took)
			}
			time.Sleep(sendTimeout)
			synctest.Wait()
			if !a.limits.sending.TryAcquire(maxSending) {
				t.Error("an answer that was not taken still takes room")
			}
			for _, c := range slow {
				if _, err := io.ReadAll(c); err != nil {
					t.Error(err)
				}
			}
		})
	})
	t.Run("an answer for which there is no room is 503, and a small one needs none", func(t *testing.T) {
		s := embedded(t)
		var batch []iot.Reading
		for n := range 1000 {
			batch = append(batch, reading(iot.DeviceID(n+1), n))
		}
		s.insert(t, batch...)
		s.put(t, batch...)
		a := s.api(t, nil)
		handler := a.Handler()
		if !a.limits.sending.TryAcquire(maxSending) {
			t.Fatal("some room is taken before any request")
		}
		for _, path := range []string{"/api/readings/?limit=900", "/api/readings/latest_all/"} {
			if w := get(handler, path); w.Code != http.StatusServiceUnavailable || w.Header().Get("Link") != "" {
				t.Errorf("%s: %d %s", path, w.Code, w.Header())
			}
		}
		if w := get(handler, "/api/readings/?limit=100"); w.Code != http.StatusOK {
			t.Errorf("a small answer: %d %s", w.Code, w.Body)
		}
		a.limits.sending.Release(maxSending)
		for _, path := range []string{"/api/readings/?limit=900", "/api/readings/latest_all/"} {
			if w := get(handler, path); w.Code != http.StatusOK {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
	})
}

// sendGet sends a request.
func sendGet(t *testing.T, c net.Conn, path string) {
	t.Helper()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
}

func TestBodiesInMemory(t *testing.T) {
	t.Run("a body for which there is no room is 503, and others are taken", func(t *testing.T) {
		a := embedded(t).api(t, nil)
		handler := a.Handler()
		if !a.limits.bodies.TryAcquire(maxBodies - int64(len(ada))) {
			t.Fatal("some room is taken before any request")
		}
		if w := post(handler, strings.NewReader(ada+" "), -1); w.Code != http.StatusServiceUnavailable {
			t.Errorf("one byte too many: %d %s", w.Code, w.Body)
		}
		if w := post(handler, strings.NewReader(ada), -1); w.Code != http.StatusCreated {
			t.Errorf("one that fits: %d %s", w.Code, w.Body)
		}
		a.limits.bodies.Release(maxBodies - int64(len(ada)))
		if !a.limits.bodies.TryAcquire(maxBodies) {
			t.Error("an answered request still takes room")
		}
	})
}

func post(handler http.Handler, body io.Reader, length int64) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/api/users/", body)
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength = length
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}
