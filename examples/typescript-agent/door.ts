/** What an agent's framework needs of the sidecar: a task is opened, calls are made in it, and a question is waited for. */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const DOOR = "http://127.0.0.1:7080";

type Told = { status: number; body: any };

async function send(method: string, path: string, headers: Record<string, string>, body?: unknown): Promise<Told> {
  const answer = await fetch(DOOR + path, {
    method,
    headers: body === undefined ? headers : { ...headers, "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return { status: answer.status, body: await answer.json() };
}

/** One task. Neither its token nor the framework's is shown to the model. */
export class Task {
  private constructor(
    private readonly prompt: string,
    private readonly headers: Record<string, string>,
  ) {}

  /** Opened with the user's words, before the model has read anything. */
  static async open(prompt: string, actions: { action: string; max?: number }[]): Promise<Task> {
    const token = readFileSync("framework.token", "utf8").trim();
    const { status, body } = await send("POST", "/-/tasks", { Authorization: `Bearer ${token}` }, { goal: prompt, values: [prompt], actions });
    if (status !== 201) throw new Error(`no task: ${JSON.stringify(body)}`);
    return new Task(prompt, { "Agent-Task": body.token });
  }

  /** What the model is told: the tool's answer, or that there was none, and which kind of no it was. */
  async call(action: string, method: string, path: string, body?: unknown): Promise<unknown> {
    const intent = `action=${JSON.stringify(action)}, purpose=${JSON.stringify(this.prompt)}`;
    const told = await send(method, `/bank/${path}`, { ...this.headers, "Agent-Intent": intent }, body);
    say(action, path, told);
    if (told.status !== 428) return heard(told);
    const { url } = told.body.approval;
    const state = await this.answer(url);
    console.log(`  somebody was asked: ${state}`);
    if (state !== "approved") return { refused: state };
    // The call itself was kept by the sidecar: these are its very bytes.
    const made = await send("POST", `${url}/resume`, this.headers);
    say(action, path, made);
    return heard(made);
  }

  /** Waits until somebody has answered, or the question is over. */
  private async answer(url: string): Promise<string> {
    for (;;) {
      const { state } = (await send("GET", url, this.headers)).body;
      if (state !== "waiting") return state;
      await sleep(200);
    }
  }
}

/** A refusal of the sidecar has a code; what else is not 2xx was said by the tool. */
function heard({ status, body }: Told): unknown {
  return status < 300 ? body : body?.code ? { refused: body.code } : { failed: status };
}

function say(action: string, path: string, { status, body }: Told) {
  console.log(`  ${action.padEnd(16)} ${path.padEnd(16)} ${status} ${body?.code ?? ""}`.trimEnd());
}
