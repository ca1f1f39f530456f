package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	project  = "telltale-faults" // the compose project
	password = "faults"          // of every account on its servers, which only this machine reaches
)

// servers are the compose services of the project. PostgreSQL stands in MySQL's place or not at all.
var servers = []string{"mosquitto", "kafka", "mongo", "redis", "mysql"}

// stack is the servers: docker-compose.yml of the repository with compose.yml of this folder over it.
type stack struct {
	root string // of the repository
	base int    // the first of the ports
}

// portNames are variables of the two compose files and names of listeners on the host; each has the port
// base plus its place.
var portNames = []string{
	"MQTT_PORT", "KAFKA_PORT", "MONGO_PORT", "REDIS_PORT", "MYSQL_PORT",
	"BRIDGE_KAFKA", "WRITER_KAFKA", "UPDATER_KAFKA", "API_KAFKA",
	"BRIDGE_KAFKA_PROXY", "WRITER_KAFKA_PROXY", "UPDATER_KAFKA_PROXY", "API_KAFKA_PROXY",
	"BRIDGE_MQTT_PROXY", "DEVICE_BRIDGE_PROXY", "WRITER_MONGO_PROXY", "UPDATER_REDIS_PROXY",
	"API_MONGO_PROXY", "API_REDIS_PROXY", "API_MYSQL_PROXY",
	"LISTEN", "LISTEN_2", "LISTEN_3", "HTTP", "OPS_SUBSCRIBE", "OPS_LISTEN", "OPS_WRITER", "OPS_UPDATER", "OPS_API",
	"OPS_REPLICA_2", "OPS_REPLICA_3", "MQTTS_PORT",
}

// addr is the address on this machine that name stands for.
func (s *stack) addr(name string) string {
	i := slices.Index(portNames, name)
	if i < 0 {
		panic("no port is named " + name)
	}
	return "127.0.0.1:" + strconv.Itoa(s.base+i)
}

// compose runs docker compose with args. settings (VARIABLE=value) win over the usual ones.
func (s *stack) compose(ctx context.Context, settings []string, args ...string) error {
	files := []string{
		"compose", "-p", project, "--profile", "infra",
		"-f", filepath.Join(s.root, "docker-compose.yml"),
		"-f", filepath.Join(s.root, "deploy/acceptance/faults/compose.yml"),
	}
	cmd := exec.CommandContext(ctx, "docker", append(files, args...)...)
	cmd.Env = os.Environ()
	for i, name := range portNames {
		cmd.Env = append(cmd.Env, name+"="+strconv.Itoa(s.base+i))
	}
	for _, account := range []string{"MQTT_BRIDGE", "MQTT_DEVICE", "MQTT_OPERATOR", "MQTT_DYNSEC", "MONGO", "REDIS", "MYSQL_ROOT", "MYSQL", "POSTGRES", "GRAFANA"} {
		cmd.Env = append(cmd.Env, account+"_PASSWORD="+password)
	}
	cmd.Env = append(cmd.Env, "TELLTALE_ADMIN_TOKEN="+password) // of query-api, which compose does not run here
	cmd.Env = append(cmd.Env, settings...)
	return run(cmd)
}

// up starts the servers and waits until they are healthy.
func (s *stack) up(ctx context.Context) error {
	return s.compose(ctx, nil, append([]string{"up", "-d", "--wait"}, servers...)...)
}

// down removes the servers and their data.
func (s *stack) down(ctx context.Context) error {
	return s.compose(ctx, nil, "down", "--volumes", "--timeout", "1")
}

// docker does one thing (kill, start, pause, unpause) to the containers of some servers, all at once.
func (s *stack) docker(ctx context.Context, do string, names ...string) error {
	args := []string{do}
	for _, name := range names {
		args = append(args, project+"-"+name+"-1")
	}
	return run(exec.CommandContext(ctx, "docker", args...))
}

// exec runs a command in a server's container.
func (s *stack) exec(ctx context.Context, name string, args ...string) error {
	return run(exec.CommandContext(ctx, "docker", append([]string{"exec", project + "-" + name + "-1"}, args...)...))
}

func run(cmd *exec.Cmd) error {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out.String())
	}
	return nil
}

func repositoryRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOWORK").Output()
	file := strings.TrimSpace(string(out))
	if err != nil || file == "" || file == "off" {
		return "", errors.Join(errors.New("find the repository: run this from within it, with its go.work"), err)
	}
	return filepath.Dir(file), nil
}
