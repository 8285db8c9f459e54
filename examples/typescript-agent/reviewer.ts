/**
 * Sam, who is asked. Here a script answers what Sam would after a call to a number that stood in the books before: the café's
 * account is theirs, and nobody at Acme has heard of a new bank.
 */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const ADMIN = "http://127.0.0.1:7081";
const CONFIRMED = new Set(["FR1420041010050500013M02606"]);

async function ask(method: string, path: string, body?: unknown): Promise<any> {
  const answer = await fetch(ADMIN + path, {
    method,
    headers: { Authorization: `Bearer ${readFileSync("sam.token", "utf8").trim()}`, "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status}`);
  return answer.json();
}

for (let answered = 0; answered < 1; await sleep(200)) {
  for (const question of (await ask("GET", "/v1/approvals")).approvals) {
    if (question.state !== "waiting") continue;
    const { to, euros } = question.args;
    const [answer, why] = CONFIRMED.has(to) ? ["approve", "they confirmed it by telephone"] : ["deny", "they know nothing of it"];
    console.log(`sam: ${question.agent} wants to pay ${euros} EUR to ${to}, asked by ${Object.keys(question.rules).join(", ")}`);
    await ask("POST", `/v1/approvals/${question.id}/${answer}`, { why });
    console.log(`sam: ${answer}, ${why}`);
    answered += 1;
  }
}
