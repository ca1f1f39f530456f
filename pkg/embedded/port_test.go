package embedded

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/telltale-iot/telltale/pkg/kafka"
)

// reader is a broker with a topic and a record in it, to whose port clients come that may only read.
func reader(t testing.TB, dir string) *Kafka {
	t.Helper()
	k, err := StartKafka(KafkaConfig{Addr: "127.0.0.1:0", Dir: dir, Groups: map[string]string{"ours": logTopic}, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, k) })
	if err := kafka.EnsureTopics(t.Context(), insideConfig(k), testLog(t)); err != nil {
		t.Fatal(err)
	}
	if err := produce(t, inside(t, k), logTopic, -1, 0); err != nil {
		t.Fatal(err)
	}
	return k
}

// insideConfig is that of a service of this process.
func insideConfig(k *Kafka) kafka.Config {
	return kafka.Config{
		Brokers: []string{k.Addr()}, Dial: k.Dial, Topic: logTopic, Partitions: 1, Replication: -1, Retention: time.Hour,
	}
}

func dialTCP(t testing.TB, k *Kafka) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", k.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// send writes bytes, and returns nil when there was a response.
func send(t testing.TB, c net.Conn, frame []byte) error {
	t.Helper()
	if _, err := c.Write(frame); err != nil {
		return err
	}
	var size [frameSizeBytes]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(size[:])))
	return err
}

func TestBytesFromOutside(t *testing.T) {
	k := reader(t, t.TempDir())
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	whole := placeholder(7)
	for name, sent := range map[string][]byte{
		"an unknown key":              unhex("0000000b03e7000000000007000178"),
		"a negative key":              unhex("0000000bffff000000000007000178"),
		"a key that is not offered":   unhex("0000000b0026000000000007000178"),
		"a version yet to come":       unhex("0000000b0003007f00000007000178"),
		"a negative version":          unhex("0000000b0012ffff00000007000178"),
		"2 GB":                        unhex("7fffffff"),
		"4 GB":                        unhex("ffffffff"),
		"no bytes":                    unhex("00000000"),
		"a byte":                      unhex("0000000100"),
		"a header that is cut":        unhex("00000009001200000000000700"),
		"a client id beyond the end":  unhex("0000000a0012000000000007ffff")[:13],
		"a body that is cut":          append(unhex("0000000e0003000000000007000178"), 0x7f, 0xff, 0xff),
		"more topics than bytes":      unhex("0000000e000300010000000700007fffffff"),
		"another protocol":            []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"a request behind garbage":    append(unhex("0000000b03e7000000000007000178"), whole...),
		"a request and half of one":   append(append([]byte{}, whole...), whole[:9]...),
		"many requests without pause": repeat(whole, 1000),
	} {
		t.Run(name, func(t *testing.T) {
			c := dialTCP(t, k)
			_, _ = c.Write(sent) // it may be cut off meanwhile
			_ = c.(*net.TCPConn).CloseWrite()
			if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection is left open")
			}
			if err := produce(t, inside(t, k), logTopic, -1, 0); err != nil {
				t.Errorf("after that: %v", err)
			}
		})
	}
}

func repeat(b []byte, n int) (all []byte) {
	for range n {
		all = append(all, b...)
	}
	return all
}

func TestConnectionsFromOutside(t *testing.T) {
	k := reader(t, "")
	before := heap()
	var open []net.Conn
	for range maxConnections {
		c := dialTCP(t, k)
		if err := send(t, c, placeholder(1)); err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	if err := send(t, dialTCP(t, k), placeholder(1)); err == nil {
		t.Error("one more is served")
	}
	for _, c := range open { // each announces as much as it may, and sends all but a byte
		frame := make([]byte, frameSizeBytes+maxReadFrame-1)
		binary.BigEndian.PutUint32(frame, maxReadFrame)
		if _, err := c.Write(frame); err != nil {
			t.Fatal(err)
		}
	}
	if err := produce(t, inside(t, k), logTopic, -1, 0); err != nil {
		t.Errorf("from inside: %v", err)
	}
	if grown := heap() - before; grown > 64<<20 {
		t.Errorf("they take %d MiB", grown>>20)
	}
	for _, c := range open {
		_ = c.Close()
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		err := send(t, dialTCP(t, k), placeholder(1))
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("when they are gone: %v", err)
		}
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestSilenceFromOutside(t *testing.T) {
	for name, tc := range map[string]struct {
		sent  int // bytes of a request
		after time.Duration
	}{
		"before a request":           {0, idleTimeout},
		"in the middle of a request": {8, frameTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := testPort(t)
				client, server := net.Pipe()
				defer func() { _ = client.Close() }()
				c := newConn(server, p, false)
				go func() { _, _ = client.Write(placeholder(1)[:tc.sent]) }()
				begin := time.Now()
				_, err := c.Read(make([]byte, 1))
				if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != tc.after {
					t.Errorf("%v after %v, want an end after %v", err, time.Since(begin), tc.after)
				}
			})
		})
	}
	t.Run("behind a request", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := testPort(t)
			client, server := net.Pipe()
			defer func() { _ = client.Close() }()
			c := newConn(server, p, false)
			go func() { _, _ = client.Write(placeholder(1)) }()
			if _, err := c.Read(make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			_, err := c.Write(encode(kmsg.NewPtrApiVersionsResponse(), 1)) // which the client does not read
			if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != writeTimeout {
				t.Errorf("%v after %v, want an end after %v", err, time.Since(begin), writeTimeout)
			}
		})
	})
}

// testPort is a port without a listener.
func testPort(t *testing.T) *port {
	t.Helper()
	p := newPort(KafkaConfig{Log: testLog(t)}, newDisk("", nil, testLog(t)))
	p.outside = 1
	return p
}
