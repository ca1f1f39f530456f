package main

import (
	"fmt"
	"strings"
	"time"
)

const layout = "%-28s %6s %8s %8s %8s %8s %8s %5s %8s  %s\n"

func printHeader() {
	fmt.Printf(layout, "attack", "took", "before", "peak", "after", "p99", "probe", "lost", "log", "")
}

// print prints a line of the table, and what is wrong below it.
func (o outcome) print() {
	verdict := "ok"
	if len(o.wrong) > 0 {
		verdict = "FAIL"
	}
	probed := "-"
	if o.row.probe != nil {
		probed = ms(o.probed)
	}
	fmt.Printf(layout, o.row.name, fmt.Sprintf("%.1f s", o.took.Seconds()), mib(o.before), mib(o.peak), mib(o.after), ms(o.ack), probed,
		fmt.Sprint(o.lost), fmt.Sprintf("%d KiB", o.logged>>10), verdict)
	for _, w := range o.wrong {
		fmt.Println("    " + strings.ReplaceAll(w, "\n", "\n    "))
	}
}

func mib(bytes int64) string { return fmt.Sprintf("%d MiB", bytes>>20) }

func ms(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }
