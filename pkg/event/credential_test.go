package event

import (
	"reflect"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	telltalev1 "github.com/telltale-iot/telltale/proto/telltale/v1"
)

func TestCredentialRecords(t *testing.T) {
	for _, c := range []iot.Credential{
		{ID: 1, Type: iot.CredentialPassword, Name: "42", Devices: []iot.DeviceID{42}, Secret: iot.Secret{1}},
		{ID: 2, Type: iot.CredentialCertificate, Name: "boiler", Devices: []iot.DeviceID{7, iot.MaxDeviceID}, ExpiresAt: time.UnixMilli(1).UTC()},
		{ID: 3, Type: iot.CredentialPassword, Name: "wall", Viewer: true, Devices: []iot.DeviceID{}, Secret: iot.Secret{1, 2}},
	} {
		rec := CredentialRecord("topic", c)
		said, err := DecodeAccess(&rec)
		if err != nil || said.Credential == nil || !reflect.DeepEqual(*said.Credential, c) {
			t.Errorf("%+v became %+v, %v", c, said.Credential, err)
		}
		rec = CredentialEnd("topic", c.ID)
		if said, err = DecodeAccess(&rec); err != nil || said != (AccessChange{Ended: c.ID}) {
			t.Errorf("the end of %d became %+v, %v", c.ID, said, err)
		}
	}
	for _, s := range []Site{{}, {Moved: true}} {
		rec := SiteRecord("topic", s)
		if said, err := DecodeAccess(&rec); err != nil || said.Site == nil || *said.Site != s {
			t.Errorf("%+v became %+v, %v", s, said.Site, err)
		}
	}
}

func TestDecodeAccessRefuses(t *testing.T) {
	password := telltalev1.Credential_TYPE_PASSWORD
	for what, rec := range map[string]kafka.Record{
		"no key":                      {},
		"another program's key":       {Key: []byte("device/1")},
		"no id":                       {Key: []byte("credential/")},
		"no bytes of ours":            {Key: []byte("credential/1"), Value: []byte{0xff}},
		"the id of another":           {Key: []byte("credential/1"), Value: marshal(&telltalev1.Credential{Id: 2, Type: password, SecretSha256: make([]byte, 32)})},
		"a type that is not known":    {Key: []byte("credential/1"), Value: marshal(&telltalev1.Credential{Id: 1, Type: 9, SecretSha256: make([]byte, 32)})},
		"a password without a secret": {Key: []byte("credential/1"), Value: marshal(&telltalev1.Credential{Id: 1, Type: password})},
		"a secret that is too short":  {Key: []byte("credential/1"), Value: marshal(&telltalev1.Credential{Id: 1, Type: password, SecretSha256: make([]byte, 31)})},
		"a secret that is too long":   {Key: []byte("credential/1"), Value: marshal(&telltalev1.Credential{Id: 1, Type: password, SecretSha256: make([]byte, 33)})},
		"bytes that are no site":      {Key: []byte("site"), Value: []byte{0xff}},
	} {
		if said, err := DecodeAccess(&rec); err == nil {
			t.Errorf("%s is %+v", what, said)
		}
	}
}
