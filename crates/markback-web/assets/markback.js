// Freshens a page while somebody looks at it. Every page works without this.
//
// One tab of a browser follows the stream of news and tells the others, because a browser has few connections to one
// server. A page that hears of its school asks for itself again and takes over the regions with `data-fresh`.

const FRESHEN_AFTER = 300; // ms: so many changes at once are one.
const FRESHEN_EVERY = 1500; // ms: the least time between two askings.
const RETRY_AFTER = 30_000; // ms: until a refused stream is tried again.
const SAY_EVERY = 10_000; // ms: the least time between two announcements.

const address = document.body.dataset.live;
if (address) follow(address, document.body.dataset.school);

function follow(address, school) {
  const news = globalThis.BroadcastChannel ? new BroadcastChannel("markback-news") : null;
  const page = freshener();
  let stop = null;

  const heard = (data) => {
    if (!data.school || !school || data.school === school) page.changed();
  };
  if (news) news.onmessage = (message) => heard(message.data);

  // Resolves when the stream is to be given up: the page was hidden.
  const listen = (signal) =>
    new Promise((resolve) => {
      let source = null;
      let timer = null;
      const open = () => {
        source = new EventSource(address);
        source.addEventListener("news", (event) => {
          const data = JSON.parse(event.data);
          heard(data);
          news?.postMessage(data);
        });
        source.onopen = () => page.changed();
        source.onerror = () => {
          // The browser connects again by itself, unless it was refused.
          if (source.readyState !== EventSource.CLOSED) return;
          page.changed();
          timer = setTimeout(open, RETRY_AFTER);
        };
      };
      signal.addEventListener("abort", () => {
        clearTimeout(timer);
        source?.close();
        resolve();
      });
      open();
    });

  const begin = () => {
    if (stop || document.visibilityState === "hidden") return;
    stop = new AbortController();
    const signal = stop.signal;
    if (!navigator.locks) return void listen(signal);
    navigator.locks
      .request("markback-live", { signal }, () => (signal.aborted ? null : listen(signal)))
      // Given up before it was this tab's turn.
      .catch(() => {});
  };
  const end = () => {
    stop?.abort();
    stop = null;
  };
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") return end();
    page.changed();
    begin();
  });
  addEventListener("pagehide", end);
  addEventListener("pageshow", begin);
  begin();
}

// Asks for the page again, not too often, and takes over what has changed.
function freshener() {
  let timer = null;
  let asking = false;
  let again = false;
  let last = 0;
  const changed = () => {
    if (document.visibilityState === "hidden") return;
    if (asking) {
      again = true;
      return;
    }
    const wait = Math.max(FRESHEN_AFTER, last + FRESHEN_EVERY - Date.now());
    timer ??= setTimeout(ask, wait);
  };
  const ask = async () => {
    timer = null;
    asking = true;
    last = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      // Signed out, or the page is no more: show what the server shows.
      if (answer.redirected) return location.reload();
      if (answer.ok) take(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch {
      // No connection: the next news asks again.
    } finally {
      asking = false;
      if (again) {
        again = false;
        changed();
      }
    }
  };
  return { changed };
}

function take(fresh) {
  for (const old of document.querySelectorAll("[data-fresh][id]")) {
    const region = fresh.getElementById(old.id);
    if (!region || region.outerHTML === old.dataset.was) continue;
    const was = old.dataset.was;
    const next = region.outerHTML;
    if (was === undefined && region.innerHTML === old.innerHTML) {
      old.dataset.was = next;
      continue;
    }
    // Somebody who types or has a list open in it is not interrupted.
    if (old.querySelector("input:focus, select:focus, textarea:focus")) continue;
    const focus = placeOf(old);
    const opened = new Set(Array.from(old.querySelectorAll("details[id][open]"), (one) => one.id));
    const known = new Set(Array.from(old.querySelectorAll("details[id]"), (one) => one.id));
    old.className = region.className;
    old.replaceChildren(...region.childNodes);
    old.dataset.was = next;
    for (const one of old.querySelectorAll("details[id]")) if (known.has(one.id)) one.open = opened.has(one.id);
    restore(old, focus);
    if (region.dataset.say && region.dataset.say !== old.dataset.say) say(region.dataset.say);
    if (region.dataset.say) old.dataset.say = region.dataset.say;
  }
}

// How to find the focused element of a region again: by id, by where it leads, or by its place among its like.
function placeOf(region) {
  const focused = document.activeElement;
  if (!focused || focused === region || !region.contains(focused)) return null;
  const href = focused.getAttribute("href");
  const alike = Array.from(region.querySelectorAll(focused.tagName));
  return { id: focused.id, href, tag: focused.tagName, index: alike.indexOf(focused) };
}

function restore(region, place) {
  if (!place) return;
  const alike = Array.from(region.querySelectorAll(place.tag));
  const found =
    (place.id && document.getElementById(place.id)) ||
    (place.href && alike.find((one) => one.getAttribute("href") === place.href)) ||
    alike[Math.min(place.index, alike.length - 1)];
  if (found) found.focus({ preventScroll: true });
  else {
    region.tabIndex = -1;
    region.focus({ preventScroll: true });
  }
}

let said = 0;
let saying = null;
// Says something in the live region, the latest only, and not so often that nobody can listen.
function say(text) {
  const wait = Math.max(0, said + SAY_EVERY - Date.now());
  clearTimeout(saying);
  saying = setTimeout(() => {
    said = Date.now();
    document.getElementById("news").textContent = text;
  }, wait);
}
