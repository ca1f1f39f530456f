package sqlite

import (
	"errors"
	"sync"

	"github.com/telltale-iot/telltale/pkg/sqlite"
)

// maxOpen is how many files are kept open that nobody uses: a year's months, and some. Each has up to five connections,
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
	abandoned bool // closed when nobody uses it
	users     int
	used      int64 // when it was last, as files counts
}

// use returns the file of p, open until it is released.
func (f *files) use(p *part) (db *sqlite.DB, release func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	opened := f.open[p.path]
	if p.abandoned {
		return nil, nil, errAbandoned
	}
	if opened == nil {
		db, err := sqlite.Open(p.path)
		if err != nil {
			return nil, nil, err
		}
		opened = &file{DB: db}
		if f.open == nil {
			f.open = map[string]*file{}
		}
		f.open[p.path] = opened
	}
	f.uses++
	opened.users++
	opened.used = f.uses
	return opened.DB, func() { f.release(opened) }, nil
}

func (f *files) release(released *file) {
	f.mu.Lock()
	defer f.mu.Unlock()
	released.users--
	if released.abandoned && released.users == 0 {
		_ = released.Close()
	}
	for len(f.open) > maxOpen {
		oldest := ""
		for path, file := range f.open {
			if file.users == 0 && (oldest == "" || file.used < f.open[oldest].used) {
				oldest = path
			}
		}
		if oldest == "" {
			return
		}
		_ = f.open[oldest].Close() // nothing is under way; what is in the WAL stays there
		delete(f.open, oldest)
	}
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
		err = errors.Join(err, file.Close())
		delete(f.open, path)
	}
	return err
}
