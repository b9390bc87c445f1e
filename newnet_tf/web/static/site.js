// The page's two workers: the one that runs the model, and the one that caches files for offline use.

/** The worker that runs the model; `call(command, argument)` returns a promise of its result. */
export class Engine {
  constructor(progress) {
    this.waiting = new Map();
    this.worker = new Worker("engine.js");
    this.worker.onmessage = ({ data }) => {
      if ("progress" in data) {
        progress(data.progress);
        return;
      }
      const { resolve, reject } = this.waiting.get(data.id);
      this.waiting.delete(data.id);
      if ("error" in data) reject(new Error(data.error));
      else resolve(data.value);
    };
    this.worker.onerror = (event) => {
      const error = new Error(`The model's worker did not start. ${event.message ?? ""}`);
      for (const { reject } of this.waiting.values()) reject(error);
      this.waiting.clear();
    };
  }

  call(command, argument, transfer = []) {
    const id = crypto.getRandomValues(new Uint32Array(1))[0];
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, command, argument }, transfer);
    });
  }
}

/** Caches all `files` on this device; returns a message for the user. */
export async function cacheOffline(files) {
  if (!navigator.serviceWorker || navigator.connection?.saveData) return "";
  try {
    await navigator.serviceWorker.register("sw.js");
    const { active } = await navigator.serviceWorker.ready;
    const { port1, port2 } = new MessageChannel();
    const reply = new Promise((resolve) => (port1.onmessage = ({ data }) => resolve(data)));
    active.postMessage(files, [port2]);
    const { cached } = await reply;
    return cached ? "Works offline from now on." : "";
  } catch {
    return ""; // private windows have no service worker
  }
}
