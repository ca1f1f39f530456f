import { type Signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { address } from "../api";
import { type Entry, changesOf } from "../audit";
import { visible } from "../bytes";
import { fromInput, toInput } from "../deadletters";
import { Moment } from "../parts/age";
import { TextField } from "../parts/form";
import { useList } from "../parts/list";
import { Page } from "../parts/page";
import { Sections } from "../parts/sections";
import { ListTable } from "../parts/table";
import { place, setQuery } from "../router";
import { text } from "../text";

const perPage = 50;
const typing = 400; // ms without a key before the API is asked
const words = text.access.audit;
const names = ["actor", "action", "object", "since", "until"] as const;

// Audit is who did what. What it is of stands in the address.
export default function Audit() {
  const { query } = place.value;
  const filter = Object.fromEntries(names.map((name) => [name, query.get(name)]));
  const entries = useList<Entry>(address("/api/audit/", { ...filter, limit: perPage }));
  return (
    <Page title={words.title} aside={<Sections />}>
      <p class="quiet">{words.about}</p>
      <Filters />
      <p>
        <a href={address("/api/audit/", { ...filter, format: "ndjson" })} download="audit.ndjson">
          {words.download}
        </a>
      </p>
      <ListTable
        label={words.title}
        list={entries}
        none={words.none}
        columns={[
          { head: words.at, cell: (entry) => <Moment at={entry.at} /> },
          {
            head: words.actor,
            cell: (entry) => (
              <>
                <bdi>{visible(entry.actor ?? text.unknown)}</bdi> {entry.token && <bdi class="quiet">{words.token(visible(entry.token))}</bdi>}
              </>
            ),
          },
          { head: words.action, cell: (entry) => entry.action },
          { head: words.object, cell: (entry) => <What entry={entry} /> },
          { head: words.changes, cell: (entry) => <Changes entry={entry} /> },
          { head: words.address, cell: (entry) => <span class="mono">{entry.address || text.unknown}</span> },
        ]}
      />
    </Page>
  );
}

// What is what an entry is about: by the name that it had, and with a link where it is a device.
function What({ entry: { object, before, after } }: { entry: Entry }) {
  const name = [after, before].map((one) => one?.["key"] ?? one?.["name"] ?? one?.["username"]).find((one) => typeof one === "string");
  const device = /^device\/(\d+)$/.exec(object)?.[1];
  const shown = <bdi class="mono">{visible(object)}</bdi>;
  return (
    <>
      {device ? <a href={`/devices/${device}`}>{shown}</a> : shown} {typeof name === "string" && <bdi class="quiet">{visible(name)}</bdi>}
    </>
  );
}

function Changes({ entry }: { entry: Entry }) {
  return (
    <ul class="changes">
      {changesOf(entry).map(({ name, before, after }) => (
        <li key={name}>
          {name}:{" "}
          {before !== null && (
            <del>
              <span class="hidden">{words.old} </span>
              <bdi>{visible(before)}</bdi>
            </del>
          )}{" "}
          {after !== null && (
            <ins>
              <span class="hidden">{words.fresh} </span>
              <bdi>{visible(after)}</bdi>
            </ins>
          )}
        </li>
      ))}
    </ul>
  );
}

function Filters() {
  const { query } = place.value;
  const field = (name: string) => useSignal(query.get(name) ?? "");
  const time = (name: string) => useSignal(toInput(query.get(name) ?? ""));
  const actor = field("actor"), action = field("action"), object = field("object");
  const since = time("since"), until = time("until");
  const all: Signal<string>[] = [actor, action, object, since, until];
  useEffect(() => {
    const ask = () => setQuery({ actor: actor.value, action: action.value, object: object.value, since: fromInput(since.value), until: fromInput(until.value) });
    const later = setTimeout(ask, typing);
    return () => clearTimeout(later);
  }, all.map(({ value }) => value));
  return (
    <form role="search" class="fields dense" onSubmit={(event) => event.preventDefault()}>
      <TextField label={words.actor} value={actor} />
      <TextField label={words.action} hint={words.actionHint} value={action} mono />
      <TextField label={words.object} hint={words.objectHint} value={object} mono />
      <TextField label={words.since} value={since} type="datetime-local" />
      <TextField label={words.until} value={until} type="datetime-local" />
    </form>
  );
}
