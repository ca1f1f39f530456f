package compose

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var token = regexp.MustCompile(`(?m)^TELLTALE_ADMIN_TOKEN=tt_[0-9a-f]{64}$`)

var password = regexp.MustCompile(`(?m)^([A-Z_]+_PASSWORD)=(.*)$`)

func TestEnv(t *testing.T) {
	t.Run("at first it is the example with passwords", func(t *testing.T) {
		c := newCheckout(t)
		c.mustRun("sh", "deploy/env.sh")
		made := password.FindAllStringSubmatch(c.read(".env"), -1)
		if want := password.FindAllString(c.read(".env.example"), -1); len(made) != len(want) || len(made) == 0 {
			t.Errorf("%d passwords, the example has %d", len(made), len(want))
		}
		for _, m := range made {
			if len(m[2]) != 32 {
				t.Errorf("%s=%s, want 32 digits", m[1], m[2])
			}
		}
		if env := c.read(".env"); !token.MatchString(env) || !strings.Contains(env, "\nAUTH=on\n") {
			t.Errorf("no token, or nobody is asked for one:\n%s", env)
		}
		if info, err := os.Stat(filepath.Join(c.dir, ".env")); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v %v: others must not read it", info.Mode(), err)
		}
		before := c.read(".env")
		c.mustRun("sh", "deploy/env.sh")
		if after := c.read(".env"); after != before {
			t.Errorf("the second time it changed to\n%s", after)
		}
	})
	t.Run("what is there stays, what is missing is added", func(t *testing.T) {
		c := newCheckout(t)
		c.write(".env", "# mine\nMONGO_PASSWORD=old") // without a line break at the end
		c.mustRun("sh", "deploy/env.sh")
		got := c.read(".env")
		if !strings.HasPrefix(got, "# mine\nMONGO_PASSWORD=old\n") || strings.Count(got, "MONGO_PASSWORD=") != 1 || !strings.Contains(got, "\nREDIS_PASSWORD=") ||
			!token.MatchString(got) || !strings.Contains(got, "\nAUTH=warn\n") {
			t.Errorf("got\n%s", got)
		}
	})
	t.Run("one from before there were credentials warns, and is else as it was", func(t *testing.T) {
		c := newCheckout(t)
		old := regexp.MustCompile(`(?m)^(AUTH|TELLTALE_ADMIN_TOKEN)=.*\n`).ReplaceAllString(c.read(".env.example"), "")
		old = regexp.MustCompile(`(?m)^([A-Z_]+_PASSWORD)=$`).ReplaceAllString(old, "$1=old")
		c.write(".env", old)
		c.mustRun("sh", "deploy/env.sh")
		added, ok := strings.CutPrefix(c.read(".env"), old)
		if !ok || !regexp.MustCompile(`^(AUTH=warn|TELLTALE_ADMIN_TOKEN=tt_[0-9a-f]{64})\n(AUTH=warn|TELLTALE_ADMIN_TOKEN=tt_[0-9a-f]{64})\n$`).MatchString(added) {
			t.Errorf("kept: %v, added:\n%s", ok, added)
		}
		before := c.read(".env")
		c.mustRun("sh", "deploy/env.sh")
		if after := c.read(".env"); after != before {
			t.Errorf("the second time it changed to\n%s", after)
		}
	})
	t.Run("line ends of Windows are taken", func(t *testing.T) {
		c := newCheckout(t)
		c.write(".env", "COMPOSE_PROFILES=postgres\r\nMONGO_PASSWORD=old\r\n")
		c.write(".env.example", strings.ReplaceAll(c.read(".env.example"), "\n", "\r\n"))
		c.mustRun("sh", "deploy/env.sh")
		if out := c.mustRun("sh", "-c", `. ./.env; echo "$COMPOSE_PROFILES $MONGO_PASSWORD $REDIS_PASSWORD"`); !regexp.MustCompile("^postgres old [0-9a-f]{32}\n$").MatchString(out) {
			t.Errorf("a shell reads %q", out)
		}
	})
}

// TestCertificate looks at what Mosquitto shows to devices.
func TestCertificate(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("no openssl")
	}
	c := newCheckout(t)
	c.write(".env", "TLS_NAMES=broker.example.com,192.0.2.7\n")
	c.mustRun("sh", "deploy/env.sh")
	load := func() *x509.Certificate {
		t.Helper()
		pair, err := tls.LoadX509KeyPair(filepath.Join(c.dir, ".tls/server/tls.crt"), filepath.Join(c.dir, ".tls/server/tls.key"))
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf
	}
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM([]byte(c.read(".tls/server/ca.crt")))
	first := load()
	for _, name := range []string{"localhost", "127.0.0.1", "mosquitto", "broker.example.com", "192.0.2.7"} {
		if _, err := first.Verify(x509.VerifyOptions{Roots: authorities, DNSName: name}); err != nil {
			t.Error(err)
		}
	}
	c.mustRun("sh", "deploy/env.sh")
	if !load().Equal(first) {
		t.Error("there is another one though nothing has changed")
	}
	c.write(".env", c.read(".env")+"TLS_NAMES=other.example.com\n")
	c.mustRun("sh", "deploy/env.sh")
	if _, err := load().Verify(x509.VerifyOptions{Roots: authorities, DNSName: "other.example.com"}); err != nil {
		t.Errorf("after another name was set: %v", err)
	}
	for _, key := range []string{".tls/ca.key", ".tls/server/tls.key"} {
		if info, err := os.Stat(filepath.Join(c.dir, key)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v: others must not read it", key, err)
		}
	}
}

// TestPasswords has docker-compose.yml put a password into a URL, where some characters mean something.
func TestPasswords(t *testing.T) {
	c := newCheckout(t)
	c.env = append(c.env, "DOCKER_HOST=tcp://127.0.0.1:1") // a password that passes the check finds no Docker
	c.mustRun("sh", "deploy/env.sh")
	good := c.read(".env")
	up := func(name, value string) string {
		c.write(".env", good+name+"="+value+"\n")
		out, err := c.run("sh", "deploy/up.sh")
		if err == nil {
			t.Fatalf("started without Docker:\n%s", out)
		}
		return out
	}
	refused := func(name, value string) {
		if out := up(name, value); !strings.HasPrefix(out, name+" ") || strings.Count(out, "\n") != 1 {
			t.Errorf("%s=%s: want one line that names it, got:\n%s", name, value, out)
		}
	}
	names := password.FindAllStringSubmatch(good, -1)
	for _, m := range names {
		refused(m[1], "a@b")
	}
	name := names[0][1]
	for _, value := range []string{"", "a/b", "a#b", "a:b", "a%b", "a%41", "a?b", "a b", "a&b", "a$b", "a;b", "a'b", `a"b`, "a[b", `a\b`, "aéb"} {
		refused(name, value)
	}
	for _, value := range []string{"aB3._!*+=,~-", "'quoted'", `"quoted"`} {
		if out := up(name, value); strings.Contains(out, name) {
			t.Errorf("%s=%s: %s", name, value, out)
		}
	}
	c.write(".env", good)
	c.env = append(c.env, "MONGO_PASSWORD=a@b") // counts more than .env
	c.refuses("MONGO_PASSWORD", "sh", "deploy/up.sh")
}
