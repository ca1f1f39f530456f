import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { text } from "../text";

let first = true;

// Page is a page with its heading, which is the window's title too, and what stands beside it. Whoever uses a keyboard
// or a screen reader begins at the heading of a page that he went to.
export function Page({ title, aside, children }: { title: string; aside?: ComponentChildren; children?: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useLayoutEffect(() => {
    if (!first) heading.current?.focus();
    first = false;
  }, []);
  useLayoutEffect(() => {
    document.title = `${title} · ${text.product}`;
  }, [title]);
  return (
    <>
      <div class="page-head">
        <h1 ref={heading} tabIndex={-1}>
          <bdi>{title}</bdi>
        </h1>
        {aside}
      </div>
      {children}
    </>
  );
}
