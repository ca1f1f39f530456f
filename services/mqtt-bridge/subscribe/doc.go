// Package subscribe is the source that subscribes to a broker, by MQTT 3.1.1, in a session that lasts. paho speaks
// the protocol; by itself it acknowledges nothing.
//
// The broker's session is the store of what is not acknowledged: when there is no room, messages are left to it,
// and it sends them again over the next connection. A broker that is away is waited for, and a subscription that
// it refuses or grants at QoS 0 only is tried again. Topics that devices announce are subscribed to besides, if the broker
// lets it, up to a bound.
package subscribe
