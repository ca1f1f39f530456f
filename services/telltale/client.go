package main

import (
	"errors"
	"net/http"

	"github.com/telltale-iot/telltale/pkg/apiclient"
)

// client asks a Telltale.
type client struct {
	apiclient.Client
	quiet bool
}

var errBrokeOff = errors.New("the file broke off")

// asked returns err, of a question to Telltale, with what the program ends with for it.
func asked(err error) error {
	var status *apiclient.StatusError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &status) && status.Code == http.StatusBadRequest:
		return &exitError{exitUsage, err}
	default:
		return &exitError{exitFailed, err}
	}
}
