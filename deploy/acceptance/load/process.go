package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/process"
)

// starter starts what a row measures, with settings (VARIABLE=value), and waits until it is ready.
type starter func(ctx context.Context, settings ...string) (*process.Process, error)

// service starts a service.
func (b *bench) service(name string) starter {
	return func(ctx context.Context, settings ...string) (*process.Process, error) {
		return b.start(ctx, filepath.Join(b.dir, name), name, settings)
	}
}

// floor starts a floor, as another process of this program.
func (b *bench) floor(name string) starter {
	return func(ctx context.Context, settings ...string) (*process.Process, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		return b.start(ctx, self, name, append(settings, floorVariable+"="+name))
	}
}

func (b *bench) start(ctx context.Context, binary, name string, settings []string) (*process.Process, error) {
	log, err := os.CreateTemp(b.dir, name+"-*.log")
	if err != nil {
		return nil, err
	}
	_ = log.Close()
	p, err := process.Start(process.Spec{Binary: binary, Settings: settings, Log: log.Name()})
	if err != nil {
		return nil, err
	}
	if err := p.WaitReady(ctx); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// finish adds what p has used to f and stops p.
func finish(p *process.Process, f figures, err error) (figures, error) {
	var used error
	f.cpu, f.rss, used = p.Usage()
	return f, errors.Join(err, used, p.Stop())
}

// poll calls done every so often until it is true or fails, or ctx ends.
func poll(ctx context.Context, every time.Duration, done func() (bool, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
