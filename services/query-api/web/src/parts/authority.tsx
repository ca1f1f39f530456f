import { text } from "../text";

// Authority is where devices, phones and browsers get the certificate that they have to trust, if there is one.
export function Authority({ at }: { at: string | null | undefined }) {
  return at ? (
    <p class="quiet">
      <a href={at} download>
        ca.crt
      </a>{" "}
      {text.access.authority}
    </p>
  ) : null;
}
