package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

var benchLine = regexp.MustCompile(`BenchmarkDecodeLegacy\S*\s+(\d+)\s+([\d.]+) ns/op.*?(\d+) allocs/op`)

// payloadDecode runs the decoder's own benchmark, and takes the best of three.
func payloadDecode(ctx context.Context, _ *bench, _ starter) (f figures, err error) {
	out, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkDecodeLegacy$", "-benchmem", "-count", "3", "github.com/telltale-iot/telltale/pkg/payload").CombinedOutput()
	if err != nil {
		return f, fmt.Errorf("%w\n%s", err, out)
	}
	best := 0.0
	for _, match := range benchLine.FindAllStringSubmatch(string(out), -1) {
		ns, err := strconv.ParseFloat(match[2], 64)
		if err != nil {
			return f, err
		}
		if best == 0 || ns < best {
			best = ns
			f.note = fmt.Sprintf("%.0f ns, %s allocations (target 500, 2)", ns, match[3])
		}
	}
	if best == 0 {
		return f, fmt.Errorf("no figures in\n%s", out)
	}
	f.n, f.cpu, f.rate = million, time.Duration(best*million), 1e9/best
	return f, nil
}
