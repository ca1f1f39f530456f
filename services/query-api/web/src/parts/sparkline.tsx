import { number } from "../format";
import { text } from "../text";

const width = 120, height = 28;

export interface Spark {
  metric: string;
  t: number[]; // ms since 1970, ascending
  v: number[];
}

// lineOf is the path of a line over the hour before end. Where nothing came for gap ms it is broken: what is between is not
// known. A point by itself is a dot.
export function lineOf({ t, v }: Spark, end: number, span = 3_600_000, gap = 5 * 60_000): string {
  const begin = end - span;
  const inside = t.map((at, i) => [at, v[i]!] as const).filter(([at]) => at >= begin && at <= end);
  const low = Math.min(...inside.map(([, value]) => value));
  const high = Math.max(...inside.map(([, value]) => value));
  const x = (at: number) => ((at - begin) / span) * (width - 4) + 2;
  const y = (value: number) => (high === low ? height / 2 : height - 3 - ((value - low) / (high - low)) * (height - 6));
  let path = "";
  inside.forEach(([at, value], i) => {
    const before = inside[i - 1]?.[0];
    const joined = before !== undefined && at - before <= gap;
    const point = `${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    path += joined ? `L${point}` : `M${point}h.01`;
  });
  return path;
}

// Sparkline draws what a metric was in the last hour.
export function Sparkline({ spark, end }: { spark: Spark | undefined; end: number }) {
  if (!spark || spark.v.length === 0) return null;
  const label = text.overview.chart(spark.metric, number(Math.min(...spark.v)), number(Math.max(...spark.v)));
  return (
    <svg class="spark" viewBox={`0 0 ${width} ${height}`} role="img" aria-label={label} preserveAspectRatio="none">
      <path d={lineOf(spark, end)} />
    </svg>
  );
}
