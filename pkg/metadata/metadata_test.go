package metadata_test

import (
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/doctor"
	"github.com/telltale-iot/telltale/pkg/metadata"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

func TestOpenTakesTheURLsOfItsDatabases(t *testing.T) {
	for _, url := range []string{
		"mysql://iot:secret@server.invalid/telltale", // nothing answers there
		"postgres://iot:secret@server.invalid/telltale",
		"postgresql://iot:secret@server.invalid/telltale",
	} {
		s, err := metadata.Open(url, tlsfiles.Files{})
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestOpenRefusesOtherURLs(t *testing.T) {
	for _, url := range []string{
		"", "mysql", "oracle://iot:secret@server.invalid/telltale", "iot:secret@tcp(server.invalid)/telltale",
		"MYSQL:secret", "mysql://iot:secret@server.invalid", "postgres://iot:secret@server.invalid",
		"sqlite:///path",
	} {
		s, err := metadata.Open(url, tlsfiles.Files{})
		if err == nil || s != nil {
			t.Errorf("%s: %v, %v, want an error and no store", url, s, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error shows the password: %v", url, err)
		}
	}
}

func TestExamine(t *testing.T) {
	for _, tt := range []struct{ name, url, want string }{
		{"a dead MySQL", "mysql://iot:S3cr3tW0rd@127.0.0.1:1/iot", "connection refused; start it, or correct DATABASE_URL"},
		{"a dead PostgreSQL", "postgres://iot:S3cr3tW0rd@127.0.0.1:1/iot", "connection refused; start it, or correct DATABASE_URL"},
		{"a real MySQL", os.Getenv("TEST_MYSQL_URL"), " answers, version "},
		{"a real MySQL, and a wrong password", wrongPassword(os.Getenv("TEST_MYSQL_URL")), "Access denied for user"},
		{"a real PostgreSQL", os.Getenv("TEST_POSTGRES_URL"), " answers, version 1"},
		{"a real PostgreSQL, and a wrong password", wrongPassword(os.Getenv("TEST_POSTGRES_URL")), "; correct the user and password of DATABASE_URL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.url == "" {
				t.Skip("there is none")
			}
			var out strings.Builder
			doctor.Run(t.Context(), &out, []doctor.Check{metadata.Examine("DATABASE_URL", tt.url, tlsfiles.Files{})})
			if got := out.String(); !strings.Contains(got, tt.want) || strings.Contains(got, "S3cr3tW0rd") || strings.Contains(got, "warn ") {
				t.Errorf("it says %s", got)
			}
		})
	}
}

// wrongPassword is the URL of a server with another password; "" for none.
func wrongPassword(server string) string {
	u, err := url.Parse(server)
	if err != nil || server == "" {
		return ""
	}
	u.User = url.UserPassword(u.User.Username(), "S3cr3tW0rd")
	return u.String()
}
