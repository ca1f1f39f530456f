import { useSignal } from "@preact/signals";
import { api } from "../api";
import { visible } from "../bytes";
import { integer } from "../format";
import { Age } from "../parts/age";
import { Confirm } from "../parts/dialog";
import { Failure } from "../parts/failure";
import { Page } from "../parts/page";
import { type Polled, usePolled } from "../parts/polled";
import { Sections } from "../parts/sections";
import { Table } from "../parts/table";
import { place } from "../router";
import { text } from "../text";

interface Refusal {
  surface: string;
  why: string;
  principal: string | null;
  client_id: string | null;
  device: string | null;
  address: string;
  count: number;
  first: string;
  last: string;
  example: string | null;
}

const every = 5_000; // ms: an operator sees it within seconds
const wouldDeny = "/api/auth/would-deny/";
const words = text.access.refused;
const wouldDenyPage = "/access/would-deny";

// Refused are those who were refused, and those who would be if credentials were needed already.
export default function Refused() {
  const refused = usePolled<Refusal[]>("/api/auth/refused/", every);
  const would = usePolled<Refusal[]>(wouldDeny, every);
  const clearing = useSignal(false);
  const said = useSignal("");
  const warned = (would.value.value?.length ?? 0) > 0 || place.value.path.startsWith(wouldDenyPage); // who asks for it gets an answer
  return (
    <Page title={words.title} aside={<Sections />}>
      <p role="status">{said}</p>
      {warned && (
        <section>
          <div class="row">
            <h2 class="grow">{words.wouldDeny}</h2>
            <button type="button" class="danger" onClick={() => (clearing.value = true)}>
              {words.clear}
            </button>
          </div>
          <p class="quiet">{words.wouldDenyAbout}</p>
          <Refusals label={words.wouldDeny} of={would} none={words.noneWouldDeny} />
        </section>
      )}
      <section>
        {warned && <h2>{words.title}</h2>}
        <p class="quiet">{words.about}</p>
        <Refusals label={words.title} of={refused} none={words.none} />
      </section>
      {clearing.value && (
        <Confirm
          title={words.reallyClear}
          action={words.clear}
          onClose={() => (clearing.value = false)}
          confirm={async () => {
            await api.delete(wouldDeny);
            would.again();
            said.value = words.cleared;
          }}
        >
          <p>{words.clearing}</p>
        </Confirm>
      )}
    </Page>
  );
}

function Refusals({ label, of: { value, failure, again }, none }: { label: string; of: Polled<Refusal[]>; none: string }) {
  const all = value.value;
  const name = (of: string | null, mono = false) => <bdi class={mono ? "mono clamp" : "clamp"}>{visible(of ?? text.unknown)}</bdi>;
  return (
    <>
      {failure.value && <Failure message={failure.value.message} again={again} />}
      {all === null ? (
        !failure.value && <p class="quiet">{text.loading}</p>
      ) : all.length === 0 ? (
        <p>{none}</p>
      ) : (
        <Table
          label={label}
          rows={all}
          id={(one) => JSON.stringify([one.surface, one.why, one.principal, one.client_id, one.device, one.address])}
          columns={[
            { head: words.why, cell: (one) => one.why },
            { head: words.surface, cell: (one) => words.surfaces[one.surface] ?? one.surface },
            { head: text.access.who, cell: (one) => name(one.principal) },
            { head: words.client, cell: (one) => name(one.client_id, true) },
            { head: words.device, cell: (one) => (one.device === null ? text.unknown : <a href={`/devices/${encodeURIComponent(one.device)}`}>{name(one.device, true)}</a>) },
            { head: words.address, cell: (one) => <span class="mono">{one.address}</span> },
            { head: words.count, cell: (one) => integer(one.count), number: true },
            { head: words.last, cell: (one) => <Age at={one.last} /> },
            { head: words.first, cell: (one) => <Age at={one.first} /> },
            { head: words.example, cell: (one) => name(one.example, true) },
          ]}
        />
      )}
    </>
  );
}
