// A sensor in Go. It goes on measuring while Telltale cannot be reached, and sends everything afterwards, with the times at
// which it was measured. It keeps that in memory: what has not been sent when the program ends is gone.
package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

const (
	url      = "tcp://localhost:1883"
	device   = "go-1" // any text; also the client id, so each device needs its own
	interval = 10 * time.Second
)

type reading struct {
	Temperature float64   `json:"temperature"`
	Humidity    float64   `json:"humidity"`
	Timestamp   time.Time `json:"timestamp"`
}

func measure() reading {
	round := func(x float64) float64 { return math.Round(100*x) / 100 }
	return reading{round(21 + rand.NormFloat64()/5), round(45 + rand.NormFloat64()), time.Now().UTC()}
}

func main() {
	options := mqtt.NewClientOptions().AddBroker(url).SetClientID(device).SetCleanSession(false)
	options.SetKeepAlive(30 * time.Second).SetMaxReconnectInterval(5 * time.Second)
	options.SetConnectRetry(true).SetConnectRetryInterval(2 * time.Second) // the first connection, too
	options.SetOnConnectHandler(func(mqtt.Client) { fmt.Println("connected") })
	options.SetConnectionLostHandler(func(_ mqtt.Client, err error) { fmt.Println("connection lost:", err) })
	// options.SetUsername("device").SetPassword("password")
	client := mqtt.NewClient(options)
	client.Connect()
	for ; ; time.Sleep(interval) {
		message, err := json.Marshal(measure())
		if err != nil {
			panic(err)
		}
		// At QoS 1 it is kept until the PUBACK, and sent again after a reconnect.
		client.Publish("sensors/"+device+"/data", 1, false, message)
		fmt.Println("measured", string(message))
	}
}
