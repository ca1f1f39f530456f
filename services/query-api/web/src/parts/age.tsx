import { age, moment } from "../format";
import { text } from "../text";
import { now } from "./clock";

// Age is how long ago something was, with the moment itself for those who point at it. It goes on by itself.
export function Age({ at, stale = false }: { at: string | number | null | undefined; stale?: boolean }) {
  if (!at) return <>{text.unknown}</>;
  const time = new Date(at);
  return (
    <time dateTime={time.toISOString()} title={moment(+time)} class={stale ? "age stale" : "age"}>
      {age(now.value - +time)}
    </time>
  );
}

// Moment is when something was.
export function Moment({ at }: { at: string | null | undefined }) {
  return at ? <time dateTime={at}>{moment(at)}</time> : <>{text.unknown}</>;
}
