package mapping_test

import "testing"

func TestHint(t *testing.T) {
	set := load(t)
	for topic, want := range map[string]string{
		"/sensors/42/data":                   "did you mean sensors/42/data?",
		"sensors/42/data/":                   "did you mean sensors/42/data?",
		"Sensors/42/Data":                    "did you mean sensors/42/data?",
		"sensor/42/data":                     "did you mean sensors/42/data?",
		"sensosr/Kitchen/temperature":        "did you mean sensors/Kitchen/temperature?",
		"/sensor/data/":                      "did you mean sensors/data?",
		"tele/boiler/SENSORS":                "did you mean tele/boiler/SENSOR?",
		"tele/boiler/sensor":                 "did you mean tele/boiler/SENSOR?",
		"zigbee2mqt/floor/lamp":              "did you mean zigbee2mqtt/floor/lamp?",
		"applicatoin/1/device/2/event/up":    "did you mean application/1/device/2/event/up?",
		"plant/7/temperature":                "",
		"N/c0619ab1c2d3/battery/512/Dc/0/Vo": "",
		"$aws/things/pump7/shadow/update":    "",
		"wled/desk/v":                        "",
		"sensors":                            "",
		"":                                   "",
		"/":                                  "",
	} {
		if got := set.Hint(topic); got != want {
			t.Errorf("%s: %q, want %q", topic, got, want)
		}
	}
	selected, err := set.Select([]string{"plant/+/data"})
	if err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string]string{
		"tele/boiler/SENSOR": "rule tasmota-zigbee is for it, but MQTT_TOPICS does not select it",
		"/plant/7/data":      "did you mean plant/7/data?",
		"sensor/42/data":     "", // that is not selected either
	} {
		if got := selected.Hint(topic); got != want {
			t.Errorf("%s: %q, want %q", topic, got, want)
		}
	}
}
