package kafka_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "32") // more tests at once than there are cores: most of them wait
	goleak.VerifyTestMain(m)
}
