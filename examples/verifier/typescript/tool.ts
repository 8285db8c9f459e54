// A tool behind the verifier: says what it was asked, to whoever holds a token for that.
//
//   node built/tool.js PORT ISSUER AUDIENCE DOOR [TOOL SECRET]     with the last two, it asks about each token
import { createServer } from "node:http";
import { Introspection, Keys, Verifier, countersigned } from "./countersign-verifier.js";

const [port, issuer, audience, door, tool, secret] = process.argv.slice(2);
if (issuer === undefined || audience === undefined) throw new Error("see the head of this file");

const verifier = new Verifier({
  issuer,
  audience,
  keys: new Keys(`${door}/.well-known/jwks.json`),
  ...(tool && secret && { introspection: new Introspection(`${door}/oauth/introspect`, tool, secret) }),
});

const server = createServer(
  countersigned(verifier, (_, response, body, claims) => {
    const [call] = claims.authorization_details as [{ action: string }];
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ action: call.action, for: claims.sub, bytes: body.length }));
  }),
);
server.listen(Number(port), "127.0.0.1");
