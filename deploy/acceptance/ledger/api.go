package ledger

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	telltalev1 "github.com/telltale-iot/telltale/proto/telltale/v1"
)

// deadLetter is a reading that became a dead letter, since another one had its place.
type deadLetter struct {
	ms      int64
	content string
	server  bool // Telltale dated it
}

// conflicts returns the dead letters with the reason conflict of a device.
func conflicts(ctx context.Context, api string, id int64) (map[deadLetter]bool, error) {
	type shown struct{ Payload, Encoding string }
	page := fmt.Sprintf("%s/api/dead-letters/?device_id=%d&reason=conflict&limit=10000", strings.TrimRight(api, "/"), id)
	all, err := pages[shown](ctx, page)
	if err != nil {
		return nil, err
	}
	deadLetters := map[deadLetter]bool{}
	for _, s := range all {
		if strings.HasPrefix(s.Payload, "{") {
			d, err := shownValues(s.Payload)
			if err != nil {
				return nil, err
			}
			deadLetters[d] = true
			continue
		}
		record := []byte(s.Payload)
		if s.Encoding == "base64" {
			if record, err = base64.StdEncoding.DecodeString(s.Payload); err != nil {
				return nil, err
			}
		}
		var m telltalev1.Reading
		if err := proto.Unmarshal(record, &m); err != nil {
			return nil, err
		}
		values := map[string]float64{}
		for _, metric := range m.Metrics {
			values[metric.Name] = metric.Value
		}
		server := m.TimestampSource == telltalev1.TimestampSource_TIMESTAMP_SOURCE_SERVER
		deadLetters[deadLetter{m.TimestampMs, content(values), server}] = true
	}
	return deadLetters, nil
}

// shownValues reads the dead letter of a reading that its device dated: JSON as devices send it.
func shownValues(text string) (d deadLetter, err error) {
	var members map[string]any
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		return d, err
	}
	dated, _ := members["timestamp"].(string)
	at, err := time.Parse(time.RFC3339, dated)
	if err != nil {
		return d, err
	}
	delete(members, "device_id")
	values := map[string]float64{}
	for name, value := range members {
		if number, ok := value.(float64); ok {
			values[name] = number
		}
	}
	return deadLetter{ms: at.UnixMilli(), content: content(values)}, nil
}

// pages returns the items of a list at first and the pages that follow it. A device that the API does not know
// has none.
func pages[T any](ctx context.Context, first string) ([]T, error) {
	var all []T
	visited := map[string]bool{}
	next := first
	for next != "" {
		if visited[next] {
			return nil, fmt.Errorf("the link %s leads in a circle", next)
		}
		visited[next] = true
		page, link, err := fetch[T](ctx, next)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		next = link
	}
	return all, nil
}

// fetch returns a page, and the URL of the next one or "".
func fetch[T any](ctx context.Context, page string) (items []T, next string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return nil, "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return nil, "", err
	case response.StatusCode == http.StatusNotFound:
		return nil, "", nil
	case response.StatusCode != http.StatusOK:
		return nil, "", fmt.Errorf("GET %s: %s: %.200s", page, response.Status, body)
	}
	if err := json.Unmarshal(body, &items); err != nil {
		return nil, "", fmt.Errorf("GET %s: %w", page, err)
	}
	next, err = nextLink(response)
	return items, next, err
}

var linkNext = regexp.MustCompile(`<([^>]*)>\s*;\s*rel="?next"?`)

// nextLink returns the absolute URL of the Link header with rel="next", or "".
func nextLink(response *http.Response) (string, error) {
	match := linkNext.FindStringSubmatch(strings.Join(response.Header.Values("Link"), ", "))
	if match == nil {
		return "", nil
	}
	target, err := url.Parse(match[1])
	if err != nil {
		return "", errors.New("the Link header has no URL in it")
	}
	return response.Request.URL.ResolveReference(target).String(), nil
}
