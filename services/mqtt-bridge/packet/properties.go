package packet

// MQTT 5's properties that are read or written here.
const (
	propSessionExpiry        = 17
	propAssignedClientID     = 18
	propAuthenticationMethod = 21
	propWillDelay            = 24
	propReasonString         = 31
	propReceiveMaximum       = 33
	propTopicAliasMaximum    = 34
	propTopicAlias           = 35
	propUser                 = 38
	propMaximumPacketSize    = 39
	propSubscriptionIDs      = 41 // available
	propSharedSubscriptions  = 42 // available
	propSubscriptionID       = 11
)

// form is how a property's value is written.
type form byte

const (
	aFlag form = iota + 1 // a byte of 0 or 1
	aUint16
	aUint32
	aVarint
	aText
	aBinary
	aPair
)

// in is a set of places where a property may stand.
type in uint16

const (
	inConnect in = 1 << iota
	inWill
	inPublish
	inSubscribe
	inUnsubscribe
	inDisconnect
)

// properties are those that a client may send, by their number.
var properties = [...]struct {
	form form
	in   in
}{
	1:                        {aFlag, inPublish | inWill},   // payload format
	2:                        {aUint32, inPublish | inWill}, // message expiry
	3:                        {aText, inPublish | inWill},   // content type
	8:                        {aText, inPublish | inWill},   // response topic
	9:                        {aBinary, inPublish | inWill}, // correlation data
	propSubscriptionID:       {aVarint, inSubscribe},
	propSessionExpiry:        {aUint32, inConnect | inDisconnect},
	propAuthenticationMethod: {aText, inConnect},
	22:                       {aBinary, inConnect}, // authentication data
	23:                       {aFlag, inConnect},   // request problem information
	propWillDelay:            {aUint32, inWill},
	25:                       {aFlag, inConnect},    // request response information
	31:                       {aText, inDisconnect}, // reason string
	propReceiveMaximum:       {aUint16, inConnect},
	propTopicAliasMaximum:    {aUint16, inConnect},
	propTopicAlias:           {aUint16, inPublish},
	propUser:                 {aPair, inConnect | inWill | inPublish | inSubscribe | inUnsubscribe | inDisconnect},
	propMaximumPacketSize:    {aUint32, inConnect},
}

// properties reads the properties at f, which are those of a packet or will of the given kind, and calls each with each
// of them: its value where that is a number, and all of its bytes.
func (f *fields) properties(where in, each func(id int, value uint32, whole []byte)) {
	p := fields{b: f.take(f.varint())}
	var seen uint64
	for len(p.b) > 0 && p.err == nil {
		start := p.b
		id := p.varint()
		if id >= len(properties) || properties[id].in&where == 0 {
			f.fail(protocol("a property that does not belong there"))
			return
		}
		if id != propUser && seen&(1<<id) != 0 {
			f.fail(protocol("a property that is there twice"))
			return
		}
		seen |= 1 << id
		var value uint32
		switch properties[id].form {
		case aFlag:
			if value = uint32(p.byte()); value > 1 {
				p.fail(protocol("a flag that is neither 0 nor 1"))
			}
		case aUint16:
			value = uint32(p.uint16())
		case aUint32:
			value = p.uint32()
		case aVarint:
			value = uint32(p.varint())
		case aText:
			p.text()
		case aBinary:
			p.binary()
		case aPair:
			p.text()
			p.text()
		}
		if p.err == nil && each != nil {
			each(id, value, start[:len(start)-len(p.b)])
		}
	}
	if f.err == nil && p.err != nil {
		f.err, f.b = p.err, nil
	}
}
