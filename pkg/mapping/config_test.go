package mapping_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/telltale-iot/telltale/pkg/mapping"
)

func TestConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte("- name: mine\n  topic: mine/{device}\n  tme: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := mapping.Config{Mappings: []string{"tasmota"}, Zone: "Europe/Berlin"}.Load()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := set.Match("sensors/42/data"); ok {
		t.Error("a preset that is not named is there")
	}
	for _, tt := range []struct {
		config mapping.Config
		want   string
	}{
		{mapping.Config{Mappings: []string{"tasmota", file}}, `MAPPINGS="tasmota,` + file + `": ` + file + `:3: tme: unknown member`},
		{mapping.Config{Zone: "Berlin"}, `DEVICE_TIME_ZONE="Berlin": unknown time zone Berlin`},
		{mapping.Config{Zone: "Local"}, `DEVICE_TIME_ZONE="Local": must be the name of a zone`},
	} {
		if _, err := tt.config.Load(); err == nil || err.Error() != tt.want {
			t.Errorf("%+v: %v, want %s", tt.config, err, tt.want)
		}
	}
}
