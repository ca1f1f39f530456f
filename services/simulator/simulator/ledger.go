package simulator

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// The events of a reading that a ledger records.
const (
	eventSent         = "sent"
	eventAcknowledged = "acknowledged"
)

// errLedger ends the simulator: readings that are not in the ledger prove nothing.
var errLedger = errors.New("write the ledger")

// ledger appends events to a file. Once flush has returned, a kill of the process does not lose them. A
// nil ledger records nothing.
type ledger struct {
	mu   sync.Mutex
	file *os.File
	buf  []byte
	err  error // the first error of a write; nothing is written after it
}

// openLedger opens the file at path, to append to what whole lines it has.
func openLedger(path string) (*ledger, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := cutTornLine(f); err != nil {
		_ = f.Close()
		return nil, err
	}
	return &ledger{file: f}, nil
}

// cutTornLine removes what stands behind the last newline of f, which a kill in the middle of a write can
// leave there, and moves to the end.
func cutTornLine(f *os.File) error {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	for block := make([]byte, 4096); end > 0; {
		start := max(0, end-int64(len(block)))
		n, err := f.ReadAt(block[:end-start], start)
		if err != nil && err != io.EOF {
			return err
		}
		if i := bytes.LastIndexByte(block[:n], '\n'); i >= 0 {
			end = start + int64(i) + 1
			break
		}
		end = start
	}
	if err := f.Truncate(end); err != nil {
		return err
	}
	_, err = f.Seek(end, io.SeekStart)
	return err
}

func (l *ledger) add(event string, reading []byte) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, `{"event":"`...)
	l.buf = append(l.buf, event...)
	l.buf = append(l.buf, `","reading":`...)
	l.buf = append(l.buf, reading...)
	l.buf = append(l.buf, "}\n"...)
}

// flush hands everything that was added to the operating system.
func (l *ledger) flush() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil && len(l.buf) > 0 {
		if _, err := l.file.Write(l.buf); err != nil {
			l.err = fmt.Errorf("%w: %w", errLedger, err)
		}
		l.buf = l.buf[:0]
	}
	return l.err
}

func (l *ledger) close() error {
	if l == nil {
		return nil
	}
	return errors.Join(l.flush(), l.file.Close())
}
