package latest_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/latest"
	"github.com/telltale-iot/telltale/pkg/settings"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

func TestTTL(t *testing.T) {
	for ttl, ok := range map[time.Duration]bool{time.Minute: true, time.Millisecond: true, 0: false, -time.Second: false} {
		err := latest.TTL{TTL: ttl}.Validate()
		var wrong *settings.Error
		if ok != (err == nil) || !ok && (!errors.As(err, &wrong) || wrong.Variable != "LATEST_TTL") {
			t.Errorf("%v: %v", ttl, err)
		}
	}
}

func TestOpen(t *testing.T) {
	t.Run("no server is waited for", func(t *testing.T) {
		for _, url := range []string{
			"redis://localhost:6379/0", "redis://", "redis://user:secret@192.0.2.1:6379/3", "rediss://192.0.2.1", "memory://",
		} {
			start := time.Now()
			c, err := latest.Open(url, tlsfiles.Files{})
			if err != nil {
				t.Errorf("%s: %v", url, err)
				continue
			}
			if took := time.Since(start); took > time.Second {
				t.Errorf("%s took %v", url, took)
			}
			if err := c.Close(); err != nil {
				t.Errorf("close %s: %v", url, err)
			}
		}
	})

	for _, url := range []string{
		"", "localhost:6379", "http://localhost", "mongodb://localhost", "redis://localhost:x", "redis://localhost:0",
		"redis://localhost:70000", "redis://localhost/zero", "redis://localhost/-1", "redis://localhost/0/1",
		"redis://localhost?addr=other:6379", "redis://localhost?master_set=m", "redis://:secret@localhost:port",
		"redis://:secret/word@localhost:6379/0", "redis://user:secret?x@localhost", "redis://:secret#x@localhost", "redis://user:secret%zz@localhost",
		"redis://:1234/secret@localhost", "redis://localhost/0?db=secret",
	} {
		t.Run("refused: "+url, func(t *testing.T) {
			c, err := latest.Open(url, tlsfiles.Files{})
			if err == nil || c != nil {
				t.Fatalf("opened %v, error %v", c, err)
			}
			if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "1234") {
				t.Errorf("the password is in the error: %v", err)
			}
			if text := err.Error(); settings.Redact(text) != text {
				t.Errorf("the error is shown as %s", settings.Redact(text))
			}
		})
	}
}
