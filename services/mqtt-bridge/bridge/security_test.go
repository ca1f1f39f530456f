package bridge_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/pkg/tlsfiles/tlsfilestest"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/bridge"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/subscribe"
)

// secure makes the broker speak TLS with a certificate of ca's for 127.0.0.1, and demand one of ca's from
// its clients. It returns the URL.
func (broker *testBroker) secure(ca *tlsfilestest.CA) string {
	broker.t.Helper()
	dir := broker.t.TempDir()
	cert, key := ca.Write(broker.t, dir, "broker", "127.0.0.1")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		broker.t.Fatal(err)
	}
	addr := broker.l.Addr().String()
	broker.l = tls.NewListener(broker.l, &tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool(broker.t, ca.WriteCA(broker.t, dir)),
	})
	return "mqtts://" + addr
}

func pool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	p.AppendCertsFromPEM(pem)
	return p
}

// clientFiles are files by which a client trusts ca, and is trusted by who trusts ca.
func clientFiles(t *testing.T, ca *tlsfilestest.CA, dir string) tlsfiles.Files {
	t.Helper()
	cert, key := ca.Write(t, dir, "bridge")
	return tlsfiles.Files{CA: ca.WriteCA(t, dir), Cert: cert, Key: key}
}

// trusted passes over connections whose handshake fails.
type trusted struct{ net.Listener }

func (l trusted) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil || c.(*tls.Conn).Handshake() == nil {
			return c, err
		}
		_ = c.Close()
	}
}

func TestSubscribeOverTLS(t *testing.T) {
	t.Parallel()
	t.Run("with a certificate, a name and a password", func(t *testing.T) {
		t.Parallel()
		k, broker, ca := newKafka(t), newBroker(t), tlsfilestest.New(t)
		url := broker.secure(ca)
		broker.subscribe(k, func(c *bridge.Config) {
			c.Broker.URL = strings.Replace(url, "//", "//me:old@", 1)
			c.Broker.Security = subscribe.Security{Password: "new", Files: clientFiles(t, ca, t.TempDir())}
		})
		d, p := broker.accept()
		if p.Username != "me" || string(p.Password) != "new" {
			t.Errorf("logs in as %s with %s", p.Username, p.Password)
		}
		d.connack(packets.Accepted, false)
		d.subscribed(1)
		d.unsubscribed()
		const messages = 5000 // a TLS record each
		for i := range messages {
			d.publish(1, i+1, "sensors/data", reading(1, i))
		}
		start := time.Now()
		d.wantAcks(seq(1, messages)...)
		if took := time.Since(start); took > 20*time.Second { // a spaced read for each would take 25 s
			t.Errorf("%d acknowledgements took %v", messages, took)
		}
		k.readings(messages)
	})

	t.Run("the files are read anew for each connection", func(t *testing.T) {
		t.Parallel()
		broker, ca, dir := newBroker(t), tlsfilestest.New(t), t.TempDir()
		url := broker.secure(ca)
		files := clientFiles(t, tlsfilestest.New(t), dir) // of an authority that the broker does not know
		b := broker.subscribe(newKafka(t), func(c *bridge.Config) { c.Broker.URL, c.Broker.Security.Files = url, files })
		refused, err := broker.l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if err := refused.(*tls.Conn).Handshake(); err == nil {
			t.Error("connects to a broker whose certificate it cannot know")
		}
		_ = refused.Close()
		b.checked("certificate signed by unknown authority")
		clientFiles(t, ca, dir)
		broker.l = trusted{broker.l} // some of the files may have been read before the others were written
		broker.session()
		b.checked("")
	})
}

func TestSubscribeNeverShowsThePassword(t *testing.T) {
	t.Parallel()
	broker, log := newBroker(t), new(recorder)
	cfg := defaults()
	cfg.Broker.URL = "tcp://me:secret@" + broker.l.Addr().String()
	b := startLogged(t, newKafka(t), cfg, nil, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	d, _ := broker.accept()
	d.connack(packets.ErrRefusedBadUsernameOrPassword, false)
	b.checked("bad user name or password")
	d = broker.session()
	_ = d.conn.Close() // a connection that breaks
	broker.session()
	b.checked("")
	_ = broker.l.Close()
	b.stop()
	text := log.String()
	if strings.Contains(text, "secret") {
		t.Errorf("the log shows it:\n%s", text)
	}
	if !strings.Contains(text, "bad user name or password") || !strings.Contains(text, "connection to the broker ended") {
		t.Errorf("the log does not show what went wrong:\n%s", text)
	}
}

func TestListenOverTLS(t *testing.T) {
	t.Parallel()
	k, ca, dir := newKafka(t), tlsfilestest.New(t), t.TempDir()
	cfg := defaults()
	cfg.Listen.Files.Cert, cfg.Listen.Files.Key = ca.Write(t, dir, "bridge", "127.0.0.1")
	trust := &tls.Config{RootCAs: pool(t, ca.WriteCA(t, dir))}
	b := endpoint(t, k, cfg)
	secured := func(id string) (*device, *tls.Conn) {
		t.Helper()
		c, err := tls.Dial("tcp", b.addr, trust)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		d := &device{t: t, conn: c, r: bufio.NewReader(c)}
		d.send(connectPacket(id))
		if _, ok := d.receive().(*packets.ConnackPacket); !ok {
			t.Fatal("not connected")
		}
		return d, c
	}

	a, before := secured("a")
	const messages = 5000
	go func() {
		for i := range messages {
			a.publish(1, i+1, "sensors/data", reading(1, i))
		}
	}()
	a.wantAcks(seq(1, messages)...)

	plain := dial(t, b.addr)
	plain.send(connectPacket("plain"))
	if p, ok := plain.receive().(*packets.ConnackPacket); !ok || p.ReturnCode != packets.ErrRefusedNotAuthorised {
		t.Errorf("a client without TLS is answered %v", p)
	}
	plain.ended()

	ca.Write(t, dir, "bridge", "127.0.0.1") // the certificate is renewed
	other, after := secured("b")
	serial := func(c *tls.Conn) string { return c.ConnectionState().PeerCertificates[0].SerialNumber.String() }
	if serial(before) == serial(after) {
		t.Error("a new connection is shown the certificate from before")
	}

	k.stop()
	for i, d := range []*device{a, other} {
		d.publish(1, 1, "sensors/data", reading(2+i, 1))
		d.quiet()
	}
	stopped := make(chan struct{})
	go func() { b.stop(); close(stopped) }()
	b.checked("stopping")
	k.start()
	for _, d := range []*device{a, other} {
		d.wantAcks(1)
		d.ended()
		_ = d.conn.Close()
	}
	<-stopped
	if n := len(k.different(messages + 2)); n != messages+2 {
		t.Errorf("%d readings in Kafka, want %d", n, messages+2)
	}
	b.conserved()
}

func TestListenToDevicesWithCertificates(t *testing.T) {
	t.Parallel()
	k, ca, dir := newKafka(t), tlsfilestest.New(t), t.TempDir()
	cfg := defaults()
	cfg.Listen.Files.Cert, cfg.Listen.Files.Key = ca.Write(t, dir, "bridge", "127.0.0.1")
	cfg.Listen.ClientCA = ca.WriteCA(t, dir)
	trust := pool(t, cfg.Listen.ClientCA)
	b := endpoint(t, k, cfg)
	// secured is a device that shows the certificates, and has sent its CONNECT and a reading.
	secured := func(certificates ...tls.Certificate) *device {
		t.Helper()
		c, err := tls.Dial("tcp", b.addr, &tls.Config{RootCAs: trust, Certificates: certificates})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		d := &device{t: t, conn: c, r: bufio.NewReader(c)}
		for _, p := range []packets.ControlPacket{connectPacket("a"), publication(1, 1, "sensors/data", reading(1, 1))} {
			if p.Write(c) != nil {
				break // refused already
			}
		}
		return d
	}
	refused := func(d *device) {
		t.Helper()
		if p := d.receive(); p != nil {
			t.Errorf("received %v, want the end of the connection", p)
		}
	}
	taken := func(d *device) {
		t.Helper()
		if _, ok := d.receive().(*packets.ConnackPacket); !ok {
			t.Fatal("not connected")
		}
		d.wantAcks(1)
	}
	certificate := func(ca *tlsfilestest.CA) tls.Certificate {
		t.Helper()
		pair, err := tls.LoadX509KeyPair(ca.Write(t, t.TempDir(), "device"))
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}

	other := tlsfilestest.New(t)
	taken(secured(certificate(ca)))
	refused(secured())
	refused(secured(certificate(other)))
	other.WriteCA(t, dir) // the file is replaced
	taken(secured(certificate(other)))
	refused(secured(certificate(ca)))
	if n := len(k.readings(2)); n != 2 {
		t.Errorf("%d readings in Kafka, want those of the two devices that were taken", n)
	}
	b.conserved()
}
