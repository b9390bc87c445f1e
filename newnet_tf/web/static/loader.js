// Replaces @litertjs/wasm-utils for @litertjs/core in a classic worker: runs a wasm build's script.

const folder = new URL(".", import.meta.url);

export async function createWasmLib(Library, script) {
  const url = new URL(script, self.location).href;
  importScripts(url);
  const factory = self.ModuleFactory;
  self.ModuleFactory = undefined;
  const module = await factory({
    locateFile: (name) => new URL(name, folder).href,
    mainScriptUrlOrBlob: url, // what the worker of each thread loads
  });
  return new Library(module);
}
