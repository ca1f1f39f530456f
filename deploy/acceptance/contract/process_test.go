package contract

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// ttlOfAllInOne is short enough to wait for its end, and long enough to look at a value before it.
const ttlOfAllInOne = 6 * time.Second

var binaryDir string // where allInOne is built; TestMain sets it

// allInOne builds the program, once.
var allInOne = sync.OnceValues(func() (path string, err error) {
	path = filepath.Join(binaryDir, "all-in-one")
	out, err := exec.Command("go", "build", "-o", path, "github.com/telltale-iot/telltale/services/all-in-one").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build all-in-one: %w\n%s", err, out)
	}
	return path, nil
})

// process is a running program.
type process struct {
	cmd   *exec.Cmd
	log   output // its stderr
	ended chan struct{}
	err   error // of its end
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

// startProcess runs all-in-one with nothing but settings (VARIABLE=value) in its environment.
func startProcess(dir string, settings ...string) (*process, error) {
	path, err := allInOne()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(path), ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = dir, settings
	p.cmd.Stderr = &p.log
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// stop checks that "SIGTERM drains and exits 0 within 10 s".
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.ended:
		if p.err != nil {
			return fmt.Errorf("all-in-one ended with %w:\n%s", p.err, p.log.String())
		}
		return nil
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
		return fmt.Errorf("all-in-one did not end within 10 s of SIGTERM:\n%s", p.log.String())
	}
}

// startAllInOne runs all-in-one until it is ready, with its data in dir.
func startAllInOne(dir string) (p *process, s *system, brokers []string, err error) {
	var addrs [4]string
	for i := range addrs {
		if addrs[i], err = freeAddr(); err != nil {
			return nil, nil, nil, err
		}
	}
	s = &system{http: "http://" + addrs[0], mqtt: "tcp://" + addrs[1], ops: []string{"http://" + addrs[2]},
		listen: true, topic: "raw-data", latestTTL: ttlOfAllInOne}
	p, err = startProcess(dir, "DATA_DIR="+filepath.Join(dir, "data"), "HTTP_ADDR="+addrs[0], "MQTT_LISTEN_ADDR="+addrs[1],
		"OPS_ADDR="+addrs[2], "KAFKA_LISTEN_ADDR="+addrs[3], "LATEST_TTL="+ttlOfAllInOne.String())
	if err != nil {
		return nil, nil, nil, err
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case <-p.ended:
			return nil, nil, nil, fmt.Errorf("all-in-one ended at once: %w\n%s", p.err, p.log.String())
		default:
		}
		if response, err := http.Get(s.ops[0] + "/readyz"); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return p, s, addrs[3:], nil
			}
		}
	}
	return nil, nil, nil, errors.Join(errors.New("all-in-one does not become ready"), p.stop())
}

// freeAddr returns an address of this machine that nobody listens on, for now.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}
