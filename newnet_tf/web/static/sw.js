// Keeps the site for offline use. Large files never change under their name and come from the cache;
// the page's own small files come from the network where there is one.
"use strict";

const CACHE = `newnet ${self.registration.scope}`;
const isLarge = (url) => /\/(models|litert-[^/]+)\//.test(url);

self.addEventListener("install", (event) => {
  event.waitUntil(keep(["./"]).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && request.url.startsWith(self.registration.scope)) {
    event.respondWith(isLarge(request.url) ? cached(request) : fresh(request));
  }
});

/** The page names all files that it needs offline; an answer comes when they are there. */
self.addEventListener("message", (event) => {
  const [port] = event.ports;
  const work = keep(event.data).then(
    () => port.postMessage({ kept: true }),
    (error) => port.postMessage({ kept: false, reason: error.message }),
  );
  event.waitUntil(work);
});

async function keep(files) {
  const cache = await caches.open(CACHE);
  const urls = files.map((file) => new URL(file, self.registration.scope).href);
  for (const url of urls) {
    if (!(await cache.match(url))) await cache.add(url);
  }
  for (const request of await cache.keys()) {
    if (isLarge(request.url) && urls.length > 1 && !urls.includes(request.url)) {
      await cache.delete(request);
    }
  }
}

async function cached(request) {
  const cache = await caches.open(CACHE);
  const found = await cache.match(request.url);
  return found || store(cache, request);
}

async function fresh(request) {
  const cache = await caches.open(CACHE);
  try {
    return await store(cache, request);
  } catch (error) {
    const found = await cache.match(request.url, { ignoreSearch: true });
    if (found) return found;
    throw error;
  }
}

async function store(cache, request) {
  const response = await fetch(request);
  if (response.status === 200) await cache.put(request.url, response.clone());
  return response;
}
