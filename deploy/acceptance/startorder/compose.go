package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// compose is a project of docker-compose.yml beside the user's own: its volumes are its own, its ports are
// free ones.
type compose struct {
	project string
	ports   map[string]string // by variable of docker-compose.yml
}

func newCompose(project string) (*compose, error) {
	c := &compose{project: project, ports: map[string]string{}}
	for _, name := range []string{
		"HTTP_PORT", "MQTT_PORT", "MQTTS_PORT", "KAFKA_PORT", "MONGO_PORT", "REDIS_PORT", "MYSQL_PORT",
		"BRIDGE_OPS_PORT", "WRITER_OPS_PORT", "UPDATER_OPS_PORT", "API_OPS_PORT",
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // held until all ports are chosen, so that they differ
		c.ports[name] = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	}
	return c, nil
}

// run is docker compose with args; it returns standard output.
func (c *compose) run(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "docker", append([]string{"compose", "-p", c.project}, args...)...)
	cmd.Env = append(os.Environ(), "COMPOSE_PROFILES=mysql", "AUTH=off")
	for name, port := range c.ports {
		cmd.Env = append(cmd.Env, name+"="+port)
	}
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("docker compose %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// publish sends one message per line, at QoS 1, and returns when the broker has acknowledged all.
func (c *compose) publish(ctx context.Context, lines string) error {
	_, err := c.run(ctx, lines, "exec", "-T", "mosquitto", "sh", "-c",
		`mosquitto_pub -u device -P "$MQTT_DEVICE_PASSWORD" -q 1 -t sensors/data -l`)
	return err
}

// eventually repeats check until it is nil or limit has passed.
func eventually(ctx context.Context, limit time.Duration, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %w", limit, err)
		case <-time.After(time.Second):
		}
	}
}
