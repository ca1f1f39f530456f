// Checkledger reports whether a deployment has every reading that a simulator's ledger says it acknowledged,
// each once and unchanged:
//
//	simulator --count 100000 --publish-ledger ledger.jsonl
//	checkledger ledger.jsonl http://localhost:8000
//
// It waits up to a minute for readings that are still on their way. Exit codes: 0 all is well, 1 something
// is wrong, 2 it could not be found out.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/ledger"
)

func main() {
	if len(os.Args) != 3 {
		fail("usage: checkledger LEDGER http://HOST:PORT")
	}
	l, err := ledger.Read(os.Args[1])
	if err != nil {
		fail(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	report, err := l.Await(ctx, os.Args[2])
	if err != nil {
		fail(err)
	}
	fmt.Println(report)
	if err := report.Err(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func fail(why any) {
	fmt.Fprintln(os.Stderr, "checkledger:", why)
	os.Exit(2)
}
