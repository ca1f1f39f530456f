package embedded

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/sync/semaphore"

	"github.com/telltale-iot/telltale/pkg/lograte"
)

// Bounds of what clients that connect from outside can take, together and each. The services of this process
// connect by Dial, and are not bounded by it.
const (
	maxConnections = 32
	maxReadFrame   = 64 << 10  // a request of a client that reads
	maxJoinFrame   = 16 << 10  // one that a group keeps for each member
	maxWriteFrame  = 16 << 20  // a request of a client that may write: as large as our own producer's
	maxFrameMemory = 64 << 20  // all requests that are on their way into kfake
	maxFetch       = 256 << 10 // a response with records, but for a single batch that is larger
	maxFetches     = 8         // requests for records that are being served; further ones wait
	maxGroups      = 100       // that are not Telltale's own; beyond keptGroups only with members
	keptGroups     = 50
	maxMembers     = 32 // of a group

	maxFetchWait = 5 * time.Second  // for records to come; our own consumers ask for a second at most
	idleTimeout  = 10 * time.Minute // as long as Kafka's own
	frameTimeout = 30 * time.Second // from the first byte of a request to its last
	tlsTimeout   = 10 * time.Second // a handshake
	writeTimeout = 30 * time.Second // of a response
)

// port is where connections come in, as kfake's listener: over TCP from outside, and from this process.
type port struct {
	tcp  net.Listener
	addr address // that is advertised to clients
	disk *disk
	log  *slog.Logger
	own  map[string]bool // Telltale's groups
	open bool            // clients from outside may write
	tls  *tls.Config     // of clients from outside; nil without TLS

	account  func(context.Context, Login) (Account, error) // nil: all may do everything
	internal map[string]bool                               // topics
	tell     func(Refusal)                                 // nil: nobody is

	accepted chan net.Conn
	closed   chan struct{}
	close    sync.Once
	memory   *semaphore.Weighted
	fetches  chan struct{} // has a value for each of maxFetches
	refused  *prometheus.CounterVec

	lines lograte.Limiter // about what is refused

	mu      sync.Mutex
	outside int             // connections
	groups  map[string]bool // that are not Telltale's
}

func newPort(cfg KafkaConfig, disk *disk) *port {
	p := &port{
		disk:     disk,
		log:      cfg.Log,
		own:      map[string]bool{},
		open:     cfg.Writes,
		tls:      cfg.TLS,
		account:  cfg.Account,
		internal: map[string]bool{},
		tell:     cfg.Refused,
		accepted: make(chan net.Conn),
		closed:   make(chan struct{}),
		memory:   semaphore.NewWeighted(maxFrameMemory),
		fetches:  make(chan struct{}, maxFetches),
		groups:   map[string]bool{},
		refused: promauto.With(cfg.Metrics).NewCounterVec(prometheus.CounterOpts{
			Name: "telltale_embedded_kafka_refused_total",
			Help: "What clients from outside asked of the embedded Kafka broker and did not get.",
		}, []string{"reason"}),
	}
	for g := range cfg.Groups {
		p.own[g] = true
	}
	for _, topic := range cfg.Internal {
		p.internal[topic] = true
	}
	return p
}

// listen has it take connections from outside.
func (p *port) listen(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if p.tcp, err = net.Listen("tcp", addr); err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "localhost"
	}
	p.addr = address(net.JoinHostPort(host, strconv.Itoa(p.tcp.Addr().(*net.TCPAddr).Port)))
	go p.acceptTCP()
	return nil
}

func (p *port) acceptTCP() {
	for {
		c, err := p.tcp.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			p.refuse("accept", "err", err) // too many open files, for one
			select {
			case <-time.After(100 * time.Millisecond):
				continue
			case <-p.closed:
				return
			}
		}
		if !p.enter() {
			_ = c.Close()
			continue
		}
		if p.tls == nil {
			p.deliver(newConn(c, p, false))
		} else {
			go p.secure(newConn(tls.Server(c, p.tls), p, false))
		}
	}
}

// secure delivers a connection after its handshake.
func (p *port) secure(c *conn) {
	ctx, cancel := context.WithTimeout(context.Background(), tlsTimeout)
	defer cancel()
	if err := c.Conn.(*tls.Conn).HandshakeContext(ctx); err != nil {
		p.refuse("tls", "err", err)
		_ = c.Close()
		return
	}
	p.deliver(c)
}

// enter counts a connection from outside, if there may be one more.
func (p *port) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.outside >= maxConnections {
		p.refuseLocked("connections", "most", maxConnections)
		return false
	}
	p.outside++
	return true
}

func (p *port) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outside--
}

// deliver gives the connection to kfake.
func (p *port) deliver(c *conn) {
	select {
	case p.accepted <- c:
	case <-p.closed:
		_ = c.Close()
	}
}

// dial connects from within this process. The connection may do everything.
func (p *port) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.accepted <- newConn(server, p, true):
		return client, nil
	case <-p.closed:
		return nil, errors.Join(net.ErrClosed, client.Close(), server.Close())
	}
}

// Accept is kfake's next connection.
func (p *port) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (p *port) Close() error {
	p.close.Do(func() {
		close(p.closed)
		_ = p.tcp.Close()
	})
	return nil
}

// Addr is the address that kfake advertises to clients.
func (p *port) Addr() net.Addr { return p.addr }

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// refuse counts what was not done, and logs it, once a minute at most.
func (p *port) refuse(reason string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuseLocked(reason, args...)
}

func (p *port) refuseLocked(reason string, args ...any) {
	p.refused.WithLabelValues(reason).Inc()
	if n := p.lines.Event(); n > 0 {
		p.log.Warn("refused a client of the embedded kafka", append([]any{"reason", reason, "count", n}, args...)...)
	}
}

// admitGroup reports whether there may be a group of that name beside those that there are.
func (p *port) admitGroup(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.groups[name] && len(p.groups) >= maxGroups {
		return false
	}
	p.groups[name] = true
	return true
}

// setGroups sets which groups there are that are not Telltale's.
func (p *port) setGroups(names map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.groups = names
}
