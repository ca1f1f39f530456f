package retry_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telltale-iot/telltale/pkg/kafka/internal/retry"
)

// TestLog has attempts fail for 25 s, recover, and fail once more for a moment.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, nil))
		said := func(what string) int { return strings.Count(out.String(), what) }
		var l retry.Log
		for range 25 {
			l.Failed(log, "trying again", errors.New("away"))
			time.Sleep(time.Second)
		}
		if n := said("trying again"); n != 3 || !l.Failing() {
			t.Errorf("25 s of failures were logged %d times, want 3:\n%s", n, out.String())
		}
		l.Recovered(log, "well again")
		if said("after=25s failures=25") != 1 || l.Failing() {
			t.Errorf("the recovery was not logged:\n%s", out.String())
		}
		l.Failed(log, "trying again", errors.New("away")) // 5 s after the latest line
		l.Recovered(log, "well again")
		if said("trying again") != 3 || said("well again") != 1 {
			t.Errorf("a moment was logged:\n%s", out.String())
		}
	})
}
