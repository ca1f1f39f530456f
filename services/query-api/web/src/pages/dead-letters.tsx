import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { may } from "../access";
import { address, api } from "../api";
import { visible } from "../bytes";
import { type Filter, filterOf, fromInput, isOf, queryOf, toInput } from "../deadletters";
import { integer } from "../format";
import { Live } from "../live";
import { Age } from "../parts/age";
import { Bulk } from "../parts/bulk";
import { OneDeadLetter } from "../parts/dead-letter";
import { Failure } from "../parts/failure";
import { messageOf } from "../parts/fault";
import { Select, TextField } from "../parts/form";
import { useList } from "../parts/list";
import { LiveBadge } from "../parts/live-badge";
import { Page } from "../parts/page";
import { ListTable, Table } from "../parts/table";
import { navigate, place, setQuery } from "../router";
import { text } from "../text";
import type { DeadLetter, DeadLetterStats } from "../types";

const perPage = 50;
const beginning = 80; // characters of a payload in the list
const typing = 400; // ms without a key before the API is asked
const noReadings = "no metric is called this"; // so that the stream has what becomes a dead letter, and no readings

const linkTo = (filter: Filter, id?: string) => address("/dead-letters", { ...queryOf(filter), id });

export default function DeadLetters() {
  const { query } = place.value;
  const filter = filterOf(query);
  const id = query.get("id");
  const said = useSignal("");
  return (
    <Page title={text.deadLetters.title}>
      <p role="status">
        <bdi>{said}</bdi>
      </p>
      {id === null ? (
        <All filter={filter} said={(what) => (said.value = what)} />
      ) : (
        <OneDeadLetter
          id={id}
          back={linkTo(filter)}
          gone={(what) => {
            said.value = what;
            navigate(linkTo(filter));
          }}
        />
      )}
    </Page>
  );
}

function All({ filter, said }: { filter: Filter; said: (what: string) => void }) {
  const words = text.deadLetters;
  const list = useList<DeadLetter>(address("/api/dead-letters/", { ...queryOf(filter), limit: perPage }));
  const stats = useSignal<DeadLetterStats | null>(null);
  const failure = useSignal<string | null>(null); // of stats
  const fresh = useSignal(0); // that have come since the list was read
  const bulk = useSignal<"replay" | "delete" | null>(null);
  const live = useSignal<Live | null>(null);
  const shown = useRef(filter);
  shown.current = filter;

  const count = async (signal?: AbortSignal) => {
    try {
      stats.value = await api.get<DeadLetterStats>("/api/dead-letters/stats/", queryOf(shown.current), signal);
      failure.value = null;
    } catch (err) {
      if (!signal?.aborted) failure.value = messageOf(err);
    }
  };
  const again = () => {
    fresh.value = 0;
    list.again();
    void count();
  };
  useEffect(() => {
    fresh.value = 0;
    const loading = new AbortController();
    void count(loading.signal);
    return () => loading.abort();
  }, [JSON.stringify(filter)]);
  useEffect(() => {
    const stream = new Live({ metric: noReadings }, {
      sync: async (signal) => {
        fresh.value = 0;
        list.again();
        await count(signal);
      },
      dead_letter: (event) => {
        if (isOf(shown.current, event)) fresh.value++;
      },
    });
    live.value = stream;
    return () => stream.close();
  }, []);
  const newest = list.items.value?.[0];
  const filtered = Object.keys(filter).length > 0;
  return (
    <>
      <div class="row">
        <p class="quiet grow">{words.about}</p>
        {live.value && <LiveBadge live={live.value} />}
      </div>
      {failure.value !== null && list.failure.value === null && <Failure message={failure.value} again={() => void count()} />}
      <Filters filter={filter} stats={stats.value} />
      {stats.value && stats.value.total > 0 && <Groups filter={filter} stats={stats.value} />}
      <div class="row actions">
        <span class="grow">
          <strong>{stats.value && words.found(integer(stats.value.total))}</strong> {filtered && <a href="/dead-letters">{words.clear}</a>}
        </span>
        <span role="status">
          {fresh.value > 0 && (
            <button type="button" class="primary" onClick={again}>
              {words.fresh(integer(fresh.value))}
            </button>
          )}
        </span>
        {may("change") && (
          <>
            <button type="button" disabled={!newest} onClick={() => (bulk.value = "replay")}>
              {words.replayAll}
            </button>
            <button type="button" class="danger" disabled={!newest} onClick={() => (bulk.value = "delete")}>
              {words.deleteAll}
            </button>
          </>
        )}
      </div>
      <ListTable
        label={words.title}
        list={list}
        none={filtered ? words.noneFound : words.none}
        columns={[
          { head: words.reason, cell: (letter) => <a href={linkTo(filter, letter.id)}>{letter.reason}</a> },
          { head: words.received, cell: (letter) => <Age at={letter.received_at} /> },
          { head: words.topic, cell: (letter) => <bdi class="mono clamp">{visible(letter.source)}</bdi> },
          { head: words.device, cell: (letter) => <bdi class="clamp">{visible(letter.device_key ?? String(letter.device_id ?? text.unknown))}</bdi> },
          { head: words.detail, cell: (letter) => <bdi class="clamp">{visible(letter.detail)}</bdi> },
          { head: words.payload, cell: ({ payload, encoding }) => <bdi class="mono">{encoding === "base64" ? text.bytes.binary : visible(payload.slice(0, beginning))}</bdi> },
          { head: words.replayed, cell: (letter) => (letter.replayed_at ? <Age at={letter.replayed_at} /> : words.never) },
        ]}
      />
      {bulk.value && newest && (
        <Bulk
          key={bulk.value}
          what={bulk.value}
          filter={filter}
          newest={newest}
          onClose={() => (bulk.value = null)}
          done={(what) => {
            said(what);
            again();
          }}
        />
      )}
    </>
  );
}

// Filters are what the page is of. They stand in its address.
function Filters({ filter, stats }: { filter: Filter; stats: DeadLetterStats | null }) {
  const words = text.deadLetters;
  const reason = useSignal(filter.reason ?? "");
  const topic = useSignal(filter.topic ?? "");
  const device = useSignal(filter.device_id ?? "");
  const since = useSignal(toInput(filter.since ?? ""));
  const until = useSignal(toInput(filter.until ?? ""));
  const replayed = useSignal(filter.replayed ?? "");
  useEffect(() => {
    const written = (input: string, time = "") => (input === toInput(time) ? time : fromInput(input)); // an input has minutes
    const later = setTimeout(
      () =>
        setQuery({
          reason: reason.value,
          topic: topic.value,
          device_id: device.value,
          since: written(since.value, filter.since),
          until: written(until.value, filter.until),
          replayed: replayed.value,
        }),
      typing,
    );
    return () => clearTimeout(later);
  }, [reason.value, topic.value, device.value, since.value, until.value, replayed.value]);
  useEffect(() => {
    reason.value = filter.reason ?? "";
    topic.value = filter.topic ?? "";
    device.value = filter.device_id ?? "";
    since.value = toInput(filter.since ?? "");
    until.value = toInput(filter.until ?? "");
    replayed.value = filter.replayed ?? "";
  }, [JSON.stringify(filter)]);
  const reasons = [...new Set([...(stats?.by_reason ?? []).map(({ reason }) => reason), ...(reason.value ? [reason.value] : [])])].sort();
  return (
    <form role="search" class="fields dense" onSubmit={(event) => event.preventDefault()}>
      <Select label={words.reason} value={reason} options={[["", text.all], ...reasons.map((name): [string, string] => [name, name])]} />
      <TextField label={words.topic} hint={words.topicHint} value={topic} mono />
      <TextField label={words.device} value={device} />
      <TextField label={words.since} value={since} type="datetime-local" />
      <TextField label={words.until} value={until} type="datetime-local" />
      <Select label={words.replayed} value={replayed} options={[["", text.all], ["false", words.no], ["true", words.yes]]} />
    </form>
  );
}

// Groups are the reasons and the topics of what is listed, each a link to its own list.
function Groups({ filter, stats }: { filter: Filter; stats: DeadLetterStats }) {
  const words = text.deadLetters;
  return (
    <div class="groups">
      <section>
        <h2>{words.byReason}</h2>
        <Table
          label={words.byReason}
          rows={stats.by_reason}
          id={({ reason }) => reason}
          columns={[
            { head: words.reason, cell: ({ reason }) => <a href={linkTo({ ...filter, reason })}>{reason}</a> },
            { head: words.count, cell: ({ count }) => integer(count), number: true },
            { head: words.replayed, cell: ({ replayed }) => integer(replayed), number: true },
          ]}
        />
      </section>
      <section>
        <h2>{words.byTopic}</h2>
        <Table
          label={words.byTopic}
          rows={stats.by_topic}
          id={({ topic }) => topic}
          columns={[
            {
              head: words.topic,
              cell: ({ topic }) => (
                <a href={linkTo({ ...filter, topic })}>
                  <bdi class="mono clamp">{visible(topic)}</bdi>
                </a>
              ),
            },
            { head: words.form, cell: ({ looks_like }) => looks_like ?? text.unknown },
            { head: words.count, cell: ({ count }) => integer(count), number: true },
            { head: words.replayed, cell: ({ replayed }) => integer(replayed), number: true },
            { head: words.advice, cell: ({ hint, example }) => <>{hint && <bdi>{visible(hint)} </bdi>}<a href={linkTo(filter, example)}>{words.example}</a></> },
          ]}
        />
      </section>
    </div>
  );
}
