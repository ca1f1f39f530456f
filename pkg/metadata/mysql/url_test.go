package mysql

import (
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/settings"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

func TestURL(t *testing.T) {
	for _, c := range []struct {
		url, addr, user, password, database string
	}{
		{"mysql://iot:secret@db.example:3307/telltale", "db.example:3307", "iot", "secret", "telltale"},
		{"mysql://iot:secret@db.example/telltale", "db.example:3306", "iot", "secret", "telltale"},
		{"mysql://iot@[::1]/telltale", "[::1]:3306", "iot", "", "telltale"},
		{"mysql://db.example/telltale", "db.example:3306", "", "", "telltale"},
		{"mysql://i%40t:%2Fp%40ss%3Aw%3Frd%23@db.example/tell%2Ftale?tls=skip-verify", "db.example:3306", "i@t", "/p@ss:w?rd#", "tell/tale"},
	} {
		cfg, err := config(c.url)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		if cfg.Net != "tcp" || cfg.Addr != c.addr || cfg.User != c.user || cfg.Passwd != c.password || cfg.DBName != c.database {
			t.Errorf("%s: %s(%s) as %q with %q, database %q", c.url, cfg.Net, cfg.Addr, cfg.User, cfg.Passwd, cfg.DBName)
		}
	}
}

func TestParameters(t *testing.T) {
	cfg, err := config("mysql://iot:secret@db.example/telltale?readTimeout=1m&tls=true&max_execution_time=5000" +
		"&loc=Asia/Tokyo&parseTime=false&clientFoundRows=false&sql_mode=''&charset=latin1")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Timeout != 5*time.Second || cfg.ReadTimeout != time.Minute || cfg.WriteTimeout != 10*time.Second {
		t.Errorf("timeouts %v, %v, %v", cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout)
	}
	if cfg.TLS == nil || cfg.TLS.ServerName != "db.example" || cfg.TLS.InsecureSkipVerify {
		t.Errorf("TLS %+v", cfg.TLS)
	}
	if cfg.Params["max_execution_time"] != "5000" {
		t.Errorf("variables %v", cfg.Params)
	}
	// What the store relies on cannot be changed.
	if cfg.Loc != time.UTC || !cfg.ParseTime || !cfg.ClientFoundRows || !strings.Contains(cfg.Params["sql_mode"], "STRICT") ||
		!strings.Contains(cfg.FormatDSN(), "charset=utf8mb4") {
		t.Errorf("settings %s", cfg.FormatDSN())
	}
}

func TestABadURLIsAnErrorThatDoesNotShowIt(t *testing.T) {
	for _, url := range []string{
		"", "mysql:", "mysql://", "mysql://iot:secret@db.example", "mysql://iot:secret@db.example/", "mysql://iot:secret@/telltale",
		"mysql://iot:sec#ret@db.example/telltale", "mysql://iot:secret/@db.example/telltale", "mysql://iot:secret%@db.example/telltale",
		"mysql://iot:secret@db.example:port/telltale", "mysql://iot:secret@db.example/telltale?parseTime=perhaps",
		"mysql://iot:secret@db.example/telltale?tls=secret-config", "iot:secret@tcp(db.example)/telltale",
		"postgres://iot:secret@db.example/telltale", "mysql://iot:secret@db.example/telltale?timeout=5",
	} {
		if _, err := Open(url, tlsfiles.Files{}); err == nil {
			t.Errorf("%s: no error", url)
		} else if strings.Contains(err.Error(), "iot:sec") || strings.Contains(err.Error(), "secret@") || strings.Contains(err.Error(), "ret@") {
			t.Errorf("%s: %v", url, err)
		} else if text := err.Error(); settings.Redact(text) != text {
			t.Errorf("%s: the error is shown as %s", url, settings.Redact(text))
		}
	}
}
