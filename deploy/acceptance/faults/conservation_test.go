package main

import (
	"strings"
	"testing"
)

const writerMetrics = `
# TYPE telltale_writer_readings_received_total counter
# TYPE telltale_writer_readings_total counter
# TYPE telltale_writer_readings_in_flight gauge
# TYPE telltale_kafka_consumer_lag_records gauge
telltale_writer_readings_received_total 5
telltale_writer_readings_total{outcome="stored"} 3
telltale_writer_readings_total{outcome="duplicate"} 2
telltale_writer_readings_in_flight 0
telltale_kafka_consumer_lag_records{group="ingest-writer",partition="0",topic="raw-data"} 0
telltale_kafka_consumer_lag_records{group="ingest-writer",partition="1",topic="raw-data"} 0
telltale_kafka_consumer_lag_records{group="dead-letters",partition="0",topic="raw-data.dlq"} 0
`

func TestDrained(t *testing.T) {
	for _, test := range []struct {
		name, old, changed string
		drained, balanced  bool
	}{
		{"all has become something", "", "", true, true},
		{"one is missing", `"stored"} 3`, `"stored"} 2`, false, false},
		{"one is not accounted for", "received_total 5", "received_total 6", false, false},
		{"nothing was received", "received_total 5", "received_total 0", false, false},
		{"there is no in-flight", "telltale_writer_readings_in_flight", "telltale_writer_in_flight", false, false},
		{"there is no outcome", "telltale_writer_readings_total", "telltale_writer_things_total", false, false},
		{"a kind is named otherwise", "telltale_writer_readings_received_total", "telltale_writer_things_received_total", false, false},
	} {
		text := writerMetrics
		if test.old != "" {
			text = strings.ReplaceAll(text, test.old, test.changed)
		}
		f, err := parseMetrics([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		b := accountingOf[ingestWriter]
		if err := b.drained(f); (err == nil) != test.drained {
			t.Errorf("%s: %v", test.name, err)
		}
		if _, _, err := b.balanced(f); (err == nil) != test.balanced {
			t.Errorf("%s, at any moment: %v", test.name, err)
		}
	}
	t.Run("what is in flight is in balance, and is not drained", func(t *testing.T) {
		f, err := parseMetrics([]byte(strings.NewReplacer("received_total 5", "received_total 6", "in_flight 0", "in_flight 1").Replace(writerMetrics)))
		if err != nil {
			t.Fatal(err)
		}
		b := accountingOf[ingestWriter]
		if _, inFlight, err := b.balanced(f); err != nil || inFlight != 1 || b.drained(f) == nil {
			t.Errorf("%v in flight, error %v, drained: %v", inFlight, err, b.drained(f))
		}
	})
}

func TestClaims(t *testing.T) {
	groups := accountingOf[ingestWriter].groups
	for _, test := range []struct {
		name, old, changed string
		behind, complete   bool
	}{
		{"all partitions are somebody's", "", "", false, true},
		{"a record is left", `topic="raw-data"} 0`, `topic="raw-data"} 1`, true, true},
		{"a dead letter is left", `topic="raw-data.dlq"} 0`, `topic="raw-data.dlq"} 1`, true, true},
		{"one is nobody's", `group="ingest-writer",partition="1"`, `group="other",partition="1"`, false, false},
		{"one is assigned twice", `partition="1"`, `partition="0"`, false, false},
		{"there is no lag", "telltale_kafka_consumer_lag_records", "telltale_kafka_consumer_lag", true, false},
	} {
		text := writerMetrics
		if test.old != "" {
			text = strings.ReplaceAll(text, test.old, test.changed)
		}
		f, err := parseMetrics([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		c := assignments{}
		behind := c.add(f, groups)
		for _, group := range []string{"cache-updater", "device-registry"} { // processes of their own
			c[group] = []string{"0", "1"}
		}
		if (behind != nil) != test.behind {
			t.Errorf("%s: %v", test.name, behind)
		}
		if err := c.complete(map[string]int{topic: 2, deadLetters: 1}); !test.behind && (err == nil) != test.complete {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestMissing(t *testing.T) {
	for _, test := range []struct {
		name, answer string
		want         bool
	}{
		{"a line says so", "503\n[-]mongodb failed since …\n[+]kafka (a) ok since …\n", true},
		{"another one does", "503\n[+]mongodb ok since …\n[-]kafka (a) failed since …\n", false},
		{"no line does", "503\n[-]redis failed since …\n", false},
		{"it is ready", "200\n[-]mongodb failed since …\n", false},
	} {
		if got := missing(test.answer, "mongodb"); got != test.want {
			t.Errorf("%s: %t", test.name, got)
		}
	}
	if missing("503\n[-]kafka (a) failed since …\n[+]kafka (b) ok since …\n", "kafka") {
		t.Error("one of two groups is enough")
	}
}

func TestNeeds(t *testing.T) {
	if got := needs(proxiesTo("kafka")...); len(got) != 5 {
		t.Errorf("of Kafka: %v", got)
	}
	if got := needs("device-bridge", "bridge-mosquitto"); len(got) != 1 || got[0] != (need{bridgeSubscribe, "mqtt"}) {
		t.Errorf("of MQTT: %v", got)
	}
	for _, l := range proxyTable {
		if len(needs(l.name)) == 0 && l.name != "device-bridge" {
			t.Errorf("nobody needs %s", l.name)
		}
	}
}

func TestMemory(t *testing.T) {
	p := &service{name: ingestWriter, peak: 100 << 20, bound: 128 << 20}
	all := &trial{system: &system{services: map[string]*service{ingestWriter: p}}}
	if text, err := all.memory(); err != nil || text != "ingest-writer 100 of 128 MiB" {
		t.Errorf("%s, error %v", text, err)
	}
	replica := &service{name: "ingest-writer-2", peak: 129 << 20, bound: 128 << 20}
	all.retired = []*service{replica}
	if text, err := all.memory(); err == nil || text != "ingest-writer-2 129 of 128 MiB" {
		t.Errorf("%s, error %v", text, err)
	}
	replica.peak = 0
	if _, err := all.memory(); err == nil {
		t.Error("no error where no peak was read")
	}
}
