package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// report is the table: printed line by line, and written to a file in the end.
type report struct {
	begin    time.Time
	settings settings

	mu       sync.Mutex
	outcomes []outcome
}

// dash stands where there is nothing to say.
const dash = "-"

var columns = []struct {
	name  string
	width int // on the terminal; negative: left-aligned
	of    func(outcome) string
}{
	{"fault", -33, func(o outcome) string { return o.fault }},
	{"mode", -9, func(o outcome) string { return o.mode }},
	{"times", 5, func(o outcome) string { return o.number(o.injected, !o.untouched) }},
	{"acknowledged", 12, func(o outcome) string { return o.number(o.acknowledged, true) }},
	{"stored", 7, func(o outcome) string { return o.number(o.stored, true) }},
	{"repeated", 8, func(o outcome) string { return o.number(o.repeated, true) }},
	{"duplicates", 10, func(o outcome) string { return o.number(o.twice, true) }},
	{"lost", 5, func(o outcome) string { return o.number(o.lost, true) }},
	{"recovery", 8, func(o outcome) string {
		if o.notRun || o.untouched {
			return dash
		}
		return fmt.Sprintf("%.1f s", o.recovery.Seconds())
	}},
	{"memory", -32, func(o outcome) string { return o.memory }},
	{"", -7, outcome.verdict},
}

// number is n, or a dash where it does not apply.
func (o outcome) number(n int, applies bool) string {
	if o.notRun || !applies {
		return dash
	}
	return strconv.Itoa(n)
}

func (o outcome) verdict() string {
	switch {
	case o.err != nil:
		return "FAIL"
	case o.notRun:
		return "not run"
	default:
		return "ok"
	}
}

func (r *report) printHeader() {
	for _, c := range columns {
		fmt.Printf("%*s ", c.width, c.name)
	}
	fmt.Println()
}

// add prints outcomes, and what is wrong with them.
func (r *report) add(outcomes []outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range outcomes {
		for _, c := range columns {
			fmt.Printf("%*s ", c.width, c.of(o))
		}
		fmt.Println()
		if o.err != nil {
			fmt.Printf("    %s\n", strings.ReplaceAll(o.err.Error(), "\n", "\n    "))
		}
	}
	r.outcomes = append(r.outcomes, outcomes...)
}

// sort puts the outcomes, which were added as rows ended, into the order of rows.
func (r *report) sort() {
	place := map[string]int{}
	for i, row := range rows {
		place[row.name] = i
	}
	slices.SortStableFunc(r.outcomes, func(a, b outcome) int { return place[a.fault] - place[b.fault] })
}

// failed returns how many lines failed.
func (r *report) failed() int {
	n := 0
	for _, o := range r.outcomes {
		if o.err != nil {
			n++
		}
	}
	return n
}

const preface = `# What faults do to Telltale

Written by ` + "`make faults`" + `; the package comment of this folder says how it works.

- both lines of a row come from one run, with a bridge in each mode side by side; where a fault is not on the
  path of the devices of one mode, their line has dashes for it, and shows that they do not suffer from it
- times: how often the fault was injected, and seen to have an effect
- acknowledged: readings whose PUBACK the devices got; stored: of these, readable over HTTP once and unchanged
- repeated: records of readings on Kafka beyond the first, which the stores have dropped; duplicates: readings
  stored more than once
- lost: readings that were acknowledged and are not stored; the note says where some may be
- recovery: the longest time from the end of a fault until new readings of all devices were readable, stored
  and as the latest values (where faults follow each other before that, of the last); after a kill of a server
  its own start is in it
- memory: the greatest resident memory of the process that came closest to its bound

`

// write writes the table to a file as Markdown.
func (r *report) write(file string) error {
	var b strings.Builder
	b.WriteString(preface)
	ran, notRun := map[string]bool{}, 0
	for _, o := range r.outcomes {
		if o.notRun {
			notRun++
		} else {
			ran[o.fault] = true
		}
	}
	fmt.Fprintf(&b, "%s: %d of %d rows in %v, %d not run; %d of %d lines failed; seed %d, %d CPUs, %s.\n\n", r.begin.UTC().Format("2006-01-02"),
		len(ran), len(rows), time.Since(r.begin).Round(time.Minute), notRun, r.failed(), len(r.outcomes), r.settings.seed, runtime.NumCPU(), load())
	rule := "|"
	for _, c := range columns {
		fmt.Fprintf(&b, "| %s ", c.name)
		rule += "---|"
	}
	fmt.Fprintf(&b, "| note |\n%s---|\n", rule)
	for _, o := range r.outcomes {
		for _, c := range columns {
			fmt.Fprintf(&b, "| %s ", c.of(o))
		}
		note := o.note
		if o.err != nil {
			why, _, _ := strings.Cut(o.err.Error(), "\n")
			note = strings.TrimSuffix(why, ":") + "; " + note
		}
		fmt.Fprintf(&b, "| %s |\n", note)
	}
	return os.WriteFile(file, []byte(b.String()), 0o644)
}

// load is how busy the machine is: times mean little on one that does other things too.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 3 {
		return "load not known"
	}
	return "load " + fields[2]
}
