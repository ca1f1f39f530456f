package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/process"
	"github.com/telltale-iot/telltale/pkg/deadletters"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/latest"
	"github.com/telltale-iot/telltale/pkg/metadata"
	"github.com/telltale-iot/telltale/pkg/readings"
	"github.com/telltale-iot/telltale/pkg/settings"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// secret is a password that is to be seen nowhere.
const secret = "S3cr3tW0rd"

// TestMalformedURLs checks that the errors of settings show no password, for any mistake in a URL.
func TestMalformedURLs(t *testing.T) {
	open := map[string]struct {
		urls []string
		open func(url string) error
	}{
		"DATABASE_URL": {
			[]string{"mysql://iot:%s@db.example:3306/iot?timeout=5s", "postgres://iot:%s@db.example/iot?sslmode=disable", "postgres://db.example/iot?user=iot&password=%s"},
			func(url string) error { s, err := metadata.Open(url, tlsfiles.Files{}); return closed(s, err) },
		},
		"MONGODB_URI": {
			[]string{"mongodb://iot:%s@a.example:27017,b.example/iot?replicaSet=rs0&timeoutMS=%%zz"},
			func(url string) error {
				s, err := readings.Open(url, tlsfiles.Files{})
				if err := closed(s, err); err != nil {
					return err
				}
				l, err := deadletters.Open(url, tlsfiles.Files{})
				return closed(l, err)
			},
		},
		"REDIS_URL": {
			[]string{"redis://:%s@redis.example:6379/0", "rediss://iot:%s@redis.example/1?client_name=iot"},
			func(url string) error { s, err := latest.Open(url, tlsfiles.Files{}); return closed(s, err) },
		},
		"KAFKA_BROKERS": {
			[]string{"iot:%s@kafka.example:9092"},
			func(list string) error {
				return kafka.Config{Brokers: strings.Split(list, ","), Topic: "raw-data", Partitions: 1, Replication: 1, Retention: 1}.Validate()
			},
		},
	}
	r := rand.New(rand.NewPCG(1, 2))
	for variable, tt := range open {
		t.Run(variable, func(t *testing.T) {
			shown := 0
			for range 3000 {
				url := spoil(r, fmt.Sprintf(tt.urls[r.IntN(len(tt.urls))], secret))
				err := tt.open(url)
				if err == nil || !strings.Contains(url, secret) {
					continue
				}
				shown++
				for _, text := range []string{err.Error(), (&settings.Error{Variable: variable, Value: url, Err: err}).Error()} {
					if strings.Contains(text, secret) {
						t.Fatalf("%s=%s: %s", variable, url, text)
					}
				}
			}
			if shown < 300 {
				t.Errorf("%d errors", shown)
			}
		})
	}
}

// closed closes what was opened.
func closed(s io.Closer, err error) error {
	if err == nil {
		_ = s.Close()
	}
	return err
}

// spoil makes one to three mistakes in a URL.
func spoil(r *rand.Rand, url string) string {
	for range 1 + r.IntN(3) {
		at := r.IntN(len(url))
		switch c := string(":/@?#&=%[] ,x9\x7f"[r.IntN(15)]); r.IntN(3) {
		case 0:
			url = url[:at] + url[at+1:]
		case 1:
			url = url[:at] + c + url[at:]
		case 2:
			url = url[:at] + c + url[at+1:]
		}
	}
	return url
}

// TestNoPasswordIsPrinted starts programs with a bad setting that holds a password.
func TestNoPasswordIsPrinted(t *testing.T) {
	for _, tt := range []struct{ program, variable string }{
		{"mqtt-bridge", "MQTT_URL"}, {"simulator", "MQTT_URL"}, {"ingest-writer", "MONGODB_URI"}, {"cache-updater", "REDIS_URL"},
		{"query-api", "DATABASE_URL"}, {"query-api", "KAFKA_BROKERS"}, {"all-in-one", "DATABASE_URL"},
	} {
		run := func(t *testing.T, env []string, args ...string) (exit int, output string) {
			program := binary(t, tt.program) // is built at first
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			command := exec.CommandContext(ctx, program, args...)
			command.Dir, command.Env = t.TempDir(), env
			out, _ := command.CombinedOutput()
			return command.ProcessState.ExitCode(), string(out)
		}
		t.Run(tt.program+" "+tt.variable, func(t *testing.T) {
			t.Parallel()
			listeners := []string{"OPS_ADDR=127.0.0.1:0", "HTTP_ADDR=127.0.0.1:0", "KAFKA_LISTEN_ADDR=127.0.0.1:0"}
			if tt.program == "all-in-one" {
				listeners = append(listeners, "MQTT_LISTEN_ADDR=127.0.0.1:0")
			}
			for _, bad := range []string{
				"iot:%s@tcp(h)/x", "iot:%s", "%s", "x://iot:%s@h/x", "tcp://iot:%sh:1883", "mysql:/iot:%s@h/x", "redis://:%s@h:port/0", "mongodb://iot:%s%%@h/iot",
				"tcp://iot:%s@h:99999",
			} {
				bad = fmt.Sprintf(bad, secret)
				for _, variable := range []string{tt.variable, tt.variable + "_FILE"} {
					exit, output := run(t, append(listeners, variable+"="+bad))
					if exit != 2 || !strings.Contains(output, variable) || strings.Contains(output, secret) {
						t.Errorf("%s=%s: exit %d, %s", variable, bad, exit, output)
					}
				}
			}
			if exit, output := run(t, []string{tt.variable + "=tcp://iot:" + secret + "@h"}, "--help"); exit != 0 || strings.Contains(output, secret) {
				t.Errorf("--help: exit %d, %s", exit, output)
			}
			if exit, output := run(t, nil, secret); exit != 2 || strings.Contains(output, secret) {
				t.Errorf("a password as an argument: exit %d, %s", exit, output)
			}
			if exit, output := run(t, nil, "--nothing="+secret); exit != 2 || strings.Contains(output, secret) {
				t.Errorf("a password for a flag that there is not: exit %d, %s", exit, output)
			}
		})
	}
}

// TestNoPasswordIsLogged runs services whose servers are away.
func TestNoPasswordIsLogged(t *testing.T) {
	user := "iot:" + secret + "@127.0.0.1:1"
	for program, servers := range map[string][]string{ // that it logs in to
		"mqtt-bridge": {"mqtt"}, "ingest-writer": {"mongodb"}, "cache-updater": {"redis"}, "query-api": {"mysql", "mongodb", "redis"},
	} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			p, err := process.Start(process.Spec{Binary: binary(t, program), Log: filepath.Join(t.TempDir(), "log"), Settings: []string{
				"MQTT_URL=tcp://" + user, "MONGODB_URI=mongodb://" + user + "/iot?timeoutMS=500", "REDIS_URL=redis://" + user, "DATABASE_URL=mysql://" + user + "/iot",
				"KAFKA_BROKERS=127.0.0.1:1", "KAFKA_USERNAME=iot", "KAFKA_PASSWORD=" + secret, "HTTP_ADDR=127.0.0.1:0", "LOG_LEVEL=debug",
			}})
			if err != nil {
				t.Fatal(err)
			}
			var verbose string
			eventually(t, 60*time.Second, "all that is away is logged", func() bool {
				response, err := http.Get("http://" + p.OpsAddr() + "/readyz?verbose")
				if err != nil {
					return false
				}
				defer response.Body.Close()
				body, _ := io.ReadAll(response.Body)
				verbose = string(body)
				for _, server := range servers {
					if !regexp.MustCompile(`"dependency is not available",.*"dependency":"` + server).MatchString(p.Log()) {
						return false
					}
				}
				return true
			})
			_ = p.Stop() // some wait for what is away
			if all := p.Log() + verbose; strings.Contains(all, secret) {
				t.Errorf("%s", all)
			}
		})
	}
}
