"""A sensor in Python. It goes on measuring while Telltale cannot be reached, and sends everything afterwards, with the
times at which it was measured. It keeps that in memory: what has not been sent when the program ends is gone.

    pip install -r requirements.txt
    python sensor.py
"""

import json
import random
import time
from datetime import datetime, timezone

import paho.mqtt.client as mqtt

HOST, PORT = "localhost", 1883
DEVICE = "python-1"  # any text; also the client id, so each device needs its own
INTERVAL = 10.0  # seconds
KEPT = 10_000  # readings, while Telltale cannot be reached


def measure():
    return {"temperature": round(random.gauss(21, 0.2), 2), "humidity": round(random.gauss(45, 1), 1)}


def on_connect(client, userdata, flags, reason, properties):
    print("refused: " + str(reason) if reason.is_failure else "connected", flush=True)


def on_disconnect(client, userdata, flags, reason, properties):
    print("connection lost: " + str(reason), flush=True)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=DEVICE, clean_session=False)
client.on_connect, client.on_disconnect = on_connect, on_disconnect
# client.username_pw_set("device", "password")
client.max_queued_messages_set(KEPT)
client.reconnect_delay_set(min_delay=1, max_delay=5)
client.connect_async(HOST, PORT, keepalive=30)
client.loop_start()  # connects, and connects again, in a thread of its own

while True:
    reading = json.dumps(measure() | {"timestamp": datetime.now(timezone.utc).isoformat()})
    # At QoS 1 it is kept until the PUBACK, and sent again after a reconnect.
    sent = client.publish(f"sensors/{DEVICE}/data", reading, qos=1)
    print("no room:" if sent.rc == mqtt.MQTT_ERR_QUEUE_SIZE else "measured", reading, flush=True)
    time.sleep(INTERVAL)
