package embedded

import (
	"bytes"
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Access is what a client from outside may do.
type Access int

const (
	Nothing Access = iota // but say who it is
	Reads
	ReadsAndWrites // as far as KafkaConfig.Writes lets anybody write
)

const (
	// recheckEvery is how long it takes until an account that is gone counts no more.
	recheckEvery = time.Second
	// accountTimeout bounds the question what an account may do. Without an answer it may do nothing.
	accountTimeout = 5 * time.Second
	mechanism      = "PLAIN" // RFC 4616
	maxPlain       = 2 << 10 // bytes of what a client shows
)

// account is who a connection from outside is. It belongs to the goroutine that reads from the connection.
type account struct {
	secret  string // that it has shown; "" for none
	access  Access
	checked time.Time
}

// admit asks again what the account may do, when it is time to.
func (c *conn) admit() Access {
	if c.port.account == nil {
		return ReadsAndWrites
	}
	if now := time.Now(); now.Sub(c.account.checked) >= recheckEvery {
		ctx, cancel := context.WithTimeout(context.Background(), accountTimeout)
		defer cancel()
		c.account.access, c.account.checked = c.port.account(ctx, c.account.secret), now
	}
	return c.account.access
}

// logIn is the response to a request that says who the client is; nil to any other.
func (c *conn) logIn(request kmsg.Request) kmsg.Response {
	switch r := request.(type) {
	case *kmsg.SASLHandshakeRequest:
		response := r.ResponseKind().(*kmsg.SASLHandshakeResponse)
		response.SupportedMechanisms = []string{mechanism}
		if r.Mechanism != mechanism {
			response.ErrorCode = kerr.UnsupportedSaslMechanism.Code
		}
		return response
	case *kmsg.SASLAuthenticateRequest:
		response := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		parts := bytes.Split(r.SASLAuthBytes, []byte{0}) // authorisation identity, user name, password
		if len(parts) == 3 && len(r.SASLAuthBytes) <= maxPlain {
			c.account = account{secret: string(parts[2])}
		}
		if c.account.secret == "" || c.admit() == Nothing {
			c.account = account{}
			_ = c.refuse("wrong password")
			response.ErrorCode, response.ErrorMessage = kerr.SaslAuthenticationFailed.Code, kmsg.StringPtr("The password must be a token of Telltale's that may read all.")
		}
		return response
	}
	return nil
}

// beforeLogIn reports whether a request may come from who has not said who he is.
func beforeLogIn(request kmsg.Request) bool {
	switch request.(type) {
	case *kmsg.ApiVersionsRequest, *kmsg.SASLHandshakeRequest, *kmsg.SASLAuthenticateRequest:
		return true
	}
	return false
}
