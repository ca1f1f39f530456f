package listen

import "testing"

func TestFilter(t *testing.T) {
	for _, tt := range []struct {
		filter, topic string
		want          bool
	}{
		{"sensors/+/data", "sensors/42/data", true},
		{"sensors/+/data", "sensors//data", true},
		{"sensors/+/data", "sensors/42/data/more", false},
		{"sensors/+/data", "sensors", false},
		{"sensors/data", "sensors/dat", false},
		{"sensors/data", "Sensors/data", false},
		{"plant/#", "plant/7/a", true},
		{"plant/#", "plant", true},
		{"#", "$SYS/broker", false},
		{"+/broker", "$SYS/broker", false},
		{"/+", "/9", true},
	} {
		if got := splitFilter(tt.filter).match(tt.topic); got != tt.want {
			t.Errorf("%s matches %s: %v", tt.filter, tt.topic, got)
		}
	}
}
