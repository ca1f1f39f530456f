// A sensor on an ESP32 with Arduino. It goes on measuring while Telltale cannot be reached, and sends everything
// afterwards, with the times at which it was measured. What it keeps is gone after a reset.
//
// It needs the library "MQTT" by Joël Gähwiler. The better known PubSubClient publishes at QoS 0 only: then a reading is
// lost whenever the connection breaks before it has arrived, and nobody notices.
#include <MQTT.h>
#include <WiFi.h>
#include <deque>
#include <sys/time.h>

const char *SSID = "network", *PASSWORD = "password";
const char *HOST = "192.168.1.10"; // the computer that runs Telltale
const int PORT = 1883;
const char *DEVICE = "esp32-1"; // any text; also the client id, so each device needs its own
const unsigned long INTERVAL = 10000; // milliseconds
const size_t KEPT = 500; // readings, while Telltale cannot be reached

WiFiClient wifi;
MQTTClient client(256);
std::deque<String> waiting;
unsigned long measured = 0;

String measure() {
  String reading = "{\"temperature\":" + String(temperatureRead(), 1); // of the chip; ask your sensor
  struct timeval now;
  gettimeofday(&now, nullptr);
  if (now.tv_sec > 1700000000) // the clock is set; otherwise it gets the time at which it arrives
    reading += ",\"timestamp\":" + String(now.tv_sec * 1000LL + now.tv_usec / 1000);
  return reading + "}";
}

void setup() {
  Serial.begin(115200);
  WiFi.setAutoReconnect(true);
  WiFi.begin(SSID, PASSWORD);
  configTime(0, 0, "pool.ntp.org"); // sets the clock as soon as there is a network
  client.begin(HOST, PORT, wifi);
  client.setOptions(30, false, 5000); // keep-alive in s, clean session, time limit of each step in ms
}

void loop() {
  if (measured == 0 || millis() - measured >= INTERVAL) {
    measured = millis();
    waiting.push_back(measure());
    if (waiting.size() > KEPT) waiting.pop_front();
    Serial.println("measured " + waiting.back());
  }
  if (WiFi.status() == WL_CONNECTED && (client.loop() || client.connect(DEVICE))) { // and user, password
    // publish returns true after the PUBACK; until then the reading stays.
    if (!waiting.empty() && client.publish("sensors/" + String(DEVICE) + "/data", waiting.front(), false, 1)) waiting.pop_front();
  } else {
    delay(1000);
  }
  delay(10);
}
