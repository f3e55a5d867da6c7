"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const make = (tag, properties, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const AUS = Object.keys(data.aus), [LOW, HIGH] = data.levels;
const client = crypto.randomUUID();
const faces = new Map(data.faces.map(face => [face.key, face]));
const editors = new Map(data.editors.map(editor => [editor.name, editor]));
let current = null, levels = {}, reference = null, method = data.method;
let read = null;  // AUs of the edit
let wanted = 0, working = false, cancel = null, result = null;

// Requests: every answer is JSON, or 204 if a newer request has replaced this one.
async function ask(path, body, options = {}) {
  const isFile = body instanceof Blob;
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": isFile ? "application/octet-stream" : "application/json" },
    body: isFile ? body : JSON.stringify(body),
    ...options,
  });
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error ?? `The studio answered ${response.status}.`);
  return answer;
}

function fail(error) {
  if (error.name === "AbortError") return;
  $("error").textContent = error instanceof TypeError
    ? "The studio does not answer; has it ended? Start it again with `facsimile studio`."
    : error.message;
  $("error").hidden = false;
}

const attempt = action => async (...values) => {
  $("error").hidden = true;
  try { await action(...values); } catch (error) { fail(error); }
};

// Sliders
const letter = level => level > 1.1 ? "E+" : level < -0.1 ? "<0" : "–ABCDE"[Math.round(Math.max(level, 0) * 5)];
const number = value => value.toFixed(2).replace("-", "−");
const clamp = value => Math.min(Math.max(value, LOW), HIGH);
const place = value => 100 * (clamp(value) - LOW) / (HIGH - LOW);
const rows = new Map();

function buildSliders() {
  const ends = make("div");
  for (const [value, text] of [[0, "0 absent"], [1, "1 level E"]]) {
    const mark = make("span", { textContent: text });
    mark.style.left = `${place(value)}%`;
    ends.append(mark);
  }
  $("sliders").append(make("div", { className: "au ends" }, make("span"), ends));
  for (const au of AUS) {
    const input = make("input", { type: "range", min: LOW, max: HIGH, step: 0.05, id: au });
    const bars = ["before", "after"].map(name => make("i", { className: name }));
    const row = make("div", { className: "au" },
      make("label", { htmlFor: au }, make("b", { textContent: au }), data.aus[au]),
      make("div", { className: "axis" }, input,
        ...bars.map(bar => make("div", { className: "read" }, bar))),
      make("output", { htmlFor: au }),
      make("button", { type: "button", textContent: "×", title: `Leave ${au} as it is` }));
    row.querySelector("button").setAttribute("aria-label", `Leave ${au} as it is`);
    input.addEventListener("input", () => setLevel(au, Number(input.value)));
    row.querySelector("button").addEventListener("click", () => { setLevel(au, null); input.focus(); });
    rows.set(au, { row, input, bars, output: row.querySelector("output") });
    $("sliders").append(row);
  }
}

function setLevel(au, level) {
  if (reference !== null) {  // go on from the levels of the reference
    levels = referenceLevels();
    reference = null;
  }
  if (level === null) delete levels[au]; else levels[au] = level;
  changed();
}

function referenceLevels() {
  const shown = faces.get(reference)?.aus ?? [];
  return Object.fromEntries(known().map(au => [au, clampUnit(shown[AUS.indexOf(au)] ?? 0)]));
}

const clampUnit = value => Math.round(Math.min(Math.max(value, 0), 1) * 20) / 20;
const known = () => editors.get(method).aus;

function drawSliders() {
  const shown = reference !== null ? referenceLevels() : levels;
  const before = current?.aus;
  for (const [au, { row, input, bars, output }] of rows) {
    const column = AUS.indexOf(au), isSet = au in shown;
    const level = isSet ? shown[au] : clampUnit(before?.[column] ?? 0);
    row.hidden = !known().includes(au);
    row.classList.toggle("set", isSet);
    input.value = level;
    input.disabled = !current;
    output.textContent = `${number(level)} ${letter(level)}`;
    input.setAttribute("aria-valuetext",
      `${number(level)}, level ${letter(level)}${isSet ? "" : ", stays as it is"}`);
    [before, read].forEach((values, index) => {
      const bar = bars[index], value = values?.[column];
      bar.hidden = value === undefined;
      if (bar.hidden) return;
      const from = place(Math.min(value, 0)), to = place(Math.max(value, 0));
      bar.style.left = `${from}%`;
      bar.style.width = `${to - from}%`;
      bar.title = `${index ? "edit" : "original"}: ${number(value)}`;
    });
  }
}

// Pictures: a coarse one at once, the fine one after a moment without further changes.
let goOn = () => {};
const pause = () => new Promise(done => { goOn = done; setTimeout(done, 150); });
const request = extra => ({ client, number: wanted, face: current.key, levels: reference === null ? levels : {},
  reference, method, preview: false, ...extra });

function changed() {
  wanted += 1;
  cancel?.abort();
  goOn();
  drawSliders();
  markPressed();
  describeReference();
  if (!current) return;
  remember();
  work();
}

// The address holds the state, so that a reloaded page goes on where it was.
function remember() {
  const state = { face: current.key, editor: method, ...(reference === null ? levels : { like: reference }) };
  if ($("compare").open) state.compare = "open";
  history.replaceState(null, "", `#${new URLSearchParams(state)}`);
}

async function work() {
  if (working) return;
  working = true;
  let done = -1;
  document.body.classList.add("busy");
  while (done !== wanted) {
    const mine = wanted;
    try {
      const coarse = await ask("/api/edits", request({ preview: true }));
      if (coarse) showPicture(coarse, "preview");
      await pause();
      if (mine === wanted) {
        cancel = new AbortController();
        const fine = await ask("/api/edits", request(), { signal: cancel.signal });
        if (fine && mine === wanted) showResult(fine);
      }
      if (mine === wanted) $("error").hidden = true;
    } catch (error) {
      if (mine === wanted) fail(error);
    }
    done = mine;
  }
  document.body.classList.remove("busy");
  working = false;
  compare();
}

function showPicture(answer, quality) {
  $("edited").src = answer.image;
  $("quality").textContent = quality === "preview" ? "(preview)" : "";
  document.body.dataset.quality = quality;
}

function showResult(answer) {
  result = answer;
  read = answer.aus;
  showPicture(answer, "final");
  drawSliders();
  $("save").href = answer.image;
  $("save").download = answer.file;
  $("python").textContent = answer.python;
  $("command").textContent = answer.command;
  $("copy-command").disabled = !answer.command;
  $("files").textContent = !answer.command
    ? Object.keys(levels).length ? "facsimile edit takes levels from 0 to 1; use the Python lines." : ""
    : answer.originals.length ? "The command reads a picture that exists only here: " : "";
  if (answer.command) for (const key of answer.originals)
    $("files").append(make("a", { href: faces.get(key).image, download: faces.get(key).file,
      textContent: `save ${faces.get(key).file}` }), " ");
  $("copy-command").title = answer.command ? "" : $("files").textContent;
  $("drift").textContent = answer.drift === null ? "" : driftText(answer.drift);
  $("drift").classList.toggle("far", answer.drift > data.threshold);
}

const driftText = drift => `Identity: distance ${drift.toFixed(2)} to the original, `
  + (drift <= data.threshold ? `the same person (up to ${data.threshold.toFixed(2)}).`
    : `another person (above ${data.threshold.toFixed(2)}).`);

async function compare() {
  if (!$("compare").open || !current) return;
  const mine = wanted;
  const cells = new Map([...editors.keys()].map(name => [name, $("contest").querySelector(
    `[data-name="${name}"]`) ?? contestant(name)]));
  $("contest").replaceChildren(...cells.values());
  for (const [name, cell] of cells) {
    if (mine !== wanted) return;
    const caption = cell.querySelector("figcaption span");
    try {
      const answer = name === method && result ? result
        : await ask("/api/edits", { ...request({ method: name }), client: `${client}/compare` });
      if (!answer || mine !== wanted) return;
      cell.querySelector("img").src = answer.image;
      caption.textContent = answer.drift === null ? "" : `identity ${answer.drift.toFixed(2)}`;
    } catch (error) { caption.textContent = error.message; }
  }
}

function contestant(name) {
  const cell = make("figure", {}, make("img", { alt: `edit by ${name}` }),
    make("figcaption", {}, make("b", { textContent: name }), make("span")));
  cell.dataset.name = name;
  return cell;
}

// Faces
function drawStrips() {
  for (const [strip, use, kinds] of [["faces", chooseFace, ["at rest", "expressive"]],
    ["references", chooseReference, ["expressive", "at rest"]]]) {
    const all = [...faces.values()];
    const shown = ["added", ...kinds].flatMap(kind => all.filter(face => face.kind === kind));
    $(strip).replaceChildren(...shown
      .map(face => {
        const button = make("button", { type: "button", title: face.title },
          make("img", { src: face.image, alt: face.title, loading: "lazy" }));
        button.dataset.key = face.key;
        button.addEventListener("click", () => use(face.key));
        return button;
      }));
  }
  markPressed();
}

function markPressed() {
  for (const [strip, key] of [["faces", current?.key], ["references", reference]]) {
    const buttons = [...$(strip).children];
    for (const button of buttons) button.setAttribute("aria-pressed", button.dataset.key === key);
    setStop(buttons, buttons.find(button => button.dataset.key === key) ?? buttons[0]);
  }
}

// Tab stops once in each strip, and arrow keys move in it.
function setStop(buttons, stop) {
  for (const button of buttons) button.tabIndex = button === stop ? 0 : -1;
}

for (const strip of [$("faces"), $("references")]) strip.addEventListener("keydown", event => {
  const buttons = [...strip.children], here = buttons.indexOf(document.activeElement);
  const target = { ArrowRight: buttons[here + 1], ArrowLeft: buttons[here - 1],
    Home: buttons[0], End: buttons.at(-1) }[event.key];
  if (!target || here < 0) return;
  event.preventDefault();
  setStop(buttons, target);
  target.focus();
});

async function openFace(key) {
  const face = faces.get(key);
  if (!face.aus) Object.assign(face, await ask("/api/faces", { key }));
  return face;
}

const chooseFace = attempt(async key => {
  const face = await openFace(key);
  current = face;
  read = result = null;
  $("original").src = $("edited").src = face.image;
  $("original").alt = `original: ${face.title}`;
  changed();
});

const chooseReference = attempt(async key => {
  await openFace(key);
  reference = key;
  levels = {};
  changed();
});

function describeReference() {
  $("unlike").hidden = reference === null;
  $("taken").textContent = reference === null
    ? "Copy the expression of another face."
    : editors.get(method).takes.includes("reference")
      ? `${method} copies the expression of the face itself.`
      : `${method} takes no reference: AUs are set to what the detectors read from the face.`;
}

function added(face) {
  const others = [...faces];
  faces.clear();  // the newest one comes first
  for (const [key, value] of [[face.key, face], ...others]) faces.set(key, value);
  drawStrips();
  return face.key;
}

const upload = (file, use) => attempt(async () => {
  say("reading the picture …");
  try {
    const query = new URLSearchParams({ name: file.name, crop: $("crop").checked });
    const face = await ask(`/api/pictures?${query}`, file.slice());
    say("");
    await use(added(face));
  } finally { say(""); }
})();

const say = text => { $("said").textContent = text; };

for (const [id, use] of [["file", chooseFace], ["reference-file", chooseReference]])
  $(id).addEventListener("change", event => {
    const [file] = event.target.files;
    event.target.value = "";
    if (file) upload(file, use);
  });

for (const name of ["dragover", "dragleave", "drop"]) addEventListener(name, event => {
  event.preventDefault();
  document.body.classList.toggle("dropping", name === "dragover");
  const [file] = event.dataTransfer?.files ?? [];
  if (name === "drop" && file) upload(file, event.target.closest(".like") ? chooseReference : chooseFace);
});

$("person").addEventListener("submit", attempt(async event => {
  event.preventDefault();
  $("new").disabled = true;
  $("new").textContent = "Sampling …";
  try {
    const form = Object.fromEntries(new FormData($("person")));
    await chooseFace(added(await ask("/api/people", form)));
  } finally {
    $("new").disabled = false;
    $("new").textContent = "New person";
  }
}));

// Buttons
$("method").addEventListener("change", () => {
  method = $("method").value;
  for (const au of Object.keys(levels)) if (!known().includes(au)) delete levels[au];
  changed();
});
$("reset").addEventListener("click", () => { levels = {}; reference = null; changed(); });
$("neutral").addEventListener("click", () => {
  levels = Object.fromEntries(known().map(au => [au, 0]));
  reference = null;
  changed();
});
$("unlike").addEventListener("click", () => { reference = null; changed(); });
$("compare").addEventListener("toggle", () => {
  if (current) remember();
  if (!working) compare();
});
for (const name of ["python", "command"]) $(`copy-${name}`).addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($(name).textContent);
    say(name === "python" ? "Copied the Python lines." : "Copied the command.");
  } catch {
    $("recipe").open = true;
    getSelection().selectAllChildren($(name));
    say("Press Ctrl-C to copy the selected lines.");
  }
});

for (const editor of data.editors) $("method").append(make("option", { value: editor.name, textContent: editor.name }));
$("method").value = method;
for (const [name, values] of [["gender", data.genders], ["age_group", data.age_groups]])
  for (const value of values)
    $("person").elements[name].append(make("option", { value, textContent: value }));
if (data.sampling) {
  for (const element of $("person").elements) element.disabled = true;
  $("person").title = data.sampling;
}
$("crop").checked = data.crop;
$("notes").textContent = [...data.notes, data.sampling].filter(Boolean).join(" ");
$("unfitted").textContent = data.unfitted;
buildSliders();
drawStrips();
drawSliders();
describeReference();
(async () => {
  const state = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  if (editors.has(state.editor)) $("method").value = method = state.editor;
  for (const au of known()) if (state[au] && isFinite(state[au])) levels[au] = clamp(Number(state[au]));
  $("compare").open = state.compare === "open";
  const first = faces.get(state.face) ?? data.faces.find(face => face.kind === "at rest") ?? data.faces[0];
  if (!first) return;
  await chooseFace(first.key);
  $("faces").querySelector(`[data-key="${first.key}"]`).scrollIntoView({ inline: "nearest", block: "nearest" });
  if (faces.has(state.like)) await chooseReference(state.like);
})();
