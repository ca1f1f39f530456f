package dynsec

import (
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// TestMosquitto goes with credentials through their life, on a real Mosquitto with the files of deploy/mosquitto.
func TestMosquitto(t *testing.T) {
	b := startBroker(t)
	s := new(store)
	k := b.keep(s)

	// A device publishes its own readings, and nothing else; it subscribes to nothing.
	own := b.put(k, s.add(iot.Credential{Name: "42", Device: 42, Devices: []iot.DeviceID{42}}), "p42")
	if b.device("42", "wrong") != nil || b.device("43", "p42") != nil || b.device("", "") != nil {
		t.Error("somebody gets in without the password")
	}
	d := b.device("42", "p42")
	ownTopics := func() {
		d.publish("sensors/43/data", "sensors/data", "sensors/42/data", "sensors/42/temperature", "tele/43/SENSOR", "tele/42/SENSOR", "$CONTROL/dynamic-security/v1")
	}
	passes := []string{"sensors/42/data", "sensors/42/temperature", "tele/42/SENSOR"}
	b.want(b.passed(ownTopics), passes)
	for _, filter := range []string{"#", "sensors/42/data", responseTopic, "$share/g/sensors/#"} {
		if d.subscribes(filter) {
			t.Errorf("a device subscribes to %s", filter)
		}
	}

	// By the key, too; a gateway for its devices, and where the message alone names the device; a viewer looks on.
	key := iot.KeyID("greenhouse")
	b.put(k, s.add(iot.Credential{Name: "greenhouse", Device: key, Devices: []iot.DeviceID{key}}), "pg")
	b.put(k, s.add(iot.Credential{Name: "hall", Devices: []iot.DeviceID{7, key}}), "ph")
	b.put(k, s.add(iot.Credential{Name: "screen", Viewer: true}), "ps")
	b.want(b.passed(func() {
		b.device("greenhouse", "pg").publish("sensors/greenhouse/data", "sensors/hall/data")
		b.device("hall", "ph").publish("sensors/data", "sensors/7/data", "sensors/8/data", "sensors/greenhouse/data", "sensors/hall/data")
	}), []string{"sensors/greenhouse/data", "sensors/data", "sensors/7/data", "sensors/greenhouse/data"})
	screen := b.device("screen", "ps")
	if !screen.subscribes("sensors/#") || screen.subscribes("#") {
		t.Error("a viewer does not subscribe to readings alone")
	}
	b.want(b.passed(func() { screen.publish("sensors/screen/data", "sensors/42/data") }), nil)

	var many iot.Credential
	for i := range 1000 {
		many.Devices = append(many.Devices, iot.DeviceID(i+1))
	}
	many.Type, many.Name = iot.CredentialPassword, "many"
	if err := k.Put(t.Context(), many, "pm"); !errors.Is(err, ErrTooMany) {
		t.Errorf("26,000 topics: %v", err)
	}

	// An account that people made stays what it is.
	mine := k.current.Load()
	if err := mine.do(t.Context(), "", command{Command: "createClient", Username: "mine", Password: "pm", Textname: "of people"}); err != nil {
		t.Fatal(err)
	}
	if err := k.Put(t.Context(), s.add(iot.Credential{Name: "mine", Device: 9, Devices: []iot.DeviceID{9}}), "other"); !errors.Is(err, ErrTaken) {
		t.Errorf("a name that is taken: %v", err)
	}

	// All of it outlasts Mosquitto's restart, and query-api's, which cuts nobody.
	b.docker("restart", b.name)
	<-d.lost
	b.until("connected again", func() bool { return k.current.Load() != nil && k.current.Load() != mine })
	b.until("back", func() bool { d = b.device("42", "p42"); return d != nil })
	b.want(b.passed(ownTopics), passes)
	k.stop()
	k = b.keep(s)
	b.compared(k, 4)
	b.want(b.passed(ownTopics), passes)

	// What somebody changed of its rights is put right at the next start.
	b.until("connected", func() bool { return k.current.Load() != nil })
	if err := k.current.Load().do(t.Context(), "",
		command{Command: "deleteRole", Rolename: roleName(own.ID)},
		command{Command: "createRole", Rolename: "all", ACLs: []acl{{"publishClientSend", "#", true}}},
		command{Command: "removeClientRole", Username: "42", Rolename: roleName(own.ID)},
	); err != nil && !strings.Contains(err.Error(), roleNotFound) {
		t.Fatal(err)
	}
	if err := k.current.Load().do(t.Context(), "",
		command{Command: "createRole", Rolename: "all", ACLs: []acl{{"publishClientSend", "#", true}}},
		command{Command: "addClientRole", Username: "42", Rolename: "all"}); err != nil && !strings.Contains(err.Error(), "already") {
		t.Fatal(err)
	}
	k.stop()
	k = b.keep(s)
	b.compared(k, 4)
	d = b.device("42", "p42")
	b.want(b.passed(ownTopics), passes)

	// A second credential of a name takes the place of the first.
	second := b.put(k, s.add(iot.Credential{Name: "42", Device: 42, Devices: []iot.DeviceID{42}}), "p42b")
	<-d.lost
	if b.device("42", "p42") != nil {
		t.Error("the first password counts still")
	}
	d = b.device("42", "p42b")
	s.remove(own.ID)
	k.Wake()

	// What is revoked is cut, within 2 s.
	s.remove(second.ID)
	start := time.Now()
	k.Wake()
	<-d.lost
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("cut after %v", took)
	}
	if b.device("42", "p42b") != nil {
		t.Error("a revoked credential lets in")
	}

	// Also what was revoked while Mosquitto was away; meanwhile no password can be made.
	was := k.current.Load()
	b.docker("stop", "--time", "5", b.name)
	<-was.lost
	b.until("away", func() bool { return k.current.Load() == nil })
	if err := k.Put(t.Context(), s.add(iot.Credential{Name: "44", Device: 44, Devices: []iot.DeviceID{44}}), "p44"); !errors.Is(err, ErrAway) {
		t.Errorf("Mosquitto is away: %v", err)
	}
	s.remove(3)
	b.docker("start", b.name)
	b.compared(k, 2)
	b.until("up", func() bool { c, err := net.Dial("tcp", b.tls); _ = c.Close(); return err == nil })
	if b.device("hall", "ph") != nil || b.device("greenhouse", "pg") == nil || b.device("mine", "pm") == nil {
		t.Error("not those get in that have credentials")
	}
	b.until("told of the passwords of 44 and mine, which Mosquitto does not have", func() bool {
		k.Wake()
		return testutil.ToFloat64(k.missing) == 2
	})
}

// TestMany has more clients than a page of the plugin's lists.
func TestMany(t *testing.T) {
	b := startBroker(t)
	s := new(store)
	k := b.keep(s)
	b.until("connected", func() bool { return k.current.Load() != nil })
	const n = pageSize + 50
	var commands []command
	for i := range n { // as Put does, but in fewer requests
		id := iot.DeviceID(i + 1)
		c := s.add(iot.Credential{Name: id.String(), Device: id, Devices: []iot.DeviceID{id}})
		commands = append(commands, command{Command: "createRole", Rolename: roleName(c.ID)},
			command{Command: "createClient", Username: c.Name, Password: "p", Textname: textName(c.ID), Roles: []role{{Rolename: roleName(c.ID)}}})
	}
	for page := range slices.Chunk(commands, 100) {
		if err := k.current.Load().do(t.Context(), "", page...); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		s.remove(s.all[0].ID)
	}
	k.Wake()
	b.compared(k, n-3)
	if b.device("3", "p") != nil || b.device("4", "p") == nil || b.device(strconv.Itoa(n), "p") == nil {
		t.Error("not those get in that have credentials")
	}
}
