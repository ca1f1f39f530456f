// A real OpenID Connect provider, which lets in whoever says a name, with whatever password.
import { once } from "node:events";
import type { AddressInfo, Server } from "node:net";
import { createServer } from "node:net";
import Provider from "oidc-provider";

export interface Person {
  preferred_username?: string;
  email?: string;
  groups?: string[];
}

// freeIssuer is the address of a provider that is started later.
export async function freeIssuer(): Promise<string> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return `http://127.0.0.1:${port}`;
}

// startProvider starts the provider at issuer, for one client, which people are sent back to at redirect. people says what is
// known of each by the name with which he logs in.
export async function startProvider(issuer: string, client: { id: string; secret: string; redirect: string }, people: Record<string, Person>): Promise<Server> {
  const provider = new Provider(issuer, {
    clients: [{ client_id: client.id, client_secret: client.secret, redirect_uris: [client.redirect] }],
    pkce: { required: () => true, methods: ["S256"] },
    claims: { profile: ["preferred_username", "groups"], email: ["email", "email_verified"] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, email_verified: true, ...people[id] }) }),
    cookies: { keys: ["of a test"] },
  });
  const server = provider.listen(Number(new URL(issuer).port), "127.0.0.1");
  await once(server, "listening");
  return server;
}
