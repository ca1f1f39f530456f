package simulator

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"
)

// family is how one of the device families publishes what a room is like: with its topics, names, units and times, and at
// QoS 1, whatever the family uses. Where its devices have a local time, that is UTC.
type family struct {
	name string
	// topics of the messages of the device with an id, which it sends in turns.
	topics func(id uint64) []string
	// message appends the message to topics[turn].
	message func(dst []byte, id uint64, turn int, m measurement) []byte
	clock   time.Duration // what its times are exact to; 0: it sends none
	retain  int           // its devices set RETAIN on the messages of so many turns, from the first on
}

var families = []family{
	{name: "telltale", message: telltaleMessage, clock: time.Millisecond}, // topics: Config.topic
	{"thingsboard", thingsboardTopics, thingsboardMessage, time.Millisecond, 0},
	{"tasmota", tasmotaTopics, tasmotaMessage, time.Second, 0},
	{"zigbee2mqtt", zigbee2mqttTopics, zigbee2mqttMessage, 0, 0},
	{"shelly", shellyTopics, shellyMessage, 10 * time.Millisecond, 0},
	{"ttn", ttnTopics, ttnMessage, time.Millisecond, 0},
	{"chirpstack", chirpstackTopics, chirpstackMessage, time.Millisecond, 0},
	{"esphome", esphomeTopics, esphomeMessage, 0, 3},
	{"openmqttgateway", openmqttgatewayTopics, openmqttgatewayMessage, 0, 0},
	{"senml", senmlTopics, senmlMessage, time.Millisecond, 0},
	{"sparkplug", sparkplugTopics, sparkplugMessage, time.Millisecond, 0},
	{"homeassistant-discovery", homeassistantTopics, homeassistantMessage, 0, 2},
}

// familyOf returns the family that has a name, and whether there is one.
func familyOf(name string) (family, bool) {
	i := slices.IndexFunc(families, func(f family) bool { return f.name == name })
	if i < 0 {
		return family{}, false
	}
	return families[i], true
}

func familyNames() (names []string) {
	for _, f := range families {
		names = append(names, f.name)
	}
	return names
}

// measurement is what a device has measured, and what it knows of itself.
type measurement struct {
	ms          int64   // since the epoch
	temperature float64 // °C
	humidity    float64 // % RH
	battery     float64 // %
	rssi        int     // dBm
}

func (m measurement) at() time.Time       { return time.UnixMilli(m.ms).UTC() }
func (m measurement) fahrenheit() float64 { return m.temperature*9/5 + 32 }
func (m measurement) volts() float64      { return 2.4 + m.battery/160 } // of a cell

// dewPoint is by the formula of Magnus.
func (m measurement) dewPoint() float64 {
	x := math.Log(m.humidity/100) + 17.62*m.temperature/(243.12+m.temperature)
	return 243.12 * x / (17.62 - x)
}

// A gateway has two devices in one message: what is in a room, and its window, which is open when it is warm.
func thingsboardTopics(uint64) []string { return []string{"v1/gateway/telemetry"} }

func thingsboardMessage(dst []byte, id uint64, _ int, m measurement) []byte {
	return fmt.Appendf(dst, `{"Room %d":[{"ts":%d,"values":{"temperature":%.2f,"humidity":%.1f}}],"Window %d":[{"ts":%d,"values":{"open":%t}}]}`,
		id, m.ms, m.temperature, m.humidity, id, m.ms, m.temperature > 22)
}

func tasmotaTopics(id uint64) []string {
	return []string{fmt.Sprintf("tele/tasmota_%06X/SENSOR", id), fmt.Sprintf("tele/tasmota_%06X/STATE", id)}
}

func tasmotaMessage(dst []byte, _ uint64, turn int, m measurement) []byte {
	dst = append(dst, `{"Time":"`...)
	dst = m.at().AppendFormat(dst, "2006-01-02T15:04:05")
	if turn == 0 {
		return fmt.Appendf(dst, `","SI7021":{"Temperature":%.1f,"Humidity":%.1f,"DewPoint":%.1f},"TempUnit":"C"}`,
			m.temperature, m.humidity, m.dewPoint())
	}
	return fmt.Appendf(dst, `","Uptime":"3T04:05:06","UptimeSec":273906,"Heap":25,"SleepMode":"Dynamic","Sleep":50,"LoadAvg":19,"MqttCount":1,`+
		`"Wifi":{"AP":1,"SSId":"home","BSSId":"02:00:5E:10:00:01","Channel":6,"Mode":"11n","RSSI":%d,"Signal":%d,"LinkCount":1,"Downtime":"0T00:00:03"}}`,
		min(2*(m.rssi+100), 100), m.rssi)
}

// The friendly name of a device may have levels.
func zigbee2mqttTopics(id uint64) []string {
	return []string{fmt.Sprintf("zigbee2mqtt/room_%d/climate", id)}
}

func zigbee2mqttMessage(dst []byte, _ uint64, _ int, m measurement) []byte {
	return fmt.Appendf(dst, `{"battery":%.0f,"humidity":%.2f,"linkquality":%d,"temperature":%.2f,"voltage":%.0f}`,
		m.battery, m.humidity, 2*(m.rssi+110), m.temperature, 1000*m.volts())
}

// A Shelly sends what has changed, and now and then everything.
func shellyTopics(id uint64) []string {
	return slices.Repeat([]string{fmt.Sprintf("shellyplusht-%012x/events/rpc", id)}, 3)
}

func shellyMessage(dst []byte, id uint64, turn int, m measurement) []byte {
	head := func(method string) {
		dst = fmt.Appendf(dst, `{"src":"shellyplusht-%012x","dst":"shellyplusht-%012x/events","method":"%s","params":{"ts":%.2f`,
			id, id, method, float64(m.ms)/1000)
	}
	temperature := func() {
		dst = fmt.Appendf(dst, `,"temperature:0":{"id":0,"tC":%.1f,"tF":%.1f}`, m.temperature, m.fahrenheit())
	}
	humidity := func() { dst = fmt.Appendf(dst, `,"humidity:0":{"id":0,"rh":%.1f}`, m.humidity) }
	switch turn {
	case 0:
		head("NotifyFullStatus")
		dst = fmt.Appendf(dst, `,"ble":{},"cloud":{"connected":false},"devicepower:0":{"id":0,"battery":{"V":%.2f,"percent":%.0f},"external":{"present":false}},"ht_ui":{}`,
			4*m.volts(), m.battery)
		humidity()
		dst = fmt.Appendf(dst, `,"mqtt":{"connected":true},"sys":{"mac":"%012X","restart_required":false,"time":"%s","unixtime":%d,"uptime":3,"ram_free":164244}`,
			id, m.at().Format("15:04"), m.ms/1000)
		temperature()
		dst = fmt.Appendf(dst, `,"wifi":{"sta_ip":"192.0.2.18","status":"got ip","ssid":"home","rssi":%d},"ws":{"connected":false}`, m.rssi)
	case 1:
		head("NotifyStatus")
		temperature()
	default:
		head("NotifyStatus")
		humidity()
	}
	return append(dst, `}}`...)
}

// lorawan appends what a LoRaWAN device sends by radio, in base64.
func lorawan(dst []byte, m measurement) []byte {
	var b [4]byte
	binary.BigEndian.PutUint16(b[:], uint16(int16(math.Round(100*m.temperature))))
	binary.BigEndian.PutUint16(b[2:], uint16(math.Round(100*m.humidity)))
	return base64.StdEncoding.AppendEncode(dst, b[:])
}

func ttnTopics(id uint64) []string {
	return []string{fmt.Sprintf("v3/farm@ttn/devices/eui-%016x/up", id)}
}

func ttnMessage(dst []byte, id uint64, _ int, m measurement) []byte {
	at := m.at()
	dst = fmt.Appendf(dst, `{"end_device_ids":{"device_id":"eui-%016x","application_ids":{"application_id":"farm"},"dev_eui":"%016X","dev_addr":"%08X"},`+
		`"correlation_ids":["gs:uplink:01HQ"],"received_at":"%s","uplink_message":{"session_key_id":"AY0=","f_port":2,"f_cnt":%d,"frm_payload":"`,
		id, id, uint32(id), at.Format(time.RFC3339Nano), m.ms/1000%65536)
	dst = lorawan(dst, m)
	return fmt.Appendf(dst, `","decoded_payload":{"humidity":%.2f,"temperature":%.2f},`+
		`"rx_metadata":[{"gateway_ids":{"gateway_id":"barn","eui":"0102030405060708"},"timestamp":%d,"rssi":%d,"channel_rssi":%d,"snr":%.1f}],`+
		`"settings":{"data_rate":{"lora":{"bandwidth":125000,"spreading_factor":7,"coding_rate":"4/5"}},"frequency":"868300000"},`+
		`"received_at":"%s","consumed_airtime":"0.056576s"}}`,
		m.humidity, m.temperature, uint32(1000*m.ms), m.rssi-40, m.rssi-40, m.snr(), at.Add(-200*time.Millisecond).Format(time.RFC3339Nano))
}

func (m measurement) snr() float64 { return 15 + float64(m.rssi)/10 }

// A device says after three uplinks how its battery is.
func chirpstackTopics(id uint64) []string {
	device := fmt.Sprintf("application/17c82e96-be03-4f38-aef3-f83d48582d97/device/%016x/event/", id)
	return []string{device + "up", device + "up", device + "up", device + "status"}
}

func chirpstackMessage(dst []byte, id uint64, turn int, m measurement) []byte {
	dst = fmt.Appendf(dst, `{"deduplicationId":"3ac7e3c4-4401-4b8d-9386-%012x","time":"%s","deviceInfo":{"tenantId":"52f14cd4-c6f1-4fbd-8f87-4025e1d49242",`+
		`"tenantName":"farm","applicationId":"17c82e96-be03-4f38-aef3-f83d48582d97","applicationName":"rooms","deviceProfileName":"climate",`+
		`"deviceName":"room %d","devEui":"%016x","tags":{"site":"a"}},`,
		m.ms, m.at().Format("2006-01-02T15:04:05.000000-07:00"), id, id)
	if turn == 3 {
		return fmt.Appendf(dst, `"margin":20,"externalPowerSource":false,"batteryLevelUnavailable":false,"batteryLevel":%.2f}`, m.battery)
	}
	dst = fmt.Appendf(dst, `"devAddr":"%08x","adr":true,"dr":5,"fCnt":%d,"fPort":1,"confirmed":false,"data":"`, uint32(id), m.ms/1000%65536)
	dst = lorawan(dst, m)
	return fmt.Appendf(dst, `","object":{"temperature":%.2f,"humidity":%.2f},`+
		`"rxInfo":[{"gatewayId":"0016c001f153a14c","uplinkId":%d,"rssi":%d,"snr":%.1f,"context":"E3OWOQ=="}],`+
		`"txInfo":{"frequency":868300000,"modulation":{"lora":{"bandwidth":125000,"spreadingFactor":7,"codeRate":"CR_4_5"}}}}`,
		m.temperature, m.humidity, uint16(m.ms), m.rssi-40, m.snr())
}

// ESPHome has a topic for each sensor.
func esphomeTopics(id uint64) []string {
	sensor := fmt.Sprintf("room-%d/sensor/", id)
	return []string{sensor + "temperature/state", sensor + "humidity/state", sensor + "wifi_signal/state"}
}

func esphomeMessage(dst []byte, _ uint64, turn int, m measurement) []byte {
	switch turn {
	case 0:
		return fmt.Appendf(dst, "%.1f", m.temperature)
	case 1:
		return fmt.Appendf(dst, "%.1f", m.humidity)
	default:
		return fmt.Appendf(dst, "%d", m.rssi)
	}
}

func openmqttgatewayTopics(id uint64) []string {
	return []string{fmt.Sprintf("home/OpenMQTTGateway/BTtoMQTT/%012X", openmqttgatewayMAC|id&0xffffff)}
}

// openmqttgatewayMAC is how the addresses of its devices begin.
const openmqttgatewayMAC = 0xA4C138_000000

func openmqttgatewayMessage(dst []byte, id uint64, _ int, m measurement) []byte {
	mac := openmqttgatewayMAC | id&0xffffff
	dst = append(dst, `{"id":"`...)
	for shift := 40; shift >= 0; shift -= 8 {
		dst = fmt.Appendf(dst, "%02X:", byte(mac>>shift))
	}
	return fmt.Appendf(dst[:len(dst)-1], `","mac_type":0,"adv_type":0,"name":"LYWSD03MMC","rssi":%d,"brand":"Xiaomi","model":"LYWSD03MMC","model_id":"LYWSD03MMC_PVVX",`+
		`"type":"THB","cidc":false,"tempc":%.2f,"tempf":%.2f,"hum":%.2f,"batt":%.0f,"volt":%.3f}`,
		m.rssi, m.temperature, m.fahrenheit(), m.humidity, m.battery, m.volts())
}

func senmlTopics(uint64) []string { return []string{"senml"} }

func senmlMessage(dst []byte, id uint64, _ int, m measurement) []byte {
	return fmt.Appendf(dst, `[{"bn":"urn:dev:mac:0024befffe%06x/","bt":%.3f,"n":"temp","u":"Cel","v":%.2f},{"n":"hum","u":"%%RH","v":%.1f},{"n":"batt","u":"%%EL","v":%.0f}]`,
		id&0xffffff, float64(m.ms)/1000, m.temperature, m.humidity, m.battery)
}

// homeassistantTopics: a device announces its two values to Home Assistant, and then sends both.
func homeassistantTopics(id uint64) []string {
	config := func(object string) string { return fmt.Sprintf("homeassistant/sensor/room-%d/%s/config", id, object) }
	return append([]string{config("temperature"), config("humidity")}, slices.Repeat([]string{homeassistantState(id)}, 18)...)
}

func homeassistantState(id uint64) string { return fmt.Sprintf("rooms/room-%d", id) }

func homeassistantMessage(dst []byte, id uint64, turn int, m measurement) []byte {
	config := func(object, unit string) []byte {
		return fmt.Appendf(dst, `{"name":"%s","unique_id":"room-%d-%s","device_class":"%s","state_class":"measurement","unit_of_measurement":"%s",`+
			`"state_topic":"%s","value_template":"{{ value_json.%s }}","device":{"identifiers":["room-%d-ha"],"name":"Room %d","manufacturer":"Telltale"}}`,
			object, id, object, object, unit, homeassistantState(id), object, id, id)
	}
	switch turn {
	case 0:
		return config("temperature", "°C")
	case 1:
		return config("humidity", "%")
	default:
		return fmt.Appendf(dst, `{"temperature":%.1f,"humidity":%.1f}`, m.temperature, m.humidity)
	}
}
