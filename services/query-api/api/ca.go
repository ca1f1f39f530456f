package api

import (
	"net/http"
	"os"

	"github.com/labstack/echo/v4"
)

const caPath = "/api/ca.crt"

// getCA answers with the certificate of our own authority. Whoever connects is shown it in any case: what makes it worth trusting
// is its fingerprint, which all-in-one prints.
func (a *API) getCA(c echo.Context) error {
	(&request{Context: c, query: readParams(c)}).nameUnknown()
	if a.CAFile == "" {
		return errNotFound
	}
	pem, err := os.ReadFile(a.CAFile) // it may be another by now
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderContentDisposition, `attachment; filename="ca.crt"`)
	return c.Blob(http.StatusOK, "application/x-x509-ca-cert", pem)
}
