package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/telltale-iot/telltale/pkg/daemon"
)

// takeSession returns the client id of the first session that no other replica has: id, and from the second on id
// with a number, which is taken by a lock on a file in dir until that is closed or the process ends in any way.
// docker compose gives replicas the same settings, and every new container another host's name: a session by that
// name would stay on the broker when the container goes, with its share of the messages.
func takeSession(dir, id string, shared bool) (string, *os.File, error) {
	for n := 1; ; n++ {
		f, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(n)), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return "", nil, &daemon.ConfigError{Variable: "MQTT_REPLICA_DIR", Value: dir, Err: err}
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil && n == 1:
			return id, f, nil
		case err == nil && shared:
			return fmt.Sprintf("%s-%d", id, n), f, nil
		}
		_ = f.Close()
		if err == nil {
			return "", nil, &daemon.ConfigError{Variable: "MQTT_SHARED", Value: "false", Err: errors.New(
				"another replica runs, and each would take every message: set it to true for all of them")}
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return "", nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
	}
}
