package memory_test

import (
	"testing"
	"testing/synctest"

	"github.com/telltale-iot/telltale/pkg/latest"
	"github.com/telltale-iot/telltale/pkg/latest/latesttest"
	"github.com/telltale-iot/telltale/pkg/latest/memory"
)

func TestCache(t *testing.T) {
	latesttest.Suite{
		Open: func(t *testing.T) latest.Cache {
			c := memory.New()
			t.Cleanup(func() { _ = c.Close() })
			return c
		},
		Body: synctest.Test,
	}.Run(t)
}
