package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/telltale-iot/telltale/pkg/internal/dirsync"
	"github.com/telltale-iot/telltale/pkg/pagecache"
)

// recovery makes of what the last process left on the disk a log that kfake can open, before kfake sees it:
// kfake cuts a segment off at the first batch that is damaged, whatever is behind.
//
// What was half-written at the end when the process or the power went was not acknowledged, and is cut off.
// Anything else that is not as it was written is damage. It is named, the file is kept under another name,
// and everything in it that is whole is served. The offsets of what is lost stay unused, if there is
// something behind.
type recovery struct {
	dir    string
	log    *slog.Logger
	copies []string // of damaged files
	tails  map[partition]*tail
}

func (r *recovery) run() error {
	r.tails = map[partition]*tail{}
	if err := r.distrustPageCache(); err != nil {
		return err
	}
	dirs, err := os.ReadDir(filepath.Join(r.dir, "partitions"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, d := range dirs {
		p, ok := parsePartition(d.Name())
		if !ok || !d.IsDir() {
			continue
		}
		if err := r.partition(p); err != nil {
			return fmt.Errorf("partition %v: %w", p, err)
		}
	}
	if err := r.repairState(); err != nil {
		return err
	}
	if err := r.repairJournals(); err != nil {
		return err
	}
	return r.limitCommits()
}

// closedMark is a file that is there from a good end to the next start. It is for that start alone: a machine that
// has started anew meanwhile has an empty page cache anyway, so it need not be synced.
const closedMark = "closed"

// distrustPageCache has everything read from the disk, unless the last process has ended well: it may have ended
// because of a sync that failed.
func (r *recovery) distrustPageCache() error {
	err := os.Remove(filepath.Join(r.dir, closedMark))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return filepath.WalkDir(r.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		return pagecache.Drop(path)
	})
}

// partition reads the partition through.
func (r *recovery) partition(p partition) error {
	t := newTail(p.dir(r.dir))
	s := newSnapshot()
	for from := int64(0); ; {
		bases, err := segments(t.dir) // one that is damaged may be divided, and so has one more behind it
		if err != nil {
			return err
		}
		i, _ := slices.BinarySearch(bases, from)
		if i == len(bases) {
			break
		}
		from = bases[i] + 1
		if t.file != nil && bases[i] != t.next {
			r.log.Error("records are missing from the kafka log", "topic", p.topic, "partition", p.id, "from", t.next, "to", bases[i]-1)
			if bases[i] < t.next {
				return fmt.Errorf("%s: it begins within the segment before it", segmentPath(t.dir, bases[i]))
			}
		}
		if err := r.segment(t, bases[i], s); err != nil {
			return err
		}
	}
	if t.file == nil {
		return nil
	}
	t.synced = t.next
	r.tails[p] = t
	return errors.Join(s.write(t.dir), dirsync.Sync(t.dir))
}

// segment reads a segment, and leaves t at its end when there is anything in it.
func (r *recovery) segment(t *tail, base int64, s *snapshot) error {
	path := segmentPath(t.dir, base)
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	reader := segmentReader{file: file, size: info.Size(), buf: t.reader.buf}
	pos, next := int64(0), base
	var last batch
	for err == nil {
		var b batch
		if b, err = reader.batchAt(pos, next); err == nil {
			pos, next, last = pos+b.bytes, b.next, b
			s.add(b)
		}
	}
	if !errors.Is(err, io.EOF) {
		if err = r.divide(&reader, path, pos, next, err); err == nil {
			err = file.Truncate(pos)
		}
	} else {
		err = nil
	}
	if err == nil && pos == 0 {
		return errors.Join(file.Close(), os.Remove(path), removeIndex(path))
	}
	if err == nil {
		err = errors.Join(r.checkIndex(path, last.epoch), file.Sync()) // the process may have been killed before it did
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	s.end(base, pos)
	t.close()
	t.file, t.pos, t.onDisk, t.next, t.reader = file, pos, pos, next, reader
	return nil
}

// divide looks behind pos, from where on the segment is not as it should be for the reason why. When there
// are whole batches again, it makes a segment of its own of them.
func (r *recovery) divide(reader *segmentReader, path string, pos, next int64, why error) error {
	if !errors.Is(why, errTorn) && !errors.Is(why, errDamaged) {
		return fmt.Errorf("%s at byte %d: %w", path, pos, why)
	}
	rest := make([]byte, reader.size-pos)
	if _, err := reader.file.ReadAt(rest, pos); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	whole, base := wholeBatch(rest, next)
	if whole == len(rest) && errors.Is(why, errTorn) {
		r.log.Warn("cutting a half-written end off the kafka log", "file", path, "bytes", len(rest), "offset", next)
		return nil
	}
	kept, err := r.keepCopy(path)
	if err != nil {
		return err
	}
	log := r.log.With("file", path, "byte", pos, "bytes", whole, "offset", next, "kept", kept)
	if whole == len(rest) {
		log.Error("the kafka log is damaged at its end; what is whole of it is served")
		return nil
	}
	log.Error("the kafka log is damaged; what is whole of it is served, without the records in between", "until", base-1)
	return replaceFile(segmentPath(filepath.Dir(path), base), rest[whole:])
}

// wholeBatch returns where in data, which should begin with offset next, the first whole batch begins, and with
// which offset; len(data) when there is none. The offset is in no checksum, but no record is shorter than a byte.
func wholeBatch(data []byte, next int64) (int, int64) {
	reader := segmentReader{file: bytes.NewReader(data), size: int64(len(data))}
	for at := range data {
		if len(data)-at < batchHeaderBytes {
			break
		}
		b, err := parseHeader(data[at:])
		if err != nil || b.base < next || b.base > next+int64(at) {
			continue
		}
		if _, err := reader.batchAt(int64(at), b.base); err == nil {
			return at, b.base
		}
	}
	return len(data), 0
}

// keepCopy keeps a copy of a damaged file under another name.
func (r *recovery) keepCopy(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	for n := 1; ; n++ {
		kept := path + ".damaged"
		if n > 1 {
			kept += "-" + strconv.Itoa(n)
		}
		f, err := os.OpenFile(kept, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("keep a copy: %w", err)
		}
		_, err = f.Write(content)
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return "", fmt.Errorf("keep a copy: %w", err)
		}
		r.copies = append(r.copies, kept)
		return kept, nil
	}
}

// replaceFile puts content at path: all of it or, when it fails, nothing.
func replaceFile(path string, content []byte) error {
	temporary := path + ".tmp"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return dirsync.Sync(filepath.Dir(path))
}
