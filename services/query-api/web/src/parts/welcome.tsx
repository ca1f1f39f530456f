import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { may } from "../access";
import { api } from "../api";
import { commands, endpointOf, isLoopback } from "../mqtt";
import { text } from "../text";
import { Copyable } from "./copy";

// Welcome stands where the devices will be: how they send here, by the address that this browser has used.
export function Welcome() {
  const mqtt = useSignal<{ listens: boolean; address: string } | null>(null);
  useEffect(() => {
    if (!may("site")) return;
    const asking = new AbortController();
    api.get<{ mqtt: { listens: boolean; address: string } }>("/api/system/", {}, asking.signal).then(
      (system) => (mqtt.value = system.mqtt),
      () => {}, // the usual port, then
    );
    return () => asking.abort();
  }, []);
  const endpoint = endpointOf(location.hostname, mqtt.value);
  const c = commands(endpoint, location.origin);
  const w = text.welcome;
  return (
    <section>
      <h2>{w.title}</h2>
      <p role="status">{w.about}</p>
      {isLoopback(endpoint.host) && <p class="quiet">{w.loopback(endpoint.host)}</p>}
      <div class="ways">
        <Way title={w.own} about={w.ownAbout}>
          <Copyable label={`${w.own}, MQTT`}>{c.own}</Copyable>
          <Copyable label={`${w.own}, HTTP`}>{c.ownHTTP}</Copyable>
        </Way>
        <Way title={w.tasmota} about={w.tasmotaAbout}>
          <Copyable label={w.tasmota}>{c.tasmota}</Copyable>
          <p>{w.try}</p>
          <Copyable label={`${w.tasmota}, ${w.try}`}>{c.tasmotaTry}</Copyable>
        </Way>
        <Way title={w.zigbee2mqtt} about={w.zigbee2mqttAbout}>
          <Copyable label={w.zigbee2mqtt}>{c.zigbee2mqtt}</Copyable>
          <p>{w.try}</p>
          <Copyable label={`${w.zigbee2mqtt}, ${w.try}`}>{c.zigbee2mqttTry}</Copyable>
        </Way>
        <Way title={w.shelly} about={w.shellyAbout}>
          <Copyable label={w.shelly}>{c.shelly}</Copyable>
          <p>{w.try}</p>
          <Copyable label={`${w.shelly}, ${w.try}`}>{c.shellyTry}</Copyable>
        </Way>
      </div>
    </section>
  );
}

function Way({ title, about, children }: { title: string; about: string; children: ComponentChildren }) {
  return (
    <div class="card">
      <h3>{title}</h3>
      <p>{about}</p>
      {children}
    </div>
  );
}
