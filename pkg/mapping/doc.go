// Package mapping turns what device families publish over MQTT into readings. A family is a rule in a YAML file: where in
// the topic or the message the device, the time and the values are, and what they are called. Rules are compiled when
// they are loaded, and a message is read in one pass, without a tree of it. There are no loops and no expressions: every
// message ends, after time in proportion to its length, as readings or rejections.
//
// Which topics are read says the set: those that its rules are for or, after Select, those that filters select, where what
// no rule is for is read in Telltale's own form.
//
// # A rule
//
//   - name: tasmota                       # for people, and errors
//     topic: tele/{device}/SENSOR         # or a list
//     time: {at: Time, zone: local}
//     values: {drop: [TempUnit], numbers_in_strings: true, words: {"ON": 1, "OFF": 0}}
//     rename: {"*_Temperature": temperature, "*_Humidity": humidity}
//     scale: {temperature: {when: {TempUnit: F}, factor: 5/9, offset: -160/9}}
//
// For a message the first rule counts whose topic and conditions fit. A path is the names of members, and places in
// arrays from 0, with dots between them: rx.0.rssi; \. is a dot in a name, and the empty path is the message. A pattern
// is a name in which * stands for any text. Quote "ON", "*" and {…}, which mean something else in YAML.
//
//	topic       levels of an MQTT topic: text; {name} and {name...} are one level, and one or more, with a name;
//	            {name:pat*} is one that a pattern stands for; + and # are as in MQTT
//	when        {path: pattern, …} all have to be there, and be what the pattern (or one in a list) stands for; numbers
//	            as they are written. * alone is also for objects and arrays. Of a batch the first reading decides
//	each        the path to an object or array whose members or elements each are a reading, or an array of them; the
//	            paths in the rest of the rule begin there. Without it, an array is a batch of readings
//	device      a text in which {name} is a part of the topic, {.path} a member of the message, and {key} the name of
//	            the member that a reading is the value of, with each; without it, "{device}"
//	time        a path or list of paths, of which the first that is there counts; or {at: that, zone, unit, relative}
//	  zone      of times that do not say theirs: Europe/Berlin, or local, the zone of the installation (default)
//	  unit      of numbers: s, ms, us, ns; without it, their size tells
//	  relative  after or before: the number counts from the time of receipt
//	values      what is measured; without flatten, members, pairs or scalar it is all of the message
//	  flatten   a path, or several: what is within is a value, called by the names on the way to it
//	  prefix    what the names of all that is flattened begin with; it may have {parts} of the topic
//	  separator what stands between these names (default _)
//	  members   {name: path}; the name may have {parts} of the topic
//	  pairs     {at: path, name: member, value: member or list}: an array of objects with a name and a value
//	  scalar    the message is a value and no object, and this its name, which may have {parts} of the topic
//	  drop      patterns for names, as the message has them: objects too are left out with all that is in them
//	  numbers_in_strings  "52.6" is a number
//	  words     {"ON": 1}: texts that are numbers
//	rename      {pattern: name}: the first that fits; * in the name is what the first * of the pattern stands for. Of
//	            several members the first gets the name, the others keep theirs
//	scale       {pattern: {factor, offset, when}} or a list of these: value × factor + offset; the first whose
//	            conditions hold. The pattern is for the name in the message or the new one. A fraction is as good as a number
//	attributes  patterns for the texts that are kept, whatever they look like; without it, all that are no numbers
//	retained    live: a broker's retained message without a time is a reading of now; old (default): it is none
//	ignore      true: what the rule is for is no reading
//	form        how messages are read that rules have no words for: telltale, senml, sparkplug or
//	            homeassistant-discovery. But for the first, a rule may also say rename, scale and attributes
//
// What names the device or the time is no value. A true is 1, a false 0, null is nothing. A member that can be no value
// (NaN, text for a temperature, a name of no letters or over 255 bytes, a second one of a name) is left out and told, and
// the reading is kept.
//
// # SenML
//
// A record of a Sensor Measurement List (RFC 8428, JSON or CBOR) names what it measures by base name and name together, and
// how it shares the name out between them is up to the sender. The device is what is in front of the last / and the metric
// what is behind it: urn:dev:mac:0024befffe804ff1/temp. In a device's URN a : or _ behind its last part is as good as a /.
// A URN alone is a device, and the unit says what is measured: temperature, humidity, the unit's own name, or "value". Any
// other name without a /, or with one in front, is a metric of the {device} in the topic. The records of one device and
// time are one reading; a time below 2^28 counts from the receipt, and one of 0 is none. A vb is 1 or 0, a vs an attribute,
// a vd is left out, and the sum s of x is x_sum. A temperature in K and a humidity in / become °C and %; in units that are
// unknown they are left out. What costs a whole pack says package senml. What is rejected of a pack otherwise is a pack of
// its own, in JSON.
//
// # Sparkplug B
//
// An edge node and each of its devices is a device. The names and types of their metrics are those of the last BIRTH, as long
// as no message of the node was missed since: its messages are numbered, and whoever knows of a gap calls Missed. What has no
// name or type then is rejected as unknown_alias, and Result.Requests has a request for a rebirth, one a minute and node.
// Each metric has a time; those of one time are a reading. A DateTime is a text. Node Control/…, Device Control/… and
// bdSeq are no values, and neither are data sets, templates, arrays and bytes. A BIRTH adds the metric online, 1, and a
// DEATH is a reading of it, 0: of the device at the time that it says, of a node and all its devices at the receipt. Messages
// that are not Ordered are read by themselves.
//
// # Home Assistant's discovery
//
// A config is no reading: it makes a rule for its state topic, which counts where no other one is for the topic. Its device is the
// first of identifiers or connections, its metric the path in value_template with _ between, or the config's {object}. Of
// templates those are read that name the message or a member of it, with or without float, int and round, which say no more of
// a number than it does itself. Readings have what the config says of the device and of units as attributes: device_name,
// device_location, {metric}_unit. Everything else is left out, and told. Configs that are not Ordered are looked at, and change
// nothing.
//
// # On failure
//
// Load returns a mistake as one line with file, line and member. A Decoder rejects the message, or the element of an
// array, and never more than that; limits and reasons are those of package payload, and no_rule, where conditions do not
// hold. Rejections hold the bytes as they are in the message.
//
// # Memory
//
// A message in decoding has one reader: room for decode.MaxMembers members, 90 kB, and two caches of at most 512 texts of at
// most 255 bytes. Readers are used again, so there are about as many as goroutines that decode. A step appends what 64 kB of a message
// become, and since names are repeated for what is nested, at most 256 kB of names and texts and a reading more.
// A pack of SenML is taken apart before its first reading: some 200 bytes for each of at most decode.MaxElements records,
// and their names, 512 bytes each. A set remembers of Sparkplug at most 4096 nodes of 1000 devices, and 32 MB,
// and of discovery 10,000 values and 16 MB, 1,000 and 1 MB of a device.
//
// # Senders that speak for some devices
//
// Of who may send for some devices alone (Message.May), a reading of another is rejected as device_not_allowed, and a device
// that is left out is his own (Message.Own). What he says of messages to come counts for his devices: a config of discovery is
// rejected where it describes another's values, replaces no other's, and of several devices that say that a state topic is
// theirs the sender's counts; a message of Sparkplug needs its node, too, as all messages of a node are numbered together.
package mapping
