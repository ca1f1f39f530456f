import { useEffect } from "preact/hooks";
import { me } from "../access";
import { Failure } from "../parts/failure";
import { Login } from "../parts/login";
import { Page } from "../parts/page";
import { navigate, place } from "../router";
import { text } from "../text";

// wanted is where somebody wanted to go: a page of ours, whatever the address says.
function wanted(): string {
  const next = place.peek().query.get("next") ?? "/";
  const url = URL.canParse(next, location.origin) ? new URL(next, location.origin) : null;
  return url?.origin === location.origin && url.pathname !== "/login" ? url.pathname + url.search : "/";
}

// LoginPage goes on to where somebody wanted to go once he has logged in, or did not have to.
export default function LoginPage() {
  const known = me.value !== null && me.value.auth !== "warn";
  const leave = () => navigate(wanted(), { step: false });
  useEffect(() => {
    if (known) leave();
  }, [known]);
  const failed = place.value.query.get("failed"); // why a provider's way did not end here
  return (
    <Page title={text.access.logIn}>
      {failed !== null && <Failure message={text.access.failed[failed] ?? text.access.failedSomehow} />}
      {!known && <Login here={wanted()} done={leave} />}
    </Page>
  );
}
