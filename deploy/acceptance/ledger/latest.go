package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// CheckLatest is nil when the latest value of each device of l, at api, is the newest that was acknowledged, or
// one that was sent after it. Only readings that their devices dated are looked at.
func (l *Ledger) CheckLatest(ctx context.Context, api string) error {
	for _, id := range l.ids() {
		want := int64(0)
		for ms, sent := range l.devices[id].sent {
			if sent.acknowledged {
				want = max(want, ms)
			}
		}
		body, err := get(ctx, fmt.Sprintf("%s/api/devices/%d/latest/", strings.TrimRight(api, "/"), id))
		if err != nil {
			return fmt.Errorf("latest value of device %d: %w", id, err)
		}
		var latest stored
		if err := json.Unmarshal(body, &latest); err != nil {
			return fmt.Errorf("latest value of device %d: %w", id, err)
		}
		ms := latest.Timestamp.UnixMilli()
		sent, known := l.devices[id].sent[ms]
		switch {
		case latest.Source == "server":
		case !known || sent.content != latest.content():
			return fmt.Errorf("the latest value of device %d is one that was never sent: %s at %s", id, latest.content(), format(ms))
		case ms < want:
			return fmt.Errorf("the latest value of device %d is of %s, and one of %s was acknowledged", id, format(ms), format(want))
		}
	}
	return nil
}

// get returns the body of an answer with 200.
func get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %.200s", url, response.Status, body)
	}
	return body, err
}
