import { useSignal } from "@preact/signals";
import { may, ways } from "../access";
import { address, api } from "../api";
import { endpointOf } from "../mqtt";
import { snippets } from "../snippets";
import { text } from "../text";
import { Moment } from "./age";
import { Authority } from "./authority";
import { Copyable } from "./copy";
import { Devices } from "./devices";
import { Confirm } from "./dialog";
import { Expiry, expiresAt, namesIn, never } from "./expiry";
import { Alert, Select, TextArea, TextField, useSubmit } from "./form";
import { type List, useList } from "./list";
import { useLoaded } from "./loaded";
import { Once } from "./once";
import { ListTable } from "./table";

type Type = "password" | "certificate";

export interface Credential {
  id: number;
  type: Type;
  username: string;
  devices: number[]; // for which it speaks
  role: "viewer" | null;
  fingerprint: string | null;
  created_at: string;
  expires_at: string | null;
}

type Made = Credential & { password?: string; published: boolean };

interface Mqtt {
  listens: boolean;
  address: string;
  tls?: boolean;
}

interface CredentialsProps {
  path: string; // where the API has them
  device: string | null; // whose they are; null: all there are
}

const words = text.access.credentials;

// Credentials are what devices, gateways and viewers show to be let in: listed, made and deleted.
export function Credentials({ path, device }: CredentialsProps) {
  const list = useList<Credential>(address(path, { limit: 100 }));
  const made = useSignal<{ credential: Made; speaksFor: string } | null>(null);
  const deleted = useSignal<Credential | null>(null);
  const said = useSignal("");
  return (
    <>
      <ListTable
        label={words.title}
        list={list}
        none={words.none}
        columns={[
          { head: words.user, cell: (one) => <bdi id={`credential-${one.id}`}>{one.username}</bdi> },
          device === null && { head: words.kind, cell: (one) => (one.role ? words.kinds.viewer : <Devices ids={one.devices} />) },
          { head: words.type, cell: (one) => words.types[one.type] },
          { head: words.fingerprint, cell: (one) => <span class="mono clamp">{one.fingerprint ?? (one.type === "certificate" ? words.byName : text.unknown)}</span> },
          { head: text.created, cell: (one) => <Moment at={one.created_at} /> },
          { head: text.access.expires, cell: (one) => (one.expires_at ? <Moment at={one.expires_at} /> : text.access.never) },
          {
            head: text.actions,
            cell: (one) => (
              <button type="button" class="danger" aria-describedby={`credential-${one.id}`} onClick={() => (deleted.value = one)}>
                {text.delete}
              </button>
            ),
          },
        ]}
      />
      <p role="status">
        <bdi>{said}</bdi>
      </p>
      <CredentialForm
        path={path}
        device={device}
        made={(credential, speaksFor) => {
          const { password, published: _, ...listed } = credential;
          list.items.value = [...(list.items.value ?? []), listed];
          if (password) made.value = { credential, speaksFor };
          else said.value = text.made(credential.username);
        }}
      />
      {made.value && <Shown {...made.value} onClose={() => (made.value = null)} />}
      {deleted.value && <Delete key={deleted.value.id} path={path} one={deleted.value} list={list} onClose={() => (deleted.value = null)} said={said} />}
    </>
  );
}

function Delete({ path, one, list, said, onClose }: { path: string; one: Credential; list: List<Credential>; said: { value: string }; onClose: () => void }) {
  return (
    <Confirm
      title={text.reallyDelete(one.username)}
      action={text.delete}
      onClose={onClose}
      confirm={async () => {
        await api.delete(`${path}${one.id}/`);
        list.items.value = list.items.value?.filter(({ id }) => id !== one.id) ?? null;
        said.value = text.deleted(one.username);
      }}
    >
      <p>{words.gone}</p>
    </Confirm>
  );
}

interface FormProps {
  path: string;
  device: string | null;
  made: (credential: Made, speaksFor: string) => void; // the first device that it sends for; "" where it only subscribes
}

function CredentialForm({ path, device, made }: FormProps) {
  const name = useSignal("");
  const kind = useSignal("gateway");
  const devices = useSignal("");
  const type = useSignal<string>("password");
  const certificate = useSignal("");
  const expires = useSignal(never);
  const { form, submit, busy, errors, failure } = useSubmit(["name", "devices", "type", "certificate", "fingerprint", "expires_at"], async () => {
    const gateway = kind.value === "gateway";
    const credential = await api.post<Made>(path, {
      type: type.value,
      ...(expires.value !== never && { expires_at: expiresAt(expires.value) }),
      ...(type.value === "certificate" && shownBy(certificate.value)),
      ...(device === null && { name: name.value, ...(gateway ? { devices: namesIn(devices.value) } : { role: "viewer" }) }),
    });
    made(credential, device ?? (gateway ? (namesIn(devices.value)[0] ?? "") : ""));
    name.value = devices.value = certificate.value = "";
  });
  return (
    <form ref={form} class="card" aria-label={words.add} noValidate onSubmit={submit}>
      <h3>{words.add}</h3>
      <Alert message={failure.value} />
      <div class="fields">
        {device === null && (
          <>
            <Select label={words.kind} value={kind} options={Object.entries(words.kinds)} />
            <TextField label={words.user} value={name} errors={errors.value["name"]} />
            {kind.value === "gateway" && <TextField label={text.access.devices} hint={text.access.devicesHint} value={devices} errors={errors.value["devices"]} mono />}
          </>
        )}
        <Select label={words.type} value={type} errors={errors.value["type"]} options={Object.entries(words.types)} />
        <Expiry value={expires} errors={errors.value["expires_at"]} choices={[never, "90", "365"]} />
        {type.value === "certificate" && (
          <TextArea label={words.certificate} hint={words.certificateHint} value={certificate} errors={errors.value["certificate"] ?? errors.value["fingerprint"]} />
        )}
      </div>
      <button class="primary" disabled={busy}>
        {words.create}
      </button>
    </form>
  );
}

function shownBy(written: string): { certificate: string } | { fingerprint: string } | {} {
  const trimmed = written.trim();
  return trimmed.startsWith("-----") ? { certificate: trimmed } : trimmed && { fingerprint: trimmed.replaceAll(":", "") };
}

// Shown has a password that was made, with what to paste to use it.
function Shown({ credential: { username: user, password = "", published }, speaksFor, onClose }: { credential: Made; speaksFor: string; onClose: () => void }) {
  const { value: system } = useLoaded(async (signal) => (may("site") ? api.get<{ mqtt: Mqtt }>("/api/system/", {}, signal) : null), []);
  const { value: login } = useLoaded(ways, []);
  const known = system.value?.mqtt;
  const lines = snippets({ ...endpointOf(location.hostname, known), tls: known?.tls ?? false }, { user, password, device: speaksFor });
  return (
    <Once title={words.made(user)} secrets={[[words.user, user], [text.access.password, password]]} onClose={onClose}>
      {!published && <p class="warn">{words.unpublished}</p>}
      {known?.tls && <Authority at={login.value?.ca} />}
      {Object.entries(lines).map(([name, code]) => (
        <>
          <h3>{words.lines[name as keyof typeof lines]}</h3>
          <Copyable label={words.lines[name as keyof typeof lines]}>{code}</Copyable>
        </>
      ))}
    </Once>
  );
}
