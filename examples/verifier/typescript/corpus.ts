// Runs ../corpus.json through the TypeScript verifier, and what else is to be tried of it. Says each case that is not as it
// should be. The first argument is the corpus.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { JWK } from "jose";
import { Keys, type Options, Refused, Used, Verifier } from "./countersign-verifier.js";

interface Case {
  name: string;
  expect: string;
  now: number;
  options: Partial<Options>;
  authorization: string[];
  method: string;
  target: string;
  body: string;
}

let failed = 0;

async function expect(name: string, wanted: string, action: () => unknown): Promise<void> {
  let found = "taken";
  try {
    await action();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    found = error.reason;
  }
  if (found === wanted) return;
  failed += 1;
  console.log(`${name}: ${found}, and should be ${wanted}`);
}

async function cases(path: string): Promise<number> {
  const corpus = JSON.parse(readFileSync(path, "utf8")) as { issuer: string; audience: string; keys: JWK[]; cases: Case[] };
  const known = new Map(corpus.keys.map((key) => [key.kid, key]));
  const keys = { find: async (kid: string) => known.get(kid) };
  const { issuer, audience } = corpus;
  for (const { name, expect: wanted, now, options, authorization, method, target, body } of corpus.cases) {
    const verifier = new Verifier({ issuer, audience, keys, clock: () => now, ...options });
    const verify = () => verifier.verify(authorization, method, target, Buffer.from(body));
    await expect(name, wanted, verify);
    if (wanted === "taken") await expect(`${name}, again`, "replayed", verify);
  }
  return corpus.cases.length;
}

async function memory(): Promise<void> {
  const used = new Used(2);
  await expect("the first", "taken", () => used.take("a", 10, 0));
  await expect("the second", "taken", () => used.take("b", 12, 0));
  await expect("the first again", "replayed", () => used.take("a", 10, 9));
  await expect("one more than there is room for", "unavailable", () => used.take("c", 20, 9));
  await expect("once one has expired", "taken", () => used.take("c", 20, 10));
  await expect("another is still known", "replayed", () => used.take("b", 12, 11));
}

async function rotation(): Promise<void> {
  let [published, asked, now]: [string | undefined, number, number] = ["a", 0, 0];
  const door = createServer((_, response) => {
    asked += 1;
    response.statusCode = published === undefined ? 500 : 200;
    response.end(JSON.stringify({ keys: [{ kid: published }] }));
  });
  await new Promise<void>((done) => door.listen(0, "127.0.0.1", done));
  const keys = new Keys(`http://127.0.0.1:${(door.address() as AddressInfo).port}/`, 300, 5, () => now);
  const finds = (name: string, at: number, kid: string, found: string | boolean, fetches: number) =>
    expect(name, typeof found === "string" ? found : "taken", async () => {
      now = at;
      const told = (await keys.find(kid)) !== undefined;
      if (told !== found || asked !== fetches) throw new Refused(`found ${told} after ${asked} fetches`);
    });
  await finds("a at 0", 0, "a", true, 1);
  await finds("b at 1", 1, "b", false, 1);
  await finds("b at 6", 6, "b", false, 2);
  await finds("x at 7", 7, "x", false, 2);
  published = "b";
  await finds("the next key, soon", 12, "b", true, 3);
  await finds("the former one is gone", 13, "a", false, 3);
  published = undefined;
  await finds("what is kept is good for a while", 311, "b", true, 3);
  await finds("and then nobody can tell", 312, "b", "unavailable", 4);
  await finds("nor does anybody ask each time", 313, "b", "unavailable", 4);
  door.close();
}

const count = await cases(process.argv[2] ?? "../corpus.json");
await memory();
await rotation();
console.log(`typescript: ${count} cases, ${failed} not as they should be`);
process.exitCode = failed === 0 ? 0 : 1;
