package main

import "context"

// rows are the faults, in the order in which they run.
var rows = []row{
	{name: "kill-" + ingestWriter, inject: kill(ingestWriter)},
}

// kill kills processes three times in a row, the later times while they are still catching up.
func kill(names ...string) func(context.Context, *trial) error {
	return func(ctx context.Context, t *trial) error {
		for range 3 {
			lift := t.fault()
			for _, name := range t.matching(names) {
				if err := t.services[name].kill(); err != nil {
					return err
				}
			}
			if err := t.pause(ctx, second); err != nil {
				return err
			}
			for _, name := range t.matching(names) {
				if err := t.services[name].start(); err != nil {
					return err
				}
			}
			lift()
			if err := t.pause(ctx, 3*second); err != nil {
				return err
			}
		}
		return nil
	}
}

// matching returns those of names that run: a bridge may run in one mode only.
func (t *trial) matching(names []string) []string {
	var running []string
	for _, name := range names {
		if t.services[name] != nil {
			running = append(running, name)
		}
	}
	return running
}
