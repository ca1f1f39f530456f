import { Age } from "../parts/age";
import { now } from "../parts/clock";
import { Failure } from "../parts/failure";
import { Page } from "../parts/page";
import { Pipeline } from "../parts/pipeline";
import { usePolled } from "../parts/polled";
import { Table } from "../parts/table";
import { age, bytes, integer } from "../format";
import { type Conservation, type Service, type Store, type System as State, type Topic, pictureOf, sumOf } from "../system";
import { text } from "../text";

const every = 5000; // ms: as often as services say something new
const words = text.system;

export default function System() {
  const { value, failure, again } = usePolled<State>("/api/system/", every);
  const state = value.value;
  const failed = failure.value;
  return (
    <Page
      title={words.title}
      aside={
        state && (
          <p class={failed || state.problems.length > 0 ? "warn" : "quiet"}>
            {words.asOf} <Age at={state.at} /> {words.ago}
          </p>
        )
      }
    >
      {failed && (
        <>
          <Failure message={words.failed(failed.message)} again={again} />
          <p class="warn">{words.since(age(now.value - failed.since))}</p>
        </>
      )}
      {state?.problems.map((problem) => (
        <p key={problem} class="failure">
          {problem}
        </p>
      ))}
      {state ? <Known state={state} old={failed !== null || state.problems.length > 0} /> : !failed && <p class="quiet">{text.loading}</p>}
    </Page>
  );
}

// Known is what was known last. Of what is old nothing is green.
function Known({ state, old }: { state: State; old: boolean }) {
  return (
    <div class={old ? "old" : ""}>
      <Sum conservation={state.conservation} />
      <section>
        <h2>{words.pipeline}</h2>
        <Pipeline picture={pictureOf(state)} />
      </section>
      <Services services={state.services} />
      <Stores stores={state.storage} />
      <Topics topics={state.topics} />
      <Links version={state.version} />
    </div>
  );
}

// Sum says whether each reading has become something, with the sum written out.
function Sum({ conservation: c }: { conservation: Conservation }) {
  const verdict = c.adds_up === null ? "unknown" : c.adds_up ? "right" : "wrong";
  const { left, right } = sumOf(c);
  const side = (terms: typeof left) =>
    terms.map(([term, count], i) => (
      <>
        {i > 0 && " + "}
        <span class="term">
          <strong>{integer(count)}</strong> {words.terms[term]}
        </span>
      </>
    ));
  return (
    <section class={`card sum ${verdict}`} aria-labelledby="sum">
      <h2 id="sum">{words.verdicts[verdict]}</h2>
      {c.since !== null && (
        <p class="equation">
          {side(left)} = {side(right)}
        </p>
      )}
      <p>{c.detail}</p>
      {c.since !== null && (
        <p class="quiet">
          {words.countedFor} <Age at={c.since} />
        </p>
      )}
    </section>
  );
}

function Services({ services }: { services: Service[] }) {
  const state = (s: Service) => (s.gone ? "gone" : s.ready ? "ready" : "waiting");
  const shape = { gone: "never", ready: "online", waiting: "offline" };
  return (
    <section>
      <h2>{words.services}</h2>
      <Table
        label={words.services}
        rows={services}
        id={(s) => `${s.name} ${s.instance}`}
        columns={[
          { head: words.service, cell: (s) => <bdi>{s.name}</bdi> },
          {
            head: words.state,
            cell: (s) => (
              <>
                <span class={`status ${shape[state(s)]}`}>{words.states[state(s)]}</span>
                {s.problems.length > 0 && (
                  <ul class="problems">
                    {s.problems.map((problem) => (
                      <li key={problem}>{problem}</li>
                    ))}
                  </ul>
                )}
              </>
            ),
          },
          { head: words.instance, cell: (s) => <bdi class="mono">{s.instance}</bdi> },
          { head: words.version, cell: (s) => <bdi class="mono">{s.version}</bdi> },
          { head: words.running, cell: (s) => (s.gone ? text.unknown : <Age at={s.started} />), number: true },
          { head: words.heard, cell: (s) => <Age at={s.seen} stale={s.gone} />, number: true },
        ]}
      />
    </section>
  );
}

function Stores({ stores }: { stores: Store[] }) {
  return (
    <section>
      <h2>{words.storage}</h2>
      {stores.length === 0 ? (
        <p>{words.noStorage}</p>
      ) : (
        <Table
          label={words.storage}
          rows={stores}
          id={(s) => s.name}
          columns={[
            { head: words.store, cell: (s) => words.stores[s.name] ?? <bdi>{s.name}</bdi> },
            { head: words.size, cell: (s) => bytes(s.bytes), number: true },
            { head: words.growth, cell: (s) => bytes(s.bytes_per_day), number: true },
            { head: words.free, cell: (s) => bytes(s.free_bytes), number: true },
            { head: words.full, cell: (s) => (s.days_until_full === null ? text.unknown : words.days(integer(s.days_until_full))), number: true },
          ]}
        />
      )}
    </section>
  );
}

function Topics({ topics }: { topics: Topic[] }) {
  const rows = topics.flatMap(({ topic, groups }) => groups.map((group) => ({ topic, ...group })));
  return (
    <section>
      <h2>{words.groups}</h2>
      <Table
        label={words.groups}
        rows={rows}
        id={(row) => `${row.topic} ${row.group}`}
        columns={[
          { head: words.group, cell: (row) => <bdi>{row.group}</bdi> },
          { head: words.topic, cell: (row) => <bdi class="mono">{row.topic}</bdi> },
          { head: words.partitions, cell: (row) => integer(row.partitions), number: true },
          { head: words.lag, cell: (row) => integer(row.lag), number: true },
          { head: words.oldest, cell: (row) => (row.lag_seconds === null ? text.unknown : age(row.lag_seconds * 1000)), number: true },
        ]}
      />
    </section>
  );
}

function Links({ version }: { version: string }) {
  return (
    <section>
      <h2>{words.more}</h2>
      <ul>
        <li>
          <a href="/api/docs/">{words.docs}</a> (<a href="/api/openapi.json">OpenAPI</a>, <a href="/api/asyncapi.json">AsyncAPI</a>)
        </li>
        <li>
          {words.metrics} <code>curl http://HOST:9100/metrics</code>
        </li>
        <li>
          {words.why} <code>curl http://HOST:9100/readyz?verbose</code>
        </li>
      </ul>
      <p class="quiet">{words.answers(version)}</p>
    </section>
  );
}
