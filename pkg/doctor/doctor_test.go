package doctor

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// say returns the lines of checks, and whether none has failed.
func say(t *testing.T, checks ...Check) (string, bool) {
	t.Helper()
	var out strings.Builder
	ok := Run(t.Context(), &out, checks)
	return out.String(), ok
}

func found(part string, findings ...Finding) Check {
	return Check{part, func(context.Context) []Finding { return findings }}
}

func TestLines(t *testing.T) {
	out, ok := say(t,
		found("a", Fine("all is well")...),
		found("longer", Finding{Warned, "it is slow", "wait"}, Finding{OK, "it answers", ""}),
	)
	const want = `ok    a       all is well
warn  longer  it is slow; wait
ok    longer  it answers

2 ok, 1 warn, 0 fail
`
	if out != want || !ok {
		t.Errorf("%v:\n%s", ok, out)
	}
	if out, ok := say(t, found("a", Fail("broken", "mend it")...)); ok || !strings.HasPrefix(out, "fail  a  broken; mend it\n\n0 ok, 0 warn, 1 fail\n") {
		t.Errorf("%v:\n%s", ok, out)
	}
}

// What drivers and servers say is one line, without passwords and without end.
func TestLinesOfStrangers(t *testing.T) {
	for text, want := range map[string]string{
		"dial mysql://iot:S3cr3t@db:3306/iot\nrefused\x1b[2J": "dial mysql://iot:xxxxx@db:3306/iot refused [2J",
		"user=iot password=S3cr3t host=db":                    "user=iot password=xxxxx host=db",
		strings.Repeat("ä", maxLine):                          strings.Repeat("ä", maxLine/2) + " …",
	} {
		out, _ := say(t, found("a", Fail(text, "")...))
		if line, _, _ := strings.Cut(out, "\n\n"); line != "fail  a  "+want {
			t.Errorf("%q is shown as %q", text, line)
		}
	}
}

// TestHanging has checks that do not end: those around them are told all the same.
func TestHanging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		defer close(end)
		start := time.Now()
		out, ok := say(t,
			Check{"deaf", func(context.Context) []Finding { <-end; return nil }},
			Check{"slow", func(ctx context.Context) []Finding { <-ctx.Done(); return Fail(ctx.Err().Error(), "") }},
			found("quick", Fine("here")...),
		)
		if took := time.Since(start); took != leaveAfter || ok {
			t.Errorf("%v after %v", ok, took)
		}
		const want = `fail  deaf   no answer within 5s; look whether it hangs, or the network in between
fail  slow   context deadline exceeded
ok    quick  here
`
		if lines, _, _ := strings.Cut(out, "\n\n"); lines+"\n" != want {
			t.Errorf("it says:\n%s", out)
		}
	})
}

func TestAskServer(t *testing.T) {
	now := time.Now()
	tests := []struct {
		name   string
		server Server
		err    error
		want   []Finding
	}{
		{"a good one", Server{"8.4.6-log", now}, nil, []Finding{{OK, "db answers, version 8.4.6-log", ""}}},
		{"one that does not tell the time", Server{"9", time.Time{}}, nil, []Finding{{OK, "db answers, version 9", ""}}},
		{"one that tells no version", Server{"", now}, nil, []Finding{{OK, "db answers, version unknown", ""}}},
		{"one that is too old", Server{"8.0.9", now}, nil, []Finding{{Failed, "db answers, version 8.0.9", "it must be 8.0.17 or newer"}}},
		{"one that is ahead", Server{"8.1", now.Add(time.Minute)}, nil, []Finding{
			{OK, "db answers, version 8.1", ""}, {Warned, "its clock is 1m0s ahead of this machine's", "set both by NTP"},
		}},
		{"one that is far behind", Server{"8.1", now.Add(-time.Hour)}, nil, []Finding{
			{OK, "db answers, version 8.1", ""}, {Failed, "its clock is 1h0m0s behind this machine's", "set both by NTP"},
		}},
		{"one that does not answer", Server{}, errors.New("dial tcp: connection refused"), []Finding{
			{Failed, "db: dial tcp: connection refused", "start it, or correct DB_URL: nothing listens there"},
		}},
	}
	for _, tt := range tests {
		got := AskServer(t.Context(), "DB_URL", "db", "8.0.17", func(context.Context) (Server, error) { return tt.server, tt.err })
		if len(got) != len(tt.want) {
			t.Errorf("%s: %+v", tt.name, got)
			continue
		}
		for i := range got {
			if got[i] != tt.want[i] {
				t.Errorf("%s: %+v", tt.name, got[i])
			}
		}
	}
}

func TestVersions(t *testing.T) {
	for _, older := range [][2]string{{"5.0.14", "6"}, {"8.0.16", "8.0.17"}, {"12.22 (Debian 12.22-1)", "13"}, {"4.2.25", "4.4"}, {"8", "8.0.17"}} {
		if !isOlder(older[0], older[1]) || isOlder(older[1], older[0]) {
			t.Errorf("%s is not older than %s", older[0], older[1])
		}
	}
	for _, same := range [][2]string{{"", "6"}, {"unstable", "6"}, {"6", "6"}, {"8.0.17-debug", "8.0.17"}, {"13", "13"}} {
		if isOlder(same[0], same[1]) {
			t.Errorf("%s is older than %s", same[0], same[1])
		}
	}
}

// The texts are those of the drivers, of Go's net and TLS, and of the servers.
func TestAdvice(t *testing.T) {
	for text, want := range map[string]string{
		"dial tcp: lookup kafka.example: no such host": "correct the host in X",
		"dial tcp 10.0.0.1:9092: i/o timeout":          "firewall",
		"context deadline exceeded":                    "firewall",
		"TLS to db:3306: tls: failed to verify certificate: x509: certificate signed by unknown authority":                          "…_CA_FILE",
		"tls: failed to verify certificate: x509: certificate is valid for a.example, not b.example":                                "use a name in X",
		"x509: certificate has expired or is not yet valid: current time 2026-11-29T22:00:00Z is after 2026-01-01T00:00:00Z":        "renew its certificate",
		"tls: first record does not look like a TLS handshake":                                                                      "speaks no TLS",
		"Error 1045 (28000): Access denied for user 'iot'@'10.0.0.9' (using password: YES)":                                         "user and password of X",
		"failed to connect to `user=iot database=iot`: failed SASL auth: FATAL: password authentication failed for user (28P01)":    "user and password of X",
		"connection() error occurred during connection handshake: auth error: unable to authenticate using mechanism SCRAM-SHA-256": "user and password of X",
		"(Unauthorized) Command listCollections requires authentication":                                                            "user and password of X",
		"WRONGPASS invalid username-password pair or user is disabled.":                                                             "user and password of X",
		"NOAUTH Authentication required.":                                "user and password of X",
		"not Authorized":                                                 "user and password of X",
		"Error 1049 (42000): Unknown database 'iott'":                    "make the database",
		"kafka: client has run out of available brokers to talk to: EOF": "demands TLS",
		"something new":                                                  "look at its log, and at X",
	} {
		if got := Advice(errors.New(text), "X"); !strings.Contains(got, want) {
			t.Errorf("%s: %s", text, got)
		}
	}
}

// TestPlace has URLs whose passwords mean something in a URL, as those of MongoDB may.
func TestPlace(t *testing.T) {
	for url, want := range map[string]string{
		"mysql://iot:S3cr3t@db:3306/iot":                            "mysql at db:3306/iot",
		"postgres://db/iot?user=iot&password=S3cr3t":                "postgres at db/iot",
		"postgres://db/iot?user=iot&password=S3@cr3t":               "postgres",
		"mongodb://iot:S3cr3t@a:1,b:2/iot?replicaSet=rs0":           "mongodb at a:1,b:2/iot",
		"mongodb://iot:S3cr3t@a.example:27017,b.example/iot":        "mongodb",
		"mongodb://iot:S3cr3t?x@db/iot":                             "mongodb",
		"mongodb://iot:12#S3cr3t@db/iot":                            "mongodb",
		"mongodb://iot:12/S3cr3t@db/iot":                            "mongodb",
		"mongodb://iot:1@S3cr3t/x@db/iot":                           "mongodb",
		"mongodb+srv://iot:S3cr3t@cluster.example/iot?appName=S3cr": "mongodb+srv at cluster.example/iot",
	} {
		if got := Place(url); got != want {
			t.Errorf("%s: %s", url, got)
		}
	}
}

func TestClock(t *testing.T) {
	if f := lookAtClock(time.Unix(60, 0)); f[0].Level != Failed {
		t.Errorf("a clock that was never set: %+v", f)
	}
	if f := lookAtClock(time.Now()); f[0].Level != OK {
		t.Errorf("this machine's: %+v", f)
	}
}

// TestPort looks without a deadline: whose port it is takes longer the more processes there are.
func TestPort(t *testing.T) {
	ops, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opsAddr := ops.Addr().String()
	look := func(addr string) Finding { return Port("HTTP_ADDR", addr, opsAddr).Look(t.Context())[0] }
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()
	if f := look(addr); f.Level != OK || !strings.HasPrefix(f.What, addr+" is in use by "+ownName()) {
		t.Errorf("a port that this program has: %+v", f)
	}
	if err := ops.Close(); err != nil {
		t.Fatal(err)
	}
	if f := look(addr); f.Level != Failed || !strings.HasPrefix(f.What, addr+" is in use by another "+ownName()) || !strings.Contains(f.Do, "set HTTP_ADDR to") {
		t.Errorf("a port that a program of the same name has, with another OPS_ADDR: %+v", f)
	}
	if f := look("127.0.0.1:0"); f.Level != OK || f.What != "127.0.0.1:0 is free" {
		t.Errorf("a free port: %+v", f)
	}
	if f := look("192.0.2.1:80"); f.Level != Failed || !strings.Contains(f.Do, "set HTTP_ADDR to an address of this machine") {
		t.Errorf("an address of another machine: %+v", f)
	}
}

func TestDir(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, dir string
		ok        bool
		want      string
	}{
		{"one that is there", dir, true, dir + " can be written"},
		{"one that is missing", filepath.Join(dir, "a", "b"), true, "is made at the start"},
		{"a file", filepath.Join(dir, "file"), false, "is no folder; set DATA_DIR to one"},
		{"one below a file", filepath.Join(dir, "file", "a"), false, "not a directory"},
		{"one of the kernel's, without room", "/proc", false, "/proc"},
	} {
		if out, ok := say(t, Dir("DATA_DIR", tt.dir)); ok != tt.ok || !strings.Contains(out, tt.want) {
			t.Errorf("%s: %v, %s", tt.name, ok, out)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the folder has now %v, %v", entries, err)
	}
}

// What another user made in the folder, as one who ran the program once as root, cannot be written.
func TestForeignFiles(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may write everything")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "readings", "2026-11.db")
	if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o400); err != nil {
		t.Fatal(err)
	}
	if out, ok := say(t, Dir("DATA_DIR", dir)); ok || !strings.Contains(out, file+" cannot be written: permission denied; give it to the user who runs this") {
		t.Errorf("%v, %s", ok, out)
	}
}

// The lock of a process that is gone, or of another program that has its number now, says nothing.
func TestLocks(t *testing.T) {
	dir := t.TempDir()
	for _, lock := range []string{"", "words", "1", "4194304"} {
		if err := os.WriteFile(filepath.Join(dir, "lock"), []byte(lock+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, ok := say(t, Dir("DATA_DIR", dir)); !ok || strings.Contains(out, "it runs") {
			t.Errorf("%q: %v, %s", lock, ok, out)
		}
	}
}
