package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
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
	err := fmt.Errorf("%s: %s", answer.Status, detail(text))
	if after := answer.Header.Get("Retry-After"); after != "" {
		err = fmt.Errorf("%w (again in %s s)", err, after)
	}
	if answer.StatusCode == http.StatusBadRequest {
		return &exitError{exitUsage, err}
	}
	return &exitError{exitFailed, err}
}

// detail is what the body of such an answer says.
func detail(body []byte) string {
	var said struct {
		Detail string `json:"detail"`
	}
	var parameters map[string][]string
	switch {
	case json.Unmarshal(body, &said) == nil && said.Detail != "":
		return said.Detail
	case json.Unmarshal(body, &parameters) == nil:
		var lines []string
		for _, name := range slices.Sorted(maps.Keys(parameters)) {
			lines = append(lines, name+": "+strings.Join(parameters[name], " "))
		}
		return strings.Join(lines, " ")
	default:
		return string(body)
	}
}

var errBrokeOff = errors.New("the file broke off")
