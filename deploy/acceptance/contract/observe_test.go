package contract

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestMetricsThatAreLookedAt holds what alerts and dashboards ask for against what the services tell. What is
// counted by reason is there once it has happened; the tests before this one see to that.
func TestMetricsThatAreLookedAt(t *testing.T) {
	if len(sut.ops) == 0 {
		t.Log("the operations ports are not known")
		return
	}
	files, err := filepath.Glob("../../grafana/dashboards/*.json")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`telltale_[a-z_]+[a-z]`)
	asked := map[string]string{}
	for _, file := range append(files, "../../prometheus/alerts.yml") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, metric := range name.FindAllString(string(text), -1) {
			asked[strings.TrimSuffix(metric, "_bucket")] = filepath.Base(file)
		}
	}
	eventually(t, func() error {
		told := map[string]bool{}
		for _, ops := range sut.ops {
			for metric := range scrape(t, ops) {
				told[metric] = true
			}
		}
		for metric, file := range asked {
			if !told[metric] {
				return fmt.Errorf("%s asks for %s, which no service tells", file, metric)
			}
		}
		return nil
	})
}
