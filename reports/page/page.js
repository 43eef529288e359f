"use strict";
// The page stands without this script; it filters, compares, opens claims. Text goes in as text, never as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const { releases, claims, kinds, signs, values, evidence } = data;
const byId = new Map(claims.map((claim) => [claim.id, claim]));
const byMinor = new Map(releases.map((release, index) => [release.minor, index]));
const newest = releases.length - 1;
const $ = (id) => document.getElementById(id);

// make("p", {class: "x"}, "text", node, ...) -> element
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== ""));
  return element;
}

// [[...value, length], ...] -> the value at a place
function at(stretches, index) {
  for (const stretch of stretches) {
    index -= stretch[stretch.length - 1];
    if (index < 0) return stretch;
  }
  return null;
}
const verdictAt = (claim, index) => at(claim.verdicts, index)[0];
const reasonAt = (claim, index) => at(claim.verdicts, index)[1];
const sign = (verdict) => make("b", { class: `sign ${verdict}` }, make("span", { "aria-hidden": "true" }, signs[verdict]), ` ${verdict}`);
// `code` between backticks
const prose = (text) => text.split(/`([^`]+)`/).map((piece, place) => (place % 2 ? make("code", {}, piece) : piece));
const slidesOf = (claim) => `slide ${claim.slides.join(", ")}`;
const sentence = (claim) => claim.id.split(".").length === 2;
const claimLink = (claim) => make("a", { href: `#claim/${claim.id}` }, claim.id);

// --- the matrix and its filters -------------------------------------------------------------------------------------
const rows = [...document.querySelectorAll(".matrix li")].map((row) => {
  const claim = byId.get(row.dataset.id);
  const words = [claim.id, claim.says, claim.correction, claim.instead, ...claim.slides.map((n) => `slide ${n}.`)];
  return { row, claim, text: words.join("\n").toLowerCase() };
});
const filters = { q: $("search"), part: $("part"), verdict: $("verdict"), depth: $("depth"), flipped: $("flipped") };

function filter() {
  const wanted = filters.q.value.toLowerCase().replace(/slide (\d+)/g, "slide-$1.").split(/\s+/).filter(Boolean).map((word) => word.replace("slide-", "slide "));
  let shown = 0;
  for (const { row, claim, text } of rows) {
    const fits = wanted.every((word) => text.includes(word))
      && (filters.part.value === "" || claim.part === Number(filters.part.value))
      && (filters.verdict.value === "" || row.dataset.verdict === filters.verdict.value)
      && (filters.depth.value === "all" || row.classList.contains("sentence"))
      && (!filters.flipped.checked || row.dataset.flips !== undefined);
    row.hidden = !fits;
    shown += fits;
  }
  for (const part of document.querySelectorAll(".part")) part.hidden = !part.querySelector("li:not([hidden])");
  $("shown").textContent = `${shown} of ${rows.length} claims shown`;
}

function filterChanged() {
  filter();
  const query = new URLSearchParams();
  for (const [name, control] of Object.entries(filters)) {
    const value = control.type === "checkbox" ? (control.checked ? "1" : "") : control.value;
    if (value) query.set(name, value);
  }
  matrix = query.size ? `#today?${query}` : "#today";
  history.replaceState(null, "", matrix);
}

function setFilters(text) {
  const query = new URLSearchParams(text);
  for (const [name, control] of Object.entries(filters)) {
    if (control.type === "checkbox") control.checked = query.has(name);
    else control.value = query.get(name) ?? "";
  }
  filter();
}

// --- a claim --------------------------------------------------------------------------------------------------------
function copyButton(label, text) {
  const said = make("span", { role: "status" });
  const button = make("button", { type: "button" }, label);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = "copied";
    } catch {
      said.textContent = "this browser does not let a page copy; select the text";
    }
  });
  return make("p", { class: "copied" }, button, said);
}

function bar(claim) {
  let first = 1;
  const cells = claim.verdicts.map(([verdict, , , length]) => {
    const cell = make("i", { class: verdict, title: verdict });
    cell.style.gridColumn = `${first} / span ${length}`;
    first += length;
    return cell;
  });
  return make("span", { class: "bar", "aria-hidden": "true" }, cells);
}

const day = (release) => (release.released ? `, published ${release.released}` : "");

function flipWords(flip) {
  const [before, after] = [releases[flip.before], releases[flip.after]];
  const item = make("li", {}, sign(flip.to), ` on ${after.version}${day(after)}; not on ${before.version}${day(before)}. `);
  if (flip.cause) {
    const { package: name, version, with: along, link } = flip.cause;
    item.append(`It came with ${name} ${version}${along.length ? `, exchanged together with ${along.join(", ")}` : ""}. `);
    if (link && link.startsWith("https://")) item.append(make("a", { href: link, rel: "noreferrer" }, link));
  }
  return item;
}

function verdictTable(claim) {
  let first = 0;
  const lines = claim.verdicts.map(([verdict, reason, drift, length]) => {
    const [from, to] = [releases[first].version, releases[first + length - 1].version];
    first += length;
    const note = [reason, drift ? "drift: the ledger expected otherwise" : null].filter(Boolean).join("; ");
    return make("tr", {}, make("td", {}, sign(verdict)), make("td", {}, length === 1 ? from : `${from} to ${to}`), make("td", {}, String(length)), make("td", {}, note));
  });
  const heads = ["verdict", "transformers", "releases", "note"].map((head) => make("th", { scope: "col" }, head));
  const table = make("table", {}, make("thead", {}, make("tr", {}, heads)), make("tbody", {}, lines));
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Verdict by release" }, table);
}

function specList(claim, index) {
  return claim.specs.map(([id, role, told]) => {
    const [outcome, reason, place] = at(told, index);
    if (outcome === null || place === undefined) return null;
    const pairs = evidence[place].flatMap((number) => [make("dt", {}, values[number][0]), make("dd", {}, values[number][1])]);
    return make("li", {}, make("code", {}, id), ` ${role === "correction" ? "(checks the correction) " : ""}`, make("b", {}, outcome), reason ? `: ${reason}` : "",
      pairs.length ? make("dl", { class: "kv" }, pairs) : null);
  }).filter(Boolean);
}

function openClaim(id, minor) {
  const claim = byId.get(id);
  const view = $("claim");
  if (!claim) {
    view.replaceChildren(make("h2", {}, "No such claim"), make("p", {}, `The ledger has no claim ${id}. `, make("a", { href: "#today?depth=all" }, "All claims")));
    return;
  }
  const index = byMinor.get(minor) ?? newest;
  const refuted = claim.verdicts.some(([verdict]) => verdict === "refuted");
  const list = make("ul", {});
  const choice = make("select", {}, releases.map((release, number) => make("option", { value: number, selected: number === index }, release.version)).reverse());
  const show = () => {
    const items = specList(claim, Number(choice.value));
    list.replaceChildren(...(items.length ? items : [make("li", {}, "no spec of it ran on this release")]));
  };
  choice.addEventListener("change", () => {
    history.replaceState(null, "", `#claim/${claim.id}/${releases[choice.value].minor}`);
    show();
  });
  show();
  view.replaceChildren(make("div", { class: "one" },
    make("p", {}, make("a", { href: matrix }, "← all claims"), ` · ${data.parts[claim.part]} · `,
      claim.slides.flatMap((n, place) => [place ? ", " : "", make("a", { href: `#slide/${n}` }, `slide ${n}`)])),
    make("h2", {}, make("code", {}, claim.id)),
    make("blockquote", {}, prose(claim.says)),
    make("p", {}, sign(verdictAt(claim, newest)), ` on ${releases[newest].version}`, reasonAt(claim, newest) ? `: ${reasonAt(claim, newest)}` : ""),
    claim.correction ? make("div", {},
      make("h3", {}, refuted ? "Where it is refuted, write instead" : "Where it is not true, write instead"),
      make("p", { id: "correction" }, prose(claim.correction)),
      copyButton("Copy the correction", claim.correction)) : null,
    claim.instead ? make("div", {},
      make("h3", {}, "The code that works"),
      make("pre", { tabindex: "0" }, make("code", {}, claim.instead)),
      copyButton("Copy the code", claim.instead)) : null,
    make("h3", {}, "Verdict by release"), bar(claim), verdictTable(claim),
    claim.flips.length ? make("ul", { class: "flips" }, claim.flips.map(flipWords)) : null,
    claim.holds ? make("p", {}, `The ledger says that it holds: ${claim.holds}.`) : null,
    make("h3", {}, "Evidence"),
    make("form", {}, make("label", {}, "on transformers ", choice)), list));
}

// --- a release ------------------------------------------------------------------------------------------------------
function openRelease(minor) {
  const view = $("one-release");
  const index = byMinor.get(minor);
  if (index === undefined) {
    view.replaceChildren(make("h2", {}, "No such release"), make("p", {}, `No result of ${minor} is recorded. Recorded are ${releases.map((it) => it.minor).join(", ")}.`));
    return;
  }
  const release = releases[index];
  const refuted = claims.filter((claim) => verdictAt(claim, index) === "refuted");
  const counted = ["holds", "refuted", "not-run", "not-executable", "error"].map((name) => `${release.counts[name]} ${name}`);
  const own = refuted.filter(sentence);
  const item = (claim) => make("li", {}, make("a", { href: `#claim/${claim.id}/${minor}` }, prose(claim.says)), " ", make("small", {}, `${claim.id}, ${slidesOf(claim)}`));
  view.replaceChildren(make("div", {},
    make("p", {}, make("a", { href: matrix }, "← all claims"), index ? make("span", {}, " · ", make("a", { href: `#upgrade/${releases[index - 1].minor}/${minor}` }, `what changed from ${releases[index - 1].version}`)) : null),
    make("h2", {}, `transformers ${release.version}`),
    make("p", {}, `${release.released ? `Published ${release.released}; ` : ""}${release.as_of ? `tested with packages as of ${release.as_of}; ` : ""}Python ${release.python}, ${release.platform}, ${release.device}; recorded ${release.finished}.`),
    make("p", {}, `Of ${release.counts.claims} claims: ${counted.join(", ")}.`),
    release.marks.length ? make("ul", { class: "problems" }, release.marks.map((mark) => make("li", {}, mark))) : null,
    make("p", {}, release.packages.map(([name, version]) => `${name} ${version}`).join(", ")),
    make("h3", {}, `Refuted: ${own.length} of the lecture's sentences`), make("ul", {}, own.map(item)),
    make("details", {}, make("summary", {}, `and ${refuted.length - own.length} of what they imply`), make("ul", {}, refuted.filter((claim) => !sentence(claim)).map(item)))));
}

// --- upgrading: the words and rules of `python -m reports compare` ---------------------------------------------------
function judgement(claim, index) {
  const [verdict, reason] = at(claim.verdicts, index);
  return verdict === "not-run" ? reason : verdict;
}

function differing(claim, from, to) {
  const found = [];
  for (const [, , told] of claim.specs) {
    const [before, after] = [at(told, from)[2], at(told, to)[2]];
    if (before === undefined || after === undefined || before === after) continue;
    const earlier = new Map(evidence[before].map((place) => [values[place][0], place]));
    for (const place of evidence[after]) {
      const [name, text, float] = values[place];
      const old = earlier.get(name);
      if (name !== "exception" && !float && old !== undefined && old !== place) found.push([name, values[old][1], text]);
    }
  }
  return found;
}

function change(claim, from, to) {
  if (verdictAt(claim, from) === "absent" || verdictAt(claim, to) === "absent") return null;
  const [before, after] = [judgement(claim, from), judgement(claim, to)];
  const [was, is] = [before, after].map((word) => word === "holds" || word === "refuted");
  if (before === after) {
    const found = was ? differing(claim, from, to) : [];
    return found.length ? { claim, kind: "other", before, after, evidence: found } : null;
  }
  if (!was && !is) return null;
  const kind = !was ? "new" : !is ? "gone" : after === "holds" ? "won" : "lost";
  return { claim, kind, before, after, evidence: [] };
}

function changes(from, to) {
  const found = claims.map((claim) => change(claim, from, to)).filter(Boolean);
  return Object.keys(kinds).flatMap((kind) => found.filter((it) => it.kind === kind));
}

function changeItem({ claim, kind, before, after, evidence: measured }) {
  const told = [make("dt", {}, "says"), make("dd", {}, prose(claim.says))];
  if (kind === "lost" || kind === "won") told.push(make("dt", {}, kind === "lost" ? "instead" : "before"), make("dd", {}, prose(claim.correction)));
  if (kind === "lost" && claim.instead) told.push(make("dt", {}, "write"), make("dd", {}, make("pre", { tabindex: "0" }, make("code", {}, claim.instead))));
  if (kind === "new" || kind === "gone") told.push(make("dt", {}, "then"), make("dd", {}, before), make("dt", {}, "now"), make("dd", {}, after));
  const pairs = measured.map(([name, old, now]) => make("li", {}, make("code", {}, [...`${name}: ${old} -> ${now}`].slice(0, 400).join(""))));
  return make("li", { "data-claim": claim.id }, claimLink(claim), make("small", {}, ` (${slidesOf(claim)})`), make("dl", {}, told), pairs.length ? make("ul", {}, pairs) : null);
}

function openUpgrade(from, to) {
  const [before, after] = [releases[from], releases[to]];
  $("from").value = before.minor;
  $("to").value = after.minor;
  $("command").textContent = `python -m reports compare ${before.minor} ${after.minor}`;
  const found = changes(from, to);
  const groups = Object.entries(kinds).flatMap(([kind, title]) => {
    const own = found.filter((it) => it.kind === kind);
    if (!own.length) return [];
    const list = make("ul", { class: "changes" }, own.map(changeItem));
    const head = `${title} (${own.length})`;
    if (kind === "other") return [make("details", { "data-kind": kind }, make("summary", {}, head), list)];
    return [make("section", { "data-kind": kind }, make("h3", {}, head), list)];
  });
  $("changes").replaceChildren(make("p", {}, `from transformers ${before.version} to ${after.version}`),
    ...(groups.length ? groups : [make("p", {}, "nothing that the lecture speaks of changes")]));
}

// --- slides ---------------------------------------------------------------------------------------------------------
function showSlides() {
  const wanted = $("slide").value;
  const implied = $("implied").checked;
  for (const slide of document.querySelectorAll(".slide")) {
    const count = Number(implied ? slide.dataset.change : slide.dataset.sentences);
    slide.hidden = wanted ? slide.dataset.slide !== wanted : count === 0;
    for (const item of slide.querySelectorAll(".implied")) item.hidden = !implied && !wanted;
    const rest = slide.querySelector(".rest");
    if (rest && wanted) rest.open = true;
  }
}

// --- where we are: #today?q=..., #claim/ID[/RELEASE], #slide/N, #release/4.57, #upgrade/A/B ----------------------------
function defaultFrom() {
  const major = (release) => release.minor.split(".")[0];
  for (let index = newest; index >= 0; index--) if (major(releases[index]) !== major(releases[newest])) return index;
  return 0;
}

let arrived = false;
let matrix = "#today"; // with the filters that were set when it was left
function route() {
  const [path, query] = decodeURIComponent(location.hash.slice(1)).split("?");
  const [name, first, second] = path.split("/");
  const view = { slide: "slides", claim: "claim", release: "release", slides: "slides", upgrade: "upgrade", speed: "speed", about: "about" }[name] ?? "today";
  if (view === "today") {
    setFilters(query ?? "");
    matrix = location.hash || "#today";
  }
  if (view === "claim") openClaim(first, second);
  if (view === "release") openRelease(first);
  if (view === "slides") {
    $("slide").value = first ?? "";
    showSlides();
  }
  if (view === "upgrade") openUpgrade(byMinor.get(first) ?? defaultFrom(), byMinor.get(second) ?? newest);
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.dataset.for !== view;
  document.documentElement.dataset.view = view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const head = document.querySelector(`main > section[data-for="${view}"] h2`);
  document.title = head ? `${head.textContent} · ${document.querySelector("h1").textContent}` : document.title;
  if (arrived) {
    window.scrollTo({ top: 0, behavior: "instant" });
    $("main").focus({ preventScroll: true });
  }
  arrived = true;
}

function theme(name) {
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
  try { localStorage.setItem("theme", name); } catch { /* a browser that keeps nothing: as the system, each time */ }
}

try { $("theme").value = localStorage.getItem("theme") ?? ""; } catch { /* as above */ }
theme($("theme").value);
$("theme").addEventListener("change", (event) => theme(event.target.value));
$("filters").addEventListener("input", (event) => event.target.id !== "release" && filterChanged());
$("release").addEventListener("change", (event) => {
  if (event.target.value) location.hash = `#release/${event.target.value}`;
  event.target.value = "";
});
$("slide").addEventListener("change", (event) => {
  history.replaceState(null, "", event.target.value ? `#slide/${event.target.value}` : "#slides");
  showSlides();
});
$("implied").addEventListener("change", showSlides);
$("print").addEventListener("click", () => window.print());
for (const id of ["from", "to"]) {
  $(id).addEventListener("change", () => {
    history.replaceState(null, "", `#upgrade/${$("from").value}/${$("to").value}`);
    openUpgrade(byMinor.get($("from").value), byMinor.get($("to").value));
  });
}
for (const form of document.forms) form.addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("submit", (event) => event.preventDefault());
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address is the view's
  $("main").focus();
});
window.addEventListener("hashchange", route);
route();
