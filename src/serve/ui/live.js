// Keeps an open page as it is by now: told that there is news, it fetches itself and takes over what has changed. Without
// this script every page works the same, as it was when it was opened.
"use strict";

const news = document.body.dataset.live;
const state = document.getElementById("state");
let source = null;
let seen = "";
let timer = 0;
let title = document.title;

function tell(text, is) {
  if (!state) return;
  if (state.textContent !== text) state.textContent = text;
  state.dataset.is = is;
}

// Somebody writes, has chosen text, or has opened something there: it stays as it is for now.
function inUse(element) {
  const active = document.activeElement;
  if (active && active !== element && element.contains(active) && active.matches("input, button, select, summary")) return true;
  if ([...element.querySelectorAll("input[name=why]")].some((field) => field.value !== "")) return true;
  if (element.querySelector("details[open]")) return true;
  const chosen = getSelection();
  return !!chosen && !chosen.isCollapsed && element.contains(chosen.anchorNode);
}

// Each child by its id: what is gone goes, what is new comes in its place, what has changed is taken over unless in use.
function merge(here, there) {
  const wanted = [...there.children];
  for (const child of [...here.children]) {
    if (!wanted.some((other) => other.id === child.id)) child.remove();
  }
  wanted.forEach((other, place) => {
    const own = [...here.children].find((child) => child.id === other.id);
    const at = here.children[place] || null;
    if (!own) {
      here.insertBefore(document.importNode(other, true), at);
    } else if (own.outerHTML !== other.outerHTML && !inUse(own)) {
      own.replaceWith(document.importNode(other, true));
    }
  });
}

function take(page) {
  for (const here of document.querySelectorAll("[data-live=swap], [data-live=merge]")) {
    const there = page.getElementById(here.id);
    if (!there) continue;
    if (here.dataset.live === "merge") {
      merge(here, there);
    } else if (here.outerHTML !== there.outerHTML && !inUse(here)) {
      const before = new Set([...here.querySelectorAll("tr[id]")].map((row) => row.id));
      const fresh = document.importNode(there, true);
      here.replaceWith(fresh);
      for (const row of fresh.querySelectorAll("tr[id]")) {
        if (before.size && !before.has(row.id)) row.classList.add("new");
      }
    }
  }
  const [count, now] = [document.getElementById("waiting"), page.getElementById("waiting")];
  if (count && now && count.outerHTML !== now.outerHTML) count.replaceWith(document.importNode(now, true));
}

function fetchSelf() {
  const request = new XMLHttpRequest();
  request.open("GET", location.href);
  // A document that is parsed so runs nothing.
  request.responseType = "document";
  request.onload = () => {
    if (request.status === 200 && request.response) {
      take(request.response);
    } else if (request.status === 401) {
      over();
    }
  };
  request.send();
}

function over() {
  if (source) source.close();
  source = null;
  tell("You are not logged in any more. What stands here is how it was.", "over");
}

function listen() {
  if (source || document.hidden) return;
  source = new EventSource(news);
  source.onmessage = (message) => {
    const { waiting } = JSON.parse(message.data);
    document.title = waiting > 0 ? `(${waiting}) ${title}` : title;
    tell("Live: this page follows what happens.", "live");
    // Once more even for the first news: something may have happened since the page was made.
    if (message.data !== seen) {
      seen = message.data;
      clearTimeout(timer);
      timer = setTimeout(fetchSelf, 150);
    }
  };
  source.onerror = () => {
    if (source && source.readyState === EventSource.CLOSED) {
      source = null;
      tell("This page does not follow what happens: reload it.", "over");
      setTimeout(listen, 15000);
    } else {
      tell("The sidecar is away; trying again.", "over");
    }
  };
}

if (news) {
  listen();
  // A page that nobody looks at holds no connection: a browser has six for each door.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && source) {
      source.close();
      source = null;
      tell("Paused while nobody looks.", "over");
    } else {
      listen();
    }
  });
}
