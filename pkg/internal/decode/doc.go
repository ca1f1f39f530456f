// Package decode has what decoders of messages share: a scanner of JSON, the numbers and times in it, the limits that
// every message is read within, and the draft of a reading, which asks of a reading what all formats ask of one. It
// knows no format; packages payload and mapping do.
package decode

import (
	"bytes"
	"strings"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// A message is read within these bounds. Everything made of one that keeps to the first, readings and dead letters, fits
// into a record of topics as package kafka makes them.
const (
	MaxBytes    = 1 << 20
	MaxElements = 10_000 // of a batch
	MaxMembers  = 1_000  // of a reading
	MaxDepth    = 16
)

// A step of a decoder ends behind the element that reaches one of these. What text becomes in memory is at most
// some fifteen times as long, most of it members that are left out, and some hundred bytes for each element.
const (
	StepBytes    = 64 << 10
	StepElements = 1000
)

// Fault is why something is rejected. The zero Fault is none.
type Fault struct {
	Reason iot.Reason
	Detail string
}

// maxDetail is what iot.Rejection allows for a detail.
const maxDetail = 200

// Rejection returns f as the rejection of b, which is device's where that is known.
func (f Fault) Rejection(device iot.DeviceID, b []byte) iot.Rejection {
	detail := strings.ToValidUTF8(f.Detail[:min(len(f.Detail), maxDetail)], "")
	return iot.Rejection{Reason: f.Reason, Detail: detail, Device: device, Bytes: b}
}

// Trim returns a message without what stands around it by mistake: a byte order mark before it, and NUL bytes, with which
// C ends a text, and white space behind it.
func Trim(message []byte) []byte {
	message = bytes.TrimPrefix(message, []byte("\ufeff"))
	n := len(message)
	for n > 0 && (message[n-1] == 0 || isSpace(message[n-1])) { // bytes.TrimRight takes longer than a short message
		n--
	}
	return message[:n]
}
