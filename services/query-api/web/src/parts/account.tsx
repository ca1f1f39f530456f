import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { type Me, logOut } from "../access";
import { address, api } from "../api";
import { place } from "../router";
import { text } from "../text";
import { Dialog } from "./dialog";
import { messageOf } from "./fault";
import { Alert, TextField, useSubmit } from "./form";

const words = text.access;

// Account says who looks at the pages, and has what he does about himself.
export function Account({ who }: { who: Me }) {
  const menu = useRef<HTMLDetailsElement>(null);
  const changing = useSignal(false);
  const failure = useSignal<string | null>(null);
  const { path, query } = place.value;
  const close = () => void (menu.current!.open = false);
  return (
    <details
      ref={menu}
      class="account"
      onKeyDown={(event) => {
        if (event.key !== "Escape" || !menu.current!.open) return;
        close();
        menu.current!.querySelector("summary")!.focus();
      }}
      onFocusOut={({ relatedTarget: to }) => to && !menu.current!.contains(to as Node) && close()}
    >
      <summary>
        <span class="hidden">{words.account}: </span>
        <bdi>{who.username ?? words.anonymous}</bdi>
      </summary>
      <div class="card">
        <p class="quiet">
          {words.role}: {words.roles[who.role]}
        </p>
        <Alert message={failure.value} />
        {who.id === null ? (
          <a href={address("/login", { next: address(path, Object.fromEntries(query)) })}>{words.logIn}</a>
        ) : (
          <>
            <a href="/access/tokens" onClick={close}>
              {words.tokens.title}
            </a>
            {who.has_password && (
              <button type="button" onClick={() => (changing.value = true)}>
                {words.changePassword}
              </button>
            )}
            {who.auth === "session" && (
              <button type="button" onClick={() => void logOut().catch((err) => (failure.value = messageOf(err)))}>
                {words.logOut}
              </button>
            )}
          </>
        )}
      </div>
      {changing.value && <ChangePassword username={who.username ?? ""} onClose={() => (changing.value = false)} />}
    </details>
  );
}

function ChangePassword({ username, onClose }: { username: string; onClose: () => void }) {
  const before = useSignal("");
  const after = useSignal("");
  const done = useSignal(false);
  const { form, submit, busy, errors, failure } = useSubmit(["old_password", "new_password"], async () => {
    await api.put("/api/me/password/", { old_password: before.value, new_password: after.value });
    before.value = after.value = "";
    done.value = true;
  });
  return (
    <Dialog title={words.changePassword} onClose={onClose}>
      <form ref={form} method="post" noValidate onSubmit={submit}>
        <Alert message={failure.value} />
        <p role="status">{done.value && words.passwordChanged}</p>
        {!done.value && (
          <>
            <input type="hidden" name="username" autocomplete="username" value={username} />
            <TextField label={words.oldPassword} value={before} errors={errors.value["old_password"]} type="password" autocomplete="current-password" />
            <TextField label={words.newPassword} value={after} errors={errors.value["new_password"]} type="password" autocomplete="new-password" />
          </>
        )}
        <p class="row">
          {!done.value && (
            <button class="primary" disabled={busy}>
              {text.save}
            </button>
          )}
          <button type="button" onClick={onClose}>
            {done.value ? text.ignored.close : text.cancel}
          </button>
        </p>
      </form>
    </Dialog>
  );
}
