package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/ledger"
	"github.com/telltale-iot/telltale/services/simulator/simulator"
)

// damage is where a bit is flipped.
type damage struct {
	file  string  // under DATA_DIR
	at    []int64 // one byte, and copies of it
	said  bool    // it is named: no byte there may change without a trace
	inner bool    // it may be in the tree of a database: all-in-one may end, or fail to read or write, when it names it
}

// bitFlip stops all-in-one, flips a bit of a file, and watches how it starts on that: it names the file, shows
// nothing but what was published, and takes readings. The devices of the trial do not find it meanwhile. In the end
// the disk gets back what it had, of which nothing is missing.
func bitFlip(damages ...func(t *trial) (damage, error)) injection {
	return func(ctx context.Context, t *trial) error {
		if err := t.needDisk(); err != nil {
			return err
		}
		p := t.services[allInOne]
		choose := damages[t.injected%len(damages)]
		lift := t.fault()
		defer lift()
		if err := p.stop(); err != nil {
			return err
		}
		healthy, err := t.disk.save()
		if err != nil {
			return err
		}
		d, err := choose(t)
		if err != nil {
			return err
		}
		bit := t.dice.IntN(8)
		if err := flip(filepath.Join(t.data, d.file), 1<<bit, d.at...); err != nil {
			return err
		}
		if err = t.watch(ctx, d); err != nil {
			err = fmt.Errorf("bit %d of byte %v of %s is flipped: %w", bit, d.at, d.file, err)
		}
		if p.running() {
			_ = p.kill() // it may have ended
		}
		return errors.Join(err, t.disk.load(healthy), p.start())
	}
}

func flip(file string, mask byte, at ...int64) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, i := range at {
		content[i] ^= mask
	}
	return os.WriteFile(file, content, 0)
}

// watch starts all-in-one on damaged data, where the devices of the trial do not find it.
func (t *trial) watch(ctx context.Context, d damage) error {
	p := t.services[allInOne]
	usual := p.settings
	defer func() { p.settings = usual }()
	p.settings = with(usual, "MQTT_LISTEN_ADDR="+t.probeAddr)
	said, err := os.Stat(p.log)
	if err != nil {
		return err
	}
	if err := p.start(); err != nil {
		return err
	}
	named := func() error { return p.names(ctx, said.Size(), t.data, []string{d.file}) }
	if err := eventually(ctx, 2*brief, func() error { return errors.Join(p.process.Check(), p.alive(ctx)) }); err != nil {
		if d.inner {
			err = nil
		}
		return errors.Join(err, named())
	}
	missing, failed, err := t.unchanged(ctx)
	if err != nil {
		return err
	}
	if err := t.takes(ctx, strings.Contains(d.file, topic)); err != nil {
		failed = errors.Join(failed, err)
	}
	if d.inner {
		missing = 0 // SQLite does not notice that an index does not lead to a row any more
	} else if failed != nil {
		return failed
	}
	if d.said || missing > 0 || failed != nil {
		if err := named(); err != nil {
			return errors.Join(fmt.Errorf("%d readings are missing: %w", missing, err), failed)
		}
	}
	return nil
}

// unchanged is an error when the API shows what was not published. It returns how many of the readings that were
// acknowledged it does not show, and failed when it does not answer.
func (t *trial) unchanged(ctx context.Context) (missing int, failed, err error) {
	caughtUp, cancel := context.WithTimeout(ctx, brief)
	defer cancel()
	for _, f := range t.fleets {
		l, err := ledger.Read(f.file)
		if err != nil {
			return 0, nil, err
		}
		_, _ = l.Await(caughtUp, t.api) // what is missing may stay so
		r, err := l.Check(ctx, t.api)
		if r.Different+r.Duplicated+r.Unexpected > 0 {
			return 0, nil, r.Err()
		}
		missing += r.Missing
		failed = errors.Join(failed, err)
	}
	return missing, failed, nil
}

// takes is nil when new devices, each with a connection of its own, get what they publish acknowledged and stored:
// all of them, or most where one partition of the log is damaged.
func (t *trial) takes(ctx context.Context, oneIsDamaged bool) error {
	const devices = 40
	first := t.next
	t.next += devices
	s, err := simulator.New(simulator.Config{
		URL: "tcp://" + t.probeAddr, ClientID: "probe", Connections: devices, Devices: devices, FirstDevice: first, Rate: 2,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	publishing, stop := context.WithCancel(ctx)
	ended := make(chan error)
	go func() { ended <- s.Run(publishing) }()
	f := fleet{first: first, size: fleetOf{devices: devices}}
	least := devices
	if oneIsDamaged {
		least = devices / 2
	}
	begin := time.Now()
	err = eventually(ctx, 2*brief, func() error {
		n, err := f.shown(ctx, t.api, storedSince(begin), begin)
		if err == nil && n < least {
			err = fmt.Errorf("of %d new devices %d have something stored, want %d", devices, n, least)
		}
		return err
	})
	stop()
	return errors.Join(err, <-ended)
}

// segment is a random place in a random segment of the readings' topic.
func segment(t *trial) (damage, error) {
	return t.anywhere(damage{file: "kafka/partitions/" + topic, said: true}, ".dat")
}

// index is a random place in the index of one.
func index(t *trial) (damage, error) {
	return t.anywhere(damage{file: "kafka/partitions/" + topic, said: true}, ".idx")
}

// groups is a random place in what the groups have committed.
func groups(t *trial) (damage, error) {
	return t.anywhere(damage{file: "kafka/groups.log", said: true}, "")
}

// page is a random place in a database, where there may be a row or a part of the tree that leads to it, or nothing.
func page(database string) func(*trial) (damage, error) {
	return func(t *trial) (damage, error) { return t.anywhere(damage{file: database, inner: true}, "") }
}

// anywhere puts d in a random place of a random file whose name begins with d's and has an end.
func (t *trial) anywhere(d damage, suffix string) (damage, error) {
	files, err := filesUnder(t.data, d.file)
	if err != nil {
		return d, err
	}
	for _, i := range t.dice.Perm(len(files)) {
		info, err := os.Stat(files[i])
		if err != nil {
			return d, err
		}
		if strings.HasSuffix(files[i], suffix) && info.Size() > 0 {
			d.file, d.at = nameIn(t.data, files[i]), []int64{t.dice.Int64N(info.Size())}
			return d, nil
		}
	}
	return d, fmt.Errorf("nothing is in the files %s*%s", d.file, suffix)
}

// value is in the temperature of a stored reading.
func value(t *trial) (damage, error) {
	published, err := os.ReadFile(t.fleets[0].file)
	if err != nil {
		return damage{}, err
	}
	acknowledged := regexp.MustCompile(`"acknowledged".*"temperature":([0-9.-]+)`).FindAllSubmatch(published, -1)
	if len(acknowledged) == 0 {
		return damage{}, errors.New("nothing is acknowledged")
	}
	temperature, err := strconv.ParseFloat(string(acknowledged[t.dice.IntN(len(acknowledged))][1]), 64)
	if err != nil {
		return damage{}, err
	}
	file, err := t.newestMonth()
	if err != nil {
		return damage{}, err
	}
	return t.in(nameIn(t.data, file), binary.BigEndian.AppendUint64(nil, math.Float64bits(temperature)))
}

// in is a random byte of a value in a database. SQLite leaves behind copies of rows that it has moved.
func (t *trial) in(file string, text []byte) (damage, error) {
	content, err := os.ReadFile(filepath.Join(t.data, file))
	if err != nil {
		return damage{}, err
	}
	d := damage{file: file, said: true}
	which := t.dice.IntN(len(text))
	for i := range content {
		if bytes.HasPrefix(content[i:], text) {
			d.at = append(d.at, int64(i+which))
		}
	}
	if len(d.at) == 0 {
		return d, fmt.Errorf("%s does not have %q", file, text)
	}
	return d, nil
}
