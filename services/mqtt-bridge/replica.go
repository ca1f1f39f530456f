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

// takeSession returns the client id of the first session that no other replica has: id for the first, and id with a
// number for the others. A lock on a file in dir reserves it until the file is closed or the process ends. docker
// compose gives all replicas the same settings, and every new container another host name: a session of that name
// would stay on the broker when the container goes, with its share of the messages.
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
