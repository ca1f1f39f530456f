import { useSignal } from "@preact/signals";
import { type RefObject } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

const overscan = 6; // rows above and below what is seen

export interface Window {
  container: RefObject<HTMLDivElement | null>; // of all rows, as high as they are together
  probe: RefObject<HTMLSpanElement | null>; // as high as a row
  height: number; // of a row, in pixels
  from: number; // the first row that is there
  to: number; // the one behind the last
}

// useWindow says which of count rows of the same height are to be there: those that can be seen, and some more. They
// scroll with the page.
export function useWindow(count: number): Window {
  const container = useRef<HTMLDivElement>(null);
  const probe = useRef<HTMLSpanElement>(null);
  const seen = useSignal({ height: 0, from: 0, to: 0 });

  useLayoutEffect(() => {
    let frame = 0;
    const measure = () => {
      frame = 0;
      if (!container.current || !probe.current) return;
      const height = probe.current.offsetHeight;
      const top = -container.current.getBoundingClientRect().top;
      // In steps, so that rows come and go a few at a time.
      const from = Math.max(0, Math.floor(top / height / overscan) * overscan - overscan);
      const to = Math.min(count, Math.ceil((top + innerHeight) / height / overscan) * overscan + overscan);
      const now = seen.peek();
      if (now.height !== height || now.from !== from || now.to !== to) seen.value = { height, from, to };
    };
    const later = () => (frame ||= requestAnimationFrame(measure));
    measure();
    addEventListener("scroll", later, { passive: true });
    addEventListener("resize", later);
    const sizes = new ResizeObserver(later);
    if (probe.current) sizes.observe(probe.current);
    return () => {
      cancelAnimationFrame(frame);
      removeEventListener("scroll", later);
      removeEventListener("resize", later);
      sizes.disconnect();
    };
  }, [count]);
  return { container, probe, ...seen.value };
}
