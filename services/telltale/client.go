package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// client asks a Telltale.
type client struct {
	url   string
	quiet bool
}

// transport has no timeout for a whole file, and one for each step of it that Telltale bounds.
var transport = &http.Transport{
	Proxy:                 http.ProxyFromEnvironment,
	DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
	TLSHandshakeTimeout:   10 * time.Second,
	ExpectContinueTimeout: time.Second,
}

// problem is what an answer that is none says: its detail, or what is wrong with parameters.
func problem(answer *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 16<<10))
	var said struct {
		Detail string `json:"detail"`
	}
	_ = json.Unmarshal(text, &said)
	err := fmt.Errorf("%s: %s", answer.Status, cmp.Or(said.Detail, string(text)))
	if after := answer.Header.Get("Retry-After"); after != "" {
		err = fmt.Errorf("%w (again in %s s)", err, after)
	}
	if answer.StatusCode == http.StatusBadRequest {
		return &exitError{exitUsage, err}
	}
	return &exitError{exitFailed, err}
}

var errBrokeOff = errors.New("the file broke off")
