package contract

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestMetricsThatAreLookedAt compares what alerts and dashboards ask for with what the services expose. What is
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
		exposed := map[string]bool{}
		for _, ops := range sut.ops {
			for metric := range scrape(t, ops) {
				exposed[metric] = true
			}
		}
		for metric, file := range asked {
			if !exposed[metric] {
				return fmt.Errorf("%s asks for %s, which no service exposes", file, metric)
			}
		}
		return nil
	})
}
