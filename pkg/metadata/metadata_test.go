package metadata_test

import (
	"strings"
	"testing"

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
