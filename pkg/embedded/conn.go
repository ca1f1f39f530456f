package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const frameSizeBytes = 4 // a frame is its size, and as many bytes

var errRefused = errors.New("refused")

// conn is a connection as kfake sees it. What kfake reads has been checked, and what it writes goes out when what it
// says is on the disk. kfake responds to the requests of a connection one after another.
type conn struct {
	net.Conn
	port     *port
	inside   bool
	identity identity
	frame    []byte // the rest of what kfake is reading
	closed   sync.Once
	gone     chan struct{} // closed by Close

	mu       sync.Mutex
	requests []inFlightRequest // that kfake has yet to respond to, in order
	charged  int64             // bytes of them, and of what is being read
	fetches  int               // of them
}

func newConn(nc net.Conn, p *port, inside bool) *conn {
	return &conn{Conn: nc, port: p, inside: inside, gone: make(chan struct{})}
}

// inFlightRequest is a request that kfake has read, and whose response is yet to come.
type inFlightRequest struct {
	request kmsg.Request
	bytes   int64
	refusal []byte // the response instead of kfake's, when the request was refused, or says who the client is
	fetches bool   // it has one of the port's fetches
	hides   bool   // who sends it is not to see internal topics
}

// Read is kfake's.
func (c *conn) Read(p []byte) (int, error) {
	for len(c.frame) == 0 {
		frame, err := c.readFrame()
		if err != nil {
			return 0, err
		}
		if c.frame, err = c.inspect(frame); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.frame)
	c.frame = c.frame[n:]
	return n, nil
}

// readFrame reads a frame, with its size.
func (c *conn) readFrame() ([]byte, error) {
	if err := c.wait(idleTimeout); err != nil {
		return nil, err
	}
	var size [frameSizeBytes]byte
	if _, err := io.ReadFull(c.Conn, size[:]); err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(size[:]))
	if most := c.maxFrame(); n > most {
		return nil, c.refuse("frame too large", "bytes", n, "most", most)
	}
	if !c.charge(frameSizeBytes + n) {
		return nil, c.refuse("memory", "bytes", n)
	}
	if err := c.wait(frameTimeout); err != nil {
		return nil, err
	}
	frame := make([]byte, frameSizeBytes+n)
	copy(frame, size[:])
	if _, err := io.ReadFull(c.Conn, frame[frameSizeBytes:]); err != nil {
		return nil, err
	}
	return frame, nil
}

func (c *conn) maxFrame() int64 {
	switch {
	case c.inside:
		return maxFrameMemory
	case c.port.open:
		return maxWriteFrame
	default:
		return maxReadFrame
	}
}

// wait sets how long what is read next may take.
func (c *conn) wait(most time.Duration) error {
	if c.inside {
		return nil
	}
	return c.SetReadDeadline(time.Now().Add(most))
}

// charge takes bytes of the memory of all connections, until they have their responses.
func (c *conn) charge(bytes int64) bool {
	if c.inside {
		return true
	}
	if !c.port.memory.TryAcquire(bytes) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.charged += bytes
	return true
}

// inspect returns what kfake is to read instead of frame; nothing when the frame is to be dropped.
func (c *conn) inspect(frame []byte) ([]byte, error) {
	q := inFlightRequest{bytes: int64(len(frame))}
	h, err := parseRequest(frame[frameSizeBytes:])
	if err != nil {
		return nil, c.refuse("malformed", "err", err)
	}
	q.request = h.request
	produce, _ := h.request.(*kmsg.ProduceRequest)
	if !c.inside {
		answer, err := c.logIn(h.request)
		if err != nil {
			return nil, c.refuse("not logged in", "err", err)
		}
		changed, refusal := false, kmsg.Response(nil)
		if answer == nil && h.request.Key() != apiVersionsKey { // which clients ask for before they log in
			if err := c.admit(kmsg.NameForKey(h.request.Key())); err != nil {
				return nil, c.refuse("no account", "err", err)
			}
			if refusal = c.forbid(h.request); refusal == nil {
				if changed, refusal = c.port.check(h.request, len(frame)); refusal != nil {
					c.tell(h.request, "not_allowed", "", true)
				}
			}
			q.hides = c.hides()
		}
		switch {
		case answer != nil:
			q.refusal = encode(answer, h.correlation)
			frame = placeholder(h.correlation)
		case refusal != nil:
			_ = c.refuse("not allowed", "request", kmsg.NameForKey(h.request.Key()))
			if produce != nil && produce.Acks == 0 {
				c.release(q.bytes)
				return nil, nil
			}
			q.refusal = encode(refusal, h.correlation)
			frame = placeholder(h.correlation)
		case changed:
			frame = h.encode()
		}
		if _, ok := h.request.(*kmsg.FetchRequest); ok {
			if err := c.beginFetch(); err != nil {
				return nil, err
			}
			q.fetches = true
		}
	}
	if produce != nil && produce.Acks == 0 {
		c.release(q.bytes)
		return frame, nil // it has no response
	}
	c.mu.Lock()
	c.requests = append(c.requests, q)
	c.mu.Unlock()
	return frame, nil
}

// beginFetch waits until there may be one more response with records, which takes memory until the client has
// read it.
func (c *conn) beginFetch() error {
	select {
	case c.port.fetches <- struct{}{}:
	case <-c.gone:
		return net.ErrClosed
	case <-c.port.closed:
		return net.ErrClosed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.gone: // Close was faster
		<-c.port.fetches
		return net.ErrClosed
	default:
		c.fetches++
		return nil
	}
}

// endFetches ends n of the fetches of the connection, or all that there are.
func (c *conn) endFetches(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; n > 0 && c.fetches > 0; n-- { // Close was faster
		c.fetches--
		<-c.port.fetches
	}
}

// Write is kfake's: the whole response to the oldest request in flight.
func (c *conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	if len(c.requests) == 0 {
		c.mu.Unlock()
		return 0, errors.New("a response without a request")
	}
	q := c.requests[0]
	c.requests = c.requests[1:]
	c.mu.Unlock()
	defer c.release(q.bytes)
	if q.fetches {
		defer c.endFetches(1)
	}

	response := b
	if q.refusal != nil {
		response = q.refusal
	} else if !immediate[q.request.Key()] {
		var err error
		if response, err = c.port.awaitSync(q.request, b); err != nil {
			return 0, errors.Join(err, c.Close())
		}
	}
	if metadata, ok := q.request.(*kmsg.MetadataRequest); ok && q.hides {
		var err error
		if response, err = c.port.hide(metadata, response); err != nil {
			return 0, errors.Join(err, c.Close())
		}
	}
	if !c.inside {
		if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return 0, err
		}
	}
	if _, err := c.Conn.Write(response); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (c *conn) release(bytes int64) {
	if c.inside {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if bytes = min(bytes, c.charged); bytes > 0 { // Close was faster
		c.charged -= bytes
		c.port.memory.Release(bytes)
	}
}

// Close closes the connection.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.closed.Do(func() {
		close(c.gone)
		if !c.inside {
			c.port.leave()
			c.release(maxFrameMemory)
			c.endFetches(maxFetches)
		}
	})
	return err
}

// refuse counts that a client was refused, and returns errRefused, which ends the connection of who returns it.
func (c *conn) refuse(reason string, args ...any) error {
	c.port.refuse(reason, append(args, "client", c.RemoteAddr())...)
	return errRefused
}

// header is a request with what stands before it.
type header struct {
	correlation int32
	client      *string
	request     kmsg.Request
}

// parseRequest reads a request as kfake will: some that can be sent would end kfake.
func parseRequest(body []byte) (h header, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("parse: %v", r)
		}
	}()
	reader := kbin.Reader{Src: body}
	key, version := reader.Int16(), reader.Int16()
	h.correlation, h.client = reader.Int32(), reader.NullableString()
	if !reader.Ok() {
		return h, errors.New("it has no header")
	}
	most, offered := versions.LookupMaxKeyVersion(key)
	if !offered || version < 0 || version > most && key != apiVersionsKey {
		return h, fmt.Errorf("key %d in version %d is not offered", key, version)
	}
	h.request = kmsg.RequestForKey(key)
	h.request.SetVersion(version)
	if h.request.IsFlexible() {
		kmsg.SkipTags(&reader)
	}
	if err := h.request.ReadFrom(reader.Src); err != nil {
		return h, fmt.Errorf("parse %s: %w", kmsg.NameForKey(key), err)
	}
	return h, nil
}

// encode makes a frame of the request.
func (h header) encode() []byte {
	frame := make([]byte, frameSizeBytes, 512)
	frame = kbin.AppendInt16(frame, h.request.Key())
	frame = kbin.AppendInt16(frame, h.request.GetVersion())
	frame = kbin.AppendInt32(frame, h.correlation)
	frame = kbin.AppendNullableString(frame, h.client)
	if h.request.IsFlexible() {
		frame = append(frame, 0) // no tags
	}
	return sized(h.request.AppendTo(frame))
}

// encode makes a frame of a response.
func encode(response kmsg.Response, correlation int32) []byte {
	frame := kbin.AppendInt32(make([]byte, frameSizeBytes, 512), correlation)
	if response.IsFlexible() && response.Key() != apiVersionsKey {
		frame = append(frame, 0) // no tags
	}
	return sized(response.AppendTo(frame))
}

// decode reads the response to request out of a frame. Its slices are the frame's.
func decode(request kmsg.Request, frame []byte) (response kmsg.Response, correlation int32, err error) {
	reader := kbin.Reader{Src: frame[frameSizeBytes:]}
	correlation = reader.Int32()
	response = request.ResponseKind()
	if response.IsFlexible() {
		kmsg.SkipTags(&reader)
	}
	if err := response.ReadFrom(reader.Src); err != nil {
		return nil, 0, fmt.Errorf("parse a response of the embedded kafka: %w", err)
	}
	return response, correlation, nil
}

// sized puts the size in front.
func sized(frame []byte) []byte {
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-frameSizeBytes))
	return frame
}

// placeholder is a request that only keeps the place of another among kfake's responses.
func placeholder(correlation int32) []byte {
	return header{correlation: correlation, request: kmsg.NewPtrApiVersionsRequest()}.encode()
}
