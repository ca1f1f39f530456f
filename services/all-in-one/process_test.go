package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/process"
	"github.com/telltale-iot/telltale/pkg/proxytest"
)

// program is all-in-one running as a process of its own.
type program struct {
	*process.Process
	api string // http://host:port
}

// environment are the variables of a process.
type environment map[string]string

// freeAddrs are the settings of addresses that nothing listens on, so that a restart finds them again.
func freeAddrs(t *testing.T) environment {
	t.Helper()
	addrs, err := proxytest.FreeAddrs(4)
	if err != nil {
		t.Fatal(err)
	}
	return environment{"MQTT_LISTEN_ADDR": addrs[0], "KAFKA_LISTEN_ADDR": addrs[1], "HTTP_ADDR": addrs[2], "OPS_ADDR": addrs[3]}
}

// start starts all-in-one with s and flags on dir.
func start(t *testing.T, dir string, s environment, flags ...string) *program {
	t.Helper()
	spec := process.Spec{Binary: binary(t, "all-in-one"), Flags: flags, Settings: []string{"DATA_DIR=" + dir}, Log: filepath.Join(t.TempDir(), "log")}
	for k, v := range s {
		spec.Settings = append(spec.Settings, k+"="+v)
	}
	p, err := process.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Kill() // most have ended
		if t.Failed() {
			t.Logf("the log of %s:\n%s", dir, p.LogEnd(40))
		}
	})
	return &program{Process: p, api: "http://" + s["HTTP_ADDR"]}
}

// get decodes the answer to GET path into v, and returns its status.
func (p *program) get(path string, v any) (int, error) {
	res, err := http.Get(p.api + path)
	return decode(res, err, v)
}

// post decodes the answer to POST path, without a body, into v, and returns its status.
func (p *program) post(path string, v any) (int, error) {
	res, err := http.Post(p.api+path, "", nil)
	return decode(res, err, v)
}

func decode(res *http.Response, err error, v any) (int, error) {
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return 0, fmt.Errorf("%s: %d %.200q: %w", res.Request.URL, res.StatusCode, body, err)
	}
	return res.StatusCode, nil
}

// eventually waits until ok is true.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
