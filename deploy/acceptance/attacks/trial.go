package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/ledger"
)

// The bounds that a row must keep.
const (
	longest    = 15 * time.Second // how long an attack may take
	peakLimit  = memoryLimit / 2  // of the resident memory meanwhile
	restLimit  = 20 << 20         // by how much it may be greater afterwards
	restTime   = 20 * time.Second // until then
	ackLimit   = time.Second      // of 99 of 100 PUBACKs of the fleet
	probeLimit = time.Second      // of what the row probes
	logLimit   = 256 << 10        // bytes that an attack may write to the log
	warmUp     = 2 * fleetDevices // readings, before it begins
	amid       = time.Second / 2  // how long after its second beginning the SIGTERM comes
)

// row is an attack, and what it is made on.
type row struct {
	name, what string
	on         func(context.Context, *site) (*target, error)
	secured    bool // the fleet connects by TLS
	attack     func(context.Context, *attacker) error
	probe      func(context.Context, *attacker) error // done again and again meanwhile; takes no more than probeLimit
	refused    []string                               // the reasons for which /metrics counts something refused
	peak       int64                                  // bytes that may be resident meanwhile, beyond peakLimit
	kept       int64                                  // bytes that may be in use afterwards, beyond restLimit
	stalled    time.Duration                          // how long the attack itself keeps Kafka from answering
}

// outcome is what became of a row.
type outcome struct {
	row           row
	took          time.Duration
	before, after int64 // bytes of memory in use
	peak          int64 // bytes of resident memory
	ack, probed   time.Duration
	lost, logged  int
	wrong         []string
}

func (o *outcome) check(ok bool, format string, args ...any) {
	if !ok {
		o.wrong = append(o.wrong, fmt.Sprintf(format, args...))
	}
}

func (o *outcome) checkErr(what string, err error) {
	o.check(err == nil, "%s: %v", what, err)
}

// try makes the attack r on t. An error is one of the harness; what is wrong with the process is in the outcome.
func (s *site) try(ctx context.Context, r row, t *target) (o outcome, err error) {
	o.row = r
	defer func() { _ = t.Kill() }() // it has ended by then, unless something is wrong
	scheme := "tcp://"
	if r.secured {
		scheme = "ssl://"
	}
	f, err := s.startFleet(ctx, scheme+t.mqtt)
	if err != nil {
		return o, err
	}
	defer f.stop()
	if err := f.publish(ctx, warmUp); err != nil {
		return o, err
	}
	if err := s.judge(ctx, t, f, &o); err != nil {
		select {
		case <-t.Ended():
			o.check(false, "it has ended by itself, with exit code %d:\n%s", t.ExitCode(), t.LogEnd(4))
		case <-time.After(time.Second):
			return o, err
		}
	}
	return o, nil
}

// judge attacks t, beside which f publishes, and compares what it does with what it promises. An error may be that
// of a process which has ended.
func (s *site) judge(ctx context.Context, t *target, f *fleet, o *outcome) (err error) {
	quiet := f.Report()
	if err := t.ResetPeak(); err != nil {
		return err
	}
	if o.before, err = t.AnonymousMemory(); err != nil {
		return err
	}
	s.meanwhile(ctx, t, o)
	if err := f.publish(ctx, warmUp); err != nil {
		o.checkErr("the fleet goes on", err)
	}
	o.checkErr("the refusals in /metrics", t.counts(o.row.refused))
	if err := o.rest(ctx, t); err != nil {
		return err
	}
	if _, o.peak, err = t.Usage(); err != nil {
		return err
	}
	limit := peakLimit + o.row.peak
	o.check(o.peak <= limit, "a peak of %s is more than %s", mib(o.peak), mib(limit))

	kept, err := f.end()
	if err != nil {
		return err
	}
	report := f.Report().Since(quiet)
	o.ack = report.Latency(.99)
	o.check(o.ack <= ackLimit+o.row.stalled, "the fleet waits %v for a PUBACK", o.ack)
	o.check(report.Errors == 0, "the fleet lost its connections %d times", report.Errors)
	o.check(f.Report().Unacknowledged() == 0, "%d readings of the fleet got no PUBACK", f.Report().Unacknowledged())
	o.account(ctx, kept, t)
	s.stopAmid(ctx, t, o)
	return nil
}

// meanwhile attacks t and probes it.
func (s *site) meanwhile(ctx context.Context, t *target, o *outcome) {
	a := s.attacker(t)
	defer a.leave()
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	defer context.AfterFunc(ctx, a.leave)()
	probing := make(chan error, 1)
	attacked, stop := context.WithCancel(ctx)
	go func() { probing <- o.probe(attacked, s.attacker(t)) }()
	begin := time.Now()
	err := o.row.attack(ctx, a)
	o.took = time.Since(begin)
	o.check(ctx.Err() == nil, "the attack is not over after %v", longest)
	o.checkErr("the answers to the attack", err)
	stop()
	o.checkErr("the probe", <-probing)
}

// probe makes the probe of a row until ctx ends.
func (o *outcome) probe(ctx context.Context, a *attacker) error {
	defer a.leave()
	if o.row.probe == nil {
		return nil
	}
	for {
		begin := time.Now()
		err := o.row.probe(context.WithoutCancel(ctx), a)
		o.probed = max(o.probed, time.Since(begin))
		switch {
		case err != nil:
			return err
		case o.probed > probeLimit:
			return fmt.Errorf("takes %v", o.probed)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// rest waits until the memory is back to what it was.
func (o *outcome) rest(ctx context.Context, t *target) (err error) {
	for begin := time.Now(); ; {
		if err := t.collect(ctx); err != nil {
			return err
		}
		if o.after, err = t.AnonymousMemory(); err != nil {
			return err
		}
		if o.after <= o.before+restLimit+o.row.kept {
			return nil
		}
		if time.Since(begin) > restTime {
			o.check(false, "%s are still in use %v later, of %s before", mib(o.after), restTime, mib(o.before))
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// account compares what is stored with what was acknowledged.
func (o *outcome) account(ctx context.Context, kept *ledger.Ledger, t *target) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	found, err := kept.Await(ctx, "http://"+t.http)
	o.checkErr("look for what is stored", err)
	o.lost = found.Missing + found.UndatedMissing
	o.checkErr("what is stored", found.Err())
}

// stopAmid sends SIGTERM while the attack is on once more.
func (s *site) stopAmid(ctx context.Context, t *target, o *outcome) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	a := s.attacker(t)
	defer context.AfterFunc(ctx, a.leave)()
	attacked := make(chan struct{})
	go func() {
		defer close(attacked)
		_ = o.row.attack(ctx, a) // the process goes away under it
	}()
	select {
	case <-attacked:
	case <-time.After(amid):
	}
	o.checkErr("SIGTERM amid the attack", t.Stop())
	cancel()
	<-attacked
	a.leave()
	o.logged = len(t.Log())
	o.check(o.logged <= logLimit, "a log of %d bytes", o.logged)
}

// ended is nil as long as t runs.
func (t *target) ended() error {
	select {
	case <-t.Ended():
		return fmt.Errorf("it has ended with exit code %d:\n%s", t.ExitCode(), t.LogEnd(4))
	default:
		return nil
	}
}

// dialer connects from an address of this machine.
func dialer(from net.IP) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: 5 * time.Second}
}
