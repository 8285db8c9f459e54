/**
 * An agent that pays an invoice. The model is scripted, and does what it last read; all else is as it would be with a real one.
 *
 *     npx tsx agent.ts NUMBER
 */
import { ToolLoopAgent, tool } from "ai";
import { MockLanguageModelV3 } from "ai/test";
import { z } from "zod";
import { Task } from "./door.ts";

const number = Number(process.argv[2]);
const prompt = `Pay invoice ${number}.`;
const task = await Task.open(prompt, [{ action: "bank/payments.create", max: 1 }]);

const tools = {
  readInvoice: tool({
    description: "An invoice, and who it is from.",
    inputSchema: z.object({ number: z.number().int() }),
    execute: ({ number }) => task.call("invoices.get", "GET", `invoices/${number}`),
  }),
  readSupplier: tool({
    description: "What the books know of a supplier.",
    inputSchema: z.object({ name: z.string() }),
    execute: ({ name }) => task.call("suppliers.get", "GET", `suppliers/${name}`),
  }),
  pay: tool({
    description: "Pays.",
    inputSchema: z.object({ to: z.string(), euros: z.number().int() }),
    execute: (payment) => task.call("payments.create", "POST", "payments", payment),
  }),
};

/** What a model makes of each invoice, line after line: a tool's name and arguments. Then it says what it was told last. */
const lines: Record<number, [keyof typeof tools, object][]> = {
  17: [["readInvoice", { number }], ["readSupplier", { name: "acme" }], ["pay", { to: "DE89370400440532013000", euros: 240 }]],
  18: [["readInvoice", { number }], ["readSupplier", { name: "acme" }], ["pay", { to: "GB29NWBK60161331926819", euros: 240 }]],
  19: [["readInvoice", { number }], ["readSupplier", { name: "cafe" }], ["pay", { to: "FR1420041010050500013M02606", euros: 60 }]],
};

let said = 0;
const model = new MockLanguageModelV3({
  doGenerate: async ({ prompt }) => {
    const line = lines[number]?.[said++];
    const usage = { inputTokens: { total: 0, noCache: 0, cacheRead: 0, cacheWrite: 0 }, outputTokens: { total: 0, text: 0, reasoning: 0 } };
    if (!line) {
      const last: any = prompt.at(-1)?.content.at(-1);
      const text = JSON.stringify(last.output.value);
      return { content: [{ type: "text", text }], finishReason: { unified: "stop", raw: undefined }, usage, warnings: [] };
    }
    const [toolName, input] = line;
    return {
      content: [{ type: "tool-call", toolCallId: `c${said}`, toolName, input: JSON.stringify(input) }],
      finishReason: { unified: "tool-calls", raw: undefined },
      usage,
      warnings: [],
    };
  },
});

console.log(`user:  ${prompt}`);
const agent = new ToolLoopAgent({ model, instructions: "You pay invoices.", tools });
console.log(`agent: ${(await agent.generate({ prompt })).text}`);
