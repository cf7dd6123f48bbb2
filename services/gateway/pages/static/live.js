// Brings a page up to date when something changes elsewhere: each section marked `data-live` is replaced by its new
// self, unless somebody is working in it. Without this script the page is as good, only not as fresh.

const GATHER_MS = 300; // changes come in bunches: one purchase is a dozen events

const note = document.querySelector("[data-live-note]");
let waiting = null;

function isBusy(section) {
  const focused = document.activeElement;
  if (focused && section.contains(focused) && focused.matches("input, textarea, select")) return true;
  const typed = [...section.querySelectorAll("input, textarea")].some((field) =>
    field.type === "checkbox" ? field.checked !== field.defaultChecked : field.value !== field.defaultValue);
  return typed || section.querySelector("details.touched[open]") !== null;
}

// What a refused form has brought back goes along into the section's new self.
function keepTyped(section, fresh) {
  for (const field of section.querySelectorAll("[data-typed]")) {
    const same = fresh.querySelector(`#${CSS.escape(field.id)}`);
    if (!same) continue;
    same.dataset.typed = "";
    same.defaultValue = field.defaultValue;
    same.defaultChecked = field.defaultChecked;
    const problem = document.getElementById(`${field.id}-problem`);
    if (problem) {
      same.setAttribute("aria-invalid", "true");
      same.setAttribute("aria-describedby", field.getAttribute("aria-describedby"));
      same.closest("p").after(problem.cloneNode(true));
    }
    const details = same.closest("details");
    if (details) details.open = true;
  }
}

function replace(section, fresh) {
  if (!fresh || isBusy(section)) return false;
  keepTyped(section, fresh);
  // Each form has an id of its own in every version of the page: that alone is no change.
  const same = (html) => html.replaceAll(/value="page_[a-z0-9]+"/g, "");
  if (same(section.innerHTML) === same(fresh.innerHTML)) return false;
  const focused = section.contains(document.activeElement) ? section : null;
  section.replaceChildren(...fresh.childNodes);
  if (focused) { section.tabIndex = -1; section.focus({ preventScroll: true }); }
  return true;
}

async function refresh() {
  waiting = null;
  const here = new URL(document.body.dataset.here, location.origin);
  here.searchParams.delete("done");
  const answer = await fetch(here, { credentials: "same-origin" });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const shown = new Set();
  let changed = false;
  for (const section of document.querySelectorAll("[data-live]")) {
    shown.add(section.dataset.live);
    changed = replace(section, fresh.querySelector(`[data-live="${section.dataset.live}"]`)) || changed;
  }
  // A section that was not there before, such as the team of a plan just bought, goes after the one before it.
  let before = null;
  for (const section of fresh.querySelectorAll("[data-live]")) {
    if (!shown.has(section.dataset.live) && before) { before.after(section); changed = true; }
    before = document.querySelector(`[data-live="${section.dataset.live}"]`) ?? before;
  }
  if (changed && note) note.textContent = note.dataset.liveNote;
}

document.addEventListener("click", (event) => event.target.closest("summary")?.parentElement.classList.add("touched"));

const soon = () => { waiting ??= setTimeout(refresh, GATHER_MS); };
const changes = new EventSource(document.body.dataset.changes);
// What changed between the page's making and the first word, or while it was broken, is looked up once.
changes.addEventListener("open", soon);
changes.addEventListener("change", soon);
