package main

import (
	"slices"
	"testing"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/iot"
	sqlitemetadata "github.com/telltale-iot/telltale/pkg/metadata/sqlite"
)

// A start with --demo ends the password of the last one, and nobody else's that is called so.
func TestDemoEndsItsOwn(t *testing.T) {
	t.Parallel()
	store, err := sqlitemetadata.Open(t.TempDir() + "/metadata.db")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	gateway, err := store.CreateCredential(t.Context(), iot.Credential{
		Type: iot.CredentialPassword, Name: demoName, Devices: []iot.DeviceID{firstDemoDevice + 1, 7}, Secret: auth.Hash("gateway"),
	})
	if err != nil {
		t.Fatal(err)
	}
	var ids []int64
	for range 3 {
		if _, err := letDemoIn(t.Context(), store, 2); err != nil {
			t.Fatal(err)
		}
		all, err := store.Credentials(t.Context(), iot.CredentialQuery{Limit: 9})
		if err != nil || len(all) != 2 {
			t.Fatalf("%+v, %v", all, err)
		}
		ids = append(ids, all[1].ID)
		if all[0].ID != gateway.ID {
			t.Errorf("the gateway's is not there: %+v", all)
		}
	}
	if len(slices.Compact(ids)) != 3 {
		t.Errorf("the demo's are %v", ids)
	}
}
