package api

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"net/http"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// compressors are the gzip.Writers of an API. Each takes memory for as long as it is there, so there are few, and answers
// wait for one.
type compressors chan *gzip.Writer

func newCompressors() compressors {
	c := make(compressors, maxCompressors)
	for range maxCompressors {
		w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
		if err != nil {
			panic(err) // the level is known
		}
		c <- w
	}
	return c
}

// compress returns original in gzip. Both are to be freed.
func (c compressors) compress(original *answer) *answer {
	buffer := buffers.Get().(*[]byte)
	zipped := appendWriter((*buffer)[:0])
	w := <-c
	w.Reset(&zipped)
	_, _ = w.Write(original.body) // an appendWriter does not fail
	_ = w.Close()
	c <- w
	return &answer{status: original.status, body: zipped, buffer: buffer}
}

// appendWriter grows by what is written to it.
type appendWriter []byte

func (w *appendWriter) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}

// decompressors are the gzip.Readers of an API, for bodies.
type decompressors chan *gzip.Reader

func newDecompressors() decompressors {
	d := make(decompressors, maxDecompressors)
	for range maxDecompressors {
		d <- new(gzip.Reader)
	}
	return d
}

var errNoGzip = &problem{status: http.StatusBadRequest, detail: "The request body is not gzip, as its Content-Encoding says."}

// decompress returns the body of a request that is compressed, which takes room as receive says.
func (a *API) decompress(compressed []byte) ([]byte, error) {
	z := <-a.limits.decompressors
	defer func() { a.limits.decompressors <- z }()
	if z.Reset(bytes.NewReader(compressed)) != nil {
		return nil, errNoGzip
	}
	body, err := a.read(io.NopCloser(z), nil)
	if errors.Is(err, errUnreadable) {
		return nil, errNoGzip
	}
	return body, err
}

// acceptsGzip reports whether a client takes gzip.
func acceptsGzip(header http.Header) bool { return accepts(header, "gzip") }

// accepts reports whether a client takes a coding (RFC 9110, section 12.5.3): where it is named, or all codings are, and
// not with a weight of 0.
func accepts(header http.Header, coding string) bool {
	named, others := false, false
	for name, weight := range accepted(header["Accept-Encoding"]) {
		switch {
		case strings.EqualFold(name, coding):
			if weight == 0 {
				return false
			}
			named = true
		case name == "*":
			others = weight > 0
		}
	}
	return named || others
}

// accepted returns what the values of a header name, with their weights: 0 of those that the client does not take.
func accepted(values []string) iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		for _, value := range values {
			for element := range strings.SplitSeq(value, ",") {
				name, parameter, _ := strings.Cut(element, ";")
				weight := 1.0
				if q, text, _ := strings.Cut(strings.TrimSpace(parameter), "="); strings.EqualFold(q, "q") {
					var err error
					if weight, err = strconv.ParseFloat(strings.TrimSpace(text), 64); err != nil || weight < 0 {
						weight = 0
					}
				}
				if !yield(strings.TrimSpace(name), weight) {
					return
				}
			}
		}
	}
}
