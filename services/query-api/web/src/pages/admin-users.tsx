import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { me, type Role } from "../access";
import { address, api, page } from "../api";
import { integer } from "../format";
import { Moment } from "../parts/age";
import { Confirm } from "../parts/dialog";
import { Alert, Check, Select, TextField, useSubmit } from "../parts/form";
import { type List, useList } from "../parts/list";
import { useLoaded } from "../parts/loaded";
import { Page } from "../parts/page";
import { ListTable } from "../parts/table";
import { text } from "../text";
import type { Device, User } from "../types";

const perPage = 100;

export default function AdminUsers() {
  const users = useList<User>(address("/api/users/", { limit: perPage }));
  const edited = useSignal<User | null>(null);
  const deleted = useSignal<User | null>(null);
  const said = useSignal("");
  const words = text.users;
  return (
    <Page title={words.title}>
      <UserForm key={edited.value?.id ?? 0} user={edited.value} users={users} said={(what) => (said.value = what)} done={() => (edited.value = null)} />
      <p role="status">
        <bdi>{said}</bdi>
      </p>
      <ListTable
        label={words.title}
        list={users}
        none={words.none}
        columns={[
          { head: words.username, cell: (user) => <bdi id={`user-${user.id}`}>{user.username}</bdi> },
          { head: words.email, cell: (user) => <bdi>{user.email}</bdi> },
          { head: text.access.role, cell: ({ role, disabled }) => <>{text.access.roles[role]}{disabled && <span class="bad"> {text.access.isDisabled}</span>}</> },
          { head: text.created, cell: (user) => <Moment at={user.created_at} /> },
          { head: words.devices, cell: (user) => <a href={`/admin/devices?user=${user.id}`} aria-describedby={`user-${user.id}`}>{words.show}</a> },
          {
            head: text.actions,
            cell: (user) => (
              <span class="row">
                <button type="button" aria-describedby={`user-${user.id}`} onClick={() => (edited.value = user)}>
                  {text.edit}
                </button>
                <button type="button" class="danger" aria-describedby={`user-${user.id}`} onClick={() => (deleted.value = user)}>
                  {text.delete}
                </button>
              </span>
            ),
          },
        ]}
      />
      {deleted.value && (
        <DeleteUser
          key={deleted.value.id}
          user={deleted.value}
          onClose={() => (deleted.value = null)}
          done={(user) => {
            users.items.value = users.items.value?.filter(({ id }) => id !== user.id) ?? null;
            if (edited.value?.id === user.id) edited.value = null;
            said.value = text.deleted(user.username);
          }}
        />
      )}
    </Page>
  );
}

interface UserFormProps {
  user: User | null; // null: a new one
  users: List<User>;
  said: (what: string) => void;
  done: () => void;
}

function UserForm({ user, users, said, done }: UserFormProps) {
  const username = useSignal(user?.username ?? "");
  const email = useSignal(user?.email ?? "");
  const role = useSignal<Role>(user?.role ?? "viewer");
  const password = useSignal("");
  const disabled = useSignal(user?.disabled ?? false);
  const opener = useRef(document.activeElement as HTMLElement | null);
  const leave = () => {
    done();
    opener.current?.focus();
  };
  const { form, submit, busy, errors, failure } = useSubmit(["username", "email", "role", "password"], async () => {
    const body = { username: username.value, email: email.value, role: role.value, disabled: disabled.value, ...(password.value && { password: password.value }) };
    if (user) {
      const changed = await api.patch<User>(`/api/users/${user.id}/`, body);
      users.items.value = users.items.value?.map((other) => (other.id === changed.id ? changed : other)) ?? null;
      said(text.saved(changed.username));
      leave();
    } else {
      const made = await api.post<User>("/api/users/", body);
      users.items.value = [made, ...(users.items.value ?? [])];
      username.value = email.value = password.value = "";
      said(text.made(made.username));
    }
  });
  useEffect(() => {
    if (user) form.current?.querySelector("input")?.focus();
  }, []);
  const title = user ? text.users.change(user.username) : text.users.add;
  return (
    <form ref={form} class="card" aria-label={title} noValidate onSubmit={submit}>
      <h2>
        <bdi>{title}</bdi>
      </h2>
      <Alert message={failure.value} />
      <div class="fields">
        <TextField label={text.users.username} value={username} errors={errors.value["username"]} />
        <TextField label={text.users.email} value={email} errors={errors.value["email"]} type="email" />
        <Select label={text.access.role} value={role} errors={errors.value["role"]} options={me.value!.roles.map((one) => [one, text.access.roles[one]])} />
        <TextField
          label={user?.has_password ? text.access.newPassword : text.access.password}
          hint={user?.has_password ? text.access.passwordStays : text.access.noPassword}
          value={password}
          errors={errors.value["password"]}
          type="password"
          autocomplete="new-password"
        />
        <Check label={text.access.disabled} value={disabled} />
      </div>
      <div class="row">
        <button class="primary" disabled={busy}>
          {user ? text.save : text.users.create}
        </button>
        {user && (
          <button type="button" onClick={leave}>
            {text.cancel}
          </button>
        )}
      </div>
    </form>
  );
}

const named = 5; // devices that the confirmation names

// DeleteUser says which devices go with a user before he is deleted.
function DeleteUser({ user, onClose, done }: { user: User; onClose: () => void; done: (user: User) => void }) {
  const { value: devices, failure } = useLoaded(async (signal) => {
    const { items, next } = await page<Device>("/api/devices/", { user: user.id }, signal);
    return { names: items.slice(0, named).map(({ name }) => name), count: next === null ? integer(items.length) : text.atLeast(integer(items.length)) };
  }, []);
  const found = devices.value;
  const words = text.users;
  return (
    <Confirm
      title={text.reallyDelete(user.username)}
      action={text.delete}
      ready={found !== null}
      onClose={onClose}
      confirm={async () => {
        await api.delete(`/api/users/${user.id}/`);
        done(user);
      }}
    >
      <Alert message={failure.value} />
      {!found ? (
        failure.value === null && <p>{text.loading}</p>
      ) : found.names.length === 0 ? (
        <p>{words.noDevices}</p>
      ) : (
        <>
          <p>{words.withDevices(found.count)}</p>
          <ul>
            {found.names.map((name, i) => (
              <li key={i}>
                <bdi>{name}</bdi>
              </li>
            ))}
            {found.count !== integer(found.names.length) && <li>…</li>}
          </ul>
          <p>{words.readingsStay}</p>
        </>
      )}
    </Confirm>
  );
}
