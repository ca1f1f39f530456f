package dynsec

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// What marks clients and roles as kept here.
const (
	textPrefix = "telltale credential "
	rolePrefix = "telltale-credential-"
)

func textName(id int64) string { return textPrefix + strconv.FormatInt(id, 10) }
func roleName(id int64) string { return rolePrefix + strconv.FormatInt(id, 10) }

// idOf returns the id of the credential whose client or role has that name, and 0 for those that are somebody else's.
func idOf(name string) int64 {
	digits, ok := strings.CutPrefix(name, textPrefix)
	if !ok {
		digits, ok = strings.CutPrefix(name, rolePrefix)
	}
	id, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || id < 1 {
		return 0
	}
	return id
}

// compare takes away what belongs to no credential any more, and repairs roles: those that are missing or, with rights, also
// those with other ones. What Mosquitto has is read first: a client that is found had a credential by then, and if that is not
// in the store now, it was deleted.
func (k *Keeper) compare(ctx context.Context, c *connection, rights bool) error {
	clients, err := c.clients(ctx)
	if err != nil {
		return err
	}
	roles, err := c.roles(ctx)
	if err != nil {
		return err
	}
	credentials, err := k.credentials(ctx)
	if err != nil {
		return err
	}
	for id, client := range clients {
		if _, ok := credentials[id]; ok {
			continue
		}
		if err := k.remove(ctx, c, id, client.Username); err != nil {
			return err
		}
		delete(clients, id)
	}
	for id := range roles {
		if _, ok := credentials[id]; !ok {
			if err := c.do(ctx, roleNotFound, command{Command: "deleteRole", Rolename: roleName(id)}); err != nil {
				return err
			}
		}
	}
	for id, client := range clients {
		has, ok := roles[id]
		named := ok && len(client.Roles) == 1 && client.Roles[0].Rolename == roleName(id)
		if named && !rights {
			continue
		}
		want, err := k.rights(ctx, credentials[id])
		if err != nil {
			return err
		}
		if !named || !sameRights(has, want) {
			if err := k.repair(ctx, c, id, client, want); err != nil {
				return err
			}
		}
	}
	k.clients.Set(float64(len(clients)))
	k.tell(clients, credentials)
	return nil
}

// remove removes the client of a credential that is gone, with its role. Another replica may just have given the name to another
// credential, so whose it is now is asked first.
func (k *Keeper) remove(ctx context.Context, c *connection, id int64, username string) error {
	answers, err := c.ask(ctx, command{Command: "getClient", Username: username})
	if err != nil {
		return err
	}
	if idOf(answers[0].Data.Client.Textname) == id {
		if err := c.do(ctx, clientNotFound, command{Command: "deleteClient", Username: username}); err != nil {
			return err
		}
		k.log.Info("account removed from Mosquitto", "name", username, "credential", id)
	}
	return c.do(ctx, roleNotFound, command{Command: "deleteRole", Rolename: roleName(id)})
}

// repair gives the client of a credential its role, with the rights that it is to have, and takes others away.
func (k *Keeper) repair(ctx context.Context, c *connection, id int64, has client, rights []acl) error {
	name := roleName(id)
	var commands []command
	for _, r := range has.Roles {
		if r.Rolename != name {
			commands = append(commands, command{Command: "removeClientRole", Username: has.Username, Rolename: r.Rolename})
		}
	}
	commands = append(commands,
		command{Command: "deleteRole", Rolename: name},
		command{Command: "createRole", Rolename: name, ACLs: rights},
		command{Command: "addClientRole", Username: has.Username, Rolename: name})
	if err := c.do(ctx, roleNotFound, commands...); err != nil {
		return err
	}
	k.log.Info("account on Mosquitto given its rights again", "name", has.Username, "credential", id)
	return nil
}

// tell says which passwords Mosquitto does not have, when that has changed. Of a name's credentials the newest one counts. One
// that was missing now for the first time may just be being made.
func (k *Keeper) tell(clients map[int64]client, credentials map[int64]iot.Credential) {
	newest := map[string]int64{}
	for id, cred := range credentials {
		newest[cred.Name] = max(newest[cred.Name], id)
	}
	before := k.lacking
	k.lacking = map[int64]bool{}
	var names []string
	for name, id := range newest {
		if _, ok := clients[id]; ok {
			continue
		}
		k.lacking[id] = true
		if before[id] {
			names = append(names, name)
		}
	}
	k.missing.Set(float64(len(names)))
	slices.Sort(names)
	if len(names) > 10 {
		names = append(names[:10], "…")
	}
	if now := strings.Join(names, ", "); now != k.told {
		if k.told = now; now != "" {
			k.log.Warn("Mosquitto does not have the passwords of some credentials, since it learns of one only when that is made: make others in their place", "names", now)
		}
	}
}

// credentials returns the passwords that are valid, by id.
func (k *Keeper) credentials(ctx context.Context) (map[int64]iot.Credential, error) {
	all, now := map[int64]iot.Credential{}, time.Now()
	for q := (iot.CredentialQuery{Limit: pageSize}); ; {
		page, err := k.store.Credentials(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, cred := range page {
			if cred.Type == iot.CredentialPassword && (cred.ExpiresAt.IsZero() || cred.ExpiresAt.After(now)) {
				all[cred.ID] = cred
			}
			q.After = cred.ID
		}
		if len(page) < q.Limit {
			return all, nil
		}
	}
}

// rights are what a credential may do. What is not said is denied, but for ending a subscription.
func (k *Keeper) rights(ctx context.Context, cred iot.Credential) ([]acl, error) {
	if cred.Viewer {
		return []acl{{"subscribePattern", "sensors/#", true}, {"publishClientReceive", "sensors/#", true}}, nil
	}
	topics := map[string]bool{}
	add := func(filters []string) {
		for _, f := range filters {
			topics[f] = true
		}
	}
	if cred.Device == 0 {
		add(k.rules.FiltersOfGateways())
	}
	for _, id := range cred.Devices {
		add(k.rules.FiltersOf(id.String()))
		device, err := k.store.Device(ctx, id)
		if errors.Is(err, iot.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if device.Key != "" {
			add(k.rules.FiltersOf(device.Key))
		}
	}
	if len(topics) > MaxTopics {
		return nil, fmt.Errorf("%d topics of %d: %w", len(topics), MaxTopics, ErrTooMany)
	}
	var rights []acl
	for _, topic := range slices.Sorted(maps.Keys(topics)) {
		rights = append(rights, acl{"publishClientSend", topic, true})
	}
	return rights, nil
}

// sameRights reports whether both are the same, in any order.
func sameRights(a, b []acl) bool {
	compare := func(x, y acl) int { return strings.Compare(x.Type+x.Topic, y.Type+y.Topic) }
	return slices.Equal(slices.SortedFunc(slices.Values(a), compare), slices.SortedFunc(slices.Values(b), compare))
}

// clients returns the clients that are kept here, by their credentials.
func (c *connection) clients(ctx context.Context) (map[int64]client, error) {
	all := map[int64]client{}
	for offset := 0; ; offset += pageSize {
		answers, err := c.ask(ctx, command{Command: "listClients", Verbose: true, Count: pageSize, Offset: offset})
		if err != nil {
			return nil, err
		}
		page := answers[0].Data.Clients
		for _, found := range page {
			if id := idOf(found.Textname); id != 0 {
				all[id] = found
			}
		}
		if len(page) < pageSize {
			return all, nil
		}
	}
}

// roles returns what the roles that are kept here allow, by their credentials.
func (c *connection) roles(ctx context.Context) (map[int64][]acl, error) {
	all := map[int64][]acl{}
	for offset := 0; ; offset += pageSize {
		answers, err := c.ask(ctx, command{Command: "listRoles", Verbose: true, Count: pageSize, Offset: offset})
		if err != nil {
			return nil, err
		}
		page := answers[0].Data.Roles
		for _, found := range page {
			if id := idOf(found.Rolename); id != 0 {
				all[id] = found.ACLs
			}
		}
		if len(page) < pageSize {
			return all, nil
		}
	}
}
