package doctor

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/auth"
)

func TestAccess(t *testing.T) {
	const here, everywhere = "127.0.0.1:8000", ":1883"
	for _, tt := range []struct {
		mode       auth.Mode
		http, mqtt string
		want       string
	}{
		{auth.Auto, here, "", "ok    AUTH  auto: credentials are needed by no listener, by HTTP none: this machine alone gets in\n"},
		{auth.Auto, here, everywhere, "ok    AUTH  auto: credentials are needed by MQTT, by HTTP none: this machine alone gets in\n"},
		{auth.On, here, everywhere, "ok    AUTH  on: credentials are needed by HTTP, MQTT\n"},
		{auth.Off, here, "", "ok    AUTH  off: credentials are needed by no listener, by HTTP none: this machine alone gets in\n"},
		{auth.Off, here, everywhere, "warn  AUTH  off: other machines get in by MQTT without credentials; set AUTH=on, or have it listen on 127.0.0.1\n"},
		{auth.Warn, here, everywhere, "ok    AUTH  warn; who would be refused is let in, and listed\n"},
		{auth.On, here, "nonsense", "ok    AUTH  on: credentials are needed by HTTP\n"},
	} {
		if got, ok := say(t, Access(tt.mode, Listener{"HTTP", tt.http}, Listener{"MQTT", tt.mqtt})); !ok || !strings.HasPrefix(got, tt.want) {
			t.Errorf("AUTH=%s on %s and %q: %s", tt.mode, tt.http, tt.mqtt, got)
		}
	}
}

func TestReaders(t *testing.T) {
	dir := t.TempDir()
	for mode, want := range map[os.FileMode]string{
		0o700: "", 0o750: "",
		0o755: "warn  DATA_DIR  every user of this machine may read it (mode 0755); chmod o= " + dir + "\n",
		0o711: "warn  DATA_DIR  every user of this machine may read it (mode 0711); chmod o= " + dir + "\n",
	} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		out, ok := say(t, Dir("DATA_DIR", dir))
		if !ok || !strings.Contains(out, want) || want == "" && strings.Contains(out, "may read it") {
			t.Errorf("%04o: %s", mode, out)
		}
	}
}

func TestExpiry(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for left, want := range map[time.Duration]string{
		-time.Hour:           "fail  CERT  the certificate in a.crt has ended on 2026-11-30; renew it",
		29 * 24 * time.Hour:  "warn  CERT  the certificate in a.crt ends on 2026-12-29, in 29 days; renew it",
		31 * 24 * time.Hour:  "ok    CERT  the certificate in a.crt ends on 2026-12-31\n",
		365 * 24 * time.Hour: "ok    CERT  the certificate in a.crt ends on 2027-11-30\n",
	} {
		if out, _ := say(t, found("CERT", Expiry("a.crt", now.Add(left), now)...)); !strings.HasPrefix(out, want) {
			t.Errorf("%v: %s", left, out)
		}
	}
}
