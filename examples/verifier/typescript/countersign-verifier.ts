// What a tool needs to take Countersign's tokens, and nothing else: for this very call, once, while they are good.
//
//   const verifier = new Verifier({
//     issuer: "https://sidecar.example", audience: "https://api.example.com",
//     keys: new Keys("http://127.0.0.1:7080/.well-known/jwks.json"),
//   });
//   http.createServer(countersigned(verifier, (request, response, body, claims) => { … }));
//
// jose looks at signatures; what binds a token to one call (RFC 9068, RFC 9396) is looked at here, in the order of
// `Verifier.check`. Whatever cannot be looked at is refused. The Python file beside this one does the same, line by line.
import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type JWK, compactVerify, importJWK } from "jose";

type Json = Record<string, unknown>;
export type Claims = Json & { jti: string; exp: number; iat: number };

const CALL = "urn:countersign:call";
const KINDS: Record<string, [string, string]> = { ES256: ["EC", "P-256"], EdDSA: ["OKP", "Ed25519"] };
const LONGEST = 16 * 1024;

/** The request is not to be answered. `reason` is one word; `status` is 401, but 503 where nobody could tell. */
export class Refused extends Error {
  readonly status: number;

  constructor(readonly reason: string) {
    super(reason);
    this.status = { unavailable: 503, too_large: 413 }[reason] ?? 401;
  }
}

/**
 * The issuer's published keys. Fetched when they are older than `keep` seconds, and when a token names one that is not
 * among them, since keys rotate; for the latter once in `pause` seconds, so that made-up names cost nobody anything.
 */
export class Keys {
  private byId = new Map<string, JWK>();
  private fetched = -Infinity;
  private tried = -Infinity;
  private fetching: Promise<void> | undefined;

  constructor(readonly url: string, readonly keep = 300, readonly pause = 5, readonly clock = () => performance.now() / 1000) {}

  async find(kid: string): Promise<JWK | undefined> {
    await this.fetching;
    const now = this.clock();
    const stale = now - this.fetched >= this.keep;
    if ((stale || !this.byId.has(kid)) && now - this.tried >= this.pause) {
      this.tried = now;
      this.fetching = this.fetch(now).finally(() => (this.fetching = undefined));
      await this.fetching;
    } else if (stale) {
      throw new Refused("unavailable");
    }
    return this.byId.get(kid);
  }

  private async fetch(now: number): Promise<void> {
    const { keys } = (await fetched(this.url)) as { keys: JWK[] };
    if (!Array.isArray(keys)) throw new Refused("unavailable");
    this.byId = new Map(keys.map((key) => [String(key.kid), key]));
    this.fetched = now;
  }
}

/**
 * The tokens that were taken, each until it has expired, and `most` of them at a time: with no room left nothing is
 * taken, since what is forgotten could be used again.
 */
export class Used {
  private until = new Map<string, number>();
  private swept = 0;

  constructor(readonly most = 100_000) {}

  take(jti: string, until: number, now: number): void {
    if (now - this.swept >= 1) {
      for (const [id, end] of this.until) if (end <= now) this.until.delete(id);
      this.swept = now;
    }
    if (this.until.has(jti)) throw new Refused("replayed");
    if (this.until.size >= this.most) throw new Refused("unavailable");
    this.until.set(jti, until);
  }
}

/** Asks the sidecar whether a token is still good (RFC 7662); `tool` and `secret` are its `[tools.…]` and `introspect`. */
export class Introspection {
  private headers: Record<string, string>;

  constructor(readonly url: string, tool: string, secret: string) {
    this.headers = { authorization: `Basic ${Buffer.from(`${tool}:${secret}`).toString("base64")}` };
  }

  async isActive(token: string): Promise<boolean> {
    const told = await fetched(this.url, { method: "POST", headers: this.headers, body: new URLSearchParams({ token }) });
    return told.active === true;
  }
}

export interface Options {
  /** As the configuration says. */
  issuer: string;
  audience: string;
  keys: Pick<Keys, "find">;
  introspection?: Pick<Introspection, "isActive">;
  /** The path of the tool's `upstream`, if it has one. */
  base?: string;
  /** Take tokens for bodies that nobody read whole (`body = "stream"` in the catalog). */
  streams?: boolean;
  /** Seconds: how far clocks may be apart, and how long a token may live. */
  leeway?: number;
  longest?: number;
  used?: Used;
  clock?: () => number;
}

export class Verifier {
  private options: Required<Omit<Options, "introspection">> & Pick<Options, "introspection">;

  constructor(options: Options) {
    const usual = { base: "", streams: false, leeway: 2, longest: 60, used: new Used(), clock: () => Date.now() / 1000 };
    this.options = { ...usual, ...options };
    this.options.base = this.options.base.replace(/\/+$/, "");
  }

  /**
   * The token's claims, if it was minted for this call and is used for the first time. `authorization` holds every value
   * of that header; `target` is path and query as they came, not decoded. Throws `Refused`.
   */
  async verify(authorization: string[], method: string, target: string, body: Uint8Array): Promise<Claims> {
    const [value] = authorization;
    if (value === undefined || authorization.length !== 1 || !value.toLowerCase().startsWith("bearer ")) {
      throw new Refused("no_token");
    }
    const token = value.slice(7).replace(/^ +| +$/g, "");
    const claims = await this.check(token, method, target, body);
    const { introspection, used, leeway, clock } = this.options;
    if (introspection && !(await introspection.isActive(token))) throw new Refused("ended");
    used.take(claims.jti, claims.exp + leeway, clock());
    return claims;
  }

  /** The same for all that the token itself tells. */
  async check(token: string, method: string, target: string, body: Uint8Array): Promise<Claims> {
    const claims = this.checkClaims(await this.signed(token));
    const details = claims.authorization_details;
    if (!Array.isArray(details) || details.length !== 1 || !isObject(details[0])) throw new Refused("wrong_details");
    const call = details[0];
    const { audience, base, streams } = this.options;
    const digest = createHash("sha256").update(body).digest("base64");
    const unbound = streams && !Object.hasOwn(call, "content_digest");
    holds(call.type === CALL, "wrong_details");
    holds(isOnly(call.locations, audience), "wrong_location");
    holds(isOnly(call.actions, method), "wrong_method");
    holds(typeof call.target === "string" && base + call.target === target, "wrong_target");
    holds(unbound || call.content_digest === `sha-256=:${digest}:`, "wrong_body");
    return claims;
  }

  /** What is signed, by a published key and in the one way that this key is for. */
  private async signed(token: string): Promise<Json> {
    const parts = token.split(".");
    if (parts.length !== 3 || token.length > LONGEST) throw new Refused("malformed");
    const [head, payload] = parts.map(decoded) as [Buffer, Buffer, Buffer];
    const header = jsonObject(head);
    const type = typeof header.typ === "string" ? header.typ.toLowerCase() : "";
    holds(["at+jwt", "application/at+jwt"].includes(type), "wrong_type");
    holds(!Object.hasOwn(header, "crit"), "malformed");
    const algorithm = header.alg;
    if (typeof algorithm !== "string" || !Object.hasOwn(KINDS, algorithm)) throw new Refused("wrong_algorithm");
    const key = typeof header.kid === "string" ? await this.options.keys.find(header.kid) : undefined;
    if (key === undefined) throw new Refused("unknown_key");
    const [kty, crv] = KINDS[algorithm] as [string, string];
    holds(key.kty === kty && key.crv === crv && (key.alg ?? algorithm) === algorithm, "wrong_algorithm");
    try {
      await compactVerify(token, await importJWK(key, algorithm), { algorithms: [algorithm] });
    } catch {
      throw new Refused("bad_signature");
    }
    return jsonObject(payload);
  }

  private checkClaims(claims: Json): Claims {
    const { issuer, audience, leeway, longest, clock } = this.options;
    const { iat, exp } = claims;
    if (!Number.isInteger(iat) || !Number.isInteger(exp)) throw new Refused("missing_claim");
    for (const name of ["sub", "client_id", "jti"]) {
      holds(typeof claims[name] === "string" && claims[name] !== "", "missing_claim");
    }
    const [now, issued, expires] = [clock(), iat as number, exp as number];
    holds(claims.iss === issuer, "wrong_issuer");
    holds(claims.aud === audience, "wrong_audience");
    holds(now < expires + leeway, "expired");
    holds(issued <= now + leeway, "not_yet");
    holds(expires - issued <= longest, "too_long");
    return claims as Claims;
  }
}

/** Answers only what `verifier` lets through. The body was read for that, so `answer` is given it, and the claims. */
export function countersigned(
  verifier: Verifier,
  answer: (request: IncomingMessage, response: ServerResponse, body: Buffer, claims: Claims) => void,
  most = 10 << 20,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  return async (request, response) => {
    let body: Buffer, claims: Claims;
    try {
      body = await whole(request, most);
      const shown = request.headersDistinct.authorization ?? [];
      claims = await verifier.verify(shown, request.method ?? "", request.url ?? "", body);
    } catch (error) {
      refuse(response, error instanceof Refused ? error : new Refused("unavailable"));
      return;
    }
    answer(request, response, body, claims);
  };
}

function refuse(response: ServerResponse, refused: Refused): void {
  response.statusCode = refused.status;
  response.setHeader("content-type", "application/json");
  if (refused.status === 401) response.setHeader("www-authenticate", 'Bearer error="invalid_token"');
  response.end(JSON.stringify({ error: "invalid_token", reason: refused.reason }));
}

async function whole(request: IncomingMessage, most: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  // Whoever sends too much is to hear so.
  for await (const part of request.iterator({ destroyOnReturn: false })) {
    size += part.length;
    if (size > most) throw new Refused("too_large");
    parts.push(part);
  }
  return Buffer.concat(parts);
}

async function fetched(url: string, options: RequestInit = {}): Promise<Json> {
  try {
    const answer = await fetch(url, { ...options, redirect: "error", signal: AbortSignal.timeout(5_000) });
    const told: unknown = answer.ok ? await answer.json() : undefined;
    if (isObject(told)) return told;
  } catch {
    // Whatever it was, nobody could tell.
  }
  throw new Refused("unavailable");
}

/** base64url in its one spelling: other decoders skip what they do not know, or bits that are left over. */
function decoded(part: string): Buffer {
  const bytes = Buffer.from(part, "base64url");
  if (part === "" || bytes.toString("base64url") !== part) throw new Refused("malformed");
  return bytes;
}

function jsonObject(text: Buffer): Json {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(text));
    if (isObject(value)) return value;
  } catch {
    // It is no JSON.
  }
  throw new Refused("malformed");
}

function holds(condition: boolean, reason: string): void {
  if (!condition) throw new Refused(reason);
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isOnly(list: unknown, value: string): boolean {
  return Array.isArray(list) && list.length === 1 && list[0] === value;
}
