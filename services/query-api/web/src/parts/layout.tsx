import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { match, place } from "../router";
import { routes } from "../routes";
import { text } from "../text";

// Layout is what stands around each page. On a narrow screen the links are behind a button.
export function Layout({ children }: { children: ComponentChildren }) {
  const { path } = place.value;
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
        <button type="button" class="menu" aria-expanded={open} aria-controls="nav" onClick={() => setOpen(!open)}>
          {text.menu}
        </button>
        <nav id="nav" class={open ? "open" : ""} aria-label={text.nav.label}>
          {routes.map(
            (route) =>
              route.nav && (
                <a key={route.path} href={route.path} aria-current={match(route.path, path) ? "page" : undefined}>
                  {route.nav}
                </a>
              ),
          )}
          <a href="/api/docs/">{text.nav.api}</a>
        </nav>
      </header>
      <main id="main" tabIndex={-1}>
        {children}
      </main>
    </>
  );
}
