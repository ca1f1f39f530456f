// Package apiclient is for programs that ask a Telltale by its HTTP API: an answer that is none becomes an error that says
// what the API says, and Follow comes back to the live stream wherever that broke off. Tail prints that.
package apiclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// transport has no timeout for a whole answer, which may be a file or a stream, and one for each step of it that Telltale bounds.
var transport = &http.Transport{
	Proxy:                 http.ProxyFromEnvironment,
	DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
	TLSHandshakeTimeout:   10 * time.Second,
	ExpectContinueTimeout: time.Second,
}

// Client asks the Telltale at a URL.
type Client struct {
	URL   string
	Token string // "" for none
	CA    string // PEM file of the authorities that may have signed its certificate; "" for the system's

	trusting *http.Transport // those; nil before Trust
}

// Trust reads the CA. Call it before the other methods.
func (c *Client) Trust() error {
	if c.CA == "" {
		return nil
	}
	authorities, err := tlsfiles.Authorities(c.CA)
	if err != nil {
		return err
	}
	c.trusting = transport.Clone()
	c.trusting.TLSClientConfig = &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12}
	return nil
}

// Send sends a request, which is for URL, with the token.
func (c Client) Send(request *http.Request) (*http.Response, error) {
	if c.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.Token)
	}
	return (&http.Client{Transport: cmp.Or(c.trusting, transport)}).Do(request)
}

// Do asks for a path, which begins with a slash. An answer with a status other than 200 is a StatusError.
func (c Client) Do(ctx context.Context, path string, query url.Values, header http.Header) (*http.Response, error) {
	address := strings.TrimSuffix(c.URL, "/") + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	maps.Copy(request.Header, header)
	answer, err := c.Send(request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close()
		return nil, Problem(answer)
	}
	return answer, nil
}

// Get asks for a path, and reads the JSON that comes into v.
func (c Client) Get(ctx context.Context, path string, query url.Values, v any) error {
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	answer, err := c.Do(ctx, path, query, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(v); err != nil {
		return fmt.Errorf("read what %s answers: %w", path, err)
	}
	return nil
}

const (
	getTimeout = 30 * time.Second
	maxAnswer  = 64 << 20 // bytes; the API's pages are shorter
)

// StatusError is an answer that is not what was asked for.
type StatusError struct {
	Code       int
	RetryAfter string // seconds; "" where the API does not say
	text       string
}

func (e *StatusError) Error() string { return e.text }

// Problem returns what answer says: its detail, or what is wrong with parameters.
func Problem(answer *http.Response) *StatusError {
	body, _ := io.ReadAll(io.LimitReader(answer.Body, 16<<10))
	e := &StatusError{Code: answer.StatusCode, RetryAfter: answer.Header.Get("Retry-After")}
	e.text = fmt.Sprintf("%s: %s", answer.Status, detail(body))
	if e.RetryAfter != "" {
		e.text += fmt.Sprintf(" (again in %s s)", e.RetryAfter)
	}
	return e
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

var inList = strings.NewReplacer(`\`, `\\`, `,`, `\,`)

// InList writes a name so that the API takes it for one, and not for a list of several.
func InList(name string) string { return inList.Replace(name) }
