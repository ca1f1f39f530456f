package simulator

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// broker is an MQTT broker in this process that records what it is sent.
type broker struct {
	mochi.HookBase
	url string
	// decide says what happens to the nth message (from 0). nil: all are acknowledged.
	decide   func(n int) decision
	user     string // required of clients, where not empty
	password string

	mu       sync.Mutex
	received []received
}

type decision int

const (
	acknowledge decision = iota
	ignore               // take the message, send no PUBACK
	cut                  // take the message, and cut the connection in place of the PUBACK
)

type received struct {
	client  string
	topic   string
	id      uint16
	dup     bool
	retain  bool
	payload string
}

func startBroker(t *testing.T, b *broker) *broker {
	t.Helper()
	server := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := server.AddHook(b, nil); err != nil {
		t.Fatal(err)
	}
	listener := listeners.NewTCP(listeners.Config{ID: "test", Address: "127.0.0.1:0"})
	if err := server.AddListener(listener); err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	b.url = "tcp://" + listener.Address()
	return b
}

func (b *broker) Provides(event byte) bool {
	return slices.Contains([]byte{mochi.OnConnectAuthenticate, mochi.OnACLCheck, mochi.OnPublish}, event)
}

func (b *broker) OnConnectAuthenticate(_ *mochi.Client, pk packets.Packet) bool {
	return b.user == "" || b.user == string(pk.Connect.Username) && b.password == string(pk.Connect.Password)
}

func (b *broker) OnACLCheck(*mochi.Client, string, bool) bool { return true }

func (b *broker) OnPublish(client *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(b.received)
	b.received = append(b.received, received{client.ID, pk.TopicName, pk.PacketID, pk.FixedHeader.Dup, pk.FixedHeader.Retain, string(pk.Payload)})
	if b.decide == nil {
		return pk, nil
	}
	switch b.decide(n) {
	case ignore:
		return pk, packets.ErrRejectPacket
	case cut:
		client.Stop(packets.ErrServerUnavailable)
		return pk, packets.ErrRejectPacket
	default:
		return pk, nil
	}
}

// messages returns what was received so far.
func (b *broker) messages() []received {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.received)
}

func newSimulator(t *testing.T, cfg Config) *Simulator {
	t.Helper()
	s, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.drain = 50 * time.Millisecond
	return s
}

func ledgerFile(t *testing.T) string { return filepath.Join(t.TempDir(), "ledger.jsonl") }

// readLedger returns the readings of each event, in the order of the file.
func readLedger(t *testing.T, path string) (sent, acknowledged []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var entry struct {
			Event   string
			Reading json.RawMessage
		}
		if err := json.Unmarshal(line, &entry); err != nil {
			t.Fatalf("ledger line %q: %v", line, err)
		}
		switch entry.Event {
		case "sent":
			sent = append(sent, string(entry.Reading))
		case "acknowledged":
			acknowledged = append(acknowledged, string(entry.Reading))
		default:
			t.Fatalf("ledger line %q has an unknown event", line)
		}
	}
	return sent, acknowledged
}

type parsedReading struct {
	Device      int64     `json:"device_id"`
	Temperature float64   `json:"temperature"`
	Humidity    float64   `json:"humidity"`
	Timestamp   time.Time `json:"timestamp"`
}

func parseReading(t *testing.T, payload string) parsedReading {
	t.Helper()
	var r parsedReading
	decoder := json.NewDecoder(strings.NewReader(payload))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		t.Fatalf("reading %q: %v", payload, err)
	}
	return r
}

func payloads(messages []received) []string {
	var out []string
	for _, m := range messages {
		out = append(out, m.payload)
	}
	return out
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }
