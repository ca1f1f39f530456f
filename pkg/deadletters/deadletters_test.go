package deadletters_test

import (
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/deadletters"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

func TestOpen(t *testing.T) {
	t.Run("a URL that makes no sense is refused without showing its password", func(t *testing.T) {
		for _, url := range []string{
			"", "/readings.db", "postgres://iot:hunter2@localhost/iot", "mongodb://iot:hunter2@localhost", "mongodb://", "sqlite://readings.db",
		} {
			store, err := deadletters.Open(url, tlsfiles.Files{})
			if err == nil || store != nil {
				t.Errorf("Open(%q) = %v, %v; want nil and an error", url, store, err)
			} else if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("Open(%q): %v", url, err)
			}
		}
	})
}
