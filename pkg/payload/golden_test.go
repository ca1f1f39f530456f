package payload_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/telltale-iot/telltale/pkg/internal/decode/decodetest"
	"github.com/telltale-iot/telltale/pkg/payload"
)

// TestGolden decodes the messages in testdata/*.txtar, as package decodetest says. The section's name is how the messages
// arrived: "device=42 retained zone=Europe/Berlin". The device may be a Go string literal too.
func TestGolden(t *testing.T) {
	decodetest.Golden(t, func(*testing.T) func(*testing.T, decodetest.Section) []byte { return decodeSection })
}

func decodeSection(t *testing.T, section decodetest.Section) []byte {
	t.Helper()
	m := payload.Message{Received: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)}
	for _, setting := range strings.Fields(section.Name) {
		switch key, value, _ := strings.Cut(setting, "="); key {
		case "device":
			if m.DeviceID = value; strings.HasPrefix(value, `"`) {
				m.DeviceID, _ = strconv.Unquote(value)
			}
		case "retained":
			m.Retained = true
		case "zone":
			var err error
			if m.Zone, err = time.LoadLocation(value); err != nil {
				t.Fatal(err)
			}
		}
	}
	return section.Decode(t, func(b *bytes.Buffer, message []byte) {
		m.Payload = message
		writeDecoded(b, m)
	})
}

func writeDecoded(b *bytes.Buffer, m payload.Message) {
	const special = " =:"
	var out payload.Result
	payload.Decode(m, &out)
	for _, r := range out.Readings {
		fmt.Fprintf(b, "\t%d", r.Device)
		if r.Key != "" {
			fmt.Fprintf(b, " %q", r.Key)
		}
		fmt.Fprintf(b, " at %s by %s", r.At.Format(decodetest.TimeFormat), r.Stamped)
		if r.Said != "" {
			fmt.Fprintf(b, " for %q", r.Said)
		}
		fmt.Fprint(b, ":")
		decodetest.WriteMembers(b, r, special)
	}
	for _, r := range out.Rejected {
		fmt.Fprintf(b, "\t%s", r.Reason)
		if r.Device != 0 {
			fmt.Fprintf(b, " of %d", r.Device)
		}
		decodetest.WriteRejection(b, r, m.Payload)
	}
	decodetest.WriteOmitted(b, out.Omitted, special)
}
