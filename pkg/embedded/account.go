package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Access is what a client from outside may do.
type Access int

const (
	Reads          Access = iota // topics that are not KafkaConfig.Internal, in groups of its own
	ReadsAndWrites               // likewise, as far as KafkaConfig.Writes lets anybody write
	Everything                   // all topics and groups but Telltale's groups, likewise
)

// Account is who a client from outside is. Its zero value may read.
type Account struct {
	Name   string // its groups are called so, or begin with it and a slash
	Access Access
	Warn   bool // what it may not do is told of, and done
}

// Login is what a client from outside shows.
type Login struct {
	Address        string
	User, Password string // by SASL PLAIN; "" for none
	Request        string // that it sends
	Again          bool   // it was let in by that, and goes on
}

// Denied is why a client is not let in, in words for it.
type Denied string

func (d Denied) Error() string { return string(d) }

// Refusal is of a client from outside that may not do what it asks for.
type Refusal struct {
	Address string
	Name    string // of its account
	Why     string // a word: "role", "topic" or "group"; "not_allowed" where nobody may
	Request string // and the topic or the group that it is about
	Denied  bool   // false: it was done, since the account is one that Warn is of
}

const (
	// recheckEvery is how long it takes until an account that is gone counts no more.
	recheckEvery = time.Second
	// accountTimeout bounds the question what an account may do. Without an answer the connection ends.
	accountTimeout = 5 * time.Second
	mechanism      = "PLAIN" // RFC 4616
	maxPlain       = 2 << 10 // bytes of what a client shows
)

// identity is who a connection from outside is. It belongs to the goroutine that reads from the connection.
type identity struct {
	login   Login
	account Account
	checked time.Time // zero: nobody has said what it may do
}

// admit asks who the client is that sends a request, and again when it is time to.
func (c *conn) admit(request string) error {
	if c.inside || c.port.account == nil {
		c.identity.account.Access = Everything
		return nil
	}
	now := time.Now()
	if now.Sub(c.identity.checked) < recheckEvery {
		return nil
	}
	login := c.identity.login
	login.Address, login.Request, login.Again = c.RemoteAddr().String(), request, !c.identity.checked.IsZero()
	ctx, cancel := context.WithTimeout(context.Background(), accountTimeout)
	defer cancel()
	account, err := c.port.account(ctx, login)
	if err != nil {
		return err
	}
	c.identity.account, c.identity.checked = account, now
	return nil
}

// logIn is the response to a request that says who the client is; nil to any other.
func (c *conn) logIn(request kmsg.Request) (kmsg.Response, error) {
	switch r := request.(type) {
	case *kmsg.SASLHandshakeRequest:
		response := r.ResponseKind().(*kmsg.SASLHandshakeResponse)
		response.SupportedMechanisms = []string{mechanism}
		if r.Mechanism != mechanism {
			response.ErrorCode = kerr.UnsupportedSaslMechanism.Code
		}
		return response, nil
	case *kmsg.SASLAuthenticateRequest:
		response := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		c.identity = identity{}
		parts := bytes.Split(r.SASLAuthBytes, []byte{0}) // authorisation identity, user name, password
		if len(parts) == 3 && len(r.SASLAuthBytes) <= maxPlain {
			c.identity.login = Login{User: string(parts[1]), Password: string(parts[2])}
		}
		err := c.admit(kmsg.NameForKey(r.Key()))
		if denied := Denied(""); errors.As(err, &denied) {
			c.identity = identity{}
			_ = c.refuse("not logged in")
			response.ErrorCode, response.ErrorMessage = kerr.SaslAuthenticationFailed.Code, kmsg.StringPtr(string(denied))
			return response, nil
		}
		return response, err
	}
	return nil, nil
}

// forbid is the refusal of what the account may not do; nil where it may.
func (c *conn) forbid(request kmsg.Request) kmsg.Response {
	why, word, about := c.port.forbidden(request, c.identity.account)
	if why == nil {
		return nil
	}
	warn := c.identity.account.Warn
	c.tell(request, word, about, !warn)
	if _, ok := request.(*kmsg.MetadataRequest); ok || warn {
		return nil // the topic alone has the error (hide)
	}
	return refuse(request, why)
}

// tell tells of a request that is refused, or would be.
func (c *conn) tell(request kmsg.Request, why, about string, denied bool) {
	if c.port.tell != nil {
		example := strings.TrimSpace(kmsg.NameForKey(request.Key()) + " " + about)
		c.port.tell(Refusal{Address: c.RemoteAddr().String(), Name: c.identity.account.Name, Why: why, Request: example, Denied: denied})
	}
}

// forbidden says why account may not do what is requested, with a word for that and what it is about; nil: it may.
func (p *port) forbidden(request kmsg.Request, account Account) (why *kerr.Error, word, about string) {
	if account.Access == Everything {
		return nil, "", ""
	}
	if why := mayWrite[kmsg.Key(request.Key())]; why != nil && account.Access < ReadsAndWrites {
		return why, "role", ""
	}
	for _, topic := range topicsOf(request) {
		if p.internal[topic] {
			return kerr.TopicAuthorizationFailed, "topic", topic
		}
	}
	for _, group := range groupsOf(request) {
		if group != account.Name && !strings.HasPrefix(group, account.Name+"/") {
			return kerr.GroupAuthorizationFailed, "group", group
		}
	}
	return nil, "", ""
}

// hides reports whether the account is not to see internal topics.
func (c *conn) hides() bool {
	return !c.inside && c.identity.account.Access < Everything && !c.identity.account.Warn && len(c.port.internal) > 0
}

// hide removes internal topics from kfake's response to a request for all, and has the error for those that the request names, as
// Kafka does.
func (p *port) hide(request *kmsg.MetadataRequest, frame []byte) ([]byte, error) {
	decoded, correlation, err := decode(request, frame)
	if err != nil {
		return nil, err
	}
	response, ok := decoded.(*kmsg.MetadataResponse)
	if !ok {
		return nil, fmt.Errorf("%T for metadata", decoded)
	}
	var visible []kmsg.MetadataResponseTopic
	for _, t := range response.Topics {
		if t.Topic != nil && p.internal[*t.Topic] {
			if len(request.Topics) == 0 {
				continue
			}
			refused := kmsg.NewMetadataResponseTopic()
			refused.Topic, refused.TopicID, refused.ErrorCode = t.Topic, t.TopicID, kerr.TopicAuthorizationFailed.Code
			t = refused
		}
		visible = append(visible, t)
	}
	response.Topics = visible
	return encode(response, correlation), nil
}
