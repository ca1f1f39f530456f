package simulator

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// sparkplugTopics: an edge node without devices sends a BIRTH and what has changed since, numbered from it on, and begins
// anew.
func sparkplugTopics(id uint64) []string {
	birth, data := fmt.Sprintf("spBv1.0/plant/NBIRTH/room-%d", id), fmt.Sprintf("spBv1.0/plant/NDATA/room-%d", id)
	return append([]string{birth}, slices.Repeat([]string{data}, 19)...)
}

// Fields of Sparkplug's protobuf messages, with their wire types, and its data types.
const (
	payloadTimestamp = 1<<3 | wireVarint
	payloadMetric    = 2<<3 | wireBytes
	payloadSeq       = 3<<3 | wireVarint

	metricName      = 1<<3 | wireBytes
	metricAlias     = 2<<3 | wireVarint
	metricTimestamp = 3<<3 | wireVarint
	metricDatatype  = 4<<3 | wireVarint
	metricLong      = 11<<3 | wireVarint
	metricDouble    = 13<<3 | wireFixed64
	metricBoolean   = 14<<3 | wireVarint

	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2

	typeInt64   = 4
	typeDouble  = 10
	typeBoolean = 11
)

func sparkplugMessage(dst []byte, _ uint64, turn int, m measurement) []byte {
	birth := turn == 0
	at := appendField(nil, metricTimestamp, uint64(m.ms))
	dst = appendField(dst, payloadTimestamp, uint64(m.ms))
	if birth {
		bdSeq := appendField(append(appendBytes(nil, metricName, "bdSeq"), at...), metricDatatype, typeInt64)
		dst = appendBytes(dst, payloadMetric, appendField(bdSeq, metricLong, 0))
		rebirth := appendField(append(appendBytes(nil, metricName, "Node Control/Rebirth"), at...), metricDatatype, typeBoolean)
		dst = appendBytes(dst, payloadMetric, appendField(rebirth, metricBoolean, 0))
	}
	for i, metric := range []struct {
		name  string
		value float64
	}{{"Temperature", m.temperature}, {"Humidity", m.humidity}, {"Battery", m.battery}} {
		var b []byte
		if birth {
			b = appendBytes(b, metricName, metric.name)
		}
		b = append(appendField(b, metricAlias, uint64(i)+1), at...)
		if birth {
			b = appendField(b, metricDatatype, typeDouble)
		}
		b = binary.LittleEndian.AppendUint64(append(b, metricDouble), math.Float64bits(math.Round(100*metric.value)/100))
		dst = appendBytes(dst, payloadMetric, b)
	}
	return appendField(dst, payloadSeq, uint64(turn))
}

func appendField(dst []byte, field byte, v uint64) []byte {
	return binary.AppendUvarint(append(dst, field), v)
}

func appendBytes[T string | []byte](dst []byte, field byte, b T) []byte {
	return append(binary.AppendUvarint(append(dst, field), uint64(len(b))), b...)
}
