// Runs in old browsers too, and says in plain words why the page cannot start.
"use strict";

(function () {
  var reason = "";
  if (location.protocol === "file:") {
    reason =
      "A page opened as a file cannot load the model. Serve its folder over http: " +
      "newnet web FOLDER --serve, or python3 -m http.server inside the folder.";
  } else if (!window.WebAssembly || !window.OffscreenCanvas || !window.createImageBitmap) {
    reason = "This browser is too old. Use a current Chrome, Edge, Firefox or Safari.";
  }
  if (reason) {
    document.getElementById("error").textContent = reason;
    document.getElementById("error").hidden = false;
    document.getElementById("status").textContent = "";
  }
})();
