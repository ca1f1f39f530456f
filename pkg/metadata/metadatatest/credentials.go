package metadatatest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata"
)

// password is a credential of a device, or a gateway, with a secret of its own.
func password(name string, device iot.DeviceID, secret byte) iot.Credential {
	return iot.Credential{Type: iot.CredentialPassword, Name: name, Device: device, Secret: iot.Secret{secret, 31: 1}}
}

func credentials() []promise {
	kitchen := keyed("kitchen-1")
	return []promise{
		{"a credential is as it was created, and listed by its device", func(t *testing.T, db *database) {
			s := db.prepared()
			ensureSeen(t, s, iot.Ensured{Created: 2}, iot.Identity{ID: 7}, kitchen)
			var all []iot.Credential
			for _, want := range []iot.Credential{
				password("7", 7, 1),
				{Type: iot.CredentialCertificate, Name: "kitchen-1", Device: kitchen.ID, ExpiresAt: time.Date(2126, 3, 1, 12, 0, 0, 123e6, time.UTC)},
				{Type: iot.CredentialCertificate, Name: kitchen.ID.String(), Device: kitchen.ID, Devices: []iot.DeviceID{kitchen.ID}, Secret: iot.Secret{9}},
				{Type: iot.CredentialPassword, Name: "the gateway's", Devices: []iot.DeviceID{7, 404}, Secret: iot.Secret{2}},
				{Type: iot.CredentialPassword, Name: "dashboard", Viewer: true, Secret: iot.Secret{3}},
			} {
				created := newCredential(t, s, want)
				wantFresh(t, created.CreatedAt)
				if want.Device != 0 {
					want.Devices = []iot.DeviceID{want.Device}
				}
				want.ID, want.CreatedAt = created.ID, created.CreatedAt
				wantEqual(t, created, want)
				found, err := s.Credential(t.Context(), created.ID)
				wantError(t, err, nil)
				wantEqual(t, found, want)
				all = append(all, created)
			}
			for _, tt := range []struct {
				query iot.CredentialQuery
				want  []iot.Credential
			}{
				{iot.CredentialQuery{Limit: 9}, all},
				{iot.CredentialQuery{After: all[0].ID, Limit: 2}, all[1:3]},
				{iot.CredentialQuery{Device: kitchen.ID, Limit: 9}, all[1:3]},
				{iot.CredentialQuery{Device: 404, Limit: 9}, nil},
			} {
				got, err := s.Credentials(t.Context(), tt.query)
				wantError(t, err, nil)
				wantEqual(t, got, tt.want)
			}
		}},
		{"a credential that makes no sense is refused", func(t *testing.T, db *database) {
			s := db.prepared()
			ensureSeen(t, s, iot.Ensured{Created: 3}, iot.Identity{ID: 7}, iot.Identity{ID: 8}, kitchen)
			newCredential(t, s, password("gateway", 0, 1))
			newCredential(t, s, iot.Credential{Type: iot.CredentialCertificate, Name: "7", Device: 7, Secret: iot.Secret{5}})
			for name, tt := range map[string]struct {
				credential iot.Credential
				want       error
			}{
				"no type":                 {iot.Credential{Name: "7", Device: 7}, iot.ErrInvalid},
				"no password":             {iot.Credential{Type: iot.CredentialPassword, Name: "7", Device: 7}, iot.ErrInvalid},
				"no name":                 {password("", 0, 2), iot.ErrInvalid},
				"no such device":          {password("404", 404, 2), iot.ErrInvalid},
				"not its name":            {password("8", 7, 2), iot.ErrInvalid},
				"another's key":           {password("kitchen-1", 7, 2), iot.ErrInvalid},
				"a viewer that publishes": {iot.Credential{Type: iot.CredentialCertificate, Name: "v", Viewer: true, Devices: []iot.DeviceID{7}}, iot.ErrInvalid},
				"a device for others":     {iot.Credential{Type: iot.CredentialCertificate, Name: "7", Device: 7, Devices: []iot.DeviceID{7, 8}}, iot.ErrInvalid},
				"no device":               {iot.Credential{Type: iot.CredentialCertificate, Name: "g", Devices: []iot.DeviceID{-1}}, iot.ErrInvalid},
				"a gateway like a device": {password("7", 0, 2), iot.ErrConflict},
				"a gateway like a key":    {password("kitchen-1", 0, 2), iot.ErrConflict},
				"a viewer like a gateway": {iot.Credential{Type: iot.CredentialCertificate, Name: "gateway", Viewer: true}, iot.ErrConflict},
				"another's certificate":   {iot.Credential{Type: iot.CredentialCertificate, Name: "8", Device: 8, Secret: iot.Secret{5}}, iot.ErrConflict},
			} {
				t.Run(name, func(t *testing.T) {
					_, err := s.CreateCredential(t.Context(), tt.credential)
					wantError(t, err, tt.want)
				})
			}
			ensureSeen(t, s, iot.Ensured{Created: 1}, keyed("gateway")) // the name was the gateway's before
			_, err := s.CreateCredential(t.Context(), password("gateway", iot.KeyID("gateway"), 3))
			wantError(t, err, iot.ErrConflict)
			wantEqual(t, db.count("device_credentials"), 2)
		}},
		{"two of a name and type are valid at once, and one that has expired makes room", func(t *testing.T, db *database) {
			s := db.prepared()
			ensure(t, s, 1, 7)
			expired := password("7", 7, 1)
			expired.ExpiresAt = noon
			newCredential(t, s, expired)
			first := newCredential(t, s, password("7", 7, 2))
			newCredential(t, s, password("7", 7, 3))
			_, err := s.CreateCredential(t.Context(), password("7", 7, 4))
			wantError(t, err, iot.ErrConflict)
			newCredential(t, s, iot.Credential{Type: iot.CredentialCertificate, Name: "7", Device: 7})
			wantError(t, s.DeleteCredential(t.Context(), first.ID), nil)
			wantError(t, s.DeleteCredential(t.Context(), first.ID), iot.ErrNotFound)
			_, err = s.Credential(t.Context(), first.ID)
			wantError(t, err, iot.ErrNotFound)
			newCredential(t, s, password("7", 7, 4))
		}},
		{"however many processes create credentials at once, two are valid", func(t *testing.T, db *database) {
			stores := []metadata.Store{db.prepared(), db.prepared()}
			ensure(t, stores[0], 1, 7)
			for _, c := range []iot.Credential{password("7", 7, 0), password("gateway", 0, 100)} {
				var created atomic.Int64
				concurrently(t, 8, func(ctx context.Context, i int) error {
					c := c
					c.Secret[0] += byte(i)
					_, err := stores[i%2].CreateCredential(ctx, c)
					if err == nil {
						created.Add(1)
					} else if !errors.Is(err, iot.ErrConflict) {
						return err
					}
					return nil
				})
				wantEqual(t, created.Load(), int64(iot.MaxCredentials))
			}
		}},
		{"a device takes its own credentials with it, and a user those of his devices; ids are never given again", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			var own []int64
			for _, id := range []iot.DeviceID{7, 8} {
				newDevice(t, s, iot.Device{ID: id, Name: "x", Owner: ann.ID})
				own = append(own, newCredential(t, s, password(id.String(), id, byte(id))).ID)
			}
			gateway := password("gateway", 0, 1)
			gateway.Devices = []iot.DeviceID{7, 8}
			newCredential(t, s, gateway)
			last := newCredential(t, s, password("8", 8, 9))
			gone, err := s.DeleteDevice(t.Context(), 7)
			wantError(t, err, nil)
			wantEqual(t, gone, own[:1])
			wantEqual(t, db.count("device_credentials"), 3)
			gone, err = s.DeleteUser(t.Context(), ann.ID)
			wantError(t, err, nil)
			wantEqual(t, gone, []int64{own[1], last.ID})
			wantEqual(t, db.count("device_credentials"), 1)
			ensure(t, s, 1, 7)
			if next := newCredential(t, s, password("7", 7, 7)); next.ID <= last.ID {
				t.Errorf("id %d after %d", next.ID, last.ID)
			}
		}},
		{"no credential is left of a device that is deleted while it is created", func(t *testing.T, db *database) {
			stores := []metadata.Store{db.prepared(), db.prepared()}
			for round := range 8 {
				ensure(t, stores[0], 1, 7)
				concurrently(t, 3, func(ctx context.Context, i int) error {
					if i == 0 {
						return errOf(stores[0].DeleteDevice(ctx, 7))
					}
					_, err := stores[1].CreateCredential(ctx, password("7", 7, byte(2*round+i)))
					if errors.Is(err, iot.ErrInvalid) {
						return nil
					}
					return err
				})
			}
			wantEqual(t, db.count("device_credentials"), 0)
		}},
		{"of a device that a member has owned they end when it becomes another's, and no others do", func(t *testing.T, db *database) {
			s := db.prepared()
			ann, bob := newUser(t, s, "ann"), newUser(t, s, "bob")
			setAccount(t, s, ann.ID, iot.Account{Role: iot.RoleMember})
			newDevice(t, s, iot.Device{ID: 7, Name: "seven", Owner: bob.ID})
			c, err := s.CreateCredential(t.Context(), password("7", 7, 1))
			wantError(t, err, nil)
			ctx := iot.WithActor(t.Context(), iot.Actor{Name: "root"})
			give := func(owner int64, want ...int64) {
				t.Helper()
				_, ended, err := s.UpdateDevice(ctx, 7, iot.DeviceChange{Owner: &owner})
				wantError(t, err, nil)
				wantEqual(t, ended, want)
			}
			give(ann.ID) // bob, a viewer, has never seen it
			give(ann.ID)
			give(bob.ID, c.ID)
			wantEqual(t, db.count("device_credentials"), 0)
			entries, err := s.Audit(t.Context(), iot.AuditQuery{Action: "device.update", Limit: 1})
			wantError(t, err, nil)
			if want := fmt.Sprintf(`"credentials":[%d]`, c.ID); !strings.Contains(string(entries[0].After), want) {
				t.Errorf("the audit has %s, want %s", entries[0].After, want)
			}
		}},
	}
}

// provisioning is about devices that make credentials of their own.
func provisioning() []promise {
	kitchen := keyed("kitchen-1")
	enroll := func(s metadata.Store, key byte, device iot.Identity, secret byte) (iot.Credential, error) {
		name := device.Key
		if name == "" {
			name = device.ID.String()
		}
		return s.Enroll(context.Background(), iot.Secret{key}, device, password(name, 0, secret))
	}
	newKey := func(t *testing.T, s metadata.Store, k iot.ProvisioningKey, secret byte) iot.ProvisioningKey {
		t.Helper()
		created, err := s.CreateProvisioningKey(t.Context(), k, iot.Secret{secret})
		wantError(t, err, nil)
		return created
	}
	return []promise{
		{"a key is as it was created, and goes with its owner", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			expires := time.Date(2126, 3, 1, 12, 0, 0, 123e6, time.UTC)
			kept := newKey(t, s, iot.ProvisioningKey{Name: "line 1", Uses: 1, Devices: []iot.DeviceID{}}, 1)
			his := newKey(t, s, iot.ProvisioningKey{Owner: ann.ID, Uses: 100, Devices: []iot.DeviceID{7}, ExpiresAt: expires}, 2)
			wantFresh(t, his.CreatedAt)
			wantEqual(t, his, iot.ProvisioningKey{ID: his.ID, Owner: ann.ID, Uses: 100, Devices: []iot.DeviceID{7}, CreatedAt: his.CreatedAt, ExpiresAt: expires})
			all, err := s.ProvisioningKeys(t.Context())
			wantError(t, err, nil)
			wantEqual(t, all, []iot.ProvisioningKey{kept, his})
			wantError(t, errOf(s.DeleteUser(t.Context(), ann.ID)), nil)
			wantError(t, s.DeleteProvisioningKey(t.Context(), his.ID), iot.ErrNotFound)
			wantError(t, s.DeleteProvisioningKey(t.Context(), kept.ID), nil)
			for _, bad := range []iot.ProvisioningKey{{}, {Uses: 1, Owner: 404}, {Uses: 1, Name: "\xff"}, {Uses: 1, Devices: []iot.DeviceID{0}}} {
				_, err := s.CreateProvisioningKey(t.Context(), bad, iot.Secret{3})
				wantError(t, err, iot.ErrInvalid)
			}
			wantEqual(t, db.count("provisioning_keys"), 0)
		}},
		{"there are no more keys than can be listed", func(t *testing.T, db *database) {
			s := db.prepared()
			rows := make([]string, iot.MaxProvisioningKeys-1)
			for i := range rows {
				rows[i] = fmt.Sprintf("('x', 0, 1, '%d', 0)", i)
			}
			db.exec("INSERT INTO provisioning_keys (name, user_id, uses, secret, created_at) VALUES " + strings.Join(rows, ","))
			newKey(t, s, iot.ProvisioningKey{Uses: 1}, 1)
			_, err := s.CreateProvisioningKey(t.Context(), iot.ProvisioningKey{Uses: 1}, iot.Secret{2})
			wantError(t, err, iot.ErrConflict)
		}},
		{"a device that is enrolled is created for the key's owner, once", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			newKey(t, s, iot.ProvisioningKey{Owner: ann.ID, Uses: 3}, 1)
			newKey(t, s, iot.ProvisioningKey{Uses: 3}, 2)
			c, err := enroll(s, 1, kitchen, 1)
			wantError(t, err, nil)
			wantEqual(t, c, iot.Credential{
				ID: c.ID, Type: iot.CredentialPassword, Name: "kitchen-1", Device: kitchen.ID, Devices: []iot.DeviceID{kitchen.ID},
				Secret: iot.Secret{1, 31: 1}, CreatedAt: c.CreatedAt,
			})
			found, err := s.Credential(t.Context(), c.ID)
			wantError(t, err, nil)
			wantEqual(t, found, c)
			d := findDevice(t, s, kitchen.ID)
			wantEqual(t, d, iot.Device{ID: kitchen.ID, Key: "kitchen-1", Name: "kitchen-1", Owner: ann.ID, CreatedAt: d.CreatedAt})
			_, err = enroll(s, 2, kitchen, 2) // nobody takes it over
			wantError(t, err, iot.ErrConflict)
			_, err = enroll(s, 2, iot.Identity{ID: 7}, 3)
			wantError(t, err, nil)
			wantEqual(t, findDevice(t, s, 7).Owner, defaultUser(t, s).ID)
			keys, err := s.ProvisioningKeys(t.Context())
			wantError(t, err, nil)
			wantEqual(t, []int{keys[0].Uses, keys[1].Uses}, []int{2, 2}) // what failed took none
		}},
		{"a device that exists is enrolled as it is, and gets its key", func(t *testing.T, db *database) {
			s := db.prepared()
			bob := newUser(t, s, "bob")
			newDevice(t, s, iot.Device{ID: 7, Name: "seven", Owner: bob.ID})
			newDevice(t, s, iot.Device{ID: kitchen.ID, Name: "kitchen", Owner: bob.ID})
			newKey(t, s, iot.ProvisioningKey{Uses: 3}, 1)
			for i, device := range []iot.Identity{{ID: 7}, kitchen} {
				_, err := enroll(s, 1, device, byte(i))
				wantError(t, err, nil)
			}
			for _, d := range allDevices(t, s) {
				wantEqual(t, d.Owner, bob.ID)
			}
			wantEqual(t, findDevice(t, s, kitchen.ID).Key, "kitchen-1")
		}},
		{"a key that is none, has expired, has no use left, or is for others, enrolls nobody", func(t *testing.T, db *database) {
			s := db.prepared()
			newKey(t, s, iot.ProvisioningKey{Uses: 1}, 1)
			newKey(t, s, iot.ProvisioningKey{Uses: 1, ExpiresAt: noon}, 2)
			newKey(t, s, iot.ProvisioningKey{Uses: 1, Devices: []iot.DeviceID{7, 9}}, 3)
			_, err := enroll(s, 1, iot.Identity{ID: 7}, 1)
			wantError(t, err, nil)
			for key := range byte(5) {
				_, err := enroll(s, key, iot.Identity{ID: 8}, 2)
				wantError(t, err, iot.ErrNotFound)
			}
			_, err = s.Device(t.Context(), 8)
			wantError(t, err, iot.ErrNotFound)
			_, err = enroll(s, 3, iot.Identity{ID: 9}, 3)
			wantError(t, err, nil)
			_, err = s.Enroll(t.Context(), iot.Secret{1}, iot.Identity{ID: 7, Key: "seven"}, password("seven", 0, 4))
			wantError(t, err, iot.ErrInvalid)
		}},
		{"a device whose credential was deleted is enrolled by a key alone that was made for it since, or once it was given another", func(t *testing.T, db *database) {
			s := db.prepared()
			newKey(t, s, iot.ProvisioningKey{Uses: 9}, 1)
			newKey(t, s, iot.ProvisioningKey{Uses: 9, Devices: []iot.DeviceID{7}}, 2)
			shutOut := func(c iot.Credential, err error) {
				t.Helper()
				wantError(t, err, nil)
				wantError(t, s.DeleteCredential(t.Context(), c.ID), nil)
			}
			shutOut(enroll(s, 1, iot.Identity{ID: 7}, 1))
			db.exec("UPDATE provisioning_keys SET created_at = created_at - 1") // a millisecond ago
			for _, key := range []byte{1, 2} {
				_, err := enroll(s, key, iot.Identity{ID: 7}, 2)
				wantError(t, err, iot.ErrConflict)
			}
			newKey(t, s, iot.ProvisioningKey{Uses: 9, Devices: []iot.DeviceID{7}}, 3)
			shutOut(enroll(s, 3, iot.Identity{ID: 7}, 3))
			given, err := s.CreateCredential(t.Context(), password("7", 7, 4))
			wantError(t, err, nil)
			db.exec(fmt.Sprint("UPDATE device_credentials SET expires_at = 1 WHERE id = ", given.ID))
			_, err = enroll(s, 1, iot.Identity{ID: 7}, 5)
			wantError(t, err, nil)
		}},
		{"of the devices that two processes enroll at once as many succeed as the key has uses", func(t *testing.T, db *database) {
			stores := []metadata.Store{db.prepared(), db.prepared()}
			newKey(t, stores[0], iot.ProvisioningKey{Uses: 3}, 1)
			var enrolled atomic.Int64
			concurrently(t, 8, func(_ context.Context, i int) error {
				_, err := enroll(stores[i%2], 1, iot.Identity{ID: iot.DeviceID(i + 1)}, byte(i))
				if err == nil {
					enrolled.Add(1)
				} else if !errors.Is(err, iot.ErrNotFound) {
					return err
				}
				return nil
			})
			wantEqual(t, enrolled.Load(), int64(3))
			wantEqual(t, len(allDevices(t, stores[0])), 3)
			wantEqual(t, db.count("device_credentials"), 3)
		}},
		{"what is taken back can be done again: the device is enrolled, by the same use", func(t *testing.T, db *database) {
			s := db.prepared()
			newKey(t, s, iot.ProvisioningKey{Uses: 1}, 1)
			for range 2 {
				c, err := enroll(s, 1, iot.Identity{ID: 7}, 7)
				wantError(t, err, nil)
				_, err = enroll(s, 1, iot.Identity{ID: 8}, 8)
				wantError(t, err, iot.ErrNotFound)
				wantError(t, s.Unenroll(t.Context(), iot.Secret{1}, c.ID), nil)
				wantError(t, s.Unenroll(t.Context(), iot.Secret{1}, c.ID), iot.ErrNotFound)
				wantEqual(t, db.count("device_credentials"), 0)
			}
			keys, err := s.ProvisioningKeys(t.Context())
			wantError(t, err, nil)
			wantEqual(t, keys[0].Uses, 1)
			c, err := enroll(s, 1, iot.Identity{ID: 7}, 7)
			wantError(t, err, nil)
			wantError(t, s.DeleteProvisioningKey(t.Context(), keys[0].ID), nil)
			wantError(t, s.Unenroll(t.Context(), iot.Secret{1}, c.ID), nil)
		}},
		{"devices are enrolled while they register themselves, without an error", func(t *testing.T, db *database) {
			stores := []metadata.Store{db.prepared(), db.prepared()}
			const devices = 12
			newKey(t, stores[0], iot.ProvisioningKey{Uses: devices}, 1)
			concurrently(t, 2, func(ctx context.Context, i int) error {
				for id := range iot.DeviceID(devices) {
					var err error
					if i == 0 {
						_, err = enroll(stores[0], 1, iot.Identity{ID: id + 1}, byte(id))
					} else {
						_, err = stores[1].EnsureDevices(ctx, seen(id+1), iot.Admission{})
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
			wantEqual(t, len(allDevices(t, stores[0])), devices)
			wantEqual(t, db.count("device_credentials"), devices)
		}},
	}
}
