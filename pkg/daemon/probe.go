package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// probeTimeout is how long --health waits for the answer of the operations port.
const probeTimeout = 2 * time.Second

// maxAnswer is how much of an answer is read: more than all metrics of a process.
const maxAnswer = 4 << 20

// probe asks the process that has the same settings of its operations port on this machine whether it is ready; the
// error says what it is not ready for. An address without a host, as in :9100, is that of this machine.
func probe(ctx context.Context, flags *Flags) error {
	status, body, err := ask(ctx, flags, "/readyz?verbose")
	if err != nil {
		return fmt.Errorf("no process answers on OPS_ADDR=%q: %w", flags.OpsAddr, innermost(err))
	}
	if status != http.StatusOK {
		return fmt.Errorf("%d %s: %s", status, http.StatusText(status), body)
	}
	return nil
}

// whoever is asked over TLS: its certificate need not be for the name in OPS_ADDR, which is often none. As with the probes of
// Kubernetes nothing secret is sent, and what is told is whether a process on this machine is ready.
var whoever = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}} //nolint:gosec // see above

// ask returns what the operations port of a process with these flags answers.
func ask(ctx context.Context, flags *Flags, path string) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	scheme := "http"
	if flags.OpsTLS.Set() {
		scheme = "https"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+flags.OpsAddr+path, nil)
	if err != nil {
		return 0, "", err
	}
	req.Host = "localhost" // which package httpguard allows, whatever name OPS_ADDR has
	res, err := (&http.Client{Transport: whoever}).Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	return res.StatusCode, strings.TrimSpace(string(text)), err
}

// innermost is what err comes from, without the URL and the calls around it.
func innermost(err error) error {
	for cause := err; cause != nil; cause = errors.Unwrap(cause) {
		err = cause
	}
	return err
}
