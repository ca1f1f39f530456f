package iot

// Reason is the code that says why bytes were rejected: the header `reason` of a dead letter. The table
// in proto/telltale/v1/reading.proto explains each; a test in package event compares the two.
type Reason string

const (
	ReasonInvalidJSON              Reason = "invalid_json"
	ReasonTrailingBytes            Reason = "trailing_bytes"
	ReasonInvalidUTF8              Reason = "invalid_utf8"
	ReasonDuplicateKey             Reason = "duplicate_key"
	ReasonTooDeep                  Reason = "too_deep"
	ReasonTooLarge                 Reason = "too_large"
	ReasonNotANumber               Reason = "not_a_number"
	ReasonNumberOutOfRange         Reason = "number_out_of_range"
	ReasonNotAnObject              Reason = "not_an_object"
	ReasonInvalidMember            Reason = "invalid_member"
	ReasonMissingDeviceID          Reason = "missing_device_id"
	ReasonInvalidDeviceID          Reason = "invalid_device_id"
	ReasonDeviceIDMismatch         Reason = "device_id_mismatch"
	ReasonNoMetrics                Reason = "no_metrics"
	ReasonRetainedWithoutTimestamp Reason = "retained_without_timestamp"
	ReasonUnknownContentType       Reason = "unknown_content_type"
	ReasonInvalidProtobuf          Reason = "invalid_protobuf"
	ReasonConflict                 Reason = "conflict"
	ReasonIDCollision              Reason = "id_collision"
	ReasonNoRule                   Reason = "no_rule"
	ReasonInvalidCBOR              Reason = "invalid_cbor"
	ReasonUnknownAlias             Reason = "unknown_alias"
	ReasonTooOld                   Reason = "too_old"
	ReasonDeviceNotAllowed         Reason = "device_not_allowed"
	ReasonTooManyDevices           Reason = "too_many_devices"
	ReasonUnknownDevice            Reason = "unknown_device"
)

// Reasons are all that there are.
var Reasons = []Reason{
	ReasonInvalidJSON,
	ReasonTrailingBytes,
	ReasonInvalidUTF8,
	ReasonDuplicateKey,
	ReasonTooDeep,
	ReasonTooLarge,
	ReasonNotANumber,
	ReasonNumberOutOfRange,
	ReasonNotAnObject,
	ReasonInvalidMember,
	ReasonMissingDeviceID,
	ReasonInvalidDeviceID,
	ReasonDeviceIDMismatch,
	ReasonNoMetrics,
	ReasonRetainedWithoutTimestamp,
	ReasonUnknownContentType,
	ReasonInvalidProtobuf,
	ReasonConflict,
	ReasonIDCollision,
	ReasonNoRule,
	ReasonInvalidCBOR,
	ReasonUnknownAlias,
	ReasonTooOld,
	ReasonDeviceNotAllowed,
	ReasonTooManyDevices,
	ReasonUnknownDevice,
}

// Rejection is a piece of input that can never become a reading, and why.
type Rejection struct {
	Reason Reason
	Detail string   // for people: what exactly, and where; at most 200 bytes
	Device DeviceID // whose it is, where that is known; else 0
	Index  int      // of the element of a batch that it is, from 0
	Bytes  []byte   // the rejected input, unchanged: the whole message, or one element of a batch
}

// SentFor returns r as one of who speaks for some devices, of which own is the one that he means where he names none, or 0. That
// he names another's does not make it the other's, who would be shown what he sent. A nil speaks is for all.
func (r Rejection) SentFor(speaks func(DeviceID) bool, own DeviceID) Rejection {
	if speaks != nil && (r.Device == 0 || !speaks(r.Device)) {
		r.Device = own
	}
	return r
}

// Omitted is a member that a reading was kept without, or not with the metric that it looks like, and why.
type Omitted struct {
	Member  string // its name, at most MaxShownBytes
	Why     string
	Example string // its value, at most MaxShownBytes
}

// MaxShownBytes bounds what is shown of a member that is left out.
const MaxShownBytes = 64
