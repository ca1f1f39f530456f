package readings_test

import (
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/readings"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

func TestOpen(t *testing.T) {
	t.Run("a URL that makes no sense is refused without showing its password", func(t *testing.T) {
		for _, url := range []string{
			"", "readings.db", "/readings.db", "postgres://iot:hunter2@localhost/iot", "mongo://iot:hunter2@localhost/iot",
			"mongodb://iot:hunter2@localhost", "mongodb://iot:hunter2@localhost/", "mongodb://iot:hunter2@localhost/iot?timeoutMS=soon",
			"mongodb://", "mongodb:///iot", "sqlite:///readings.db",
		} {
			store, err := readings.Open(url, tlsfiles.Files{})
			if err == nil || store != nil {
				t.Errorf("Open(%q) = %v, %v; want nil and an error", url, store, err)
			} else if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("Open(%q): %v", url, err)
			}
		}
	})
	t.Run("no server is waited for", func(t *testing.T) {
		for _, url := range []string{
			"mongodb://127.0.0.1:1/iot", "mongodb://iot:secret@a.invalid:27017,b.invalid:27018/iot?replicaSet=rs0&authSource=admin",
		} {
			store, err := readings.Open(url, tlsfiles.Files{})
			if err != nil {
				t.Errorf("Open(%q): %v", url, err)
				continue
			}
			if err := store.Close(); err != nil {
				t.Errorf("close %q: %v", url, err)
			}
		}
	})
}
