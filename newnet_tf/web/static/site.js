// The page's two helpers beside it: the worker that holds the network, the one that keeps files offline.

/** The worker, asked by `call(command, argument)`; each answer comes as a promise. */
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
      const error = new Error(`The network's worker did not start. ${event.message ?? ""}`);
      for (const { reject } of this.waiting.values()) reject(error);
      this.waiting.clear();
    };
  }

  call(command, argument, moved = []) {
    const id = crypto.getRandomValues(new Uint32Array(1))[0];
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, command, argument }, moved);
    });
  }
}

/** Has all `files` kept on this device; returns what to tell of it. */
export async function keepOffline(files) {
  if (!navigator.serviceWorker || navigator.connection?.saveData) return "";
  try {
    await navigator.serviceWorker.register("sw.js");
    const { active } = await navigator.serviceWorker.ready;
    const { port1, port2 } = new MessageChannel();
    const answered = new Promise((resolve) => (port1.onmessage = ({ data }) => resolve(data)));
    active.postMessage(files, [port2]);
    const { kept } = await answered;
    return kept ? "Works without a network from now on." : "";
  } catch {
    return ""; // private windows have no service worker
  }
}
