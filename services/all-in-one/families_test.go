package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestFamilies publishes what devices of each family do to an all-in-one with default settings, and reads it back.
func TestFamilies(t *testing.T) {
	const at = "2026-11-27T01:30:00Z" // of those that say so
	samples := []struct {
		family, topic string
		retain        bool
		payload       string
		device        string             // "" where it is read by nobody
		at            string             // "" where the server says it
		want          map[string]float64 // nil where it is a dead letter
	}{
		{"tasmota", "tele/boiler_room/SENSOR", false, `{"Time":"2026-11-27T01:30:00","AM2301":{"Temperature":21.4,"Humidity":44.1,"DewPoint":8.7},"TempUnit":"C"}`,
			"boiler_room", at, map[string]float64{"temperature": 21.4, "humidity": 44.1, "AM2301_DewPoint": 8.7}},
		{"tasmota", "tele/plug_3/SENSOR", false, `{"Time":"2026-11-27T01:30:00","ENERGY":{"TotalStartTime":"2026-01-01T00:00:00","Total":17.02,"Power":[4,11],"Voltage":231,"Current":0.07}}`,
			"plug_3", at, map[string]float64{"ENERGY_Total": 17.02, "ENERGY_Power_0": 4, "ENERGY_Power_1": 11, "ENERGY_Voltage": 231, "ENERGY_Current": 0.07}},
		{"zigbee2mqtt", "zigbee2mqtt/0x00158d0001a2b3c4", false, `{"temperature":20.9,"humidity":51.2,"battery":91,"linkquality":88,"voltage":2975}`,
			"0x00158d0001a2b3c4", "", map[string]float64{"temperature": 20.9, "humidity": 51.2, "battery": 91, "linkquality": 88, "voltage": 2975}},
		{"shelly", "shellyplusht-a1b2c3d4e5f6/events/rpc", false, `{"src":"shellyplusht-a1b2c3d4e5f6","dst":"shellyplusht-a1b2c3d4e5f6/events","method":"NotifyFullStatus","params":{"ts":1795742000.62,"temperature:0":{"id":0,"tC":19.6,"tF":67.3},"humidity:0":{"id":0,"rh":41.0},"devicepower:0":{"id":0,"battery":{"V":5.7,"percent":88}}}}`,
			"shellyplusht-a1b2c3d4e5f6", "2026-11-27T01:13:20.62Z", map[string]float64{"temperature": 19.6, "humidity": 41, "battery": 88, "battery_voltage": 5.7}},
		{"shelly", "shellies/shellyht-1a2b3c/sensor/temperature", false, `21.38`,
			"shellyht-1a2b3c", "", map[string]float64{"temperature": 21.38}},
		{"ttn", "v3/farm@ttn/devices/soil-4/up", false, `{"end_device_ids":{"device_id":"soil-4","dev_eui":"0004A30B001C0531"},"received_at":"2026-11-27T01:30:00.123456789Z","uplink_message":{"f_port":2,"f_cnt":77,"decoded_payload":{"temperature":7.5,"moisture":33},"rx_metadata":[{"rssi":-101,"snr":4.5}]}}`,
			"soil-4", "2026-11-27T01:30:00.123Z", map[string]float64{"temperature": 7.5, "moisture": 33, "rssi": -101, "snr": 4.5}},
		{"chirpstack", "application/17c82e96/device/0101010101010102/event/up", false, `{"deduplicationId":"3ac7","time":"2026-11-27T01:30:00.775023242+00:00","deviceInfo":{"deviceName":"cold store","devEui":"0101010101010102","tags":{"site":"b"}},"fCnt":9,"fPort":1,"data":"qg==","object":{"temperature":-18.2},"rxInfo":[{"rssi":-36,"snr":10.5}]}`,
			"0101010101010102", "2026-11-27T01:30:00.775Z", map[string]float64{"temperature": -18.2, "rssi": -36, "snr": 10.5}},
		{"senml", "senml", false, `[{"bn":"urn:dev:mac:0024befffe804ff1/","bt":1795742000,"n":"temp","u":"Cel","v":22.5},{"n":"hum","u":"%RH","v":41}]`,
			"urn:dev:mac:0024befffe804ff1", "2026-11-27T01:13:20Z", map[string]float64{"temperature": 22.5, "humidity": 41}},
		{"sparkplug", "spBv1.0/plant/NBIRTH/press", false, "\x12\x1a\x0a\x0bTemperature\x10\x01\x20\x0a\x69\x00\x00\x00\x00\x00\x80\x35\x40\x18\x00",
			"plant/press", "", map[string]float64{"temperature": 21.5, "online": 1}},
		{"thingsboard", "v1/gateway/telemetry", false, `{"Device A":[{"ts":1795742000000,"values":{"temperature":42.1}}]}`,
			"Device A", "2026-11-27T01:13:20Z", map[string]float64{"temperature": 42.1}},
		{"esphome", "livingroom/sensor/temperature/state", true, `21.3`, "livingroom", "", map[string]float64{"temperature": 21.3}},
		{"homeassistant-discovery", "greenhouse/a1/state", false, `{"temp":295.15,"soil":"33"}`, "greenhouse-a1", "", map[string]float64{"temperature": 22, "soil": 33}},
		{"openmqttgateway", "home/OpenMQTTGateway/BTtoMQTT/4C33A6603C79", false, `{"id":"4C:33:A6:60:3C:79","rssi":-61,"tempc":19.2,"hum":"52.6","batt":87}`,
			"4C33A6603C79", "", map[string]float64{"temperature": 19.2, "humidity": 52.6, "battery": 87, "rssi": -61}},
		{"telltale", "sensors/7/data", true, `{"temperature":21.5}`, "7", "", map[string]float64{"temperature": 21.5}},
		{"telltale", "sensors/8/data", false, `{"temperature":21.5}`, "8", "", map[string]float64{"temperature": 21.5}},
		{"telltale", "sensors/10/data", false, `{"temperature":21.5,"env":{"x":1}}`, "10", "", map[string]float64{"temperature": 21.5}},
		{"telltale", "sensors/kitchen/humidity", false, `40`, "kitchen", "", map[string]float64{"humidity": 40}},
		{"telltale", "sensors/9/data", false, `{"timestamp":1795742000,"env":{"temperature":21.5}}`, "9", "", nil}, // no metric of it is left

		{"no family", "plant/7/temperature", false, `21.3`, "", "", nil},
		{"no family", "N/c0619ab1c2d3/battery/512/Dc/0/Voltage", true, `{"value":26.4}`, "", "", nil},
		{"no family", "ruuvi/C8:25:2D:8E:9C:2D/D4:12:34:66:14:75", false, `{"gw_mac":"C8:25:2D:8E:9C:2D","rssi":-62}`, "", "", nil},
		{"no family", "/sensors/7/data", false, `{"temperature":21.5}`, "", "", nil},
		{"no family", "wled/desk/v", false, `<?xml version="1.0" ?><vs><ac>128</ac></vs>`, "", "", nil},
	}
	s := freeAddrs(t)
	p := start(t, t.TempDir(), s)
	c := connect(t, s["MQTT_LISTEN_ADDR"], "families")
	defer c.Disconnect(100)
	for object, config := range map[string]string{
		"temp": `{"device":{"identifiers":["greenhouse-a1"],"name":"Tomatoes","suggested_area":"Greenhouse"},"state_topic":"greenhouse/a1/state","unit_of_measurement":"K","value_template":"{{ value_json.temp }}"}`,
		"soil": `{"dev":{"ids":["greenhouse-a1"],"name":"Tomatoes","sa":"Greenhouse"},"stat_t":"greenhouse/a1/state","unit_of_meas":"%","val_tpl":"{{ value_json.soil | float }}"}`,
	} {
		if token := c.Publish("homeassistant/sensor/a1/"+object+"/config", 1, true, config); !token.WaitTimeout(30*time.Second) || token.Error() != nil {
			t.Fatalf("no PUBACK on a config: %v", token.Error())
		}
	}
	for _, sample := range samples {
		if token := c.Publish(sample.topic, 1, sample.retain, sample.payload); !token.WaitTimeout(30*time.Second) || token.Error() != nil {
			t.Fatalf("no PUBACK on %s: %v", sample.topic, token.Error())
		}
	}
	given, read := map[string]int{}, map[string]int{}
	deadLetters, ignored := 0, 0
	for _, sample := range samples {
		given[sample.family]++
		switch {
		case sample.device == "":
			ignored++
			continue
		case sample.want == nil:
			deadLetters++
			continue
		}
		var stored []reading
		eventually(t, 30*time.Second, "a reading of "+sample.device, func() bool {
			_, err := p.get("/api/devices/"+url.PathEscape(sample.device)+"/readings/", &stored)
			return err == nil && len(stored) > 0
		})
		got := stored[0].all()
		if len(stored) != 1 || !maps.Equal(got, sample.want) {
			t.Errorf("%s: %d readings, of %v, want one of %v", sample.topic, len(stored), got, sample.want)
			continue
		}
		if sample.at != "" && stored[0].Timestamp.Format(time.RFC3339Nano) != sample.at || sample.at == "" && stored[0].Source != "server" {
			t.Errorf("%s: at %v by %s, want %q", sample.topic, stored[0].Timestamp, stored[0].Source, sample.at)
			continue
		}
		read[sample.family]++
	}
	for family, n := range given {
		t.Logf("%-16s %d of %d samples are read", family, read[family], n)
	}
	var named struct{ Name, Location string }
	eventually(t, 30*time.Second, "the device that a config describes has its name and location", func() bool {
		_, err := p.get("/api/devices/greenhouse-a1/", &named)
		return err == nil && named.Name == "Tomatoes" && named.Location == "Greenhouse"
	})
	var letters []struct {
		Source string `json:"source"`
	}
	eventually(t, 30*time.Second, fmt.Sprintf("%d dead letters", deadLetters), func() bool {
		_, err := p.get("/api/dead-letters/", &letters)
		return err == nil && len(letters) >= deadLetters
	})
	if len(letters) != deadLetters {
		t.Errorf("dead letters %+v, want %d", letters, deadLetters)
	}
	if metric := fmt.Sprintf(`telltale_bridge_messages_total{outcome="ignored"} %d`+"\n", ignored); !strings.Contains(metricsOf(t, s["OPS_ADDR"]), metric) {
		t.Errorf("no metric %s", metric)
	}
	var listed []struct {
		Topic, Hint string
		Client      string `json:"client_id"`
		Member      string
	}
	eventually(t, 30*time.Second, "what nobody reads", func() bool {
		_, err := p.get("/api/ignored/", &listed)
		return err == nil && len(listed) > ignored
	})
	for _, l := range listed {
		hint := ""
		switch l.Topic {
		case "/sensors/7/data":
			hint = "did you mean sensors/7/data?"
		case "sensors/10/data":
			hint = l.Hint // why the member is left out
		}
		if l.Client != "families" || l.Hint != hint || (l.Member != "") != (l.Topic == "sensors/10/data") {
			t.Errorf("listed %+v", l)
		}
	}
}

// all returns the metrics of r, also those that have a place of their own.
func (r *reading) all() map[string]float64 {
	all := maps.Clone(r.Metrics)
	if all == nil {
		all = map[string]float64{}
	}
	if r.Temperature != nil {
		all["temperature"] = *r.Temperature
	}
	if r.Humidity != nil {
		all["humidity"] = *r.Humidity
	}
	return all
}

// metricsOf returns what a process says at its operations port.
func metricsOf(t *testing.T, addr string) string {
	t.Helper()
	res, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
