# A sensor in MicroPython, for boards with Wi-Fi (ESP32, ESP8266, Pico W). It goes on measuring while Telltale cannot be
# reached, and sends everything afterwards, with the times at which it was measured. What it keeps is gone after a reset.
# It needs umqtt.simple, which images for ESP boards have; elsewhere: import mip; mip.install("umqtt.simple")

import json
import network
import ntptime
import time
from umqtt.simple import MQTTClient

SSID, PASSWORD = "network", "password"
HOST, PORT = "192.168.1.10", 1883  # the computer that runs Telltale
DEVICE = "micropython-1"  # any text; also the client id, so each device needs its own
INTERVAL = 10000  # milliseconds
KEPT = 200  # readings, while Telltale cannot be reached

EPOCH = 946684800000 if time.gmtime(0)[0] == 2000 else 0  # of most boards it is the year 2000


def measure():
    return {"temperature": 21.5, "humidity": 45}  # ask your sensor


wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect(SSID, PASSWORD)  # it connects again by itself
client = MQTTClient(DEVICE, HOST, PORT, keepalive=60)  # and user=, password=
connected = clock = False
waiting = []
due = time.ticks_ms()
while True:
    try:
        if wlan.isconnected() and not clock:
            ntptime.settime()
            clock = True
        if wlan.isconnected() and not connected:
            client.connect(clean_session=False, timeout=5)
            connected = True
        while connected and waiting:
            client.sock.settimeout(5)
            client.publish("sensors/" + DEVICE + "/data", waiting[0], qos=1)  # returns after the PUBACK
            waiting.pop(0)
    except Exception as e:  # of several kinds, when a connection is lost
        print("not connected:", repr(e))
        connected = False
        time.sleep(1)
    if time.ticks_diff(time.ticks_ms(), due) >= 0:
        due = time.ticks_add(time.ticks_ms(), INTERVAL)
        reading = measure()
        if clock:  # otherwise it gets the time at which it arrives
            reading["timestamp"] = time.time_ns() // 1000000 + EPOCH
        waiting.append(json.dumps(reading))
        print("measured", waiting[-1])
        del waiting[:-KEPT]
    time.sleep_ms(50)
