package packet

// Code is a reason code of MQTT 5.
type Code byte

// The codes that are sent or looked at.
const (
	Success                 Code = 0x00
	DisconnectWithWill      Code = 0x04
	NoMatchingSubscribers   Code = 0x10
	NoSubscription          Code = 0x11
	Malformed               Code = 0x81
	ProtocolError           Code = 0x82
	NotAuthorized           Code = 0x87
	UnsupportedVersion      Code = 0x84
	ClientIDNotValid        Code = 0x85
	BadUserOrPassword       Code = 0x86
	ServerUnavailable       Code = 0x88
	ServerBusy              Code = 0x89
	ServerShuttingDown      Code = 0x8b
	BadAuthMethod           Code = 0x8c
	KeepAliveTimeout        Code = 0x8d
	SessionTakenOver        Code = 0x8e
	FilterInvalid           Code = 0x8f
	TopicNameInvalid        Code = 0x90
	PacketIDNotFound        Code = 0x92
	ReceiveMaximumExceeded  Code = 0x93
	TopicAliasInvalid       Code = 0x94
	PacketTooLarge          Code = 0x95
	QuotaExceeded           Code = 0x97
	AdministrativeAction    Code = 0x98
	SharedNotSupported      Code = 0x9e
	SubscriptionIDsNotTaken Code = 0xa1
)

// returnCode is MQTT 3's return code of a CONNACK for c.
func (c Code) returnCode() byte {
	switch c {
	case Success:
		return 0
	case UnsupportedVersion:
		return 1
	case ClientIDNotValid:
		return 2
	case BadUserOrPassword:
		return 4
	case NotAuthorized, BadAuthMethod:
		return 5
	default:
		return 3 // unavailable
	}
}
