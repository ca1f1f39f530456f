import { useComputed, useSignal } from "@preact/signals";
import { may, me, type Role, ways } from "../access";
import { address, api } from "../api";
import { Age, Moment } from "../parts/age";
import { Authority } from "../parts/authority";
import { Copyable } from "../parts/copy";
import { Devices } from "../parts/devices";
import { optionsOf, useUsers } from "../parts/device-form";
import { Confirm } from "../parts/dialog";
import { Expiry, expiresAt, namesIn, never } from "../parts/expiry";
import { Alert, Select, TextField, useSubmit } from "../parts/form";
import { useList } from "../parts/list";
import { useLoaded } from "../parts/loaded";
import { Once } from "../parts/once";
import { Page } from "../parts/page";
import { Sections } from "../parts/sections";
import { ListTable } from "../parts/table";
import { text } from "../text";
import type { User } from "../types";

interface Token {
  id: number;
  name: string;
  user: number;
  role: Role;
  devices: number[] | null;
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
}

type Made = Token & { token: string };

const perPage = 100;
const words = text.access.tokens;

// Tokens are one's own or, of an admin, everybody's.
export default function Tokens() {
  const list = useList<Token>(address("/api/tokens/", { limit: perPage }));
  const admin = may("users");
  const users = useUsers();
  const names = useComputed(() => new Map(users.all.value.map(({ id, username }) => [id, username])));
  const { value: login } = useLoaded(ways, []);
  const made = useSignal<Made | null>(null);
  const deleted = useSignal<Token | null>(null);
  const said = useSignal("");
  return (
    <Page title={words.title} aside={<Sections />}>
      <p class="quiet">{words.about}</p>
      <TokenForm
        users={users.all.value}
        made={(token) => {
          made.value = token;
          const { token: _, ...listed } = token;
          list.items.value = [...(list.items.value ?? []), listed];
        }}
      />
      <p role="status">
        <bdi>{said}</bdi>
      </p>
      <ListTable
        label={words.title}
        list={list}
        none={words.none}
        columns={[
          { head: text.access.name, cell: (token) => <bdi id={`token-${token.id}`}>{token.name}</bdi> },
          ...(admin ? [{ head: words.owner, cell: (token: Token) => <bdi>{names.value.get(token.user) ?? `#${token.user}`}</bdi> }] : []),
          { head: text.access.role, cell: (token) => text.access.roles[token.role] },
          { head: text.access.devices, cell: ({ devices }) => (devices ? <Devices ids={devices} /> : text.access.allDevices) },
          { head: text.created, cell: (token) => <Moment at={token.created_at} /> },
          { head: text.access.expires, cell: (token) => (token.expires_at ? <Moment at={token.expires_at} /> : text.access.never) },
          { head: words.used, cell: (token) => <Age at={token.last_used_at} /> },
          {
            head: text.actions,
            cell: (token) => (
              <button type="button" class="danger" aria-describedby={`token-${token.id}`} onClick={() => (deleted.value = token)}>
                {text.delete}
              </button>
            ),
          },
        ]}
      />
      {made.value && (
        <Once title={words.made} secrets={[[made.value.name, made.value.token]]} onClose={() => (made.value = null)}>
          <p>{words.try}</p>
          <Authority at={login.value?.ca} />
          <Copyable label={words.try}>{`curl ${login.value?.ca ? "--cacert ca.crt " : ""}-H 'Authorization: Bearer ${made.value.token}' ${location.origin}/api/devices/`}</Copyable>
        </Once>
      )}
      {deleted.value && (
        <Confirm
          key={deleted.value.id}
          title={text.reallyDelete(deleted.value.name)}
          action={text.delete}
          onClose={() => (deleted.value = null)}
          confirm={async () => {
            const { id, name } = deleted.value!;
            await api.delete(`/api/tokens/${id}/`);
            list.items.value = list.items.value?.filter((token) => token.id !== id) ?? null;
            said.value = text.deleted(name);
          }}
        >
          <p>{words.gone}</p>
        </Confirm>
      )}
    </Page>
  );
}

function TokenForm({ users, made }: { users: User[]; made: (token: Made) => void }) {
  const name = useSignal("");
  const role = useSignal<string>(me.value!.roles[0]!);
  const devices = useSignal("");
  const expires = useSignal("90");
  const user = useSignal("");
  const admin = may("users");
  const { form, submit, busy, errors, failure } = useSubmit(["name", "role", "devices", "expires_at", "user"], async () => {
    made(
      await api.post<Made>("/api/tokens/", {
        name: name.value,
        role: role.value,
        expires_at: expiresAt(expires.value),
        ...(devices.value.trim() && { devices: namesIn(devices.value) }),
        ...(user.value && { user: Number(user.value) }),
      }),
    );
    name.value = devices.value = "";
  });
  const roles = me.value!.roles.map((one): [string, string] => [one, text.access.roles[one]]);
  return (
    <form ref={form} class="card" aria-label={words.add} noValidate onSubmit={submit}>
      <h2>{words.add}</h2>
      <Alert message={failure.value} />
      <div class="fields">
        <TextField label={text.access.name} value={name} errors={errors.value["name"]} />
        {admin && <Select label={words.owner} value={user} errors={errors.value["user"]} options={[["", me.value!.id === null ? text.choose : words.myself], ...optionsOf(users)]} />}
        <Select label={text.access.role} value={role} errors={errors.value["role"]} options={roles} />
        <TextField label={text.access.devices} hint={words.devicesHint} value={devices} errors={errors.value["devices"]} mono />
        <Expiry value={expires} errors={errors.value["expires_at"]} choices={admin ? ["30", "90", "365", never] : ["30", "90", "365"]} />
      </div>
      <button class="primary" disabled={busy}>
        {words.create}
      </button>
    </form>
  );
}
