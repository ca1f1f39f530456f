package dynsec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/telltale-iot/telltale/pkg/auth"
)

// The plugin's topics, and what it is given.
const (
	requestTopic  = "$CONTROL/dynamic-security/v1"
	responseTopic = requestTopic + "/response"

	requestTimeout = 10 * time.Second
	// maxRequest is below the max_packet_size of deploy/mosquitto/mosquitto.conf.
	maxRequest = 1 << 20
	// pageSize is of the plugin's lists, which it makes while everybody else waits.
	pageSize = 500
)

// What the plugin says where something is already as it should be.
const (
	clientNotFound = "Client not found"
	roleNotFound   = "Role not found"
)

var errLost = errors.New("the connection to Mosquitto ended")

// command is one of the plugin's. Fields that it does not have are left out.
type command struct {
	Command     string `json:"command"`
	Username    string `json:"username,omitempty"`
	Password    string `json:"password,omitempty"`
	Textname    string `json:"textname,omitempty"`
	Rolename    string `json:"rolename,omitempty"`
	Roles       []role `json:"roles,omitempty"`
	ACLs        []acl  `json:"acls,omitempty"`
	Verbose     bool   `json:"verbose,omitempty"`
	Count       int    `json:"count,omitempty"`
	Offset      int    `json:"offset,omitempty"`
	Correlation string `json:"correlationData"`
}

type client struct {
	Username string `json:"username"`
	Textname string `json:"textname"`
	Roles    []role `json:"roles"`
}

type role struct {
	Rolename string `json:"rolename"`
	ACLs     []acl  `json:"acls,omitempty"`
}

type acl struct {
	Type  string `json:"acltype"`
	Topic string `json:"topic"`
	Allow bool   `json:"allow"`
}

// answer is what the plugin says to a command.
type answer struct {
	Command     string `json:"command"`
	Error       string `json:"error"`
	Correlation string `json:"correlationData"`
	Data        struct {
		Client  client   `json:"client"`
		Clients []client `json:"clients"`
		Roles   []role   `json:"roles"`
	} `json:"data"`
}

// connection is a connection to Mosquitto, on which the plugin is asked.
type connection struct {
	client mqtt.Client
	name   string        // tells its own answers from those to other replicas
	lost   chan struct{} // closed when it ends

	mu       sync.Mutex // held for a request and its answer
	requests int
	waiting  atomic.Pointer[request]
}

// request is one that waits for its answer.
type request struct {
	correlation string
	answers     chan []answer // of 1
}

// connect connects, and waits until answers will be seen.
func (k *Keeper) connect(ctx context.Context) (*connection, error) {
	c := &connection{name: "telltale-" + auth.NewSecret("")[:16], lost: make(chan struct{})}
	password, _ := k.broker.User.Password()
	if k.cfg.Password != "" {
		password = k.cfg.Password
	}
	options := mqtt.NewClientOptions().AddBroker(k.broker.Scheme + "://" + k.broker.Host).SetClientID(c.name).
		SetUsername(k.broker.User.Username()).SetPassword(password).SetCleanSession(true).SetAutoReconnect(false).
		SetConnectTimeout(requestTimeout).SetKeepAlive(requestTimeout).
		SetConnectionLostHandler(func(mqtt.Client, error) { close(c.lost) })
	if k.broker.Scheme == "tls" {
		files, err := k.cfg.Files.Client(k.broker.Hostname())
		if err != nil {
			return nil, err
		}
		options.SetTLSConfig(files)
	}
	c.client = mqtt.NewClient(options)
	if err := wait(ctx, c.client.Connect()); err != nil {
		return nil, err
	}
	if err := wait(ctx, c.client.Subscribe(responseTopic, 1, c.take)); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *connection) close() { c.client.Disconnect(0) }

// take hands an answer to who waits for it. Others are to other replicas, or to a request that was given up.
func (c *connection) take(_ mqtt.Client, m mqtt.Message) {
	var body struct {
		Responses []answer `json:"responses"`
	}
	r := c.waiting.Load()
	if r == nil || json.Unmarshal(m.Payload(), &body) != nil || len(body.Responses) == 0 || body.Responses[0].Correlation != r.correlation {
		return
	}
	select {
	case r.answers <- body.Responses:
	default: // a second one
	}
}

// ask sends commands in one request, and returns the answers to them, in order. The plugin takes one request after the other:
// no client connects between two commands of one.
func (c *connection) ask(ctx context.Context, commands ...command) ([]answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	c.requests++
	r := &request{correlation: c.name + strconv.Itoa(c.requests), answers: make(chan []answer, 1)}
	for i := range commands {
		commands[i].Correlation = r.correlation
	}
	payload, err := json.Marshal(map[string]any{"commands": commands})
	if err != nil {
		return nil, err
	}
	if len(payload) > maxRequest {
		return nil, fmt.Errorf("%d bytes are too long for a request to Mosquitto", len(payload))
	}
	c.waiting.Store(r)
	defer c.waiting.Store(nil)
	if err := wait(ctx, c.client.Publish(requestTopic, 1, false, payload)); err != nil {
		return nil, err
	}
	select {
	case all := <-r.answers:
		if len(all) != len(commands) {
			return nil, fmt.Errorf("%d answers to %d commands", len(all), len(commands))
		}
		return all, nil
	case <-c.lost:
		return nil, errLost
	case <-ctx.Done():
		return nil, fmt.Errorf("no answer from Mosquitto's dynamic-security plugin, which the user of MQTT_DYNSEC_URL must have the right to ask: %w", ctx.Err())
	}
}

// do sends commands, and returns the first error that is none of those.
func (c *connection) do(ctx context.Context, tolerated string, commands ...command) error {
	answers, err := c.ask(ctx, commands...)
	if err != nil {
		return err
	}
	for _, a := range answers {
		if a.Error != "" && a.Error != tolerated {
			return fmt.Errorf("the dynamic-security plugin of Mosquitto, asked for %s: %s", a.Command, a.Error)
		}
	}
	return nil
}

// wait returns when token is done.
func wait(ctx context.Context, token mqtt.Token) error {
	select {
	case <-token.Done():
		return token.Error()
	case <-ctx.Done():
		return ctx.Err()
	}
}
