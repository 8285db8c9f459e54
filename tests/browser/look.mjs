// The pages in a real browser. Run by tests/suite/pages/browser.rs, which starts the sidecar and says where it is.
import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";

const told = JSON.parse(process.env.COUNTERSIGN_PAGES);
const modules = createRequire(path.join(process.env.COUNTERSIGN_BROWSER_MODULES, "x.js"));
const { chromium } = modules("playwright-core");
const axe = fs.readFileSync(modules.resolve("axe-core/axe.min.js"), "utf8");

// What an agent might write to get out of its place, or to be taken for something else.
const HOSTILE = "<img src=x onerror='window.canary=1'><script>window.canary=2</script> javascript:window.canary=3";

const browser = await chromium.launch({
  executablePath: process.env.COUNTERSIGN_BROWSER,
  args: ["--no-sandbox", "--disable-dev-shm-usage", "--host-resolver-rules=MAP evil.example 127.0.0.1"],
});
const odd = [];

// A page that says what goes wrong in it.
async function open(options = {}) {
  const scene = await browser.newContext(options);
  const page = await scene.newPage();
  page.setDefaultTimeout(15000);
  page.on("dialog", (dialog) => { odd.push(`a dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("pageerror", (error) => odd.push(`an error in the script: ${error.message}`));
  page.on("console", (message) => {
    if (/Content Security Policy|TrustedHTML/i.test(message.text())) odd.push(`what the policy stopped: ${message.text()}`);
  });
  page.on("request", (request) => {
    if (![told.admin, told.office.admin].some((door) => request.url().startsWith(door))) odd.push(`something from elsewhere: ${request.url()}`);
  });
  return page;
}

async function login(page, door = told) {
  await page.goto(door.admin);
  await page.fill("input[name=token]", door.token);
  await page.click("button");
  await page.waitForURL("**/calls");
  return page.url().replace(/\/calls$/, "");
}

// As an agent.
async function call(method, at, [action, purpose], body) {
  const headers = { "Agent-Intent": `action="${action}", resource="octo/hello", purpose="${purpose}"`, "Agent-Task": told.task };
  if (body) headers["Content-Type"] = "application/json";
  return fetch(told.agent + at, { method, headers, body });
}

const read = (number) => call("GET", `/tracker/repos/octo/hello/issues/${number}`, ["issues.get", "read the report"], undefined);
const write = (number, purpose) =>
  call("POST", `/tracker/repos/octo/hello/issues/${number}/comments`, ["comments.create", purpose], JSON.stringify({ title: "fixed" }));

const acts = {
  async "a link logs in once, and another browser finds it spent"() {
    const page = await open();
    await page.goto(told.link);
    await page.click("text=Log in >> nth=-1");
    await page.waitForURL("**/calls");
    assert.match(await page.textContent("h1"), /Calls/);
    await page.click("text=Log out");
    await page.waitForURL(told.admin + "/");
    const late = await open();
    await late.goto(told.link);
    await late.click("button");
    assert.match(await late.textContent("main"), /not good any more/);
  },

  async "a page that is open shows the next call by itself"() {
    const page = await open();
    await login(page);
    await page.waitForFunction(() => document.getElementById("state").dataset.is === "live");
    const before = await page.locator("tbody tr").count();
    assert.equal((await read(7)).status, 200);
    await page.waitForFunction((count) => document.querySelectorAll("tbody tr").length > count, before);
    assert.match(await page.textContent("tbody tr >> nth=0"), /helper.*bo@example\.com.*issues\.get/s);
  },

  async "a question is agreed to, and what somebody has typed stays while others come"() {
    const page = await open();
    const base = await login(page);
    await write(7, "tell the user it is fixed");
    await page.goto(base + "/asks");
    await page.waitForFunction(() => document.getElementById("state").dataset.is === "live");
    await page.fill("#asks input[name=why]", "looked at it");
    await write(8, HOSTILE.replaceAll('"', ""));
    await page.waitForFunction(() => document.querySelectorAll("#asks .ask").length === 2);
    assert.equal(await page.inputValue("#asks .ask:has-text('it is fixed') input[name=why]"), "looked at it");
    await page.waitForFunction(() => document.title.startsWith("(2) Asks"));
    await page.click("#asks .ask:has-text('it is fixed') >> text=Approve");
    await page.waitForSelector("#answered >> text=approved");
    assert.equal(await page.locator("#asks .ask").count(), 1);
  },

  async "without a script, a question is denied and a story read"() {
    const page = await open({ javaScriptEnabled: false });
    const base = await login(page);
    await page.goto(base + "/asks");
    assert.match(await page.textContent("#asks"), /onerror='window\.canary=1'/);
    await page.click("#asks >> text=Deny");
    await page.waitForURL("**/asks");
    assert.match(await page.textContent("#asks"), /Nothing waits/);
    await page.goto(base + "/calls");
    await page.click("tbody tr:has-text('canary') a");
    assert.match(await page.textContent("#story"), /denied.*by ana/s);
  },

  async "an agent is stopped and let go on"() {
    const page = await open();
    const base = await login(page);
    await page.goto(base + "/agents");
    await page.fill("#agent-helper input[name=why]", "it answers to a stranger");
    await page.click("#agent-helper >> text=Quarantine");
    await page.waitForSelector("#agent-helper .badge");
    assert.equal((await read(7)).status, 403);
    await page.click("#agent-helper >> text=Release");
    await page.waitForSelector("#agent-helper >> text=Quarantine");
    assert.equal((await read(7)).status, 200);
  },

  async "another site on this machine gets no cookie, sends no form, frames nothing, and reads nothing"() {
    const scene = await browser.newContext();
    const page = await scene.newPage();
    const base = await login(page);
    await page.goto(base + "/agents");
    const form = await page.inputValue("#agent-helper input[name=form]");
    // One that is kept to no path of its own, to show what a browser does with such a cookie.
    await scene.addCookies([{ name: "control", value: "1", domain: "127.0.0.1", path: "/", httpOnly: true, sameSite: "Strict" }]);
    const cookies = [];
    const evil = http.createServer((request, answer) => {
      cookies.push(request.headers.cookie ?? "");
      answer.setHeader("content-type", "text/html");
      answer.end(`<title>evil</title><iframe id=f src="${base}/agents"></iframe>
        <form id=g method=post action="${base}/agents/helper/quarantine"><input name=form value="${form}"><input name=why value=x></form>`);
    });
    await new Promise((done) => evil.listen(0, "127.0.0.1", done));
    const there = `http://127.0.0.1:${evil.address().port}`;
    const other = await scene.newPage();
    // The second time it comes from a page of the same host, which is the same site to a browser.
    await other.goto(there);
    await other.evaluate(() => location.assign("/again"));
    await other.waitForURL("**/again");
    assert.ok(cookies.some((cookie) => cookie.includes("control=1")), "it is shown what is kept for this host");
    assert.equal(cookies.some((cookie) => cookie.includes("countersign")), false, `it got ${cookies}`);
    assert.equal(await other.frameLocator("#f").locator("#agent-helper").count(), 0, "it is framed");
    const read = await other.evaluate((at) => fetch(at, { credentials: "include" }).then((answer) => answer.text(), () => "nothing"), base + "/agents");
    assert.equal(read, "nothing");
    await other.evaluate(() => document.getElementById("g").submit());
    await other.waitForURL("**/quarantine");
    assert.match(await other.textContent("body"), /not for pages from elsewhere/);
    evil.close();
    evil.closeAllConnections();
    await scene.close();
  },

  async "under another name that leads to this address there is nothing"() {
    const scene = await browser.newContext();
    const page = await scene.newPage();
    const answer = await page.goto(told.admin.replace("127.0.0.1", "evil.example"));
    assert.equal(answer.status(), 403);
    await scene.close();
  },

  async "everybody can read every page, in both schemes, on a narrow screen too"() {
    await call("GET", "/tracker/nobody/knows/this", ["comments.create", HOSTILE.replaceAll('"', "")], undefined);
    await write(9, "wait for somebody");
    await new Promise((done) => setTimeout(done, 1200));
    for (const colorScheme of ["light", "dark"]) {
      for (const width of [1360, 420]) {
        const options = { colorScheme, viewport: { width, height: 900 } };
        await everyPage(await open(options), `${colorScheme}-${width}`);
        await habits(await open(options), `${colorScheme}-${width}`);
      }
    }
  },

  async "without a script, a draft is put in force, an earlier version put back, and all of it taken away"() {
    const page = await open({ javaScriptEnabled: false });
    const base = await login(page, told.office);
    await page.goto(base + "/agents");
    await page.click("text=What it usually does");
    assert.match(await page.textContent("main"), /tracker\/bill\.pay/);
    await page.fill("#why-ratify", "it pays now");
    await page.click("text=Put this draft in force");
    await page.waitForSelector("#version-2 >> text=in force");
    await page.click("text=Put version 1 back in force");
    await page.click("#version-1 button");
    await page.waitForSelector("#version-3 .badge");
    assert.equal(await page.isVisible("#why-reset"), false, "nobody resets by one press");
    await page.click("text=Take it out of force");
    await page.click("section:has(#reset) button");
    await page.waitForSelector("text=No baseline is in force");
  },
};

async function everyPage(page, kind) {
  await page.goto(told.used);
  await look(page, "link", kind);
  await page.goto(told.admin);
  await look(page, "login", kind);
  const base = await login(page);
  await look(page, "calls", kind);
  const stories = {};
  for (const is of ["allow", "ask", "deny"]) {
    stories[is] = await page.getAttribute(`tbody tr[data-is=${is}] a >> nth=0`, "href");
  }
  for (const [is, at] of Object.entries(stories)) {
    await page.goto(told.admin + at);
    for (const summary of await page.locator("summary").all()) await summary.click();
    await look(page, `story-${is}`, kind);
  }
  for (const name of ["refusals", "asks", "agents", "agents/helper", "lineage", "calls/nothing", "calls?agent=nobody"]) {
    await page.goto(`${base}/${name}`);
    if (name === "lineage") {
      await page.click("text=Verify now");
      await page.waitForSelector("text=Intact");
    }
    await look(page, name.replace(/\W/g, "-"), kind);
  }
  await page.context().close();
}

// A page that stays as it was opened, and fits with a picture that does not.
async function habits(page, kind) {
  const base = await login(page, told.office);
  await page.goto(base + "/agents");
  await look(page, "agents-habits", kind);
  await page.goto(base + "/agents/helper");
  assert.match(await page.textContent("#state"), /how it was when it was opened/);
  await look(page, "habits", kind);
  for (const summary of await page.locator("summary").all()) if (await summary.isVisible()) await summary.click();
  await look(page, "habits-open", kind);
  // Where the picture does not fit, whoever has only keys moves along it.
  const picture = page.locator("[role=region] >> nth=0");
  await picture.focus();
  await page.keyboard.press("ArrowRight");
  const narrow = await picture.evaluate((it) => it.scrollWidth > it.clientWidth);
  assert.equal(narrow, kind.endsWith("-420"), `${kind}: the picture is wider than its place`);
  if (narrow) await page.waitForFunction(() => document.querySelector("[role=region]").scrollLeft > 0);
  await page.context().close();
}

async function look(page, name, kind) {
  await page.screenshot({ path: path.join(told.pictures, `${name}-${kind}.png`), fullPage: true });
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run());
  const wrong = found.violations.map((it) => `${it.id}: ${it.nodes.map((node) => node.html.slice(0, 120)).join(" ; ")}`);
  assert.deepEqual(wrong, [], `${name} ${kind}`);
  assert.ok(found.passes.length > 10, "axe looked at something");
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(over <= 0, `${name} ${kind} is ${over} pixels too wide`);
  assert.equal(await page.evaluate(() => globalThis.canary), undefined, "a canary sang");
}

let failed = false;
for (const [name, act] of Object.entries(acts)) {
  try {
    await act();
    console.log(`ok: ${name}`);
  } catch (error) {
    failed = true;
    console.log(`FAILED: ${name}\n${error.stack}`);
  }
}
await browser.close();
if (odd.length) console.log(`odd: ${[...new Set(odd)].join("\nodd: ")}`);
if (failed || odd.length) process.exit(1);
console.log("all of it");
