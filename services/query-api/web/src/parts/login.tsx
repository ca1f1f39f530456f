import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { logIn, ways as askWays } from "../access";
import { address } from "../api";
import { text } from "../text";
import { Alert, TextField, useSubmit } from "./form";
import { Authority } from "./authority";
import { useLoaded } from "./loaded";

const words = text.access;

// Login is a form for name and password, beside another way where there is one. here is where somebody comes back to who
// leaves the page for it.
export function Login({ here, done }: { here: string; done?: () => void }) {
  const { value: ways } = useLoaded(askWays, []);
  const username = useSignal("");
  const password = useSignal("");
  const { form, submit, busy, errors, failure } = useSubmit(["username", "password"], async () => {
    await logIn(username.value, password.value);
    done?.();
  });
  useEffect(() => form.current!.querySelector("input")!.focus(), []);
  const other = ways.value?.oidc;
  return (
    <form ref={form} class="login" method="post" noValidate onSubmit={submit}>
      <Alert message={failure.value} />
      <TextField label={words.username} value={username} errors={errors.value["username"]} autocomplete="username" />
      <TextField label={words.password} value={password} errors={errors.value["password"]} type="password" autocomplete="current-password" />
      <p class="row">
        <button class="primary" disabled={busy}>
          {words.logIn}
        </button>
        {other && (
          <>
            {words.or}
            <a class="button" href={address(other.url, { return: here })}>
              {words.logInTo(other.name)}
            </a>
          </>
        )}
      </p>
      <Authority at={ways.value?.ca} />
    </form>
  );
}
