// View is how charts and tables of a page show time. It stands in the page's address.
import { type Range, rangeOf } from "./range";
import { browserZone, isZone } from "./zone";

export interface View {
  range: Range;
  zone: string; // an IANA name
  chosen: boolean; // whether the zone is another than the browser's by somebody's choice
}

export function viewOf(query: URLSearchParams): View {
  const tz = query.get("tz") ?? "";
  const chosen = tz !== "" && isZone(tz);
  return { range: rangeOf(query), zone: chosen ? tz : browserZone(), chosen };
}
