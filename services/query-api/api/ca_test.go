package api

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCA: everybody is given the certificate to trust, where it is one of our own, and the log-in says where it is.
func TestCA(t *testing.T) {
	with := embedded(t).api(t, nil)
	with.CAFile = filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(with.CAFile, []byte("a certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := with.Handler()
	w := get(h, "/api/ca.crt")
	if w.Code != http.StatusOK || w.Body.String() != "a certificate" || w.Header().Get("Content-Type") != "application/x-x509-ca-cert" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if login := get(h, "/api/login/").Body.String(); !strings.Contains(login, `"ca":"/api/ca.crt"`) {
		t.Errorf("the log-in says %s", login)
	}
	without := embedded(t).handler(t)
	if w := get(without, "/api/ca.crt"); w.Code != http.StatusNotFound {
		t.Errorf("without one: %d %s", w.Code, w.Body)
	}
	if login := get(without, "/api/login/").Body.String(); !strings.Contains(login, `"ca":null`) {
		t.Errorf("without one the log-in says %s", login)
	}
}
