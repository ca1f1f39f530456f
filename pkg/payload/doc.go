// Package payload reads what devices send: JSON to readings. It is strict about syntax and generous about
// form, it never keeps or changes the bytes it is given, and what it cannot read comes back beside the readings
// of the same message: members that these are kept without, and rejections. It does no I/O, never panics, and is
// safe for concurrent use.
//
// # What is read
//
// A message is an object, or an array of objects: a batch. A byte order mark before it, and NUL bytes and white
// space behind it, are no error. The members of an object:
//
//	device_id             an integer, also in a string, or the key of a device: any other string of up to 255
//	                      bytes without control characters; also from the topic, and then the same device
//	timestamp             the time since 1970 in s, ms, µs or ns, distinguished by size; or ISO 8601 text
//	                      with date and time, like 2026-01-02T03:04:05.678+01:00 (without a zone, that of the Message)
//	time, Time, ts,       the first of these that looks like a time is the timestamp of a reading that has none:
//	datetime, last_seen   such a text, or a number that means a time from 2000 to 2099; any other is a member like any other
//	temperature, humidity numbers
//	metrics               an object whose members are read as if they stood beside it
//	values                the same (ThingsBoard); it makes a member ts beside it the timestamp
//	any other             a number or a boolean (1 or 0) is a metric, a string an attribute; a number in a string
//	                      is an attribute too, and told
//
// A null is as good as no member. A device_id, timestamp or ts within metrics or values is a name like
// any other. A reading whose timestamp is missing, unreadable, before 2000 or more than 5 minutes ahead
// takes the time of receipt, and says so, with the beginning of what stood there. Several of a message take the same
// time: the caller gives each a millisecond of its own.
//
// # What is omitted
//
// A member that can be nothing costs no other: the reading is kept without it, as long as a metric is left, and
// tells so of at most 16. These are
//
//	NaN, inf, -Infinity and the like, as literals and in strings; a number too large for a 64-bit float
//	an array or an object, however deep
//	temperature or humidity that is no number
//	what has a name of no or over 255 bytes, or with a NUL in it
//
// # What is rejected
//
// A fault costs only its element of a batch as long as it is certain where that element ends; its neighbours are
// read. Any other costs the whole message, and then there are no readings from it at all.
//
//	the message: too_large                  over 1 MiB, or over 10,000 elements
//	             invalid_device_id          the topic's
//	             invalid_json               a syntax error, the end inside a value, no value
//	             trailing_bytes             anything but white space and NUL bytes behind the value
//	             no_metrics                 an empty batch
//	the element: not_an_object
//	             invalid_utf8               in a string: bytes or escapes that are no characters
//	             too_large                  over 1,000 members
//	             invalid_device_id          a device_id that is neither an integer from 1 to 2^53-1 nor a key
//	and, where none of these is met:
//	             duplicate_key              a name twice, also once beside metrics and once in it
//	             missing_device_id          neither in the element nor in the topic
//	             device_id_mismatch         one in the element, another in the topic
//	             no_metrics                 nothing was measured
//	             not_a_number, number_out_of_range, too_deep, invalid_member
//	                                        the first member that was left out, where no metric is left
//	             retained_without_timestamp an old message that would look like a fresh one
package payload
