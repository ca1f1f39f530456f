package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/telltale-iot/telltale/pkg/apiclient"
)

// export is what is to be exported, and where to.
type export struct {
	*client
	devices        []string
	since, until   string
	format         string
	output, goesOn string // files

	stderr   io.Writer
	now      time.Time
	from, to time.Time
	cursor   string   // where it goes on
	columns  []string // that the file has, which is gone on with
	file     *os.File
	replaces string // what the file takes the place of when it is whole
	hash     hash.Hash
	progress *progress
}

var formats = []string{"ndjson", "csv", "parquet"}

func exportCommand(c *client) *cobra.Command {
	e := &export{client: c}
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write readings to a file, oldest first",
		Example: `  telltale export --device 42 --since 7d --format csv >week.csv
  telltale export --since 2026-01-01 --output 2026.ndjson
  telltale export --continue 2026.ndjson       # after it broke off, or for what came later`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e.now, e.stderr = time.Now(), cmd.ErrOrStderr()
			return e.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&e.devices, "device", "d", nil, "only of this device, by id or key, and of others that are named so")
	f.StringVar(&e.since, "since", "", "only of this moment or later: 2026-03-01, 2026-03-01T12:00:00Z, or 90m, 12h, 7d ago")
	f.StringVar(&e.until, "until", "", "only before this moment")
	f.StringVarP(&e.format, "format", "f", "", "ndjson, csv or parquet; what the output is called, or else ndjson, is the default")
	f.StringVarP(&e.output, "output", "o", "", "the file; standard output is the default")
	f.StringVar(&e.goesOn, "continue", "", "go on with this file, of NDJSON or CSV, behind its last whole reading")
	cmd.MarkFlagsMutuallyExclusive("output", "continue")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (e *export) run(ctx context.Context) error {
	e.goesOn = strings.TrimSuffix(e.goesOn, partial)
	if e.format == "" {
		e.format = "ndjson"
		for _, f := range formats {
			if strings.HasSuffix(e.output+e.goesOn, "."+f) {
				e.format = f
			}
		}
	}
	if !slices.Contains(formats, e.format) {
		return fmt.Errorf("--format %q is none of %s", e.format, strings.Join(formats, ", "))
	}
	var err error
	if e.from, err = e.moment("since", e.since); err != nil {
		return err
	}
	if e.to, err = e.moment("until", e.until); err != nil {
		return err
	}
	if e.goesOn != "" {
		if err := e.reopen(); err != nil {
			return err
		}
	}
	return e.download(ctx)
}

var ago = regexp.MustCompile(`^(\d+)([smhdw])$`)

// moment reads a time, or how long ago it is.
func (e *export) moment(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if m := ago.FindStringSubmatch(text); m != nil {
		n, err := strconv.Atoi(m[1])
		unit := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour}[m[2]]
		if err == nil && n < int(200*366*24*time.Hour/unit) {
			return e.now.Add(-time.Duration(n) * unit), nil
		}
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--%s %q is no time, as 2026-03-01, 2026-03-01T12:00:00Z, or 12h or 7d ago", flag, text)
}

// query is what the server is asked.
func (e *export) query() string {
	q := url.Values{"format": {e.format}, "column": e.columns}
	for _, device := range e.devices {
		q.Add("device_id", apiclient.InList(device))
	}
	if e.since != "" {
		q.Set("since", e.from.UTC().Format(time.RFC3339Nano))
	}
	if e.until != "" {
		q.Set("until", e.to.UTC().Format(time.RFC3339Nano))
	}
	if e.cursor != "" {
		q.Set("cursor", e.cursor)
	}
	return strings.TrimSuffix(e.URL, "/") + "/api/readings/export/?" + q.Encode()
}

// download writes the file, and checks that it is whole.
func (e *export) download(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.query(), nil)
	if err != nil {
		return fmt.Errorf("--url: %w", err)
	}
	answer, err := e.Send(request)
	if err != nil {
		return &exitError{exitFailed, err}
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return asked(apiclient.Problem(answer))
	}
	if err := e.create(); err != nil {
		return &exitError{exitFailed, err}
	}
	defer e.file.Close()
	e.hash = sha256.New()
	e.progress = newProgress(e.quiet)
	n, err := io.Copy(io.MultiWriter(e.hash, e.file, progressWriter{e.progress, e}), answer.Body)
	e.progress.end()
	if err == nil {
		err = e.check(answer.Trailer)
	}
	if err == nil {
		err = e.finish()
	}
	var path *os.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path), errors.As(err, &link): // the output's
		return &exitError{exitFailed, err}
	case err != nil:
		hint := ""
		if file := e.output + e.goesOn; file != "" && e.format != "parquet" {
			hint = "; go on with: telltale export --continue " + file + " and the same flags"
		}
		return &exitError{exitIncomplete, fmt.Errorf("%w after %d bytes: %w%s", errBrokeOff, n, err, hint)}
	}
	count := answer.Trailer.Get("X-Readings-Count")
	if count == "0" && e.goesOn == "" {
		_, _ = fmt.Fprintln(e.stderr, "telltale: warning: there are no readings of these devices and times")
	}
	if !e.quiet {
		_, _ = fmt.Fprintf(e.stderr, "%s readings, %s, SHA-256 %s\n", count, size(n), answer.Trailer.Get("X-Body-Sha256"))
	}
	return nil
}

// check compares what came with what the server says behind it.
func (e *export) check(trailer http.Header) error {
	want, got := trailer.Get("X-Body-Sha256"), hex.EncodeToString(e.hash.Sum(nil))
	switch {
	case want == "":
		return errors.New("nothing behind it says that it is whole")
	case want != got:
		return fmt.Errorf("its SHA-256 is %s, and was %s when it was sent", got, want)
	}
	return nil
}
