package simulator

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// Config describes the fleet and the load. The tags are for package settings, and so are the defaults: a
// Config made in Go starts with zeros (see New).
type Config struct {
	URL         string         `group:"Connection" env:"MQTT_URL" default:"tcp://localhost:1883" help:"Where to publish: tcp://[user:password@]host:port, or ssl:// for TLS."`
	Files       tlsfiles.Files `group:"Connection" envprefix:"MQTT_"`
	ClientID    string         `group:"Connection" name:"client-id" env:"SIM_CLIENT_ID" default:"simulator" help:"Prefix of the MQTT client ids; the first device's id and the connection's number follow."`
	Connections int            `group:"Connection" name:"connections" env:"SIM_CONNECTIONS" default:"1" help:"Connections to spread the devices over; each device stays on one."`
	InFlight    int            `group:"Connection" name:"in-flight" env:"SIM_IN_FLIGHT" default:"1000" help:"Most unacknowledged messages on a connection."`
	TopicStyle  string         `group:"Connection" name:"topic-style" env:"SIM_TOPIC_STYLE" default:"device" help:"Of family telltale. device: sensors/{id}/data; shared: sensors/data."`
	TopicPrefix string         `group:"Connection" name:"topic-prefix" env:"SIM_TOPIC_PREFIX" default:"sensors" help:"First levels of the topics of family telltale."`

	Families    []string      `group:"Load" name:"family" env:"SIM_FAMILY" default:"telltale" help:"How the devices publish, in turns: telltale (its own form), thingsboard, tasmota, zigbee2mqtt, shelly, ttn, chirpstack, esphome, openmqttgateway, senml, sparkplug, homeassistant-discovery."`
	Devices     int           `group:"Load" name:"devices" env:"SIM_DEVICES" default:"10" help:"Number of devices."`
	FirstDevice iot.DeviceID  `group:"Load" name:"first-device" env:"SIM_FIRST_DEVICE" default:"1" help:"Id of the first device; the others follow."`
	Rate        float64       `group:"Load" name:"rate" env:"SIM_RATE" default:"1" help:"Readings per second of each device; 0 is as fast as they are acknowledged."`
	Count       int64         `group:"Load" name:"count" env:"SIM_COUNT" default:"0" help:"Readings to send in all; 0 is no limit."`
	Duration    time.Duration `group:"Load" name:"duration" env:"SIM_DURATION" default:"0" help:"How long the devices measure; 0 is no limit."`
	Seed        uint64        `group:"Load" name:"seed" env:"SIM_SEED" default:"0" help:"Random seed; 0 picks a new one each run."`
	Ledger      string        `name:"publish-ledger" group:"Load" env:"SIM_PUBLISH_LEDGER" placeholder:"FILE" help:"Append a JSON line to this file for each reading sent and each acknowledged."`

	Faults
}

// Faults is what goes wrong with the devices, in percent of the readings.
type Faults struct {
	Late      float64 `group:"Faults" name:"late" env:"SIM_LATE" default:"0" help:"Percent of readings sent 10 s after they were measured."`
	Burst     float64 `group:"Faults" name:"burst" env:"SIM_BURST" default:"0" help:"Percent of readings at which the device falls silent for 10 s, and then sends all of them at once."`
	Duplicate float64 `group:"Faults" name:"duplicate" env:"SIM_DUPLICATE" default:"0" help:"Percent of readings sent twice."`
	BadClock  float64 `group:"Faults" name:"bad-clock" env:"SIM_BAD_CLOCK" default:"0" help:"Percent of readings dated 1970 or 2099."`
	Junk      float64 `group:"Faults" name:"junk" env:"SIM_JUNK" default:"0" help:"Percent of messages replaced by invalid bytes."`
}

const (
	maxInFlight = 65535 // the packet ids of MQTT
	maxDevices  = 10_000_000

	maxTopicPrefix = 60_000 // bytes; a topic has at most 65,535
)

// Validate returns the first setting that cannot work as a *daemon.ConfigError.
func (c Config) Validate() error {
	wrong := func(variable string, value any, problem string) error {
		return &daemon.ConfigError{Variable: variable, Value: fmt.Sprint(value), Err: errors.New(problem)}
	}
	if _, err := parseURL(c.URL); err != nil {
		return &daemon.ConfigError{Variable: "MQTT_URL", Value: c.URL, Err: err}
	}
	for _, name := range c.Families {
		switch _, known := familyOf(name); {
		case !known:
			return wrong("SIM_FAMILY", name, "must be of "+strings.Join(familyNames(), ", "))
		case name != "telltale" && c.Ledger != "":
			return wrong("SIM_FAMILY", name, "must be telltale alone with a ledger (SIM_PUBLISH_LEDGER)")
		}
	}
	switch {
	case c.Devices < 1 || c.Devices > maxDevices:
		return wrong("SIM_DEVICES", c.Devices, fmt.Sprintf("must be between 1 and %d", maxDevices))
	case !c.FirstDevice.Valid() || !(c.FirstDevice + iot.DeviceID(c.Devices) - 1).Valid():
		return wrong("SIM_FIRST_DEVICE", int64(c.FirstDevice), fmt.Sprintf("must leave all device ids between 1 and %d", int64(iot.MaxDeviceID)))
	case c.Connections < 1 || c.Connections > c.Devices:
		return wrong("SIM_CONNECTIONS", c.Connections, "must be between 1 and the number of devices")
	case c.InFlight < 1 || c.InFlight > maxInFlight:
		return wrong("SIM_IN_FLIGHT", c.InFlight, fmt.Sprintf("must be between 1 and %d", maxInFlight))
	case c.TopicStyle != "device" && c.TopicStyle != "shared":
		return wrong("SIM_TOPIC_STYLE", c.TopicStyle, "must be device or shared")
	case c.TopicPrefix == "" || strings.ContainsAny(c.TopicPrefix, "+#\x00") || len(c.TopicPrefix) > maxTopicPrefix:
		return wrong("SIM_TOPIC_PREFIX", c.TopicPrefix, "must be the beginning of a topic")
	case !(c.Rate >= 0 && c.Rate <= 1e6):
		return wrong("SIM_RATE", c.Rate, "must be between 0 and 1000000")
	case c.Count < 0:
		return wrong("SIM_COUNT", c.Count, "must not be negative")
	case c.Duration < 0:
		return wrong("SIM_DURATION", c.Duration, "must not be negative")
	}
	for _, f := range []struct {
		variable string
		percent  float64
	}{
		{"SIM_LATE", c.Late}, {"SIM_BURST", c.Burst}, {"SIM_DUPLICATE", c.Duplicate},
		{"SIM_BAD_CLOCK", c.BadClock}, {"SIM_JUNK", c.Junk},
	} {
		if !(f.percent >= 0 && f.percent <= 100) {
			return wrong(f.variable, f.percent, "must be between 0 and 100")
		}
	}
	return nil
}

// withDefaults sets what has no useful zero.
func (c Config) withDefaults() Config {
	if c.ClientID == "" {
		c.ClientID = "simulator"
	}
	if c.Connections == 0 {
		c.Connections = 1
	}
	if c.InFlight == 0 {
		c.InFlight = 1000
	}
	if c.TopicStyle == "" {
		c.TopicStyle = "device"
	}
	if c.TopicPrefix == "" {
		c.TopicPrefix = "sensors"
	}
	if len(c.Families) == 0 {
		c.Families = []string{"telltale"}
	}
	if c.FirstDevice == 0 {
		c.FirstDevice = 1
	}
	return c
}

// families returns those that are named.
func (c Config) families() (list []family) {
	for _, name := range c.Families {
		f, _ := familyOf(name)
		if f.topics == nil {
			f.topics = func(id uint64) []string { return []string{c.topic(iot.DeviceID(id))} }
		}
		list = append(list, f)
	}
	return list
}

// topic is where device id publishes in Telltale's own form.
func (c Config) topic(id iot.DeviceID) string {
	if c.TopicStyle == "shared" {
		return c.TopicPrefix + "/data"
	}
	return c.TopicPrefix + "/" + id.String() + "/data"
}

// parseURL returns s with a host and a port.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	port, err := defaultPort(u.Scheme)
	switch {
	case err != nil:
		return nil, err
	case u.Hostname() == "":
		return nil, errors.New("no host in it")
	case u.Port() == "":
		u.Host += ":" + port
	}
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || n == 0 {
		return nil, errors.New("the port must be a number from 1 to 65535")
	}
	return u, nil
}

func defaultPort(scheme string) (string, error) {
	switch scheme {
	case "tcp", "mqtt":
		return "1883", nil
	case "ssl", "tls", "mqtts":
		return "8883", nil
	default:
		return "", errors.New("must start with tcp://, mqtt://, ssl://, tls:// or mqtts://")
	}
}
