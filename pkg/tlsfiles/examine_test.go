package tlsfiles

import (
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/doctor"
	"github.com/telltale-iot/telltale/pkg/tlsfiles/tlsfilestest"
)

func TestExamine(t *testing.T) {
	ca, dir := tlsfilestest.New(t), t.TempDir()
	cert, key := ca.Write(t, dir, "server", "localhost")
	_, otherKey := ca.Write(t, dir, "other", "localhost")
	if none := (Listener{}).Examine("HTTP_"); none != nil {
		t.Errorf("without files: %+v", none)
	}
	for _, tt := range []struct {
		name  string
		files Listener
		level doctor.Level
		do    string
	}{
		{"a pair that ends soon, as those of tests do", Listener{cert, key}, doctor.Warned, "renew it"},
		{"a key of another", Listener{cert, otherKey}, doctor.Failed, "of one pair"},
		{"a missing one", Listener{cert, dir + "/missing"}, doctor.Failed, "correct HTTP_CERT_FILE"},
	} {
		check := tt.files.Examine("HTTP_")[0]
		found := check.Look(t.Context())
		switch {
		case check.Part != "HTTP_CERT_FILE":
			t.Errorf("it is called %s", check.Part)
		case len(found) != 1 || found[0].Level != tt.level || !strings.Contains(found[0].Do, tt.do):
			t.Errorf("%s: %+v", tt.name, found)
		}
	}
}
