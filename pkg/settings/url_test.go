package settings

import (
	"errors"
	"strings"
	"testing"
)

func TestPasswordThatHidesTheHost(t *testing.T) {
	type command struct {
		URL string `env:"TEST_URL"`
	}
	for _, value := range []string{
		"redis://:12#3@redis:6379/0", "redis://:12?3@redis:6379/0", "mysql://iot:1/2@mysql:3306/iot",
		"tcp://bridge:1/2@mosquitto:1883", "tcp://bridge:1#2=@mosquitto:1883", "tcp://bridge:1/2=@mosquitto", "tcp://br/idge:1@mosquitto",
	} {
		t.Setenv("TEST_URL", value)
		err := Parse(nil, new(command))
		if err == nil || !strings.HasPrefix(err.Error(), "TEST_URL:") || !strings.Contains(err.Error(), "%2F") {
			t.Errorf("%s: %v, want an error that names the variable and says how to escape", value, err)
		}
	}
	for _, value := range []string{"tcp://bridge:1mosquitto:1883", "mongodb://u:pa:1,b:2/iot", "mongodb://a:1,u:pb:2", "redis://x@:1redis:6379/0"} {
		t.Setenv("TEST_URL", value)
		if err := Parse(nil, new(command)); !errors.Is(err, errHost) {
			t.Errorf("%s: %v, want %v", value, err, errHost)
		}
	}
	for _, value := range []string{
		"tcp://[::1]:1883", "tcp://u:p@[::1]", "tcp://u:a:b:c@mosquitto:1883/",
		"redis://:a@b@redis:6379/0", "redis://:12%233@redis:6379/0", "mongodb://u:p@a:1,b:2/iot?authSource=admin", "mongodb://u:1#2@a/iot",
		"postgres://db/iot?user=iot@server", "postgres://db/iot?sslmode=disable&user=iot@server", "tcp://mosquitto", "tcp://mosquitto:1883/", "no/url@all",
	} {
		t.Setenv("TEST_URL", value)
		if err := Parse(nil, new(command)); err != nil {
			t.Errorf("%s: %v", value, err)
		}
	}
}
