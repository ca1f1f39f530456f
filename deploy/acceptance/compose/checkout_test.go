package compose

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	project     = "telltale-compose-test"
	testTimeout = 2 * time.Minute // with a command
)

// checkout is a copy of the files of the repository that `make up` uses.
type checkout struct {
	*testing.T
	dir string
	env []string // beside that of the test, over which it counts
}

func newCheckout(t *testing.T) *checkout {
	t.Helper()
	const root = "../../.."
	c := &checkout{T: t, dir: t.TempDir(), env: []string{"COMPOSE_PROJECT_NAME=" + project}}
	for _, file := range []string{"docker-compose.yml", ".env.example", "deploy/env.sh", "deploy/tls.sh", "deploy/up.sh"} {
		c.write(file, read(t, filepath.Join(root, file)))
	}
	return c
}

func (c *checkout) write(file, content string) {
	c.Helper()
	path := filepath.Join(c.dir, file)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		c.Fatal(err)
	}
}

func (c *checkout) read(file string) string {
	c.Helper()
	return read(c.T, filepath.Join(c.dir, file))
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// run returns what a command in the checkout prints, and the error with which it ends.
func (c *checkout) run(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout) // also in a cleanup
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), c.env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (c *checkout) mustRun(name string, args ...string) string {
	c.Helper()
	out, err := c.run(name, args...)
	if err != nil {
		c.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// refuses runs a command that must fail, with a line that has want in it and hardly another.
func (c *checkout) refuses(want string, name string, args ...string) {
	c.Helper()
	out, err := c.run(name, args...)
	if err == nil || !strings.Contains(out, want) {
		c.Errorf("%s %s: %v, want a line with %q, got:\n%s", name, strings.Join(args, " "), err, want, out)
	}
	if lines := strings.Count(out, "\n"); lines > 3 {
		c.Errorf("%d lines instead of one with what is wrong:\n%s", lines, out)
	}
}

// published reads from docker compose config where a container's ports are on this machine, by service and port.
func published(t *testing.T, config string) map[string]map[string]string {
	t.Helper()
	var model struct {
		Services map[string]struct {
			Ports []struct {
				HostIP    string `json:"host_ip"`
				Target    int    `json:"target"`
				Published string `json:"published"`
			} `json:"ports"`
		} `json:"services"`
	}
	if err := json.Unmarshal([]byte(config), &model); err != nil {
		t.Fatal(err)
	}
	all := map[string]map[string]string{}
	for name, service := range model.Services {
		all[name] = map[string]string{}
		for _, p := range service.Ports {
			all[name][strconv.Itoa(p.Target)] = p.HostIP + ":" + p.Published
		}
	}
	return all
}
