package refused

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

// testList is a list whose Kafka is away.
func testList(metrics prometheus.Registerer) (*List, *bytes.Buffer) {
	log := new(bytes.Buffer)
	return New(kafka.Config{Topic: "raw-data"}, "mqtt", "bridge-1", slog.New(slog.NewTextHandler(log, nil)), metrics), log
}

// told is what a record says of each that is due.
func told(t *testing.T, l *List, now time.Time) (all []event.Refusal) {
	t.Helper()
	records, _ := l.due(now)
	for _, rec := range records {
		r, err := event.ReadRefusal(rec.Value)
		if err != nil || rec.Topic != "raw-data.refused" {
			t.Fatalf("%+v, %v on %s", r, err, rec.Topic)
		}
		all = append(all, r)
	}
	return all
}

func TestList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		metrics := prometheus.NewRegistry()
		l, log := testList(metrics)
		began := time.Now().UTC()
		wrong := event.Refusal{Denied: true, Why: "wrong_password", Principal: "42", ClientID: "thermo", Address: "192.0.2.7:49152"}
		l.Add(wrong)
		time.Sleep(time.Second)
		wrong.Address, wrong.Example = "192.0.2.7:50000", "again"
		l.Add(wrong)
		l.Add(event.Refusal{Why: "no_credentials", ClientID: "old", Address: "[2001:db8::1]:1", Device: "7"})
		want := []event.Refusal{
			{
				Surface: "mqtt", Denied: true, Why: "wrong_password", Principal: "42", ClientID: "thermo", Address: "192.0.2.7", Example: "again",
				Count: 2, First: began, Last: began.Add(time.Second), Replica: "bridge-1",
			},
			{Surface: "mqtt", Why: "no_credentials", ClientID: "old", Address: "2001:db8::1", Device: "7", Count: 1, First: began.Add(time.Second), Last: began.Add(time.Second), Replica: "bridge-1"},
		}
		if got := told(t, l, time.Now()); len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
			t.Errorf("told\n%+v, want\n%+v", got, want)
		}
		if got := told(t, l, time.Now().Add(time.Hour)); len(got) != 0 {
			t.Errorf("told %+v although nothing is new", got)
		}
		for name, n := range map[string]float64{"telltale_auth_refused_total": 2, "telltale_auth_would_deny_total": 1} {
			if got := sum(t, metrics, name); got != n {
				t.Errorf("%s is %v, want %v", name, got, n)
			}
		}
		if lines := strings.Count(log.String(), "\n"); lines != 2 || !strings.Contains(log.String(), "why=wrong_password principal=42 client_id=thermo") {
			t.Errorf("%d lines, want one of each reason:\n%s", lines, log)
		}
	})
}

func sum(t *testing.T, metrics *prometheus.Registry, name string) (total float64) {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			for _, m := range family.GetMetric() {
				total += m.GetCounter().GetValue()
			}
		}
	}
	return total
}

// TestSecrets: whoever writes a secret where it does not belong, nobody reads it.
func TestSecrets(t *testing.T) {
	l, log := testList(prometheus.NewRegistry())
	secret := auth.NewSecret(auth.TokenPrefix)
	across := strings.Repeat("a", maxText-20) + secret
	l.Add(event.Refusal{Denied: true, Why: "unknown_user", Principal: secret, ClientID: across, Device: secret, Address: secret, Example: "GET /" + secret})
	got := told(t, l, time.Now())
	if len(got) != 1 || got[0].Principal != "tt_…" || got[0].Example != "GET /tt_…" {
		t.Errorf("told %+v", got)
	}
	for _, shown := range []string{fmt.Sprint(got), log.String()} {
		if strings.Contains(shown, secret[:12]) {
			t.Errorf("the secret is in %s", shown)
		}
	}
}

// TestBounds: whatever strangers send.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := testList(prometheus.NewRegistry())
		long := strings.Repeat("ä", 1000)
		for i := range maxEntries + 100 {
			l.Add(event.Refusal{Why: "no_credentials", Principal: fmt.Sprint(i, long), ClientID: long, Device: long, Address: long, Example: long})
		}
		if n := l.tally.Len(); n != maxEntries {
			t.Errorf("%d are kept", n)
		}
		for _, r := range told(t, l, time.Now()) {
			for _, text := range []string{r.Principal, r.ClientID, r.Device, r.Address, r.Example} {
				if len(text) > maxText {
					t.Fatalf("a text of %d bytes", len(text))
				}
			}
		}
	})
}
