package secured

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var discard = slog.New(slog.DiscardHandler)

func tlsListen(cfg *tls.Config) (net.Listener, error) { return tls.Listen("tcp", "127.0.0.1:0", cfg) }

// build builds the services and returns where they are.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	args := []string{"build", "-o", dir + "/"}
	for _, service := range []string{"ingest-writer", "cache-updater", "query-api"} {
		args = append(args, "github.com/telltale-iot/telltale/services/"+service)
	}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return dir
}

// process is a running service.
type process struct {
	log   output
	ended chan struct{}
	code  int // of its end
}

// output keeps what is written, for readers at the same time.
type output struct {
	mu   sync.Mutex
	text []byte
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, b...)
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

// start runs the service until t ends, with nothing but settings in its environment. At the end its log must
// show no password.
func start(t *testing.T, dir, service string, settings map[string]string) *process {
	t.Helper()
	cmd := exec.Command(filepath.Join(dir, service))
	cmd.Env = []string{"OPS_ADDR=127.0.0.1:0"}
	for name, value := range settings {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	p := &process{ended: make(chan struct{})}
	cmd.Stderr = &p.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		err := cmd.Wait()
		if exit := new(exec.ExitError); errors.As(err, &exit) {
			p.code = exit.ExitCode()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-p.ended
		if strings.Contains(p.log.String(), password) || strings.Contains(p.log.String(), wrongPassword) {
			t.Error("the log shows a password")
		}
		if t.Failed() {
			t.Logf("%s:\n%s", service, p.log.String())
		}
	})
	return p
}

var opsAddr = regexp.MustCompile(`"ops_addr":"([^"]+)"`)

// readiness is what the service says of itself.
func (p *process) readiness() (status int, text string) {
	addr := opsAddr.FindStringSubmatch(p.log.String())
	if addr == nil {
		return 0, "not started"
	}
	return get("http://" + addr[1] + "/readyz?verbose")
}

func get(url string) (status int, body string) {
	client := http.Client{Timeout: 10 * time.Second}
	res, err := client.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(b)
}
