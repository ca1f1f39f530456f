import { Credentials } from "../parts/credentials";
import { Page } from "../parts/page";
import { Sections } from "../parts/sections";
import { text } from "../text";

const words = text.access.credentials;

// OtherCredentials are those of gateways and viewers.
export default function OtherCredentials() {
  return (
    <Page title={words.title} aside={<Sections />}>
      <p class="quiet">{words.about}</p>
      <Credentials path="/api/credentials/" device={null} />
    </Page>
  );
}
