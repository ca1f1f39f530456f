// Which lines there are, in which plots, and what they look like.
import { unitOf } from "../../format";
import type { Series } from "../../types";

// Subject is a device of which a chart is.
export interface Subject {
  id: string; // or its key
  label: string;
  attributes: Record<string, string>; // which may say what units its metrics have
}

export interface Line {
  label: string;
  color: number; // of those of style.css
  dash: number; // of dashes
  unit: string;
  series: Series;
}

export const colors = 8;
export const dashes = ["", "6 4", "2 3", "10 3 2 3", "10 3 2 3 2 3", "1 6"];

// plotsOf has the lines of each unit, of series that are those of each subject's metrics in turn. Metrics without a unit that
// is known are in plots of their own. Of one device metrics differ by color; of several these do, the same in all plots, and
// metrics in one plot by their dashes.
export function plotsOf(subjects: readonly Subject[], metrics: readonly string[], series: readonly Series[]): Line[][] {
  const several = subjects.length > 1;
  const plots = new Map<string, { metrics: string[]; lines: Line[] }>();
  metrics.forEach((metric, m) =>
    subjects.forEach((subject, s) => {
      const unit = unitOf(metric, subject.attributes);
      const key = unit === "" ? `metric ${metric}` : `unit ${unit}`;
      const plot = plots.get(key) ?? { metrics: [], lines: [] };
      plots.set(key, plot);
      if (!plot.metrics.includes(metric)) plot.metrics.push(metric);
      plot.lines.push({
        label: several ? `${subject.label} · ${metric}` : metric,
        color: (several ? s : m) % colors,
        dash: several ? plot.metrics.indexOf(metric) % dashes.length : 0,
        unit,
        series: series[s * metrics.length + m]!,
      });
    }),
  );
  return [...plots.values()].map(({ lines }) => lines);
}
