package historycheck

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/history"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// seen is what a walk or an export has shown: each reading once, in order, with none kept.
type seen struct {
	n    int
	sum  [sha256.Size]byte // of the lines, in any order
	last history.Key
	line string // the last one
}

// add adds the line of a reading, which has to be behind the one before it: later, or in a walk earlier.
func (s *seen) add(line []byte, later bool) (history.Key, error) {
	var r struct {
		Device    iot.DeviceID `json:"device_id"`
		Timestamp time.Time
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return history.Key{}, fmt.Errorf("%.200s: %w", line, err)
	}
	key := history.Key{Device: r.Device, At: r.Timestamp.UnixMilli()}
	before := s.last.At < key.At || s.last.At == key.At && s.last.Device < key.Device
	if s.n > 0 && (key == s.last || before != later) {
		return key, fmt.Errorf("%s comes behind %s", line, s.line)
	}
	for i, b := range sha256.Sum256(line) {
		s.sum[i] ^= b // each line comes once
	}
	s.n, s.last, s.line = s.n+1, key, string(line)
	return key, nil
}

func (s *seen) String() string { return fmt.Sprintf("%d readings with sum %x", s.n, s.sum[:8]) }

func (s *seen) equal(o *seen) bool { return s.n == o.n && s.sum == o.sum }

// ask sends a request, again where the answer is 503: that is how a machine that does much else answers.
func (s *system) ask(ctx context.Context, path string) (response *http.Response, err error) {
	err = history.WhileBusy(ctx, func() error {
		response, err = history.Open(ctx, s.api, path)
		return err
	})
	return response, err
}

// walk reads all readings page by page, newest first; each is called with the key of each where it is there.
func (s *system) walk(ctx context.Context, page int, each func(history.Key)) (*seen, error) {
	all := &seen{}
	for path := fmt.Sprintf("/api/readings/?limit=%d", page); path != ""; {
		response, err := s.ask(ctx, path)
		if err != nil {
			return nil, err
		}
		var lines []json.RawMessage
		err = json.NewDecoder(response.Body).Decode(&lines)
		response.Body.Close()
		if err != nil {
			return nil, err
		}
		for _, line := range lines {
			key, err := all.add(line, false)
			if err != nil {
				return nil, fmt.Errorf("walk: %w", err)
			}
			if each != nil {
				each(key)
			}
		}
		if path, err = history.NextPage(response.Header, path); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// errCut ends an export early.
var errCut = errors.New("cut")

// export reads an export as NDJSON. It goes on behind all, and ends with errCut where it has so many readings more, unless
// that is 0. A whole one has the trailers that it has to have.
func (s *system) export(ctx context.Context, all *seen, atMost int, each func(history.Key)) error {
	path := "/api/readings/export/?format=ndjson"
	if all.n > 0 {
		path += fmt.Sprintf("&cursor=%s,%d", time.UnixMilli(all.last.At).UTC().Format("2006-01-02T15:04:05.000Z"), all.last.Device)
	}
	response, err := s.ask(ctx, path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	sum, before := sha256.New(), all.n
	lines := bufio.NewScanner(io.TeeReader(response.Body, sum))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		if atMost > 0 && all.n == before+atMost {
			return errCut
		}
		key, err := all.add(lines.Bytes(), true)
		if err != nil {
			return fmt.Errorf("export: %w", err)
		}
		if each != nil {
			each(key)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	count, digest := response.Trailer.Get("X-Readings-Count"), response.Trailer.Get("X-Body-Sha256")
	if count != strconv.Itoa(all.n-before) || digest != hex.EncodeToString(sum.Sum(nil)) {
		return fmt.Errorf("export: the trailers say %s readings and SHA-256 %s, the body has %d", count, digest, all.n-before)
	}
	return nil
}

// all is what a walk shows.
func (s *system) all(t *testing.T) *seen {
	t.Helper()
	all, err := s.walk(t.Context(), 10_000, nil)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// get returns the answer to GET path, decoded into v where there is one.
func (s *system) get(t *testing.T, path string, v any) []byte {
	t.Helper()
	response, err := s.ask(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && v != nil {
		err = json.Unmarshal(body, v)
	}
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	return body
}

// total is how many readings the statistics say there are.
func (s *system) total(ctx context.Context) (n int, err error) {
	err = history.WhileBusy(ctx, func() error {
		n, err = history.Total(ctx, s.api)
		return err
	})
	return n, err
}
