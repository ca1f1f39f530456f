package event_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	telltalev1 "github.com/telltale-iot/telltale/proto/telltale/v1"
)

// fromProto is the reading in m by way of the generated code.
func fromProto(m *telltalev1.Reading) iot.Reading {
	r := iot.Reading{
		Device:   iot.DeviceID(m.DeviceId),
		At:       time.UnixMilli(m.TimestampMs).UTC(),
		Received: time.UnixMilli(m.ReceivedAtMs).UTC(),
		Key:      m.DeviceKey,
		Said:     m.DeviceTimestamp,
	}
	if s := iot.Stamp(m.TimestampSource); m.TimestampSource >= 0 && m.TimestampSource <= 2 {
		r.Stamped = s
	}
	if r.Stamped == iot.StampServer {
		r.Origin = m.Origin
	}
	for _, metric := range m.Metrics {
		r.Metrics = append(r.Metrics, iot.Metric{Name: metric.GetName(), Value: metric.GetValue()})
	}
	for _, a := range m.Attributes {
		r.Attributes = append(r.Attributes, iot.Attribute{Name: a.GetName(), Value: a.GetValue()})
	}
	slices.SortStableFunc(r.Metrics, func(a, b iot.Metric) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(r.Attributes, func(a, b iot.Attribute) int { return strings.Compare(a.Name, b.Name) })
	return r
}

// decoded is the reading in m as Decode gives it for a record of noon.
func decoded(m *telltalev1.Reading) iot.Reading {
	r := fromProto(m)
	r.Received = noon
	if r.At.After(noon.Add(iot.MaxAhead)) {
		if r.Said == "" && r.Stamped != iot.StampServer {
			r.Said = r.At.Format("2006-01-02T15:04:05.000Z")
		}
		r.At, r.Stamped, r.Origin = noon, iot.StampServer, 0
	}
	return r
}

// valid reports whether m is a reading that can be stored.
func valid(m *telltalev1.Reading) bool {
	r := decoded(m)
	return r.Validate() == nil && m.TimestampMs != 0
}

// FuzzDecode compares Decode with the generated code, for any bytes at all.
func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 3 {
		f.Add(marshal(f, toProto(randomReading(r))))
	}
	f.Add(marshal(f, toProto(reading())))
	f.Add([]byte("\x08\x2a\x10\x01\x18\x01\x20\x09\x2a\x00\x7b\x08\x01\x7c\x32\x04\x0a\x00\x12\x00"))
	f.Fuzz(func(t *testing.T, value []byte) {
		out, rejected := event.Decode(record("application/x-protobuf", value), nil)
		if len(out)+len(rejected) != 1 {
			t.Fatalf("%d readings and %d rejections", len(out), len(rejected))
		}
		var m telltalev1.Reading
		err := proto.Unmarshal(value, &m)
		if err != nil && strings.Contains(err.Error(), "UTF-8") {
			return // in a name, Decode minds only the last of several
		}
		if len(rejected) == 1 {
			if err == nil && valid(&m) {
				t.Errorf("rejected %+v, which is valid: %v", rejected, &m)
			}
			return
		}
		if err != nil {
			t.Fatalf("%+v was read from what is not protobuf: %v", out[0], err)
		}
		if err := out[0].Validate(); err != nil {
			t.Error(err)
		}
		want := decoded(&m)
		if want.Stamped == iot.StampServer && want.Origin == 0 {
			want.Origin = out[0].Origin
		}
		if diff := cmp.Diff(want, out[0]); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestConsumersOfBeforePassNewFieldsOver reads a record by the description of a reading from before devices had keys.
func TestConsumersOfBeforePassNewFieldsOver(t *testing.T) {
	before := protodesc.ToFileDescriptorProto(telltalev1.File_telltale_v1_reading_proto)
	fields := &before.MessageType[0].Field
	*fields = slices.DeleteFunc(*fields, func(f *descriptorpb.FieldDescriptorProto) bool { return f.GetNumber() > 7 })
	file, err := protodesc.NewFile(before, nil)
	if err != nil {
		t.Fatal(err)
	}
	old := dynamicpb.NewMessage(file.Messages().ByName("Reading"))
	r := reading()
	r.Key, r.Device, r.Said = "kitchen-1", iot.KeyID("kitchen-1"), "noon"
	rec := event.RecordFrom("raw-data", r, event.NewSource("sensors/kitchen-1/data", "c"))
	if err := proto.Unmarshal(rec.Value, old); err != nil {
		t.Fatal(err)
	}
	if len(old.GetUnknown()) == 0 {
		t.Error("there is nothing that it does not know")
	}
	old.SetUnknown(nil)
	r.Key, r.Said = "", ""
	if want := marshal(t, toProto(r)); !bytes.Equal(want, marshal(t, old)) {
		t.Errorf("it reads %v", old)
	}
	if n := len(before.MessageType[0].Field); n != 7 {
		t.Errorf("%d fields, want 7", n)
	}
}

func TestStampsHaveTheNumbersOfTheProtobufEnum(t *testing.T) {
	want := map[iot.Stamp]telltalev1.TimestampSource{
		iot.StampUnknown: telltalev1.TimestampSource_TIMESTAMP_SOURCE_UNSPECIFIED,
		iot.StampDevice:  telltalev1.TimestampSource_TIMESTAMP_SOURCE_DEVICE,
		iot.StampServer:  telltalev1.TimestampSource_TIMESTAMP_SOURCE_SERVER,
	}
	if len(want) != len(telltalev1.TimestampSource_name) {
		t.Errorf("%d timestamp sources in proto, want %d", len(telltalev1.TimestampSource_name), len(want))
	}
	for stamp, source := range want { // the test's own conversions rely on it
		if int32(stamp) != int32(source) {
			t.Errorf("stamp %q is %d, its timestamp source %d", stamp, stamp, source)
		}
	}
}

// The codes in package iot and the table of them in proto are one list, in one order.
func TestReasonsAreThoseOfTheProtobufEnum(t *testing.T) {
	var want []string
	for n := range int32(len(telltalev1.DeadLetterReason_name)) {
		name, ok := telltalev1.DeadLetterReason_name[n]
		if !ok {
			t.Fatalf("no dead-letter reason has the number %d", n)
		}
		want = append(want, strings.ToLower(strings.TrimPrefix(name, "DEAD_LETTER_REASON_")))
	}
	want = want[1:] // unspecified, which is never sent
	if diff := cmp.Diff(want, reasonConstants(t)); diff != "" {
		t.Errorf("reasons of package iot (-proto +iot):\n%s", diff)
	}
}

// reasonConstants returns the values of the constants of type Reason, in the order of their declaration.
func reasonConstants(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../iot/rejection.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "Reason" {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, value)
		}
		return false
	})
	return values
}
