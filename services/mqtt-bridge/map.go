package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/mapping"
)

// explain is the program `mqtt-bridge map`.
type explain struct {
	Mapping  mapping.Config
	Topic    string `name:"topic" placeholder:"TOPIC" help:"MQTT topic that the message is published to."`
	Retained bool   `name:"retained" help:"It is a broker's retained message."`
}

// Operations gives it an operations port that collides with no service on the same machine.
func (e *explain) Operations() *daemon.Flags {
	return &daemon.Flags{OpsAddr: "127.0.0.1:0", LogLevel: slog.LevelWarn}
}

// Validate is called when the settings are read.
func (e *explain) Validate() error {
	if e.Topic == "" {
		return &daemon.ConfigError{Variable: "--topic", Err: errors.New("must be given")}
	}
	return nil
}

// maxMessage is more than a message may have.
const maxMessage = 16 << 20

// Run prints what the message on stdin becomes. It is an error when that is no reading.
func (e *explain) Run(ctx context.Context, _ *daemon.Process) error {
	rules, err := e.Mapping.Load()
	if err != nil {
		return err
	}
	payload, err := read(ctx, os.Stdin)
	if err != nil {
		return fmt.Errorf("read the message from stdin: %w", err)
	}
	explained := rules.Explain(e.Topic, mapping.Message{Payload: payload, Received: time.Now().UTC().Truncate(time.Millisecond), Retained: e.Retained})
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	if err := out.Encode(explained); err != nil {
		return err
	}
	if len(explained.Readings) == 0 {
		return errors.New("the message becomes no reading")
	}
	return nil
}

// read reads all of r, unless ctx ends before that.
func read(ctx context.Context, r io.Reader) (text []byte, err error) {
	done := make(chan struct{})
	go func() {
		text, err = io.ReadAll(io.LimitReader(r, maxMessage))
		close(done)
	}()
	select {
	case <-done:
		return text, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
