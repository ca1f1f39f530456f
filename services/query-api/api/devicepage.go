package api

import (
	"context"
	"slices"
	"sort"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// devicePage is a part of the lists that have something of each device, by device: those behind after, limit at most.
type devicePage struct {
	after iot.DeviceID
	limit int
}

// firstPage is what clients get that ask for no part.
var firstPage = devicePage{limit: iot.MaxPage}

// end returns the last device of the page in a list of n, of which device returns the id of each, ascending: iot.MaxDeviceID
// where the list ends before the page does.
func (p devicePage) end(n int, device func(i int) iot.DeviceID) iot.DeviceID {
	from := sort.Search(n, func(i int) bool { return device(i) > p.after })
	if n-from <= p.limit {
		return iot.MaxDeviceID
	}
	return device(from + p.limit - 1)
}

// between returns the part of all whose devices are behind after, and none behind last.
func between[T any](all []T, after, last iot.DeviceID, device func(*T) iot.DeviceID) []T {
	from := sort.Search(len(all), func(i int) bool { return device(&all[i]) > after })
	to := sort.Search(len(all), func(i int) bool { return device(&all[i]) > last })
	return slices.Clip(all[from:max(from, to)])
}

// pageOfAll answers with the page that r asks for, which encode makes. Many may ask for the first page at the same time: who
// sees everything shares it.
func (a *API) pageOfAll(
	ctx context.Context, r *request, f *flight, timeout time.Duration, encode func(context.Context, devicePage) (*answer, error),
) (*answer, error) {
	page := devicePage{after: iot.DeviceID(r.query.idCursor()), limit: r.query.limit(iot.MaxPage)}
	if err := r.query.err(); err != nil {
		return nil, err
	}
	var (
		made *answer
		err  error
	)
	encodePage := func(ctx context.Context) (*answer, error) { return encode(ctx, page) }
	if page == firstPage {
		made, err = a.shareWhole(ctx, r, f, timeout, encodePage)
	} else {
		made, err = a.makeAlone(ctx, r, timeout, encodePage)
	}
	if err == nil && made.last != iot.MaxDeviceID {
		r.linkNext(formatIDCursor(int64(made.last)))
	}
	return made, err
}
