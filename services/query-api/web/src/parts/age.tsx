import { age, moment } from "../format";
import { text } from "../text";
import { now } from "./clock";

// Age is how long ago something was, with the moment itself for those who point at it. It goes on by itself.
export function Age({ at, stale = false }: { at: string | null | undefined; stale?: boolean }) {
  if (!at) return <>{text.unknown}</>;
  return (
    <time dateTime={at} title={moment(at)} class={stale ? "age stale" : "age"}>
      {age(now.value - Date.parse(at))}
    </time>
  );
}

// Moment is when something was.
export function Moment({ at }: { at: string | null | undefined }) {
  return at ? <time dateTime={at}>{moment(at)}</time> : <>{text.unknown}</>;
}
