package api

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestBodyLimit(t *testing.T) {
	handler := embedded(t).handler(t)
	const head, tail = `{"username": "ada", "email": "ada@example.com", "note": "`, `"}`
	full := head + strings.Repeat("x", maxBody-len(head)-len(tail)) + tail
	for _, tt := range []struct {
		name   string
		body   io.Reader
		status int
	}{
		{"one byte over 1 MiB", strings.NewReader(full + " "), http.StatusRequestEntityTooLarge},
		{"one byte over it, and its length not given", io.MultiReader(strings.NewReader(full), strings.NewReader(" ")), http.StatusRequestEntityTooLarge},
		{"1 MiB", strings.NewReader(full), http.StatusCreated},
		{"nothing, and its length not given", io.MultiReader(), http.StatusBadRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/api/users/", tt.body)
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != tt.status {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	t.Run("a body that ends early", func(t *testing.T) {
		r := httptest.NewRequest(http.MethodPost, "/api/users/", io.MultiReader(strings.NewReader(`{"user`), errReader{io.ErrUnexpectedEOF}))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }
