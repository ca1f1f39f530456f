package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// probeTimeout is how long --health waits for the answer of the operations port.
const probeTimeout = 2 * time.Second

// probe asks the process whose operations port is at opsAddr on this machine whether it is ready; the
// error says what it is not ready for. An address without a host, as in :9100, is that of this machine.
func probe(ctx context.Context, opsAddr string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+opsAddr+"/readyz?verbose", nil)
	if err != nil {
		return err
	}
	req.Host = "localhost" // which package httpguard allows, whatever name OPS_ADDR has
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("no process answers on OPS_ADDR=%q: %w", opsAddr, innermost(err))
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", res.Status, strings.TrimSpace(string(body)))
	}
	return nil
}

// innermost is what err comes from, without the URL and the calls around it.
func innermost(err error) error {
	for cause := err; cause != nil; cause = errors.Unwrap(cause) {
		err = cause
	}
	return err
}
