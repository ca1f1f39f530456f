package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// printed is what a command prints, which is interrupted then.
type printed struct {
	bytes.Buffer
	interrupt func()
}

func (p *printed) Write(b []byte) (int, error) {
	defer p.interrupt()
	return p.Buffer.Write(b)
}

// The commands that look at devices: they end with 0 when they are interrupted, and say what the API says.
func TestFollow(t *testing.T) {
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.EscapedPath() {
		case "/api/live/":
			if r.URL.Query().Get("metric") == "" {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"metric":["This field may not be blank."]}`)
				return
			}
			_, _ = io.WriteString(w, "id: p1\nevent: reading\ndata: {\"device_id\":42}\n\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case "/api/devices/a%2Fb/trace/":
			_, _ = io.WriteString(w, `{"device_id":1,"hints":["It is silent.","Its client has left."]}`)
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"detail":"Not found."}`)
		}
	}))
	defer api.Close()
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"trace a/b", 0, "It is silent.\nIts client has left.\n"},
		{"trace nobody", exitFailed, ""},
		{"tail --json", exitUsage, ""},
		{"tail --json --metric temperature", 0, "{\"device_id\":42}\n"},
	} {
		out := printed{interrupt: func() {}}
		if tt.code == 0 && strings.HasPrefix(tt.args, "tail") {
			out.interrupt = interrupt
		}
		cmd := command()
		cmd.SetArgs(append(strings.Fields(tt.args), "--url", api.URL))
		cmd.SetOut(&out)
		cmd.SetErr(io.Discard)
		if err := cmd.ExecuteContext(ctx); code(err) != tt.code || out.String() != tt.want {
			t.Errorf("%s ends with %d (%v), and prints %q", tt.args, code(err), err, out.String())
		}
	}
}
