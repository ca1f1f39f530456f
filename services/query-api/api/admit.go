package api

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/services/query-api/access"
)

// admit has handle answer those who have what need asks. Who that is, is in the context of the request (access.Of).
func (a *API) admit(need access.Need, handle echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		p, err := a.Auth.Admit(c.Request(), need)
		if err != nil {
			return err
		}
		c.SetRequest(c.Request().WithContext(access.WithPrincipal(c.Request().Context(), p)))
		return handle(c)
	}
}

// accessProblem is the answer to an error of package access; nil to any other.
func accessProblem(err error) *problem {
	var (
		denial    *access.Denial
		throttled *access.Throttled
	)
	switch {
	case errors.As(err, &denial):
		return &problem{status: denial.Status, detail: denial.Detail}
	case errors.As(err, &throttled):
		return &problem{http.StatusTooManyRequests, throttled.Error(), throttled.Seconds()}
	case errors.Is(err, access.ErrBusy):
		return errBusy
	default:
		return nil
	}
}
