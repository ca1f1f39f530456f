package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// injection is a fault: it begins, lasts, and is lifted when it returns.
type injection func(ctx context.Context, t *trial) error

// kill kills processes with SIGKILL, three times.
func kill(names ...string) injection {
	return func(ctx context.Context, t *trial) error {
		return t.thrice(ctx, func() error {
			lift := t.fault()
			if err := t.each(names, (*service).kill); err != nil {
				return err
			}
			if err := t.pause(ctx, time.Second); err != nil {
				return err
			}
			lift()
			return t.each(names, (*service).start)
		})
	}
}

// killBehind kills processes while a proxy refuses them what they write to: all that they have taken by then
// is still to be written.
func killBehind(away string, names ...string) injection {
	return func(ctx context.Context, t *trial) error {
		lift := t.fault()
		defer lift()
		// What was wrongly taken for done is committed within half a second.
		err := errors.Join(t.proxies[away].refuse(), sleep(ctx, time.Second), t.pause(ctx, 2*time.Second), t.each(names, (*service).kill), t.each(names, (*service).start), t.pause(ctx, 2*time.Second))
		return errors.Join(err, t.proxies[away].allow())
	}
}

// each does something to those processes of names that there are: the bridge may run in one mode only.
func (t *trial) each(names []string, do func(*service) error) error {
	for _, name := range names {
		if p := t.services[name]; p != nil {
			if err := do(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// pause stops processes (SIGSTOP) for d, all at the same time.
func pause(d time.Duration, names ...string) injection {
	return func(ctx context.Context, t *trial) error {
		lift := t.fault()
		defer lift()
		begin := time.Now()
		err := errors.Join(t.each(names, (*service).freeze), t.each(names, func(p *service) error { return p.frozen(ctx) }))
		return errors.Join(err, sleep(ctx, d-time.Since(begin)), t.each(names, (*service).thaw))
	}
}

// roll restarts processes as an update does: SIGTERM, exit code 0 within 10 s, and start. What they have counted by
// then adds up.
func roll(names ...string) injection {
	return func(ctx context.Context, t *trial) error {
		return t.thrice(ctx, func() error {
			// A process that has only just begun does not know signals yet.
			err := t.each(names, func(p *service) error {
				return errors.Join(eventually(ctx, brief, func() error { return p.alive(ctx) }), p.checkAccounting(ctx))
			})
			lift := t.fault()
			if err := errors.Join(err, t.each(names, (*service).stop)); err != nil {
				return err
			}
			lift()
			return t.each(names, (*service).start)
		})
	}
}

// backlogSize is how many readings the consumers find, of each bridge.
const backlogSize = 150_000

// backlog has the consumers find many readings when they start.
func backlog(ctx context.Context, t *trial) error {
	consumers := []string{ingestWriter, cacheUpdater, queryAPI}
	lift := t.fault()
	if err := t.each(consumers, (*service).stop); err != nil {
		return err
	}
	for mode := range t.devices {
		f, err := t.addFleet(ctx, mode, fleetOf{devices: 200, connections: 4, count: backlogSize})
		if err != nil {
			return err
		}
		select {
		case <-f.ended:
		case <-time.After(2 * time.Minute):
			return fmt.Errorf("published %d of %d readings", f.Report().Acknowledged, backlogSize)
		}
	}
	lift()
	return t.each(consumers, (*service).start)
}

// checkAccounting is nil when a process that has drained accounts for all that it took. One that has not is not asked.
func (p *service) checkAccounting(ctx context.Context) error {
	if !p.ready(ctx) {
		return nil
	}
	f, err := p.metrics(ctx)
	if err == nil {
		_, _, err = p.accounting().balanced(f)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}

// tookPart waits until a process has handled some of everything that it is there for, and accounts for it.
func (p *service) tookPart(ctx context.Context) error {
	return eventually(ctx, 30*time.Second, func() error {
		f, err := p.metrics(ctx)
		if err != nil {
			return err
		}
		received, inFlight, err := p.accounting().balanced(f)
		if err == nil && received-inFlight <= 0 {
			err = errors.New("it handles nothing")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		return nil
	})
}

// replica is a further process (n: 2 or 3) with the settings of p, on ports of its own.
func (t *trial) replica(p *service, n int, settings ...string) *service {
	ops := t.stack.addr(fmt.Sprintf("OPS_REPLICA_%d", n))
	r := *p
	r.name = fmt.Sprintf("%s-%d", p.name, n)
	r.log = strings.TrimSuffix(p.log, ".log") + fmt.Sprintf("-%d.log", n)
	r.ops, r.process, r.peak = ops, nil, 0
	r.settings = with(p.settings, settings...)
	return &r
}

// scale runs three processes of a service for a while.
func scale(name string) injection {
	return func(ctx context.Context, t *trial) error {
		lift := t.fault()
		defer lift()
		p := t.services[name]
		more := []*service{t.replica(p, 2, "HTTP_ADDR=127.0.0.1:0"), t.replica(p, 3, "HTTP_ADDR=127.0.0.1:0")}
		return t.run3(ctx, more, (*service).tookPart)
	}
}

// run3 starts more one after the other, waits until each is as it should be, and stops them in that order.
func (t *trial) run3(ctx context.Context, more []*service, drained func(*service, context.Context) error) error {
	defer killAll(more)
	t.retired = append(t.retired, more...)
	for _, r := range more {
		if err := errors.Join(r.start(), drained(r, ctx)); err != nil {
			return err
		}
	}
	for _, r := range more {
		if err := errors.Join(r.checkAccounting(ctx), r.stop(), t.pause(ctx, 2*time.Second)); err != nil {
			return err
		}
	}
	return nil
}

// killAll ends what an error has left running.
func killAll(replicas []*service) {
	for _, r := range replicas {
		if r.running() {
			_ = r.kill()
		}
	}
}

// scaleBridges runs three bridges in each mode. Those that listen are reached through a balancer, which the
// devices' proxy plays: it leads to one after the other.
func scaleBridges(ctx context.Context, t *trial) error {
	lift := t.fault()
	defer lift()
	if err := t.scaleListen(ctx); err != nil {
		return err
	}
	return t.scaleSubscribe(ctx)
}

func (t *trial) scaleListen(ctx context.Context) error {
	p := t.services[bridgeListen]
	if p == nil {
		return nil
	}
	var more []*service
	defer func() { killAll(more) }()
	devices := t.proxies["device-bridge"]
	for n := 2; n <= 3; n++ {
		addr := t.stack.addr(fmt.Sprintf("LISTEN_%d", n))
		r := t.replica(p, n, "MQTT_LISTEN_ADDR="+addr)
		more, t.retired = append(more, r), append(t.retired, r)
		ready := func() error { return r.isReady(ctx) }
		if err := errors.Join(r.start(), eventually(ctx, brief, ready), devices.redirect(addr), r.tookPart(ctx)); err != nil {
			return err
		}
	}
	err := devices.redirect(t.stack.addr("LISTEN"))
	for _, r := range more {
		err = errors.Join(err, r.checkAccounting(ctx), r.stop())
	}
	return err
}

// scaleSubscribe runs three bridges that share the messages. The broker goes on keeping a share for those that
// have left, until they give it up: by running once more without MQTT_SHARED. What their sessions hold then is
// only copies, and is dropped.
func (t *trial) scaleSubscribe(ctx context.Context) error {
	p := t.services[bridgeSubscribe]
	if p == nil {
		return nil
	}
	single := p.settings
	p.settings = with(single, "MQTT_SHARED=true")
	more := []*service{t.replica(p, 2, "MQTT_CLIENT_ID=telltale-bridge-2"), t.replica(p, 3, "MQTT_CLIENT_ID=telltale-bridge-3")}
	ready := func(p *service, ctx context.Context) error {
		return eventually(ctx, 30*time.Second, func() error { return p.isReady(ctx) })
	}
	err := errors.Join(p.stop(), p.start(), ready(p, ctx), t.run3(ctx, more, (*service).tookPart))
	p.settings = single
	if err := errors.Join(err, p.stop(), p.start(), ready(p, ctx)); err != nil {
		return err
	}
	for _, r := range more {
		r.settings = with(r.settings, "MQTT_SHARED=false")
	}
	if err := t.run3(ctx, more, ready); err != nil {
		return err
	}
	for _, id := range []string{"telltale-bridge-2", "telltale-bridge-3"} {
		conn, err := dialMQTT(ctx, "tcp://bridge:"+password+"@"+t.stack.addr("MQTT_PORT"), id, true)
		if err != nil {
			return err
		}
		conn.Close()
	}
	return nil
}

// with returns settings with more of them behind, which win.
func with(settings []string, more ...string) []string {
	return append(append([]string{}, settings...), more...)
}
