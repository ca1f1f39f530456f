package sqlite

import (
	"context"
	"errors"
	"sync"

	"github.com/telltale-iot/telltale/pkg/sqlite"
)

// maxOpen is how many files are kept open that nobody uses: a year's months, and some. Each has up to six connections,
// whose page caches take up to 2 MiB where much is read.
const maxOpen = 16

// files keeps the files that were used lately open.
type files struct {
	mu   sync.Mutex
	open map[string]*file // by path
	uses int64
}

type file struct {
	*sqlite.DB
	opening   sync.Once
	err       error // of that
	abandoned bool  // closed when nobody uses it
	users     int
	used      int64 // when it was last, as files counts
}

// use returns the file of p, open until it is released. While it is opened, or one is closed, which may take a while, others can
// be used.
func (f *files) use(p *part) (db *sqlite.DB, release func(), err error) {
	f.mu.Lock()
	if p.abandoned {
		f.mu.Unlock()
		return nil, nil, errAbandoned
	}
	used := f.open[p.path]
	if used == nil {
		used = new(file)
		if f.open == nil {
			f.open = map[string]*file{}
		}
		f.open[p.path] = used
	}
	f.uses++
	used.users++
	used.used = f.uses
	f.mu.Unlock()
	used.opening.Do(func() { used.DB, used.err = sqlite.Open(p.path) })
	if used.err != nil {
		f.mu.Lock()
		if f.open[p.path] == used { // else another has been faster
			delete(f.open, p.path)
		}
		f.mu.Unlock()
		return nil, nil, used.err
	}
	return used.DB, func() { f.release(used) }, nil
}

func (f *files) release(released *file) {
	var closing []*file
	f.mu.Lock()
	released.users--
	if released.abandoned && released.users == 0 {
		closing = append(closing, released)
	}
	for len(f.open) > maxOpen {
		oldest := ""
		for path, file := range f.open {
			if file.users == 0 && (oldest == "" || file.used < f.open[oldest].used) {
				oldest = path
			}
		}
		if oldest == "" {
			break
		}
		closing = append(closing, f.open[oldest])
		delete(f.open, oldest)
	}
	f.mu.Unlock()
	for _, file := range closing {
		_ = file.Close() // nothing is under way; what is in the WAL stays there
	}
}

// cutWALs gives the WALs back to the disk of files that nobody has written for a while, and nobody uses.
func (f *files) cutWALs(ctx context.Context) (all error) {
	f.mu.Lock()
	var idle []*file
	for _, file := range f.open {
		if file.users == 0 {
			file.users++
			idle = append(idle, file)
		}
	}
	f.mu.Unlock()
	for _, file := range idle {
		all = errors.Join(all, file.CutIdleWAL(ctx))
		f.release(file)
	}
	return all
}

// errAbandoned means that a file is removed: what it had is not kept any more.
var errAbandoned = errors.New("the file is removed")

// abandon is for a file that is to be removed: who uses it goes on, and nobody opens it any more.
func (f *files) abandon(p *part) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p.abandoned = true
	opened := f.open[p.path]
	if opened == nil {
		return
	}
	delete(f.open, p.path)
	if opened.abandoned = true; opened.users == 0 {
		_ = opened.Close()
	}
}

// close closes all. It waits for the statements that are running.
func (f *files) close() (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for path, file := range f.open {
		file.opening.Do(func() { file.err = errors.New("the store is closed") }) // it waits for what is being opened
		if file.err == nil {
			err = errors.Join(err, file.Close())
		}
		delete(f.open, path)
	}
	return err
}
