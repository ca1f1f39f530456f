package latest_test

import (
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"

	"github.com/telltale-iot/telltale/pkg/doctor"
	"github.com/telltale-iot/telltale/pkg/latest"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

func TestExamine(t *testing.T) {
	t.Parallel()
	redis := miniredis.RunT(t)
	redis.RequireAuth("right")
	version := "8.2.1"
	redis.Server().SetPreHook(func(client *server.Peer, command string, _ ...string) bool {
		if command == "INFO" { // of which it knows no section "server"
			client.WriteBulk("# Server\r\nredis_version:" + version + "\r\n")
			return true
		}
		return false
	})
	for _, tt := range []struct{ name, url, version, want string }{
		{"a good one", "redis://:right@" + redis.Addr(), "8.2.1", "ok    REDIS_URL  redis at " + redis.Addr() + " answers, version 8.2.1\n"},
		{"one that is too old", "redis://:right@" + redis.Addr(), "5.0.14", "fail  REDIS_URL  redis at " + redis.Addr() + " answers, version 5.0.14; it must be 6 or newer\n"},
		{"a wrong password", "redis://:S3cr3tW0rd@" + redis.Addr(), "8.2.1", "WRONGPASS invalid username-password pair; correct the user and password of REDIS_URL\n"},
		{"no password", "redis://" + redis.Addr(), "8.2.1", "correct the user and password of REDIS_URL\n"},
		{"TLS where there is none", "rediss://:S3cr3tW0rd@" + redis.Addr(), "8.2.1", "look whether it speaks TLS there"},
		{"a dead one", "redis://:S3cr3tW0rd@127.0.0.1:1", "8.2.1", "start it, or correct REDIS_URL"},
	} {
		version = tt.version
		var out strings.Builder
		doctor.Run(t.Context(), &out, []doctor.Check{latest.Examine("REDIS_URL", tt.url, tlsfiles.Files{})})
		if got := out.String(); !strings.Contains(got, tt.want) || strings.Contains(got, "S3cr3tW0rd") {
			t.Errorf("%s: %s", tt.name, got)
		}
	}
	if keys := redis.Keys(); len(keys) > 0 {
		t.Errorf("there are now %v", keys)
	}
}
