package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

var (
	errOffline   = &problem{status: http.StatusNotFound, detail: "No recent data (device offline)"}
	errNoReading = &problem{status: http.StatusNotFound, detail: "No data from this device."}
)

// getLatest answers with what a device that is online sent last. Only the cache knows who is online, so
// without it there is no answer.
func (a *API) getLatest(c echo.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	r, err := a.Latest.Latest(c.Request().Context(), id)
	if errors.Is(err, iot.ErrNotFound) {
		return errOffline
	}
	if err != nil {
		return err
	}
	return a.write(c, http.StatusOK, one(r, readingjson.AppendOnline))
}

func (a *API) listLatest(c echo.Context) error {
	ctx := context.WithoutCancel(c.Request().Context()) // the answer is others' too
	return a.writeShared(c, &a.online, func() ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, storeTimeout)
		defer cancel()
		all, err := a.Latest.AllLatest(ctx)
		if err != nil {
			return nil, err
		}
		return list(all, readingjson.AppendOnline)(nil), nil
	})
}

// getLastReading answers with what a device sent last, online or not: the cached reading, and when there
// is none or no cache, the newest stored one.
func (a *API) getLastReading(c echo.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	r, err := a.cached(ctx, id)
	if err == nil {
		return a.write(c, http.StatusOK, one(r, readingjson.Append))
	}
	page, err := a.Readings.FindReadings(ctx, iot.ReadingQuery{Device: id, Limit: 1})
	if err != nil {
		return err
	}
	if len(page.Readings) == 0 {
		return errNoReading
	}
	return a.write(c, http.StatusOK, one(page.Readings[0], readingjson.Append))
}

// cached asks the cache, and leaves time for asking the stored readings instead.
func (a *API) cached(ctx context.Context, id iot.DeviceID) (iot.Reading, error) {
	ctx, cancel := context.WithTimeout(ctx, cacheTimeout)
	defer cancel()
	return a.Latest.Latest(ctx, id)
}
