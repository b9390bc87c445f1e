// Caches the site for offline use. Large files never change under their name and come from the cache;
// the page's own small files come from the network if it is available.
"use strict";

const CACHE = `newnet ${self.registration.scope}`;
const isLarge = (url) => /\/(models|litert-[^/]+)\//.test(url);

self.addEventListener("install", (event) => {
  event.waitUntil(addAll(["./"]).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && request.url.startsWith(self.registration.scope)) {
    event.respondWith(isLarge(request.url) ? cacheFirst(request) : networkFirst(request));
  }
});

/** The page sends the list of all files that it needs offline; the reply says when they are cached. */
self.addEventListener("message", (event) => {
  const [port] = event.ports;
  const work = addAll(event.data).then(
    () => port.postMessage({ cached: true }),
    (error) => port.postMessage({ cached: false, reason: error.message }),
  );
  event.waitUntil(work);
});

async function addAll(files) {
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

async function cacheFirst(request) {
  const cache = await caches.open(CACHE);
  const response = await cache.match(request.url);
  return response || store(cache, request);
}

async function networkFirst(request) {
  const cache = await caches.open(CACHE);
  try {
    return await store(cache, request);
  } catch (error) {
    const response = await cache.match(request.url, { ignoreSearch: true });
    if (response) return response;
    throw error;
  }
}

async function store(cache, request) {
  const response = await fetch(request);
  if (response.status === 200) await cache.put(request.url, response.clone());
  return response;
}
