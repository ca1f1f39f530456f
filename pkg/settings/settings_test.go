package settings

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type server struct {
	CA string `env:"CA_FILE" help:"Who signed."`
}

// Validate refuses one name, as the settings of a package do that cannot work together.
func (s server) Validate() error {
	if s.CA == "refused" {
		return &Error{Variable: "CA_FILE", Value: s.CA, Err: errors.New("it cannot be")}
	}
	return nil
}

type Common struct {
	Level slog.Level `env:"TEST_LEVEL" default:"info"`
}

type program struct {
	Common
	URL      string        `env:"TEST_URL" default:"tcp://localhost" help:"Where to go."`
	Topics   []string      `env:"TEST_TOPICS" default:"a,b"`
	Rate     float64       `name:"rate" env:"TEST_RATE" default:"1"`
	Count    int32         `env:"TEST_COUNT" default:"-1"`
	Seed     uint64        `env:"TEST_SEED"`
	TTL      time.Duration `env:"TEST_TTL" default:"60s"`
	Shared   bool          `env:"TEST_SHARED" help:"Share it."`
	Demo     int           `name:"demo" placeholder:"N" help:"Show how it works."`
	Derived  string        // not a setting
	Database server        `envprefix:"TEST_DB_"`
}

func (s *program) Validate() error { return s.Database.Validate() }

func defaults() program {
	return program{URL: "tcp://localhost", Topics: []string{"a", "b"}, Rate: 1, Count: -1, TTL: time.Minute}
}

func TestParse(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("tcp://me:hunter2@broker\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		env  map[string]string
		args []string
		want func(*program)
	}{
		{"what is not given is the default", nil, nil, func(*program) {}},
		{"a variable sets it", map[string]string{"TEST_URL": "tls://a?b=c", "TEST_TOPICS": "x, y", "TEST_RATE": "0.5", "TEST_COUNT": "7",
			"TEST_SEED": "18446744073709551615", "TEST_TTL": "1m30s", "TEST_SHARED": "on", "TEST_LEVEL": "warn"}, nil, func(p *program) {
			*p = program{Common{slog.LevelWarn}, "tls://a?b=c", []string{"x", "y"}, 0.5, 7, 1<<64 - 1, 90 * time.Second, true, 0, "", server{}}
		}},
		{"a flag sets it, with = or without", nil, []string{"--test-url=tls://a?b=c", "--rate", "2", "--demo", "3", "--test-shared"}, func(p *program) {
			p.URL, p.Rate, p.Demo, p.Shared = "tls://a?b=c", 2, 3, true
		}},
		{"a flag counts more than a variable", map[string]string{"TEST_SHARED": "true", "TEST_COUNT": "many"},
			[]string{"--test-shared=false", "--test-count=1"}, func(p *program) { p.Count = 1 }},
		{"a duration may begin with days", map[string]string{"TEST_TTL": "90d"}, nil, func(p *program) { p.TTL = 90 * 24 * time.Hour }},
		{"and go on with what is shorter", map[string]string{"TEST_TTL": "1d1h30m"}, nil, func(p *program) { p.TTL = 25*time.Hour + 30*time.Minute }},
		{"an empty variable counts as not set", map[string]string{"TEST_TTL": "", "TEST_URL_FILE": ""}, nil, func(*program) {}},
		{"an empty flag is set", nil, []string{"--test-url="}, func(p *program) { p.URL = "" }},
		{"a file gives the value, without the line break at its end", map[string]string{"TEST_URL_FILE": secret}, nil,
			func(p *program) { p.URL = "tcp://me:hunter2@broker" }},
		{"a struct's variables have its prefix", map[string]string{"TEST_DB_CA_FILE": "a.pem"}, nil, func(p *program) { p.Database.CA = "a.pem" }},
		{"and its flags", nil, []string{"--test-db-ca-file=a.pem"}, func(p *program) { p.Database.CA = "a.pem" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			want, got := defaults(), program{}
			tt.want(&want)
			if err := Parse(tt.args, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestWrongSettings(t *testing.T) {
	dir := t.TempDir()
	missing, empty, secret := filepath.Join(dir, "missing"), filepath.Join(dir, "empty"), filepath.Join(dir, "secret")
	for file, content := range map[string]string{empty: "\n", secret: "hunter2"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name string
		env  map[string]string
		args []string
		line string // part of the error
	}{
		{"text for a number is named with its variable", map[string]string{"TEST_COUNT": "many"}, nil, `TEST_COUNT="many": must be a whole number`},
		{"a number that does not fit", map[string]string{"TEST_COUNT": "3000000000"}, nil, `TEST_COUNT="3000000000": must be between -2147483648 and 2147483647`},
		{"a number that is not whole", map[string]string{"TEST_COUNT": "1.5"}, nil, `TEST_COUNT="1.5": must be a whole number`},
		{"one below zero where there is none", map[string]string{"TEST_SEED": "-1"}, nil, `TEST_SEED="-1": must be a whole number`},
		{"one beyond 64 bits", map[string]string{"TEST_SEED": "18446744073709551616"}, nil, `must be between 0 and 18446744073709551615`},
		{"text for a number that need not be whole", map[string]string{"TEST_RATE": "fast"}, nil, `TEST_RATE="fast": must be a number`},
		{"a number for a duration", map[string]string{"TEST_TTL": "60"}, nil, `TEST_TTL="60": must be a duration such as 90s, 168h or 90d`},
		{"days that are not whole", map[string]string{"TEST_TTL": "1.5d"}, nil, `TEST_TTL="1.5d": must be a duration`},
		{"days behind what is shorter", map[string]string{"TEST_TTL": "1h1d"}, nil, `TEST_TTL="1h1d": must be a duration`},
		{"days below zero", map[string]string{"TEST_TTL": "-1d"}, nil, `TEST_TTL="-1d": must be a duration`},
		{"more days than there is room for", map[string]string{"TEST_TTL": "106751d24h"}, nil, `TEST_TTL="106751d24h": must be a duration`},
		{"neither yes nor no", map[string]string{"TEST_SHARED": "perhaps"}, nil, `TEST_SHARED="perhaps": must be true or false`},
		{"a level that is none", map[string]string{"TEST_LEVEL": "loud"}, nil, `TEST_LEVEL="loud": must be debug, info, warn or error`},
		{"a flag is named as a flag", nil, []string{"--test-count=many"}, `--test-count="many"`},
		{"a flag without its value", nil, []string{"--test-url"}, "--test-url needs a value"},
		{"an unknown flag", nil, []string{"--nope=1"}, "--nope"},
		{"an argument that is no flag", nil, []string{"--rate=1", "hunter2"}, "unexpected argument 2"},
		{"a URL where its file is expected", map[string]string{"TEST_URL_FILE": "tcp://me:hunter2@broker"}, nil, "TEST_URL_FILE: no such file"},
		{"a variable and its file", map[string]string{"TEST_URL": "x", "TEST_URL_FILE": secret}, nil, "TEST_URL is set as well"},
		{"a file that is missing is named", map[string]string{"TEST_URL_FILE": missing}, nil, `TEST_URL_FILE="` + missing + `"`},
		{"a file that is empty is named", map[string]string{"TEST_URL_FILE": empty}, nil, `TEST_URL_FILE="` + empty + `"`},
		{"what a file holds is not shown", map[string]string{"TEST_COUNT_FILE": secret}, nil, `TEST_COUNT_FILE="` + secret + `"`},
		{"a struct that refuses its settings is named with its prefix", map[string]string{"TEST_DB_CA_FILE": "refused"}, nil, `TEST_DB_CA_FILE="refused": it cannot be`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			err := Parse(tt.args, new(program))
			if err == nil || !strings.Contains(err.Error(), tt.line) {
				t.Fatalf("%v; want an error with %s", err, tt.line)
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q", err)
			}
		})
	}
}

type grouped struct {
	First int `name:"first" default:"1" group:"In a group"`
	Last  int `name:"last" default:"2"`
}

func TestHelp(t *testing.T) {
	if err := Parse([]string{"--help"}, new(program)); !errors.Is(err, ErrHelp) {
		t.Errorf("--help: %v", err)
	}
	var text strings.Builder
	sentence := strings.Repeat("It tests things. ", 7)
	Help(&text, "test", "Tests things.\n\nAn example:\n  test  --demo 1\n"+sentence, new(program), new(grouped))
	for _, part := range []string{
		"Usage: test [flags]\n\nTests things.\n\nAn example:\n  test --demo 1\nIt tests",
		"things. It tests\nthings. It tests things.\n\n" + aboutFiles[:90],
		"\n\nFlags:\n  --test-level=info\n",
		"\n\nIn a group:\n  --first=1\n",
		"\n\nOther flags:\n  --last=2\n",
		"  --test-url=tcp://localhost\n      Where to go. ($TEST_URL)\n",
		"  --test-shared\n      Share it. ($TEST_SHARED)\n",
		"  --demo=N\n      Show how it works.\n",
		"  --test-db-ca-file=VALUE\n      Who signed. ($TEST_DB_CA_FILE)\n",
	} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("%q is not in\n%s", part, text.String())
		}
	}
}

func TestPasswordsAreNotShown(t *testing.T) {
	for _, value := range []string{
		"mysql://iot:hunter2@db:3306/iot", "mysql://iot:hunter2@db:33x06/iot", "mysql://iot:x@hunter2@db/iot", "mysql://iot:1/hunter2@db/iot",
		"redis://:hunter2@localhost", "mongodb://iot:hunter2@a:1,b:2/iot", "postgres://db/iot?user=x&password=hunter2",
		"cannot reach mysql://iot:hunter2@db:3306/iot in time", "mongodb://iot:hunter 2@a/iot", "postgres://iot:x@db/iot?PASSWORD=hunter2&sslmode=disable",
	} {
		err := &Error{"DATABASE_URL", value, errors.New("parse " + value)}
		if strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s", err)
		}
	}
}
