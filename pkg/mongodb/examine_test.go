package mongodb_test

import (
	"os"
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/doctor"
	"github.com/telltale-iot/telltale/pkg/mongodb"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

func TestExamine(t *testing.T) {
	real := strings.TrimSuffix(os.Getenv("TEST_MONGODB_URI"), "/")
	for _, tt := range []struct{ name, uri, want string }{
		{"a dead one", "mongodb://iot:S3cr3tW0rd@127.0.0.1:1/iot", "fail  MONGODB_URI  mongodb at 127.0.0.1:1/iot: dial tcp 127.0.0.1:1: connect: connection refused; start it"},
		{"no database", "mongodb://iot:S3cr3tW0rd@127.0.0.1:1/", "the URI names no database"},
		{"a real one", real, " answers, version "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.uri == "" {
				t.Skip("there is none")
			}
			if tt.uri == real {
				tt.uri += "/iot"
			}
			var out strings.Builder
			doctor.Run(t.Context(), &out, []doctor.Check{mongodb.Examine("MONGODB_URI", tt.uri, tlsfiles.Files{})})
			if got := out.String(); !strings.Contains(got, tt.want) || strings.Contains(got, "S3cr3tW0rd") {
				t.Errorf("it says %s", got)
			}
		})
	}
}
