package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
)

func TestPanic(t *testing.T) {
	var log bytes.Buffer
	a := embedded(t).api(t, slog.New(slog.NewTextHandler(&log, nil)))
	a.Latest = cacheFunc{latest: func(context.Context, iot.DeviceID) (iot.Reading, error) { panic("secret") }}
	handler := a.Handler()
	w := get(handler, "/api/devices/1/latest/")
	if body := w.Body.String(); w.Code != http.StatusInternalServerError || body != `{"detail":"Internal server error."}` {
		t.Errorf("answer: %d %s", w.Code, body)
	}
	id := w.Header().Get("X-Request-Id")
	if text := log.String(); id == "" || !strings.Contains(text, "request_id="+id) ||
		!strings.Contains(text, "panic=secret") || !strings.Contains(text, "errors_test.go") {
		t.Errorf("request %q is not in the log with its panic and stack: %s", id, text)
	}
	if w := get(handler, "/api/users/"); w.Code != http.StatusOK {
		t.Errorf("after it: %d", w.Code)
	}
}

func TestErrorsAreNotShown(t *testing.T) {
	var log bytes.Buffer
	a := embedded(t).api(t, slog.New(slog.NewTextHandler(&log, nil)))
	a.Latest = cacheFunc{latest: func(context.Context, iot.DeviceID) (iot.Reading, error) {
		return iot.Reading{}, errors.New("dial tcp 10.1.2.3:6379: secret")
	}}
	handler := a.Handler()
	for range 100 {
		w := get(handler, "/api/devices/1/latest/")
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "5" || strings.Contains(w.Body.String(), "secret") {
			t.Fatalf("answer: %d, Retry-After %q, %s", w.Code, w.Header().Get("Retry-After"), w.Body)
		}
	}
	if n := strings.Count(log.String(), "secret"); n != 1 {
		t.Errorf("100 failures are logged %d times", n)
	}
}

func TestRefusalsInTheLog(t *testing.T) {
	var log bytes.Buffer
	a := embedded(t).api(t, slog.New(slog.NewTextHandler(&log, nil)))
	handler := a.Handler()
	ask := func(method, path, contentType, body string, length int64) int {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		r.ContentLength = length
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code
	}
	for range 3 {
		for _, got := range []int{
			ask(http.MethodGet, "/api/users/7/", "", "", 0), ask(http.MethodPost, "/api/users/", "application/json", "{}", 2), // a user's
			ask(http.MethodDelete, "/api/users/", "", "", 0),
			ask(http.MethodPost, "/api/users/", "text/plain", "x", 1),
			ask(http.MethodPost, "/api/users/", "application/json", "", maxBody+1),
		} {
			if got < 400 {
				t.Error("status", got)
			}
		}
	}
	for status, want := range map[string]int{"405": 1, "415": 1, "413": 1, "": 3} {
		if n := strings.Count(log.String(), "status="+status); n != want {
			t.Errorf("%d lines with status %q, want %d: %s", n, status, want, log.String())
		}
	}
	if !strings.Contains(log.String(), "route=/api/users/") || !strings.Contains(log.String(), "remote=192.0.2.1") {
		t.Errorf("the log is %s", log.String())
	}
}

// pickyStore is a store that refuses users for what no handler checks.
type pickyStore struct{ iot.AccessStore }

func (pickyStore) CreateAccount(context.Context, iot.User, iot.Account) (iot.User, error) {
	return iot.User{}, fmt.Errorf("create user: a secret rule: %w", iot.ErrInvalid)
}

func TestWhatAStoreRefuses(t *testing.T) {
	a := embedded(t).api(t, nil)
	a.Accounts = pickyStore{}
	if w := post(a.Handler(), strings.NewReader(ada), int64(len(ada))); w.Code != http.StatusBadRequest || w.Body.String() != `{"detail":"Invalid request."}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
