package event

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	telltalev1 "github.com/telltale-iot/telltale/proto/telltale/v1"
)

// What the keys of the records on the topic of credentials are.
const (
	credentialKey = "credential/" // and an id
	siteKey       = "site"
)

// Site is what a bridge has to know about the site as a whole, before it lets anybody in or refuses him.
type Site struct {
	Moved bool // it is from before there were accounts
}

// CredentialRecord returns c as a record for topic.
func CredentialRecord(topic string, c iot.Credential) kafka.Record {
	wire := &telltalev1.Credential{
		Id: c.ID, Type: telltalev1.Credential_TYPE_PASSWORD, Name: c.Name, Viewer: c.Viewer, Devices: make([]int64, len(c.Devices)),
	}
	if c.Type == iot.CredentialCertificate {
		wire.Type = telltalev1.Credential_TYPE_CERTIFICATE
	}
	for i, device := range c.Devices {
		wire.Devices[i] = int64(device)
	}
	if c.Secret != (iot.Secret{}) {
		wire.SecretSha256 = c.Secret[:]
	}
	if !c.ExpiresAt.IsZero() {
		wire.ExpiresAtMs = c.ExpiresAt.UnixMilli()
	}
	return kafka.Record{Topic: topic, Key: credentialRecordKey(c.ID), Value: marshal(wire)}
}

// CredentialEnd returns the record for topic that ends the credential of that id.
func CredentialEnd(topic string, id int64) kafka.Record {
	return kafka.Record{Topic: topic, Key: credentialRecordKey(id)}
}

// SiteRecord returns s as a record for topic.
func SiteRecord(topic string, s Site) kafka.Record {
	return kafka.Record{Topic: topic, Key: []byte(siteKey), Value: marshal(&telltalev1.Site{Moved: s.Moved})}
}

func credentialRecordKey(id int64) []byte { return strconv.AppendInt([]byte(credentialKey), id, 10) }

// AccessChange is what a record on the topic of credentials says: one of its fields is set.
type AccessChange struct {
	Credential *iot.Credential // one that lets in; its Device is not known here
	Ended      int64           // the id of one that does not any more
	Site       *Site
}

// DecodeAccess returns what rec says. A record of another program, or a broken one, is an error, and says nothing.
func DecodeAccess(rec *kafka.Record) (AccessChange, error) {
	key := string(rec.Key)
	if key == siteKey {
		var wire telltalev1.Site
		if err := proto.Unmarshal(rec.Value, &wire); err != nil {
			return AccessChange{}, fmt.Errorf("record of the site: %w", err)
		}
		return AccessChange{Site: &Site{Moved: wire.GetMoved()}}, nil
	}
	digits, ok := strings.CutPrefix(key, credentialKey)
	id, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || id < 1 {
		return AccessChange{}, fmt.Errorf("record with the key %.40q: %w", key, iot.ErrInvalid)
	}
	if len(rec.Value) == 0 {
		return AccessChange{Ended: id}, nil
	}
	c, err := decodeCredential(rec.Value)
	if err == nil && c.ID != id {
		err = iot.ErrInvalid
	}
	if err != nil {
		return AccessChange{}, fmt.Errorf("record of credential %d: %w", id, err)
	}
	return AccessChange{Credential: c}, nil
}

func decodeCredential(value []byte) (*iot.Credential, error) {
	var wire telltalev1.Credential
	if err := proto.Unmarshal(value, &wire); err != nil {
		return nil, err
	}
	c := &iot.Credential{ID: wire.GetId(), Name: wire.GetName(), Viewer: wire.GetViewer(), Devices: make([]iot.DeviceID, len(wire.GetDevices()))}
	switch wire.GetType() {
	case telltalev1.Credential_TYPE_PASSWORD:
		c.Type = iot.CredentialPassword
	case telltalev1.Credential_TYPE_CERTIFICATE:
		c.Type = iot.CredentialCertificate
	default:
		return nil, fmt.Errorf("type %d: %w", wire.GetType(), iot.ErrInvalid) // of a later version: it must not let anybody in
	}
	for i, device := range wire.GetDevices() {
		c.Devices[i] = iot.DeviceID(device)
	}
	secret := wire.GetSecretSha256()
	if copy(c.Secret[:], secret) != len(secret) || len(secret) != 0 && len(secret) != len(c.Secret) || c.Type == iot.CredentialPassword && len(secret) == 0 {
		return nil, fmt.Errorf("a secret of %d bytes: %w", len(secret), iot.ErrInvalid)
	}
	if ms := wire.GetExpiresAtMs(); ms != 0 {
		c.ExpiresAt = time.UnixMilli(ms).UTC()
	}
	return c, nil
}

func marshal(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err) // only a text that is no UTF-8 could be the reason, and names are checked
	}
	return b
}
