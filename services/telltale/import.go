package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

func importCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE…|-",
		Short: "Send files of readings; - is standard input",
		Long: `Send files of readings, NDJSON or CSV, also in gzip or zstd; - is standard input.

A file that is sent again stores nothing twice.`,
		Example: `  telltale import 2026.ndjson week.csv.gz
  zcat old.csv.gz | telltale import -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			rejected := 0
			for _, name := range files {
				n, err := c.importFile(cmd.Context(), name)
				if err != nil {
					return &exitError{code(err), fmt.Errorf("import %s: %w", name, err)}
				}
				rejected += n
			}
			if rejected > 0 {
				return &exitError{exitRejected, fmt.Errorf("lines that were rejected, and are dead letters: %d", rejected)}
			}
			return nil
		},
	}
}

// imported is what the server says of a file.
type imported struct {
	Detail   string `json:"detail"`
	Done     bool   `json:"done"`
	Lines    int    `json:"lines"`
	Accepted int    `json:"accepted"`
	Rejected int    `json:"rejected"`
	First    []struct {
		Line           int
		Reason, Detail string
	} `json:"first_rejected"`
}

// importFile sends a file, and returns how many of its lines were rejected.
func (c *client) importFile(ctx context.Context, name string) (rejected int, err error) {
	file, size := io.Reader(os.Stdin), int64(0)
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return 0, &exitError{exitFailed, err}
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil {
			size = info.Size()
		}
		file = f
	}
	body := &sent{r: file, size: size, progress: newProgress(c.quiet)}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.URL, "/")+"/api/readings/import/", body)
	if err != nil {
		return 0, fmt.Errorf("--url: %w", err)
	}
	request.Header.Set("Accept", "application/x-ndjson")
	request.Header.Set("Content-Type", "application/octet-stream")
	switch {
	case strings.HasSuffix(name, ".gz"):
		request.Header.Set("Content-Encoding", "gzip")
	case strings.HasSuffix(name, ".zst"):
		request.Header.Set("Content-Encoding", "zstd")
	}
	answer, err := c.Send(request)
	if err != nil {
		return 0, &exitError{exitIncomplete, err}
	}
	defer answer.Body.Close()
	var last imported
	lines := bufio.NewReader(answer.Body)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 && json.Unmarshal(line, &last) != nil {
			return 0, &exitError{exitFailed, fmt.Errorf("%s: %.200s", answer.Status, line)}
		}
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return 0, &exitError{exitIncomplete, err}
		}
	}
	body.progress.end()
	for _, r := range last.First {
		fmt.Fprintf(os.Stderr, "%s:%d: %s: %s\n", name, r.Line, r.Reason, r.Detail)
	}
	switch {
	case !last.Done && answer.StatusCode < 500 && answer.StatusCode >= 400:
		return 0, &exitError{exitFailed, fmt.Errorf("%s: %s", answer.Status, last.Detail)}
	case !last.Done:
		return 0, &exitError{exitIncomplete, fmt.Errorf("%s after line %d; send it again: what is there is not stored twice", last.Detail, last.Lines)}
	}
	if !c.quiet {
		fmt.Fprintf(os.Stderr, "%s: %d lines, %d readings accepted, %d rejected\n", name, last.Lines, last.Accepted, last.Rejected)
	}
	return last.Rejected, nil
}

// sent is a file on its way.
type sent struct {
	r        io.Reader
	n, size  int64
	progress *progress
}

func (s *sent) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	part := -1.0
	if s.size > 0 {
		part = float64(s.n) / float64(s.size)
	}
	s.progress.add(n, part, "")
	return n, err
}
