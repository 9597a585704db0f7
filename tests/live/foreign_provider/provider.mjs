// The npm package oidc-provider as a company would run it: proof keys required, claims at userinfo
// only, `iss` in every answer. Usage: node provider.mjs PORT REDIRECT_URI
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const [port, redirectUri] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "netra-node",
      client_secret: "a secret of the tests: not secret",
      redirect_uris: [redirectUri],
      token_endpoint_auth_method: "client_secret_basic",
    },
  ],
  pkce: { required: () => true },
  claims: {
    openid: ["sub"],
    email: ["email", "email_verified"],
    profile: ["name"],
  },
  cookies: { keys: ["for tests only"] },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      email: id,
      email_verified: true,
      name: `Node ${id.split("@")[0]}`,
    }),
  }),
  // Nobody is asked for consent: the company decided for its people.
  async loadExistingGrant(context) {
    const { client, session } = context.oidc;
    const grant = new context.oidc.provider.Grant({
      clientId: client.clientId,
      accountId: session.accountId,
    });
    grant.addOIDCScope("openid profile email");
    await grant.save();
    return grant;
  },
});

const page = `<!doctype html><html lang="en"><head><title>Node</title>
<link rel="icon" href="data:,"></head><body><h1>Node sign-in</h1>
<form method="post"><label>Who <input name="who"></label><button>Sign in</button></form></body></html>`;

async function interact(request, response) {
  if (request.method !== "POST") {
    response.setHeader("Content-Type", "text/html; charset=utf-8");
    response.end(page);
    return;
  }
  let body = "";
  for await (const part of request) body += part;
  const accountId = new URLSearchParams(body).get("who");
  await provider.interactionFinished(request, response, {
    login: { accountId },
  });
}

const speak = provider.callback();
createServer((request, response) => {
  if (!request.url.startsWith("/interaction/")) {
    speak(request, response);
    return;
  }
  interact(request, response).catch((error) => {
    response.statusCode = 500;
    response.end(String(error));
  });
}).listen(Number(port), "127.0.0.1", () => console.log(`listening at ${issuer}`));
