import { may } from "../access";
import { place } from "../router";
import { text } from "../text";

const words = text.access;

// Sections are links to the pages about access that somebody may see.
export function Sections() {
  const { path } = place.value;
  const links = [
    may("access") && (["/access/refused", words.refused.title] as const),
    may("access") && (["/access/credentials", words.credentials.title] as const),
    ["/access/tokens", words.tokens.title] as const,
    may("users") && (["/access/audit", words.audit.title] as const),
  ].filter((link) => link !== false);
  return links.length === 1 ? null : (
    <nav class="row sections" aria-label={words.sections}>
      {links.map(([to, name]) => (
        <a key={to} href={to} aria-current={path.startsWith(to) ? "page" : undefined}>
          {name}
        </a>
      ))}
    </nav>
  );
}
