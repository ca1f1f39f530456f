import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { may, me } from "../access";
import { address, sessionOver } from "../api";
import { match, place } from "../router";
import { routes } from "../routes";
import { text } from "../text";
import { Account } from "./account";
import { Dialog } from "./dialog";
import { Login } from "./login";
import { Warning } from "./warning";

const access = "/access/"; // pages with one link at the top, and links to each other

// Layout is what stands around each page. On a narrow screen the links are behind a button.
export function Layout({ children }: { children: ComponentChildren }) {
  const { path } = place.value;
  const who = me.value;
  const [open, setOpen] = useState(false);
  useEffect(() => setOpen(false), [path]);
  return (
    <>
      <a class="skip" href="#main">
        {text.skip}
      </a>
      <header class="top" onKeyDown={(event) => event.key === "Escape" && setOpen(false)}>
        <a class="brand" href="/">
          {text.product}
        </a>
        {who && (
          <>
            <button type="button" class="menu" aria-expanded={open} aria-controls="nav" onClick={() => setOpen(!open)}>
              {text.menu}
            </button>
            <nav id="nav" class={open ? "open" : ""} aria-label={text.nav.label}>
              {routes.map(
                ({ path: to, nav, need }) =>
                  nav &&
                  (!need || may(need)) && (
                    <a key={to} href={to} aria-current={match(to, path) ? "page" : to.startsWith(access) && path.startsWith(access) ? "true" : undefined}>
                      {nav}
                    </a>
                  ),
              )}
              <a class="api" href="/api/docs/">
                {text.nav.api}
              </a>
            </nav>
            {who.auth !== "open" && <Account who={who} />}
          </>
        )}
      </header>
      {who && who.auth !== "open" && may("access") && <Warning />}
      <main id="main" tabIndex={-1}>
        {children}
      </main>
      {sessionOver.value && <LogInAgain />}
    </>
  );
}

// LogInAgain stands before a page whose session has ended: what was typed there stays.
function LogInAgain() {
  const here = location.pathname + location.search;
  return (
    <Dialog title={text.access.over} onClose={() => location.assign(address("/login", { next: here }))}>
      <p>{text.access.overAbout}</p>
      <Login here={here} />
    </Dialog>
  );
}
