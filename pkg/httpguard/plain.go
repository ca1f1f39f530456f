package httpguard

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// What is read of a client that does not use TLS: its request's header, and bytes behind that which would otherwise destroy
// the answer.
const (
	maxPlainHeader = 8 << 10
	maxPlainRest   = 64 << 10
)

// Plain tells clients of a port that takes TLS alone to use it.
type Plain struct {
	handler http.Handler
	over    *refusals
}

// Plain returns what tells the clients of the port of that name to use TLS.
func (g *Guard) Plain(port string) *Plain {
	return &Plain{handler: g.Handler(port, http.HandlerFunc(useTLS)), over: g.refusals(port, reasonNoTLS)}
}

// useTLS sends readers of pages to the same one with TLS. Programs are told to correct their URL: one that went on by itself would
// send its token in the clear first each time.
func useTLS(w http.ResponseWriter, r *http.Request) {
	const detail = "This port takes TLS alone: use https://, and trust the CA of its certificate (with TLS=self: tls/ca.crt in DATA_DIR)."
	switch {
	case r.URL.Path == "/api" || strings.HasPrefix(r.URL.Path, "/api/"):
		w.Header().Set("WWW-Authenticate", "Bearer")
		refuse(w, http.StatusUnauthorized, detail)
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.Header.Get("Upgrade") == "":
		w.Header().Set("Connection", "close")
		http.Redirect(w, r, "https://"+r.Host+r.URL.RequestURI(), http.StatusPermanentRedirect)
	default:
		refuse(w, http.StatusForbidden, detail)
	}
}

// Tell answers the request that comes over c. The deadlines of c bound how long that takes; the caller closes c.
func (p *Plain) Tell(c net.Conn) {
	p.over.add("remote", c.RemoteAddr().String())
	in := bufio.NewReader(io.LimitReader(c, maxPlainHeader))
	r, err := http.ReadRequest(in)
	if err != nil {
		return // no HTTP
	}
	r.RemoteAddr = c.RemoteAddr().String()
	w := &answer{header: make(http.Header), status: http.StatusOK}
	p.handler.ServeHTTP(w, r)
	res := http.Response{
		StatusCode: w.status, ProtoMajor: 1, ProtoMinor: 1, Header: w.header, Close: true, Request: &http.Request{Method: r.Method},
		ContentLength: int64(w.body.Len()), Body: io.NopCloser(&w.body),
	}
	if err := res.Write(c); err != nil {
		return
	}
	// To close with bytes unread would reset the connection, and could destroy the answer.
	if half, ok := c.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.CopyN(io.Discard, c, maxPlainRest)
	}
}

// answer is a ResponseWriter that keeps what is written: little.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

// opening is a connection under one of TLS, whose client may speak HTTP without.
type opening struct {
	*conn
	tls   tlsfiles.Opening // over conn
	plain *Plain
}

// Read is the handshake's, which net/http bounds.
func (o *opening) Read(p []byte) (int, error) {
	n, err := o.tls.Read(p)
	if errors.Is(err, tlsfiles.ErrNoTLS) {
		o.plain.Tell(o.tls.Plain())
	}
	return n, err
}
