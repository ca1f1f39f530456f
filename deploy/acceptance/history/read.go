package history

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
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// requestTimeout is how long an answer may take.
const requestTimeout = time.Minute

// Reading is a stored reading as a client sees it.
type Reading struct {
	Key
	DeviceKey  string
	Metrics    map[string]float64 // temperature and humidity too
	Attributes map[string]string
	Line       string // as the API wrote it
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *Reading) UnmarshalJSON(text []byte) error {
	var m struct {
		Device                iot.DeviceID `json:"device_id"`
		DeviceKey             string       `json:"device_key"`
		Timestamp             time.Time
		Temperature, Humidity *float64
		Metrics               map[string]float64
		Attributes            map[string]string
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return err
	}
	*r = Reading{Key{m.Device, m.Timestamp.UnixMilli()}, m.DeviceKey, m.Metrics, m.Attributes, string(text)}
	if r.Metrics == nil {
		r.Metrics = map[string]float64{}
	}
	if r.Attributes == nil {
		r.Attributes = map[string]string{}
	}
	if m.Temperature != nil {
		r.Metrics[iot.Temperature] = *m.Temperature
	}
	if m.Humidity != nil {
		r.Metrics[iot.Humidity] = *m.Humidity
	}
	return nil
}

// compare orders readings as exports do.
func (k Key) compare(o Key) int {
	if k.At != o.At {
		return int(k.At - o.At)
	}
	return int(k.Device - o.Device)
}

// Read reads all stored readings of devices (none: of all) page by page, and returns them oldest first. One that is not behind
// the one before it, or there twice, is an error.
func Read(ctx context.Context, api string, devices ...iot.DeviceID) ([]Reading, error) {
	return readPages(ctx, api, "/api/readings/?limit=10000"+only(devices), func(r []Reading) []Reading { return r })
}

// only is the parameter of a query about devices.
func only(devices []iot.DeviceID) (parameter string) {
	for _, d := range devices {
		parameter += "&device_id=" + d.String()
	}
	return parameter
}

// readPages reads a list from its first page on, newest first.
func readPages[T any](ctx context.Context, api, path string, of func(T) []Reading) ([]Reading, error) {
	var all []Reading
	for path != "" {
		var page T
		header, err := get(ctx, api, path, &page)
		if err != nil {
			return nil, err
		}
		all = append(all, of(page)...)
		path, err = NextPage(header, path)
		if err != nil {
			return nil, err
		}
	}
	for i := 1; i < len(all); i++ {
		if all[i].compare(all[i-1].Key) >= 0 {
			return nil, fmt.Errorf("%s is listed behind %s", all[i].Line, all[i-1].Line)
		}
	}
	slices.Reverse(all)
	return all, nil
}

var linkNext = regexp.MustCompile(`<([^>]*)>\s*;\s*rel="?next"?`)

// NextPage returns the path of the page behind one, by the header of its answer; "" where it is the last.
func NextPage(header http.Header, page string) (string, error) {
	match := linkNext.FindStringSubmatch(header.Get("Link"))
	if match == nil {
		return "", nil
	}
	base, err := url.Parse(page)
	if err != nil {
		return "", err
	}
	next, err := base.Parse(match[1])
	if err != nil {
		return "", err
	}
	return next.RequestURI(), nil
}

// errBusy is the answer of a machine that does much else.
var errBusy = errors.New("503 Service Unavailable")

// WhileBusy calls ask again while that is the answer.
func WhileBusy(ctx context.Context, ask func() error) error {
	for begin := time.Now(); ; pause(ctx, time.Second) {
		err := ask()
		if !errors.Is(err, errBusy) || time.Since(begin) > requestTimeout {
			return err
		}
	}
}

// Open sends a request, and fails unless it is answered 200.
func Open(ctx context.Context, api, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, api+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept-Encoding", "identity")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(response.Body, 300))
		if response.StatusCode == http.StatusServiceUnavailable {
			return nil, fmt.Errorf("GET %s: %w: %s", path, errBusy, body)
		}
		return nil, fmt.Errorf("GET %s: %s: %s", path, response.Status, body)
	}
	return response, nil
}

func get(ctx context.Context, api, path string, v any) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	response, err := Open(ctx, api, path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil {
		err = json.Unmarshal(body, v)
	}
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	return response.Header, nil
}

// Export returns the lines of an export, and checks what its trailers say.
func Export(ctx context.Context, api, query string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	response, err := Open(ctx, api, "/api/readings/export/"+query)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	sum := sha256.New()
	var lines []string
	scanner := bufio.NewScanner(io.TeeReader(response.Body, sum))
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	if got, want := response.Trailer.Get("X-Body-Sha256"), hex.EncodeToString(sum.Sum(nil)); got != want {
		return nil, fmt.Errorf("export: the trailer says SHA-256 %q, the body has %s", got, want)
	}
	if n, err := strconv.Atoi(response.Trailer.Get("X-Readings-Count")); err != nil || n != len(lines) {
		return nil, errors.Join(err, fmt.Errorf("export: the trailer says %d readings, the body has %d", n, len(lines)))
	}
	return lines, nil
}

// Total is how many readings the statistics say there are.
func Total(ctx context.Context, api string) (int, error) {
	var stats struct {
		Total int `json:"total_readings"`
	}
	_, err := get(ctx, api, "/api/readings/stats/", &stats)
	return stats.Total, err
}

// sumOf is the SHA-256 of lines in their order, sorted.
func sumOf(lines []string) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(slices.Sorted(slices.Values(lines)), "\n"))))
}
