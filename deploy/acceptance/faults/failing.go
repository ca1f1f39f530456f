package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// target is what calls fail on.
type target struct {
	in   string // a file or folder under DATA_DIR, or the beginning of such names
	once bool   // the disk is healthy again after the first failure
	log  bool   // it is what has to be synced before a reading is acknowledged
}

var (
	everything  = target{in: "", log: true}
	segmentOnce = target{in: "kafka/partitions/" + topic, log: true, once: true}
	database    = target{in: months}
)

// failing has calls of all-in-one fail, each time on the next of targets, and checks that it owns up to it: the log
// names the file, and the process is not ready or ends. Where it is the log of the readings that fails, nothing is
// acknowledged from then on, also when the disk is healthy again. Then power is cut, which takes along what was not
// synced, and all-in-one starts anew with a healthy disk.
func failing(calls, how string, targets ...target) injection {
	return func(ctx context.Context, t *trial) error {
		if err := t.needDisk(); err != nil {
			return err
		}
		at := targets[t.injected%len(targets)]
		p := t.services[allInOne]
		files, err := filesUnder(t.data, at.in)
		if err != nil {
			return err
		}
		said, err := os.Stat(p.log)
		if err != nil {
			return err
		}
		tracer, err := p.tamper(calls, how, files...)
		if err != nil {
			return err
		}
		defer tracer.stop()
		var failed []string
		if err := eventually(ctx, 2*brief, func() (err error) {
			if failed, err = tracer.injected(); err == nil && len(failed) == 0 {
				err = errors.New("the fault has no effect: no call has failed")
			}
			return err
		}); err != nil {
			return err
		}
		begin := time.Now()
		if at.once {
			tracer.stop()
		}
		if at.log {
			err = t.silent(ctx, listen)
		}
		err = errors.Join(err, p.ownsUp(ctx, begin), p.names(ctx, said.Size(), t.data, failed))
		tracer.stop()
		return errors.Join(err, t.cutPower())
	}
}

// ownsUp is nil when the process has ended or is not ready.
func (p *service) ownsUp(ctx context.Context, since time.Time) error {
	return eventually(ctx, max(hungLimit-time.Since(since), 0), func() error {
		if p.process.Check() == nil && p.ready(ctx) {
			return fmt.Errorf("%s is ready after a failed call", p.name)
		}
		return nil
	})
}

// names is nil when the log says, behind its first bytes, the name of one of files.
func (p *service) names(ctx context.Context, behind int64, data string, files []string) error {
	return eventually(ctx, hungLimit, func() error {
		text, err := os.ReadFile(p.log)
		if err != nil {
			return err
		}
		for _, file := range files {
			if strings.Contains(string(text[behind:]), nameIn(data, file)) {
				return nil
			}
		}
		return fmt.Errorf("the log of %s names none of the files on which calls have failed: %s", p.name, nameIn(data, files[0]))
	})
}

// nameIn is how a file under data is to be called. SQLite's WAL is part of its database.
func nameIn(data, file string) string {
	return strings.TrimSuffix(strings.TrimPrefix(file, data+"/"), "-wal")
}

// slowSync is how long each flush of a slow disk takes, like that of a worn SD card.
const slowSync = 200 * time.Millisecond

// slowDisk makes every flush slow. Acknowledgements wait for it, and a stop takes no longer than it may.
func slowDisk(ctx context.Context, t *trial) error {
	if err := t.needDisk(); err != nil {
		return err
	}
	lift := t.fault()
	t.disk.setLatency(slowSync)
	defer t.disk.setLatency(0)
	f := t.fleets[0]
	before := f.Report()
	if err := sleep(ctx, brief); err != nil {
		return err
	}
	after := f.Report()
	if median := after.Since(before).Latency(0.5); median < slowSync {
		return fmt.Errorf("the fault has no effect: half of the acknowledgements come within %v", median)
	}
	p := t.services[allInOne]
	err := p.stop()
	t.disk.setLatency(0)
	lift()
	return errors.Join(err, p.start())
}
