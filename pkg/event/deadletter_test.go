package event_test

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

func TestDeadLetterRecord(t *testing.T) {
	letter := event.DeadLetter{
		Rejection: iot.Rejection{Reason: iot.ReasonNoMetrics, Detail: "nothing", Device: 42, Bytes: []byte("\x00 any bytes \xff")},
		Source:    "sensors/42/data",
		Received:  time.Date(2026, 1, 2, 4, 0, 0, 0, time.FixedZone("CET", 3600)),
	}
	want := kafka.Record{
		Topic: "raw-data.dlq",
		Key:   []byte("42"),
		Value: []byte("\x00 any bytes \xff"),
		Headers: []kafka.Header{
			{Key: "reason", Value: []byte("no_metrics")},
			{Key: "detail", Value: []byte("nothing")},
			{Key: "source", Value: []byte("sensors/42/data")},
			{Key: "received_at", Value: []byte("2026-01-02T03:00:00.000Z")},
		},
	}
	if diff := cmp.Diff(want, letter.Record("raw-data.dlq")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	letter.Device = 0
	if key := letter.Record("raw-data.dlq").Key; key != nil {
		t.Errorf("the letter of an unknown device has the key %q", key)
	}
}

func TestDeadLetterHead(t *testing.T) {
	letter := event.DeadLetter{Rejection: iot.Rejection{Reason: iot.ReasonTooLarge, Detail: strings.Repeat("é", 100)}}
	letter.Bytes = bytes.Repeat([]byte("0123456789"), 200_000)
	head := letter.Head()
	if !bytes.Equal(head.Bytes, letter.Bytes[:64<<10]) {
		t.Errorf("%d bytes are left", len(head.Bytes))
	}
	if d := head.Detail; !strings.HasPrefix(d, "the first 65536 of 2000000 bytes: é") || len(d) > 200 || !utf8.ValidString(d) {
		t.Errorf("detail %q", d)
	}

	letter.Bytes = letter.Bytes[:64<<10]
	if diff := cmp.Diff(letter, letter.Head()); diff != "" {
		t.Errorf("a letter that is small enough was changed (-want +got):\n%s", diff)
	}
}
