package bridge_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	packets5 "github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/tlsfiles/tlsfilestest"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/bridge"
)

// put has Kafka have records.
func (k *testKafka) put(records ...kafka.Record) {
	k.t.Helper()
	p := producer.New(k.cfg, testLog(k.t), prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(k.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	answers := make(chan error, len(records))
	for _, rec := range records {
		p.Produce(rec, func(err error) { answers <- err })
	}
	for range records {
		if err := <-answers; err != nil {
			k.t.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		k.t.Error(err)
	}
}

// know has bridges know of credentials, and that these are all.
func (k *testKafka) know(credentials ...iot.Credential) {
	k.t.Helper()
	var records []kafka.Record
	for _, c := range credentials {
		records = append(records, event.CredentialRecord(k.cfg.CredentialsTopic(), c))
	}
	k.put(append(records, event.SiteRecord(k.cfg.CredentialsTopic(), event.Site{}))...)
}

// hasPassword is a credential whose password is its name with a p in front.
func hasPassword(id int64, name string, devices ...iot.DeviceID) iot.Credential {
	return iot.Credential{ID: id, Type: iot.CredentialPassword, Name: name, Secret: auth.Hash("p" + name), Devices: devices}
}

func viewer(id int64, name string) iot.Credential {
	c := hasPassword(id, name)
	c.Viewer = true
	return c
}

func withAuth(mode auth.Mode) bridge.Config {
	cfg := defaults()
	cfg.Auth.Mode = mode
	return cfg
}

// as returns the CONNECT of a client with a user name and the password that hasPassword gives it.
func as(user, id string) *packets.ConnectPacket {
	p := connectPacket(id)
	p.UsernameFlag, p.PasswordFlag, p.Username, p.Password = true, true, user, []byte("p"+user)
	return p
}

// answer returns the code of the CONNACK.
func answer(t *testing.T, addr string, p *packets.ConnectPacket) byte {
	t.Helper()
	d := dial(t, addr)
	defer func() { _ = d.conn.Close() }()
	d.send(p)
	ack, ok := d.receive().(*packets.ConnackPacket)
	if !ok {
		t.Fatal("no CONNACK")
	}
	return ack.ReturnCode
}

// answer5 returns the code of the CONNACK, and its reason.
func answer5(t *testing.T, addr string, p *packets5.Connect) (byte, string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	d := &device5{t: t, conn: c, r: bufio.NewReader(c)}
	d.send(packets5.CONNECT, 0, p)
	ack, ok := d.receive().(*packets5.Connack)
	if !ok {
		t.Fatal("no CONNACK")
	}
	return ack.ReasonCode, ack.Properties.ReasonString
}

func as5(user, id string) *packets5.Connect {
	p := connectPacket5(id)
	p.UsernameFlag, p.PasswordFlag, p.Username, p.Password = true, true, user, []byte("p"+user)
	return p
}

// total returns the sum of a metric over the labels that are not in want.
func (b *testBridge) total(name string, want map[string]string) (sum float64) {
	b.t.Helper()
	families, err := b.metrics.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			matches := 0
			for _, l := range m.GetLabel() {
				if want[l.GetName()] == l.GetValue() {
					matches++
				}
			}
			if matches == len(want) {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func (b *testBridge) refusals(why string) float64 {
	b.t.Helper()
	return b.total("telltale_auth_refused_total", map[string]string{"surface": "mqtt", "why": why})
}

// Nobody gets in before it is known who has credentials, and then only who has some.
func TestAccess(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	b := endpoint(t, k, withAuth(auth.On))
	if code := answer(t, b.addr, as("7", "seven")); code != packets.ErrRefusedServerUnavailable {
		t.Errorf("before the topic is whole: %d", code)
	}
	if code, _ := answer5(t, b.addr, as5("7", "seven")); code != 0x88 {
		t.Errorf("before the topic is whole, MQTT 5: %#x", code)
	}
	await(t, "it to be said what is waited for", func() bool {
		return strings.Contains(fmt.Sprint(b.Health.Problems()), "credentials of devices: not available")
	})
	k.know(hasPassword(1, "7", 7))
	await(t, "the credentials to be known", func() bool { return answer(t, b.addr, as("7", "seven")) == packets.Accepted })

	stranger, wrong, nobody := connectPacket("x"), as("7", "x"), as("8", "x")
	wrong.Password = []byte("p8")
	for _, tt := range []struct {
		name string
		p    *packets.ConnectPacket
		code byte
		why  string
	}{
		{"no user name", stranger, packets.ErrRefusedNotAuthorised, "no_credentials"},
		{"a wrong password", wrong, packets.ErrRefusedBadUsernameOrPassword, "wrong_password"},
		{"an unknown user name", nobody, packets.ErrRefusedBadUsernameOrPassword, "unknown_user"},
	} {
		before := b.refusals(tt.why)
		if code := answer(t, b.addr, tt.p); code != tt.code {
			t.Errorf("%s: %d, want %d", tt.name, code, tt.code)
		}
		if n := b.refusals(tt.why) - before; n != 1 {
			t.Errorf("%s is counted %v times", tt.name, n)
		}
	}
	if code, reason := answer5(t, b.addr, connectPacket5("x")); code != 0x87 || !strings.Contains(reason, "password") {
		t.Errorf("no user name, MQTT 5: %#x %q", code, reason)
	}
	if code, reason := answer5(t, b.addr, as5("8", "x")); code != 0x86 || reason == "" {
		t.Errorf("an unknown user name, MQTT 5: %#x %q", code, reason)
	}
	if n := b.count("refusals_total:credentials"); n != 5 {
		t.Errorf("%v refusals", n)
	}
}

// Who writes a secret as his user name shows it to nobody.
func TestSecretAsUserName(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	shown := map[string]string{}
	for _, topic := range []string{k.cfg.RefusedTopic(), k.cfg.TraceTopic()} {
		k.consume(topic, func(records []kafka.Record) {
			for i := range records {
				shown[topic] += string(records[i].Key) + string(records[i].Value)
			}
		})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := new(recorder)
	b := startLogged(t, k, withAuth(auth.On), l, slog.New(slog.NewTextHandler(log, nil)))
	b.addr = l.Addr().String()
	k.know()
	b.ready()
	token, password := auth.NewSecret(auth.TokenPrefix), auth.NewSecret("")
	for client, secret := range map[string]string{"with-token": token, "with-password": password} {
		if code := answer(t, b.addr, as(secret, client)); code != packets.ErrRefusedBadUsernameOrPassword {
			t.Errorf("answered %d", code)
		}
	}
	k.await("both to be told", func() bool {
		for _, topic := range []string{k.cfg.RefusedTopic(), k.cfg.TraceTopic()} {
			if !strings.Contains(shown[topic], "with-token") || !strings.Contains(shown[topic], "with-password") {
				return false
			}
		}
		return true
	})
	for _, text := range []string{shown[k.cfg.RefusedTopic()], shown[k.cfg.TraceTopic()], log.String()} {
		if strings.Contains(text, token[:12]) || strings.Contains(text, password[:12]) {
			t.Errorf("a secret is in %s", text)
		}
	}
}

// await waits until a condition holds.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testTimeout); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for " + what)
		}
	}
}

// secured starts a bridge that knows of credentials.
func secured(t *testing.T, k *testKafka, cfg bridge.Config, credentials ...iot.Credential) *testBridge {
	t.Helper()
	k.know(credentials...)
	b := endpoint(t, k, cfg)
	b.ready()
	return b
}

// ready waits until it is known who has credentials: a stranger is refused for that he has none.
func (b *testBridge) ready() {
	b.t.Helper()
	await(b.t, "the credentials to be known", func() bool { return answer(b.t, b.addr, connectPacket("first")) != packets.ErrRefusedServerUnavailable })
}

// Whatever names another device, topic or payload, is a dead letter of its own, and costs its neighbours nothing.
func TestBinding(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	b := secured(t, k, withAuth(auth.On), hasPassword(1, "7", 7), hasPassword(2, "boiler", iot.KeyID("boiler")), hasPassword(3, "gateway", 8, 9), viewer(4, "eve"))
	looker := connect(t, b.addr, as("eve", "eve"))
	looker.subscribes("sensors/#", 0)

	seven := connect(t, b.addr, as("7", "seven"))
	seven.publish(1, 1, "sensors/8/data", `{"temperature": 1}`)
	seven.publish(1, 2, "sensors/data", `{"device_id": 8, "temperature": 2}`)
	seven.publish(2, 3, "sensors/data", `[{"device_id": 7, "temperature": 3}, {"device_id": 8, "temperature": 4}, {"device_id": 7, "temperature": 5}]`)
	seven.publish(1, 4, "sensors/data", `{"temperature": 6}`)
	seven.wantAcks(1, 2, 3, 4)
	boiler := connect(t, b.addr, as("boiler", "boiler"))
	boiler.publish(1, 1, "sensors/data", `{"temperature": 7}`)
	boiler.wantAcks(1)
	gateway := connect(t, b.addr, as("gateway", "gateway"))
	gateway.publish(1, 1, "sensors/data", `[{"device_id": 8, "temperature": 8}, {"device_id": 9, "temperature": 9}, {"temperature": 10}, {"device_id": 7, "temperature": 11}]`)
	gateway.wantAcks(1)

	type of struct {
		device iot.DeviceID
		key    string
		value  float64
	}
	var got []of
	for _, r := range k.readings(6) {
		v, _ := r.Metric("temperature")
		got = append(got, of{r.Device, r.Key, v})
	}
	want := []of{{7, "", 3}, {7, "", 5}, {7, "", 6}, {iot.KeyID("boiler"), "boiler", 7}, {8, "", 8}, {9, "", 9}}
	less := func(a, b of) bool { return a.value < b.value }
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(of{}), sorted(less)); diff != "" {
		t.Errorf("readings (-want +got):\n%s", diff)
	}
	var letters []string
	for _, rec := range k.awaitDeadLetters(5) {
		letters = append(letters, fmt.Sprintf("%s %s %s", rec.Header("reason"), rec.Header("principal"), rec.Value))
	}
	wantLetters := []string{
		`device_not_allowed 7 {"device_id": 8, "temperature": 2}`,
		`device_not_allowed 7 {"device_id": 8, "temperature": 4}`,
		`device_not_allowed 7 {"temperature": 1}`,
		`device_not_allowed gateway {"device_id": 7, "temperature": 11}`,
		`missing_device_id gateway {"temperature": 10}`,
	}
	if diff := cmp.Diff(wantLetters, letters, sorted(func(a, b string) bool { return a < b })); diff != "" {
		t.Errorf("dead letters (-want +got):\n%s", diff)
	}
	if n := b.refusals("device_not_allowed"); n != 4 {
		t.Errorf("%v refusals", n)
	}
	// Who looks on is shown what is whole.
	for _, want := range []string{`{"temperature": 6}`, `{"temperature": 7}`} {
		if p, ok := looker.receive().(*packets.PublishPacket); !ok || string(p.Payload) != want {
			t.Errorf("who looks on gets %v, want %s", p, want)
		}
	}
	looker.quiet()
	b.conserved()
}

// A will is bound as any message.
func TestWillOfAnother(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	b := secured(t, k, withAuth(auth.On), hasPassword(1, "7", 7))
	for i, topic := range []string{"sensors/8/data", "sensors/7/data"} {
		p := as("7", fmt.Sprint("seven", i))
		p.CleanSession, p.WillFlag, p.WillTopic, p.WillMessage = true, true, topic, []byte(`{"temperature": 1}`)
		_ = connect(t, b.addr, p).conn.Close()
	}
	if r := k.readings(1)[0]; r.Device != 7 {
		t.Errorf("a reading of %d", r.Device)
	}
	if rec := k.awaitDeadLetters(1)[0]; string(rec.Header("reason")) != "device_not_allowed" || string(rec.Header("principal")) != "7" {
		t.Errorf("%s of %s", rec.Header("reason"), rec.Header("principal"))
	}
	b.conserved()
}

// Readings that another device makes up, of the future too, take no place of a device's own.
func TestFutureOfAnother(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	b := secured(t, k, withAuth(auth.On), hasPassword(1, "7", 7), hasPassword(2, "42", 42))
	at := func(i int) string { return time.Now().Add(time.Duration(i) * time.Second).UTC().Format(time.RFC3339) }
	var batch []string
	for i := range 60 {
		batch = append(batch, fmt.Sprintf(`{"device_id": 42, "temperature": -99, "timestamp": %q}`, at(i)))
	}
	seven := connect(t, b.addr, as("7", "seven"))
	seven.publish(1, 1, "sensors/data", "["+strings.Join(batch, ",")+"]")
	seven.wantAcks(1)
	own := connect(t, b.addr, as("42", "own"))
	for i := range 10 {
		own.publish(1, i+1, "sensors/42/data", fmt.Sprintf(`{"temperature": %d, "timestamp": %q}`, i, at(i)))
	}
	own.wantAcks(seq(1, 10)...)
	k.awaitDeadLetters(60)
	for _, r := range k.readings(10) {
		if v, _ := r.Metric("temperature"); r.Device != 42 || v < 0 {
			t.Errorf("%v of %d is stored", v, r.Device)
		}
	}
	b.conserved()
}

// Who is revoked is cut off, and not let in again; after a restart of the bridge neither, and the others get in, whatever
// is away but Kafka.
func TestRevocation(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	b := secured(t, k, withAuth(auth.On), hasPassword(1, "7", 7), hasPassword(2, "8", 8))
	will := as("7", "seven")
	will.WillFlag, will.WillTopic, will.WillMessage = true, "sensors/7/data", []byte(`{"temperature": -1}`)
	seven, eight := connect(t, b.addr, will), connect(t, b.addr, as("8", "eight"))
	seven5, _ := connect5(t, b.addr, as5("7", "seven5"))
	nine, expires := b.expiring(k, 3, "9", 9)

	k.put(event.CredentialEnd(k.cfg.CredentialsTopic(), 1))
	begin := time.Now()
	want(seven5, disconnect, 0, 0x98)
	seven.ended()
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %v", took)
	} else {
		t.Logf("it took %v, and 2 s are promised of a machine that is not busy", took)
	}
	if code := answer(t, b.addr, as("7", "seven")); code != packets.ErrRefusedBadUsernameOrPassword {
		t.Errorf("a revoked one gets %d", code)
	}
	want(nine, disconnect, 0, 0x98)
	if late := time.Since(expires); late < 0 || late > 10*time.Second {
		t.Errorf("an expired one is cut off after %v", late)
	}
	eight.publish(1, 1, "sensors/8/data", `{"temperature": 1}`)
	eight.wantAcks(1)
	if n := b.refusals("credential_ended"); n != 3 {
		t.Errorf("%v ends are told", n)
	}
	b.stop()

	b = endpoint(t, k, withAuth(auth.On))
	b.ready()
	if code := answer(t, b.addr, as("7", "seven")); code != packets.ErrRefusedBadUsernameOrPassword {
		t.Errorf("after a restart a revoked one gets %d", code)
	}
	k.stop()
	connect(t, b.addr, as("8", "eight")) // with Kafka away, too
	k.start()
	if r := k.readings(1); len(r) != 1 || r[0].Device != 8 {
		t.Errorf("readings %v: the will of who was revoked is none", r)
	}
}

// expiring connects with a new credential that soon expires, and returns when. On a busy machine it may expire before it is
// known: then one of the same that lasts longer is made.
func (b *testBridge) expiring(k *testKafka, id int64, name string, of iot.DeviceID) (*device5, time.Time) {
	b.t.Helper()
	for life := 5 * time.Second; life < testTimeout; life *= 2 {
		c := hasPassword(id, name, of)
		c.ExpiresAt = time.Now().Add(life)
		k.put(event.CredentialRecord(k.cfg.CredentialsTopic(), c))
		if b.letsIn(as5(name, "first"), c.ExpiresAt.Add(-life/2)) {
			d, _ := connect5(b.t, b.addr, as5(name, "expiring"))
			return d, c.ExpiresAt
		}
		id, name = id+1, name+"x"
	}
	b.t.Fatal("no credential is known before it expires")
	return nil, time.Time{}
}

// letsIn reports whether a client gets in until then, whose credential is new. It asks ever less often: after ten wrong
// passwords none would be looked at.
func (b *testBridge) letsIn(p *packets5.Connect, until time.Time) bool {
	b.t.Helper()
	for pause := 20 * time.Millisecond; time.Now().Before(until); pause *= 2 {
		if code, _ := answer5(b.t, b.addr, p); code == 0 {
			return true
		}
		time.Sleep(pause)
	}
	return false
}

// Another's client id is another session.
func TestTakeoverOfAnother(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	next := hasPassword(3, "7", 7)
	next.Secret = auth.Hash("next")
	b := secured(t, k, withAuth(auth.On), hasPassword(1, "7", 7), hasPassword(2, "8", 8), next)
	seven := connect(t, b.addr, as("7", "seven"))
	seven.publish(2, 1, "sensors/7/data", `{"temperature": 1}`) // the session has this id now
	seven.wantAcks(1)
	other := dial(t, b.addr)
	other.send(as("8", "seven"))
	if ack, ok := other.receive().(*packets.ConnackPacket); !ok || ack.ReturnCode != packets.Accepted || ack.SessionPresent {
		t.Errorf("another with the id gets %v", ack)
	}
	seven.quiet()

	rotated := as("7", "seven") // the same principal, by his next password
	rotated.Password = []byte("next")
	d := dial(t, b.addr)
	d.send(rotated)
	if ack, ok := d.receive().(*packets.ConnackPacket); !ok || ack.ReturnCode != packets.Accepted || !ack.SessionPresent {
		t.Errorf("with the next password he gets %v", ack)
	}
	seven.ended()
	other.quiet()
}

// Guessing ends after ten wrong passwords, for that user name from that address: with the right one, too.
func TestGuessing(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	b := secured(t, k, withAuth(auth.On), hasPassword(1, "7", 7), hasPassword(2, "8", 8))
	wrong := as("7", "guess")
	wrong.Password = []byte("guess")
	for range 10 {
		if code := answer(t, b.addr, wrong); code != packets.ErrRefusedBadUsernameOrPassword {
			t.Fatalf("a wrong password gets %d", code)
		}
	}
	if code := answer(t, b.addr, as("7", "seven")); code != packets.ErrRefusedNotAuthorised || b.refusals("too_many_failures") != 1 {
		t.Errorf("after that the right one gets %d", code)
	}
	connect(t, b.addr, as("8", "eight"))
	elsewhere := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	c, err := elsewhere.Dial("tcp", b.addr)
	if err != nil {
		t.Skip(err) // where there is but one loopback address
	}
	defer func() { _ = c.Close() }()
	d := &device{t: t, conn: c, r: bufio.NewReader(c)}
	d.send(as("7", "seven"))
	if ack, ok := d.receive().(*packets.ConnackPacket); !ok || ack.ReturnCode != packets.Accepted {
		t.Errorf("from another address it gets %v", ack)
	}
}

// subscribes sends a SUBSCRIBE, and checks the code of its answer.
func (d *device) subscribes(filter string, code byte) {
	d.t.Helper()
	s := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	s.MessageID, s.Topics, s.Qoss = 9, []string{filter}, []byte{0}
	d.send(s)
	if ack, ok := d.receive().(*packets.SubackPacket); !ok || len(ack.ReturnCodes) != 1 || ack.ReturnCodes[0] != code {
		d.t.Errorf("a subscription to %s gets %v, want %#x", filter, ack, code)
	}
}

// Devices subscribe to nothing, and who looks on publishes nothing.
func TestDevicesAndViewers(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	b := secured(t, k, withAuth(auth.On), hasPassword(1, "7", 7), viewer(2, "eve"))
	seven := connect(t, b.addr, as("7", "seven"))
	seven.subscribes("sensors/#", 0x80)
	seven.subscribes("sensors/7/data", 0x80)
	seven.quiet()

	eve := connect(t, b.addr, as("eve", "eve"))
	eve.subscribes("#", 0)
	eve.subscribes("$SYS/#", 0x80)
	eve5, _ := connect5(t, b.addr, as5("eve", "eve5"))
	eve5.publish(&packets5.Publish{Topic: "sensors/7/data", QoS: 1, PacketID: 1, Payload: []byte(reading(7, 1))})
	want(eve5, puback, 1, 0x87)
	eve5.publish(&packets5.Publish{Topic: "sensors/7/data", QoS: 2, PacketID: 2, Payload: []byte(reading(7, 1))})
	want(eve5, pubrec, 2, 0x87)
	eve.publish(1, 1, "sensors/7/data", reading(7, 1))
	eve.ended()
	will := as("eve", "will")
	will.WillFlag, will.WillTopic, will.WillMessage = true, "sensors/7/data", []byte(reading(7, 1))
	if code := answer(t, b.addr, will); code != packets.ErrRefusedNotAuthorised {
		t.Errorf("a viewer with a will gets %d", code)
	}
	seven.publish(1, 1, "sensors/7/data", reading(7, 2))
	seven.wantAcks(1)
	if n := len(k.readings(1)); n != 1 {
		t.Errorf("%d readings", n)
	}
	if n := b.refusals("viewer_publishes"); n != 4 {
		t.Errorf("%v publications of viewers are told", n)
	}
	b.conserved()
}

// A node of Sparkplug is asked for its birth, by nobody but the bridge.
func TestCommands(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	cfg := withAuth(auth.On)
	cfg.Topics = nil
	b := secured(t, k, cfg, hasPassword(1, "plant/press", iot.KeyID("plant/press")), hasPassword(2, "plant/thief", iot.KeyID("plant/thief")), viewer(3, "eve"))
	press, thief := connect(t, b.addr, as("plant/press", "press")), connect(t, b.addr, as("plant/thief", "thief"))
	for filter, code := range map[string]byte{
		"spBv1.0/plant/NCMD/press": 0, "spBv1.0/plant/DCMD/press/#": 0,
		"spBv1.0/plant/NCMD/thief": 0x80, "spBv1.0/plant/NCMD/+": 0x80, "spBv1.0/plant/NDATA/press": 0x80, "spBv1.0/#": 0x80,
	} {
		press.subscribes(filter, code)
	}
	thief.publish(1, 1, "spBv1.0/plant/NCMD/press", "reboot")
	thief.publish(1, 2, "spBv1.0/plant/NDATA/press", nodeData)
	thief.wantAcks(1, 2)
	press.quiet()
	press.publish(1, 1, "spBv1.0/plant/NDATA/press", nodeData) // whose birth was not seen
	if p, ok := press.receive().(*packets.PublishPacket); !ok || p.TopicName != "spBv1.0/plant/NCMD/press" || !strings.Contains(string(p.Payload), rebirth) {
		t.Errorf("the node gets %v", p)
	}
	press.wantAcks(1)
	b.conserved()
}

// A site that moves is as before, and is told who would not get in.
func TestWarning(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	b := endpoint(t, k, withAuth(auth.Warn))
	early := connect(t, b.addr, connectPacket("early")) // before the credentials are known
	k.know(hasPassword(1, "7", 7))
	wouldDeny := func(why string) float64 {
		return b.total("telltale_auth_would_deny_total", map[string]string{"surface": "mqtt", "why": why})
	}
	await(t, "the credentials to be known", func() bool {
		_ = connect(t, b.addr, connectPacket("legacy")).conn.Close()
		return wouldDeny("no_credentials") > 0
	})
	wrong := as("7", "wrong")
	wrong.Password = nil
	for i, d := range []*device{early, connect(t, b.addr, connectPacket("legacy")), connect(t, b.addr, wrong)} {
		d.publish(1, 1, "sensors/8/data", reading(8, i))
		d.wantAcks(1)
		d.subscribes("sensors/#", 0)
	}
	seven := connect(t, b.addr, as("7", "seven"))
	seven.publish(1, 1, "sensors/8/data", reading(8, 9))
	seven.wantAcks(1)
	seven.subscribes("sensors/#", 0)
	k.readings(4)
	for why, want := range map[string]float64{"wrong_password": 1, "device_not_allowed": 1, "device_subscribes": 1} {
		if n := wouldDeny(why); n != want {
			t.Errorf("%s is counted %v times, want %v", why, n, want)
		}
	}
	if n := b.total("telltale_auth_refused_total", nil); n != 0 {
		t.Errorf("%v are refused", n)
	}
	b.conserved()
}

// A network of devices that cannot have credentials: they send for all that have none.
func TestAnonymous(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	cfg := withAuth(auth.On)
	cfg.Listen.AnonymousFrom = []string{"10.0.0.0/8", "127.0.0.1"}
	b := secured(t, k, cfg, hasPassword(1, "7", 7), hasPassword(2, "gateway", 8))
	legacy := connect(t, b.addr, connectPacket("legacy"))
	legacy.publish(1, 1, "sensors/data", "["+reading(7, 1)+","+reading(8, 1)+","+reading(9, 1)+"]")
	legacy.wantAcks(1)
	legacy.subscribes("#", 0x80)
	if code := answer(t, b.addr, as("9", "x")); code != packets.ErrRefusedBadUsernameOrPassword {
		t.Errorf("who shows a wrong password there gets %d", code)
	}
	k.readings(2)
	if rec := k.awaitDeadLetters(1)[0]; string(rec.Header("reason")) != "device_not_allowed" || len(rec.Key) > 0 {
		t.Errorf("%s of %q", rec.Header("reason"), rec.Key)
	}
	b.conserved()
}

// A certificate is a device's by its fingerprint or by the name in it, where there is a credential that says so; that its
// authority is trusted lets nobody in.
func TestAccessByCertificate(t *testing.T) {
	t.Parallel()
	k, ca, dir := newKafka(t), tlsfilestest.New(t), t.TempDir()
	pair := func(hosts ...string) tls.Certificate {
		t.Helper()
		pair, err := tls.LoadX509KeyPair(ca.Write(t, t.TempDir(), "device", hosts...))
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	named, pinned, nobodys := pair("urn:telltale:device:boiler"), pair(), pair("urn:telltale:device:8")
	cfg := withAuth(auth.On)
	cfg.Listen.Files.Cert, cfg.Listen.Files.Key = ca.Write(t, dir, "bridge", "127.0.0.1")
	cfg.Listen.ClientCA = ca.WriteCA(t, dir)
	k.know(
		iot.Credential{ID: 1, Type: iot.CredentialCertificate, Name: "7", Devices: []iot.DeviceID{7}, Secret: sha256.Sum256(pinned.Certificate[0])},
		iot.Credential{ID: 2, Type: iot.CredentialCertificate, Name: "boiler", Devices: []iot.DeviceID{iot.KeyID("boiler")}},
		hasPassword(3, "9", 9),
	)
	b := endpoint(t, k, cfg)
	trust := pool(t, cfg.Listen.ClientCA)
	connects := func(p *packets.ConnectPacket, certificates ...tls.Certificate) (*device, byte) {
		t.Helper()
		c, err := tls.Dial("tcp", b.addr, &tls.Config{RootCAs: trust, Certificates: certificates})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		d := &device{t: t, conn: c, r: bufio.NewReader(c)}
		d.send(p)
		ack, ok := d.receive().(*packets.ConnackPacket)
		if !ok {
			t.Fatal("no CONNACK")
		}
		return d, ack.ReturnCode
	}
	await(t, "the credentials to be known", func() bool {
		_, code := connects(connectPacket("first"), pinned)
		return code != packets.ErrRefusedServerUnavailable
	})
	wrong := as("9", "x")
	wrong.Password = []byte("x")
	for _, tt := range []struct {
		name         string
		p            *packets.ConnectPacket
		certificates []tls.Certificate
		code         byte
	}{
		{"by its fingerprint", connectPacket("a"), []tls.Certificate{pinned}, packets.Accepted},
		{"by the name in it", connectPacket("b"), []tls.Certificate{named}, packets.Accepted},
		{"by a password without a certificate", as("9", "c"), nil, packets.Accepted},
		{"a trusted certificate of nobody", connectPacket("d"), []tls.Certificate{nobodys}, packets.ErrRefusedNotAuthorised},
		{"a wrong password beside a certificate", wrong, []tls.Certificate{pinned}, packets.ErrRefusedBadUsernameOrPassword},
		{"nothing", connectPacket("e"), nil, packets.ErrRefusedNotAuthorised},
	} {
		d, code := connects(tt.p, tt.certificates...)
		if code != tt.code {
			t.Errorf("%s: %d, want %d", tt.name, code, tt.code)
		}
		if code != packets.Accepted {
			continue
		}
		d.publish(1, 1, "sensors/8/data", `{"temperature": 1}`)
		d.wantAcks(1)
	}
	for _, rec := range k.awaitDeadLetters(3) {
		if string(rec.Header("reason")) != "device_not_allowed" {
			t.Errorf("published as another: %s", rec.Header("reason"))
		}
	}
}

// sorted compares slices by what is in them, in whatever order.
func sorted[T any](less func(a, b T) bool) cmp.Option { return cmpopts.SortSlices(less) }

// All of 5,000 clients that connect at once get in. It tells how much longer that takes with credentials.
func TestReconnectsWithCredentials(t *testing.T) {
	if testing.Short() {
		t.Skip("it measures")
	}
	const clients, atOnce = 5000, 50
	var known []iot.Credential
	for i := range clients {
		known = append(known, hasPassword(int64(i+1), fmt.Sprint(i+1), iot.DeviceID(i+1)))
	}
	k := newKafka(t)
	storm := func(mode auth.Mode) time.Duration {
		cfg := withAuth(mode)
		cfg.Listen.MaxConnections = clients
		b := endpoint(t, k, cfg)
		defer b.stop()
		b.ready()
		begin := time.Now()
		var all sync.WaitGroup
		for part := range atOnce {
			all.Go(func() {
				for i := part; i < clients; i += atOnce {
					if code := answer(t, b.addr, as(fmt.Sprint(i+1), fmt.Sprint("c", i))); code != packets.Accepted {
						t.Errorf("%d gets %d", i+1, code)
					}
				}
			})
		}
		all.Wait()
		return time.Since(begin)
	}
	k.know(known...)
	without, with := storm(auth.Off), storm(auth.On)
	t.Logf("%d connects take %v, with credentials %v", clients, without, with)
}
