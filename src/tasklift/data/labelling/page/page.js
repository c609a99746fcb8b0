"use strict";
// One row at a time. The server keeps every answer before it names the next row.
const at = (id) => document.getElementById(id);
let task = null, asked = null, shownAt = 0, busy = false;

async function call(path, body) {
  const options = body === undefined ? {} :
    { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch("api/" + path, options);
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found;
}

function shownLabels() {
  const words = at("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  return task.labels.filter(([name, meaning]) => {
    const text = (name + " " + meaning).toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

function drawLabels() {
  at("labels").replaceChildren(...shownLabels().map(([name, meaning], place) => {
    const item = document.createElement("li"), button = document.createElement("button");
    const key = document.createElement("kbd"), text = document.createElement("span");
    const small = document.createElement("small");
    key.textContent = place < 9 ? String(place + 1) : " ";
    text.textContent = name;
    small.textContent = meaning === name ? "" : meaning;
    text.append(small);
    button.type = "button";
    button.append(key, text);
    button.addEventListener("click", () => answer(name));
    item.append(button);
    return item;
  }));
}

function drawRow(found) {
  asked = found.asked;
  at("filter").value = "";
  const { done, left, seconds } = found;
  at("progress").textContent = `${found.annotator}: ${done} labelled, ${left} left` +
    (seconds ? `, ${seconds.toFixed(1)} s a label` : "");
  const parts = asked === null ? ["Nothing is left to label. You can close this page."] :
    Object.entries(asked.input).flatMap(([name, value], place, all) => {
      if (all.length === 1) return [String(value)];
      const title = document.createElement("h2");
      title.textContent = name;
      return [title, String(value) + "\n"];
    });
  at("input").replaceChildren(...parts);
  const suggestion = at("suggestion");
  suggestion.hidden = !asked || !asked.suggested;
  suggestion.textContent = asked && asked.suggested ?
    `Suggested by ${task.suggested_by}, not by a person: ${asked.suggested}` : "";
  drawLabels();
  at("filter").focus();
  shownAt = performance.now();
}

async function step(work) {
  if (busy) return;
  busy = true;
  try {
    drawRow(await work());
    at("error").textContent = "";
  } catch (error) {
    at("error").textContent = String(error.message || error);
  } finally {
    busy = false;
  }
}

function answer(label) {
  if (!asked) return;
  const body = { row: asked.row, label, seconds: (performance.now() - shownAt) / 1000, suggested: asked.suggested };
  step(() => call("answer", body));
}

document.addEventListener("keydown", (event) => {
  if (!task || event.altKey || event.metaKey) return;
  const found = shownLabels();
  if (event.ctrlKey) {
    if (event.key === "z") { event.preventDefault(); step(() => call("undo", {})); }
  } else if (/^[1-9]$/.test(event.key)) {
    event.preventDefault();
    if (found[Number(event.key) - 1]) answer(found[Number(event.key) - 1][0]);
  } else if (event.key === "Enter" && event.target.tagName !== "BUTTON") {
    event.preventDefault();
    if (at("filter").value) { if (found[0]) answer(found[0][0]); }
    else if (asked && asked.suggested) answer(asked.suggested);
  } else if (event.key === "Escape") {
    event.preventDefault();
    answer(null);
  }
});
at("filter").addEventListener("input", drawLabels);

step(async () => {
  task = await call("task");
  at("task").textContent = task.name + ": " + task.instruction;
  return call("next");
});
