package mapping_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/telltale-iot/telltale/pkg/internal/decode/decodetest"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mapping"
)

// wire is a message of protocol buffers in the making.
type wire []byte

func (w wire) varint(field protowire.Number, v uint64) wire {
	return protowire.AppendVarint(protowire.AppendTag(w, field, protowire.VarintType), v)
}

func (w wire) bytes(field protowire.Number, b string) wire {
	return protowire.AppendString(protowire.AppendTag(w, field, protowire.BytesType), b)
}

func (w wire) float(field protowire.Number, v float32) wire {
	return protowire.AppendFixed32(protowire.AppendTag(w, field, protowire.Fixed32Type), math.Float32bits(v))
}

func (w wire) double(field protowire.Number, v float64) wire {
	return protowire.AppendFixed64(protowire.AppendTag(w, field, protowire.Fixed64Type), math.Float64bits(v))
}

// metric begins a metric of a type; name, alias and type are left out where they are "" and 0.
func metric(name string, alias, kind uint64) (w wire) {
	if name != "" {
		w = w.bytes(1, name)
	}
	if alias != 0 {
		w = w.varint(2, alias)
	}
	if kind != 0 {
		w = w.varint(4, kind)
	}
	return w
}

// sparkplugAt is when the messages of the tests were sent: a second before they are received.
var sparkplugAt = uint64(received.UnixMilli() - 1000)

// sparkplug is a message. A seq below 0 is left out.
func sparkplug(seq int, metrics ...wire) []byte {
	w := wire(nil).varint(1, sparkplugAt)
	for _, m := range metrics {
		w = w.bytes(2, string(m))
	}
	if seq >= 0 {
		w = w.varint(3, uint64(seq))
	}
	return w
}

type sparkplugMessage struct {
	topic   string // behind spBv1.0/plant/
	payload []byte
	flags   string
	want    string // as writeSparkplug has it
}

// receive reads a message as the bridge does, in the order in which it was published.
func receive(set *mapping.Set, m sparkplugMessage, at time.Time) mapping.Result {
	result, _ := decode(set, "spBv1.0/plant/"+m.topic, mapping.Message{
		Payload: m.payload, Received: at, Retained: strings.Contains(m.flags, "retained"), Ordered: !strings.Contains(m.flags, "alone"),
	})
	return result
}

func writeSparkplug(result mapping.Result) string {
	var b bytes.Buffer
	for _, r := range result.Readings {
		fmt.Fprintf(&b, "%s", r.Key)
		if at := r.At.UnixMilli() - int64(sparkplugAt); r.Stamped == iot.StampServer {
			b.WriteString(" now")
		} else if at != 0 {
			fmt.Fprintf(&b, " %+d", at)
		}
		b.WriteByte(':')
		decodetest.WriteMembers(&b, r, " =")
		b.WriteString("; ")
	}
	for _, r := range result.Rejected {
		fmt.Fprintf(&b, "%s; ", r.Reason)
	}
	for _, o := range result.Omitted {
		fmt.Fprintf(&b, "without %s: %s; ", o.Member, o.Why)
	}
	for _, r := range result.Requests {
		fmt.Fprintf(&b, "to %s; ", r.Topic)
	}
	return strings.ReplaceAll(strings.TrimSuffix(b.String(), "; "), "\n", "")
}

func nbirth(bdSeq uint64, metrics ...wire) []byte {
	return sparkplug(0, append([]wire{metric("bdSeq", 0, 8).varint(11, bdSeq), metric("Node Control/Rebirth", 0, 11).varint(14, 0)}, metrics...)...)
}

func TestSparkplug(t *testing.T) {
	minus := func(bits int, n uint64) uint64 { return 1<<bits - n }
	birth := nbirth(7, metric("Temperature", 1, 9).float(12, 21.4), metric("count", 2, 3).varint(10, minus(32, 5)))
	dbirth := sparkplug(1, metric("Humidity", 3, 10).double(13, 41.5), metric("mode", 4, 12).bytes(15, "auto"), metric("open", 5, 11).varint(14, 1))
	const rebirth = "to spBv1.0/plant/NCMD/press"
	for _, tt := range []struct {
		name     string
		messages []sparkplugMessage
	}{
		{"aliases and types are those of the births", []sparkplugMessage{
			{"NBIRTH/press", birth, "", "plant/press: count=-5 online=1 temperature=21.4"},
			{"DBIRTH/press/m1", dbirth, "", `plant/press/m1: humidity=41.5 online=1 open=1 mode="auto"`},
			{"NDATA/press", sparkplug(2, metric("", 1, 0).float(12, 22), metric("", 2, 0).varint(10, minus(32, 1))), "", "plant/press: count=-1 temperature=22"},
			{"DDATA/press/m1", sparkplug(3, metric("", 3, 0).double(13, 42)), "", "plant/press/m1: humidity=42"},
			{"NDATA/press", sparkplug(4, metric("count", 0, 0).varint(10, minus(32, 2))), "", "plant/press: count=-2"},
		}},
		{"without a birth nothing but names and types counts, and the node is asked once a minute", []sparkplugMessage{
			{"NDATA/press", sparkplug(9, metric("", 1, 0).float(12, 22)), "", "unknown_alias; " + rebirth},
			{"NDATA/press", sparkplug(10, metric("", 1, 0).float(12, 22), metric("x", 0, 0).float(12, 3)), "", "plant/press: x=3; unknown_alias"},
			{"NDATA/press", sparkplug(11, metric("count", 0, 0).varint(10, 7)), "", "unknown_alias"},
			{"NDATA/press", sparkplug(12, metric("count", 0, 7).varint(10, 7)), "", "plant/press: count=7"},
			{"NDATA/press", sparkplug(13, metric("", 1, 0).float(12, 22)), "minute", "unknown_alias; " + rebirth},
			{"NBIRTH/press", birth, "", "plant/press: count=-5 online=1 temperature=21.4"},
			{"NDATA/press", sparkplug(1, metric("", 1, 0).float(12, 22)), "", "plant/press: temperature=22"},
		}},
		{"a birth of a device without that of its node", []sparkplugMessage{
			{"DBIRTH/press/m1", dbirth, "", `plant/press/m1: humidity=41.5 online=1 open=1 mode="auto"; ` + rebirth},
			{"DDATA/press/m1", sparkplug(2, metric("", 3, 0).double(13, 42)), "", "plant/press/m1: humidity=42"},
		}},
		{"behind a gap no alias counts", []sparkplugMessage{
			{"NBIRTH/press", birth, "", "plant/press: count=-5 online=1 temperature=21.4"},
			{"DBIRTH/press/m1", dbirth, "", `plant/press/m1: humidity=41.5 online=1 open=1 mode="auto"`},
			{"NDATA/press", sparkplug(3, metric("", 1, 0).float(12, 22)), "", "unknown_alias; " + rebirth},
			{"DDATA/press/m1", sparkplug(4, metric("", 3, 0).double(13, 42)), "", "unknown_alias"},
			{"DDATA/press/m1", sparkplug(4, metric("", 3, 0).double(13, 42)), "", "unknown_alias"},
		}},
		{"numbers go round", []sparkplugMessage{
			{"NBIRTH/press", sparkplug(254, metric("t", 1, 10).double(13, 1)), "", "plant/press: online=1 t=1"},
			{"NDATA/press", sparkplug(255, metric("", 1, 0).double(13, 2)), "", "plant/press: t=2"},
			{"NDATA/press", sparkplug(0, metric("", 1, 0).double(13, 3)), "", "plant/press: t=3"},
			{"NDATA/press", sparkplug(-1, metric("", 1, 0).double(13, 4)), "", "unknown_alias; " + rebirth},
		}},
		{"encoders that leave out a 0", []sparkplugMessage{
			{"NBIRTH/press", sparkplug(-1, metric("t", 1, 10).double(13, 1)), "", "plant/press: online=1 t=1"},
			{"NDATA/press", sparkplug(1, metric("", 1, 0).double(13, 2)), "", "plant/press: t=2"},
			{"NDATA/press", sparkplug(3, metric("", 1, 0).double(13, 2)), "", "unknown_alias; " + rebirth},
		}},
		{"what was missed does not hold", []sparkplugMessage{
			{"NBIRTH/press", birth, "", "plant/press: count=-5 online=1 temperature=21.4"},
			{"NBIRTH/saw", birth, "", "plant/saw: count=-5 online=1 temperature=21.4"},
			{"NDATA/press", sparkplug(1, metric("", 1, 0).float(12, 22)), "missed", "unknown_alias; " + rebirth},
			{"NDATA/saw", sparkplug(1, metric("", 1, 0).float(12, 22)), "", "plant/saw: temperature=22"},
			{"NDATA/saw", sparkplug(2, metric("", 1, 0).float(12, 22)), "reconnected", "unknown_alias; to spBv1.0/plant/NCMD/saw"},
		}},
		{"a death is of the node and its devices", []sparkplugMessage{
			{"NBIRTH/press", birth, "", "plant/press: count=-5 online=1 temperature=21.4"},
			{"DBIRTH/press/m1", dbirth, "", `plant/press/m1: humidity=41.5 online=1 open=1 mode="auto"`},
			{"DDEATH/press/m1", sparkplug(2), "", "plant/press/m1: online=0"},
			{"NDEATH/press", sparkplug(-1, metric("bdSeq", 0, 8).varint(11, 6)), "", ""},
			{"NDEATH/press", sparkplug(-1, metric("bdSeq", 0, 8).varint(11, 7)), "", "plant/press now: online=0; plant/press/m1 now: online=0"},
			{"NDEATH/press", sparkplug(-1, metric("bdSeq", 0, 8).varint(11, 7)), "", "plant/press now: online=0; plant/press/m1 now: online=0"},
			{"NDATA/press", sparkplug(3, metric("", 1, 0).float(12, 22)), "", "unknown_alias; " + rebirth},
		}},
		{"a death of which nobody knows whether it is of now", []sparkplugMessage{
			{"NDEATH/press", sparkplug(-1, metric("bdSeq", 0, 8).varint(11, 6)), "", "plant/press now: online=0; " + rebirth},
		}},
		{"a replay changes nothing, and reads by no earlier message", []sparkplugMessage{
			{"NBIRTH/press", birth, "", "plant/press: count=-5 online=1 temperature=21.4"},
			{"NDATA/press", sparkplug(1, metric("", 1, 0).float(12, 22)), "alone", "unknown_alias"},
			{"NBIRTH/press", nbirth(8, metric("Pressure", 1, 9).float(12, 1000)), "alone", "plant/press: Pressure=1000 online=1"},
			{"NBIRTH/press", nbirth(8, metric("Pressure", 1, 9).float(12, 1000)), "retained", "plant/press: Pressure=1000 online=1"},
			{"NDATA/press", sparkplug(1, metric("", 1, 0).float(12, 22)), "", "plant/press: temperature=22"},
		}},
		{"times and values", []sparkplugMessage{
			{
				"NBIRTH/press",
				sparkplug(0,
					metric("a", 0, 9).varint(3, sparkplugAt-60_000).varint(5, 1).float(12, 1), metric("b", 0, 10).double(13, 2), metric("i8", 0, 1).varint(10, 255),
					metric("i16", 0, 2).varint(10, 65534), metric("i64", 0, 4).varint(11, math.MaxUint64), metric("u8", 0, 5).varint(10, 255),
					metric("u32", 0, 7).varint(11, 4294967295), metric("u64", 0, 8).varint(11, 1<<63), metric("when", 0, 13).varint(11, 1795742000000),
					metric("none", 0, 9).varint(7, 1), metric("nan", 0, 9).float(12, float32(math.NaN())), metric("raw", 0, 17).bytes(17, "x"),
					metric("set", 0, 16).bytes(16, ""), metric("class", 0, 19).bytes(18, ""), metric("bad", 0, 12).bytes(15, "\xff"),
					metric("online", 0, 10).double(13, 5), metric("odd", 0, 99).varint(10, 1),
				),
				"",
				`plant/press -60000: a=1; plant/press: b=2 i16=-2 i64=-1 i8=-1 online=5 u32=4.294967295e+09 u64=9.223372036854776e+18 u8=255 when="2026-11-27T01:13:20.000Z"; ` +
					"without nan: it is neither a number nor a text: Float; without raw: it is neither a number nor a text: Bytes; " +
					"without set: it is neither a number nor a text: DataSet; without class: it is neither a number nor a text: Template; " +
					"without bad: it is neither a number nor a text: String; without odd: it is neither a number nor a text: type 99; " +
					"without online: there is another one of the same name",
			},
			{"NDATA/press", wire(nil).bytes(2, string(metric("x", 0, 9).varint(5, 1).float(12, 1))), "", "no_metrics; without x: it is of the past, and does not say when it was measured; " + rebirth},
			{"NDATA/press", wire(nil).bytes(2, string(metric("x", 0, 9).float(12, 1))), "alone", "plant/press now: x=1"},
			{"NDATA/press", wire(nil).bytes(2, string(metric("x", 0, 9).float(12, 1))), "alone retained", "retained_without_timestamp"},
			{"NDATA/press", sparkplug(1, metric("mode", 0, 12).bytes(15, "auto")), "alone", "no_metrics"},
			{"NDATA/press", sparkplug(1), "alone", "no_metrics"},
		}},
		{"what is none", []sparkplugMessage{
			{"NDATA/press", []byte(`{"metrics":[]}`), "", "invalid_protobuf"},
			{"NDATA/press", sparkplug(1, metric("x", 0, 9).varint(12, 1)), "", "invalid_protobuf"},
			{"NDATA/press", sparkplug(1, metric("\xff", 0, 9).float(12, 1)), "", "invalid_protobuf"},
			{"NDATA/press", sparkplug(1, slices.Repeat([]wire{metric("x", 0, 9).float(12, 1)}, 10_001)...), "", "too_large"},
			{"NDATA/" + strings.Repeat("n", 250), sparkplug(1), "", "invalid_device_id"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set, at := load(t), received
			for i, m := range tt.messages {
				switch m.flags {
				case "minute":
					at = at.Add(time.Minute)
					m.flags = ""
				case "missed":
					set.Missed("spBv1.0/plant/NDATA/press")
				case "reconnected":
					set.MissedAny()
				}
				if got := writeSparkplug(receive(set, m, at)); got != m.want {
					t.Errorf("message %d, %s:\n%s\nwant\n%s", i, m.topic, got, m.want)
				}
			}
		})
	}
}

// A rebirth request is a command that nodes understand.
func TestSparkplugRebirth(t *testing.T) {
	result := receive(load(t), sparkplugMessage{topic: "NDATA/press", payload: sparkplug(9, metric("", 1, 0).float(12, 22))}, received)
	if len(result.Requests) != 1 {
		t.Fatalf("%+v", result)
	}
	ms := uint64(received.UnixMilli())
	want := wire(nil).varint(1, ms).bytes(2, string(metric("Node Control/Rebirth", 0, 0).varint(3, ms).varint(4, 11).varint(14, 1)))
	if r := result.Requests[0]; r.Topic != "spBv1.0/plant/NCMD/press" || !bytes.Equal(r.Payload, want) {
		t.Errorf("%s %q, want %q", r.Topic, r.Payload, want)
	}
}

// What is rejected of a message that is read otherwise is a message.
func TestRejectedSparkplugIsSparkplug(t *testing.T) {
	set := load(t)
	result := receive(set, sparkplugMessage{topic: "NDATA/press", payload: sparkplug(9, metric("", 1, 0).float(12, 22), metric("x", 0, 9).float(12, 1))}, received)
	if len(result.Rejected) != 1 || len(result.Readings) != 1 {
		t.Fatalf("%+v", result)
	}
	if want := sparkplug(-1, metric("", 1, 0).float(12, 22)); !bytes.Equal(result.Rejected[0].Bytes, want) {
		t.Errorf("%q, want %q", result.Rejected[0].Bytes, want)
	}
}

// Whatever a bridge misses, and whenever it is started anew, no value is read by another's name. Each value says which
// metric it is of; in each session of a node the aliases are dealt out anew.
func TestSparkplugIsNeverMisread(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		set, read, at := load(t, "sparkplug"), 0, received
		seq, names, bdSeq := 0, r.Perm(5), uint64(0)
		for range 400 {
			at = at.Add(time.Second)
			var m sparkplugMessage
			value := func(name int) float64 { return float64(name*1000 + r.IntN(1000)) }
			switch r.IntN(40) {
			case 0: // the node begins anew
				seq, names, bdSeq = 0, r.Perm(5), bdSeq+1
				var metrics []wire
				for alias, name := range names {
					metrics = append(metrics, metric(fmt.Sprint("m", name), uint64(alias+1), 10).double(13, value(name)))
				}
				m = sparkplugMessage{topic: "NBIRTH/press", payload: nbirth(bdSeq, metrics...)}
			case 1:
				m = sparkplugMessage{topic: "NDEATH/press", payload: sparkplug(-1, metric("bdSeq", 0, 8).varint(11, bdSeq))}
			default:
				alias := r.IntN(5)
				seq = (seq + 1) % 256
				m = sparkplugMessage{topic: "NDATA/press", payload: sparkplug(seq, metric("", uint64(alias+1), 0).double(13, value(names[alias])))}
			}
			switch n := r.IntN(60); {
			case n == 0: // the bridge is started anew
				set = load(t, "sparkplug")
			case n == 1: // it was away
				set.MissedAny()
				continue
			case n < 4: // it had no room
				set.Missed("spBv1.0/plant/" + m.topic)
				continue
			case n < 7 && !strings.HasPrefix(m.topic, "NBIRTH"): // it never came
				continue
			}
			for _, reading := range receive(set, m, at).Readings {
				for _, metric := range reading.Metrics {
					if metric.Name != "online" && metric.Name != fmt.Sprintf("m%.0f", math.Floor(metric.Value/1000)) {
						t.Fatalf("seed %d: %v is read as %s", seed, metric.Value, metric.Name)
					}
					read++
				}
			}
		}
		if read < 20 {
			t.Errorf("seed %d: only %d values are read", seed, read)
		}
	}
}

// What is remembered is bounded, and a node that is forgotten is asked again.
func TestSparkplugMemoryIsBounded(t *testing.T) {
	set := load(t, "sparkplug")
	birth := nbirth(1, metric("t", 1, 10).double(13, 1))
	for i := range 5000 {
		receive(set, sparkplugMessage{topic: fmt.Sprint("NBIRTH/n", i), payload: birth}, received.Add(time.Duration(i)*time.Millisecond))
	}
	data := sparkplug(1, metric("", 1, 0).double(13, 2))
	if got := writeSparkplug(receive(set, sparkplugMessage{topic: "NDATA/n4999", payload: data}, received)); got != "plant/n4999: t=2" {
		t.Error(got)
	}
	if got := writeSparkplug(receive(set, sparkplugMessage{topic: "NDATA/n0", payload: data}, received)); got != "unknown_alias; to spBv1.0/plant/NCMD/n0" {
		t.Error(got)
	}
}

// FuzzSparkplug holds any message to what is promised of all.
func FuzzSparkplug(f *testing.F) {
	f.Add(uint8(0), nbirth(7, metric("Temperature", 1, 9).float(12, 21.4), metric("count", 2, 3).varint(10, 5)), sparkplug(1, metric("", 1, 0).float(12, 22)))
	f.Add(uint8(3), sparkplug(1, metric("s", 4, 12).bytes(15, "auto")), sparkplug(1, metric("", 4, 0).bytes(15, "x"), metric("n", 0, 9).varint(3, 1<<63).float(12, 1)))
	f.Add(uint8(5), sparkplug(-1, metric("bdSeq", 0, 8).varint(11, 7)), []byte("\x12\x02\x08\x01"))
	set := load(f, "sparkplug")
	kinds := []string{"NBIRTH/a", "NDATA/a", "NDEATH/a", "DBIRTH/a/d", "DDATA/a/d", "DDEATH/a/d"}
	f.Fuzz(func(t *testing.T, kind uint8, first, second []byte) {
		for i, payload := range [][]byte{first, second} {
			m := sparkplugMessage{topic: kinds[(int(kind)+i)%len(kinds)], payload: bytes.Clone(payload)}
			if kind&0x80 != 0 {
				m.flags = "retained"
			}
			result := receive(set, m, received)
			if !bytes.Equal(m.payload, payload) {
				t.Fatal("the message was changed")
			}
			if len(result.Readings)+len(result.Rejected) == 0 && !strings.HasPrefix(m.topic, "NDEATH") {
				t.Errorf("nothing became of %q", payload)
			}
			for _, r := range result.Readings {
				if err := r.Validate(); err != nil {
					t.Errorf("%+v: %v", r, err)
				}
			}
			for _, r := range result.Rejected {
				if r.Reason == "" || r.Detail == "" || len(r.Detail) > 200 {
					t.Errorf("unexplained: %+v", r)
				}
			}
			set.MissedAny()
		}
	})
}
