// Shows /openapi.json. Where reading needs a token, it asks for one and keeps it no longer than the page is open.
"use strict";

const ask = document.getElementById("ask");

async function show(token) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch("/openapi.json", { headers });
  if (!answer.ok) {
    ask.hidden = false;
    document.getElementById("said").textContent = token ? (await answer.json()).detail : "";
    return;
  }
  ask.hidden = true;
  const ui = SwaggerUIBundle({
    spec: await answer.json(),
    dom_id: "#api",
    deepLinking: true,
    docExpansion: "none",
    validatorUrl: null,
    presets: [SwaggerUIBundle.presets.apis],
    onComplete: () => token && ui.preauthorizeApiKey("bearer", token),
  });
}

ask.addEventListener("submit", (event) => {
  event.preventDefault();
  show(document.getElementById("token").value.trim());
});

show("");
