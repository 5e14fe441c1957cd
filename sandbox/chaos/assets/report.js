const MATCHES = {
  all: () => true,
  effects: (step) => step.kind !== "call" || step.effect === "applied" || step.fault || step.evidence,
  faults: (step) => step.fault || step.evidence || step.turn === "stops",
};
const SIGNS = { passed: "✓", failed: "✕", inconclusive: "?", interrupted: "…" };
const VERDICTS = {
  fail: "✕ fail", inconclusive: "? inconclusive", warning: "! warning", note: "i note", pass: "✓ pass", not_exercised: "– not exercised", muted: "~ muted",
};

const find = (id) => document.getElementById(id);

// The diagram of one scene: a scroller as high as all rows, of which those in view are drawn.
class Board {
  constructor() {
    this.scroller = find("scroller");
    this.rows = find("rows");
    this.details = find("details");
    this.shown = new Map();
    this.active = -1;
    this.pending = false;
    this.scroller.addEventListener("scroll", () => this.later());
    this.scroller.addEventListener("keydown", (event) => this.key(event));
    this.rows.addEventListener("click", (event) => this.click(event));
    new ResizeObserver(() => this.measure()).observe(this.scroller);
  }

  open(scene) {
    this.scene = scene;
    this.close();
    this.filter("all", "");
    this.scroller.scrollTop = 0;
    // What a finding is about may be far below what every run begins with.
    const telling = scene.rule ? this.seek(0, 1, (step) => Boolean(step.fault) || step.evidence) : -1;
    if (telling >= 0) this.scroller.scrollTop = this.plan.tops[telling] - this.scroller.clientHeight / 3;
  }

  filter(kind, query) {
    const words = query.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const matches = (step) => {
      if (!MATCHES[kind](step)) return false;
      if (!words.length) return true;
      const who = this.scene.participants;
      const text = `${step.label} ${step.answer} ${step.fault} ${step.change} ${who[step.source].name} ${who[step.target].name}`.toLowerCase();
      return words.every((word) => text.includes(word));
    };
    const kept = this.scene.steps.filter(matches);
    this.plan = layOut(kept);
    this.active = -1;
    this.measure();
    const faults = kept.filter((step) => step.fault).length;
    const all = this.scene.steps.length;
    const number = (count) => count.toLocaleString("en");
    const entries = kept.length === all ? `${number(all)} entries` : `${number(kept.length)} of ${number(all)} entries`;
    find("count").textContent = `${entries}, ${faults ? number(faults) : "none"} with a fault`;
    find("next").disabled = find("previous").disabled = !faults;
  }

  measure() {
    if (!this.scene) return;
    this.columns = new Columns(this.scene.participants, this.scroller.clientWidth);
    this.columns.heads(find("heads"));
    this.rows.style.height = `${this.plan.height}px`;
    this.rows.style.width = `${this.columns.width}px`;
    this.shown.clear();
    this.rows.replaceChildren();
    this.render();
  }

  later() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.render();
    });
  }

  render() {
    const { items, tops } = this.plan;
    const top = this.scroller.scrollTop;
    const first = Math.max(0, firstBelow(tops, top) - OVERSCAN);
    const last = Math.min(items.length - 1, firstBelow(tops, top + this.scroller.clientHeight) + OVERSCAN);
    for (const [index, row] of this.shown) {
      if (index < first || index > last) {
        row.remove();
        this.shown.delete(index);
      }
    }
    for (let index = first; index <= last; index += 1) {
      if (!this.shown.has(index)) this.shown.set(index, this.rows.appendChild(this.row(index)));
    }
    const visible = this.shown.has(this.active);
    if (visible) this.scroller.setAttribute("aria-activedescendant", `row-${this.active}`);
    else this.scroller.removeAttribute("aria-activedescendant");
  }

  row(index) {
    const { items, tops } = this.plan;
    const { step } = items[index];
    const row = element("div", { class: "row", id: `row-${index}` }, draw(this.columns, items[index]));
    row.style.transform = `translateY(${tops[index]}px)`;
    row.dataset.index = index;
    if (!step) {
      row.classList.add("gap");
      row.setAttribute("role", "presentation");
      return row;
    }
    row.classList.add(step.kind);
    row.classList.toggle("faulty", Boolean(step.fault));
    row.classList.toggle("active", index === this.active);
    const said = { role: "option", "aria-label": spoken(step, this.scene.participants), "aria-selected": index === this.active };
    said["aria-setsize"] = items.length;
    said["aria-posinset"] = index + 1;
    for (const name in said) row.setAttribute(name, said[name]);
    return row;
  }

  choose(index) {
    const before = this.active;
    this.active = index;
    for (const changed of [before, index]) {
      const row = this.shown.get(changed);
      if (!row) continue;
      row.classList.toggle("active", changed === index);
      row.setAttribute("aria-selected", changed === index);
    }
    if (index < 0) return;
    const head = find("heads").clientHeight;
    const { tops, items, height } = this.plan;
    const bottom = index + 1 < items.length ? tops[index + 1] : height;
    const room = this.scroller.clientHeight - head;
    if (tops[index] < this.scroller.scrollTop) this.scroller.scrollTop = tops[index] - 24;
    else if (bottom > this.scroller.scrollTop + room) this.scroller.scrollTop = bottom - room + 24;
    this.render();
    if (!this.details.hidden) this.show();
  }

  // The nearest row from a place on that passes a test.
  seek(from, way, test) {
    const { items } = this.plan;
    for (let index = from; index >= 0 && index < items.length; index += way) {
      if (items[index].step && test(items[index].step)) return index;
    }
    return -1;
  }

  move(way, test = () => true) {
    const found = this.seek(this.active < 0 && way < 0 ? this.plan.items.length - 1 : this.active + way, way, test);
    if (found >= 0) this.choose(found);
  }

  nextFault(way) {
    const faulty = (step) => Boolean(step.fault);
    const found = this.seek(this.active + way, way, faulty);
    const around = found >= 0 ? found : this.seek(way > 0 ? 0 : this.plan.items.length - 1, way, faulty);
    if (around < 0) return;
    this.choose(around);
    this.scroller.scrollTop = this.plan.tops[around] - this.scroller.clientHeight / 3;
  }

  page(way) {
    const target = Math.max(0, this.active) + way * Math.max(1, Math.floor(this.scroller.clientHeight / HEIGHT.call) - 1);
    const within = Math.min(this.plan.items.length - 1, Math.max(0, target));
    const found = this.seek(within, way, () => true);
    this.choose(found >= 0 ? found : this.seek(within, -way, () => true));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const actions = {
      ArrowDown: () => this.move(1),
      ArrowUp: () => this.move(-1),
      PageDown: () => this.page(1),
      PageUp: () => this.page(-1),
      Home: () => this.choose(this.seek(0, 1, () => true)),
      End: () => this.choose(this.seek(this.plan.items.length - 1, -1, () => true)),
      Enter: () => this.show(),
      " ": () => this.show(),
      Escape: () => this.close(),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  click(event) {
    const row = event.target.closest(".row");
    const index = row ? Number(row.dataset.index) : -1;
    if (index < 0 || !this.plan.items[index].step) return;
    this.choose(index);
    this.show();
  }

  show() {
    if (this.active < 0) return;
    const { step } = this.plan.items[this.active];
    const close = element("button", { type: "button", class: "close", "aria-label": "Close the details" }, "×");
    close.addEventListener("click", () => {
      this.close();
      this.scroller.focus();
    });
    this.details.replaceChildren(close, ...detailsOf(step, this.scene.journal[step.position], this.scene.participants));
    this.details.scrollTop = 0;
    this.details.hidden = false;
    find("board").classList.add("open");
  }

  close() {
    this.details.hidden = true;
    find("board").classList.remove("open");
  }
}

function showScene(scene, board) {
  find("rule").textContent = scene.rule ? `${scene.rule} broken` : scene.title;
  find("rule").classList.toggle("broken", Boolean(scene.rule));
  find("story").textContent = scene.story;
  find("faults").replaceChildren(...scene.faults.map((fault) => element("li", {}, fault)));
  find("remarks").textContent = scene.remarks.join("; ");
  find("replay").hidden = !scene.command;
  find("replay-command").textContent = scene.command;
  find("copy").textContent = "Copy";
  find("plan").textContent = scene.plan;
  find("plan-title").textContent = scene.rule ? "The smallest plan that breaks it" : "Plan";
  find("query").value = "";
  find("filter").value = "all";
  board.open(scene);
}

// What stands between backticks is code.
function withCode(text) {
  return text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}

function showCard(card) {
  const cell = (number) => element("td", { class: number ? "number" : "number zero" }, number ? String(number) : "·");
  find("card").replaceChildren(
    ...card.map((row) =>
      element(
        "tr", { class: row.status },
        element("td", { class: "status" }, VERDICTS[row.status]),
        element("td", { class: "mono" }, row.rule),
        element("td", {}, ...withCode(row.title), element("span", { class: "source" }, row.source)),
        ...["pass", "fail", "not_exercised", "inconclusive", "muted"].map((verdict) => cell(row[verdict])),
      ),
    ),
  );
  const counted = new Map();
  for (const row of card) counted.set(row.status, (counted.get(row.status) || 0) + 1);
  const said = [...counted].map(([status, count]) => `${count} ${VERDICTS[status].slice(2)}`);
  find("card-sum").textContent = `${card.length} rules: ${said.join(", ")}. The columns count runs.`;
}

function listScenes(scenes, board) {
  const buttons = scenes.map((scene) => {
    const made = element("button", { type: "button" }, element("b", {}, scene.title), element("span", {}, scene.story));
    made.addEventListener("click", () => choose(scene));
    return made;
  });
  const choose = (chosen) => {
    scenes.forEach((scene, index) => buttons[index].setAttribute("aria-current", scene === chosen));
    showScene(chosen, board);
  };
  find("scenes").replaceChildren(...buttons);
  find("scenes").hidden = scenes.length < 2;
  choose(scenes[0]);
}

function listen(board) {
  const root = document.documentElement;
  const refilter = () => board.filter(find("filter").value, find("query").value);
  find("filter").addEventListener("change", refilter);
  find("query").addEventListener("input", refilter);
  find("next").addEventListener("click", () => board.nextFault(1));
  find("previous").addEventListener("click", () => board.nextFault(-1));
  find("theme").addEventListener("click", () => {
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  });
  find("copy").addEventListener("click", async () => {
    const text = find("replay-command");
    try {
      await navigator.clipboard.writeText(text.textContent);
      find("copy").textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(text);
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select")) return;
    if (event.key === "f" || event.key === "F") board.nextFault(event.shiftKey ? -1 : 1);
    else if (event.key === "/") find("query").focus();
    else if (event.key === "Escape") board.close();
    else return;
    event.preventDefault();
  });
}

function start() {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => {
    root.dataset.theme = dark.matches ? "dark" : "light";
  };
  follow();
  dark.addEventListener("change", follow);
  const report = JSON.parse(find("data").textContent);
  find("data").remove();
  find("command").textContent = report.command;
  find("badge").textContent = `${SIGNS[report.word]} ${report.word}`;
  find("badge").classList.add(report.word);
  find("subject").textContent = report.subject;
  const findings = report.scenes.filter((scene) => scene.rule).length;
  const found = findings === 1 ? "1 finding" : `${findings || "no"} findings`;
  find("facts").textContent = `${found} · seed ${report.seed}`;
  find("sentences").replaceChildren(...report.sentences.map((sentence) => element("li", {}, sentence)));
  showCard(report.card);
  const board = new Board();
  listen(board);
  if (report.scenes.length) listScenes(report.scenes, board);
  root.dataset.ready = "true";
}

start();
