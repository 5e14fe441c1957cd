"use strict";

// Only rows in view are in the document, so what a page costs does not depend on how long its journal is.
const HEIGHT = { call: 66, delivery: 66, note: 38, gap: 30 };
const OVERSCAN = 5;
const PAUSE = 1; // seconds without an entry that are worth a row
const GUTTER = 118;
const INDENT = 60;
const TAIL = 250;
const NARROWEST = 122;
const WIDEST = 210;
const REQUEST = 29;
const ANSWER = 53;
const LONGEST = 64;

const SVG = document.getElementById("heads").namespaceURI;

function svg(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const name in attributes) made.setAttribute(name, attributes[name]);
  if (text !== undefined) made.textContent = text;
  return made;
}

function short(text, longest = LONGEST) {
  return text.length > longest ? `${text.slice(0, longest - 1)}…` : text;
}

function span(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${Math.round(seconds * 10) / 10} s`;
  const whole = Math.round(seconds);
  const parts = [[Math.floor(whole / 86400), "d"], [Math.floor(whole / 3600) % 24, "h"], [Math.floor(whole / 60) % 60, "min"]];
  if (whole < 3600) parts.push([whole % 60, "s"]);
  return parts.filter(([number]) => number).map(([number, unit]) => `${number} ${unit}`).join(" ");
}

function clock(seconds) {
  const whole = Math.floor(seconds + 1e-6);
  const two = (number) => String(number).padStart(2, "0");
  const fraction = String(Math.floor((seconds - whole) * 1000 + 0.5) % 1000).padStart(3, "0");
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}.${fraction}`;
}

// The steps that are shown, with a row for each noticeable pause between them.
function layOut(steps) {
  const items = [];
  const tops = [];
  let top = 0;
  let before = null;
  for (const step of steps) {
    if (before !== null && step.at - before >= PAUSE) {
      items.push({ gap: step.at - before, down: step.down });
      tops.push(top);
      top += HEIGHT.gap;
    }
    items.push({ step });
    tops.push(top);
    top += HEIGHT[step.kind];
    before = step.at;
  }
  return { items, tops, height: top + 12 };
}

function firstBelow(tops, y) {
  let low = 0;
  let high = tops.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (tops[middle] <= y) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 1);
}

class Columns {
  constructor(participants, available) {
    const wanted = (available - GUTTER - INDENT - TAIL) / Math.max(1, participants.length - 1);
    this.step = Math.min(WIDEST, Math.max(NARROWEST, wanted));
    this.participants = participants;
    this.subject = participants.findIndex((who) => who.role === "subject");
    this.width = Math.max(available, Math.round(this.at(participants.length - 1) + TAIL));
  }

  at(column) {
    return Math.round(GUTTER + INDENT + column * this.step);
  }

  heads(canvas) {
    canvas.setAttribute("width", this.width);
    canvas.replaceChildren();
    this.participants.forEach((who, column) => {
      const x = this.at(column);
      const half = Math.min(this.step - 14, 150) / 2;
      canvas.append(svg("path", { class: `life ${who.role}`, d: `M${x} 46V60` }));
      canvas.append(svg("rect", { class: `head ${who.role}`, x: x - half, y: 10, width: 2 * half, height: 37, rx: 9 }));
      const named = who.role === "subject" && who.name !== "subject";
      canvas.append(svg("text", { class: `name ${who.role}`, x, y: named ? 27 : 33 }, short(who.name, Math.floor(half / 4.3))));
      if (named) canvas.append(svg("text", { class: "role subject", x, y: 40 }, "subject"));
    });
  }
}

// One row of the diagram.
class Drawing {
  constructor(columns, height) {
    this.columns = columns;
    this.height = height;
    this.canvas = svg("svg", { width: columns.width, height, "aria-hidden": "true" });
    this.left = columns.at(columns.subject) + 14;
  }

  add(tag, attributes, text) {
    this.canvas.append(svg(tag, attributes, text));
  }

  lives(down, turn = "") {
    this.columns.participants.forEach((who, column) => {
      const x = this.columns.at(column);
      if (who.role !== "subject") {
        this.add("path", { class: `life ${who.role}`, d: `M${x} 0V${this.height}` });
        return;
      }
      const half = this.height / 2;
      const after = turn === "stops" || (down && turn !== "starts");
      this.add("path", { class: `life subject${down ? " down" : ""}`, d: `M${x} 0V${half}` });
      this.add("path", { class: `life subject${after ? " down" : ""}`, d: `M${x} ${half}V${this.height}` });
    });
  }

  gutter(step) {
    this.add("text", { class: "time", x: GUTTER - 14, y: step.kind === "note" ? 23 : REQUEST + 4 }, clock(step.at));
    if (step.kind !== "note") this.add("text", { class: "seq", x: GUTTER - 14, y: REQUEST + 21 }, `seq ${step.seq}`);
    if (step.evidence) this.add("path", { class: "diamond", d: `M14 ${REQUEST - 7}l7 7-7 7-7-7z` });
  }

  note(step) {
    const x = this.columns.at(this.columns.subject);
    const y = this.height / 2;
    this.lives(step.down, step.turn);
    this.gutter(step);
    this.add("circle", { class: `mark ${step.turn}`, cx: x, cy: y, r: 9 });
    if (step.turn === "stops") this.add("path", { class: "cross", d: `M${x - 3.5} ${y - 3.5}l7 7m0-7l-7 7` });
    else if (step.turn === "starts") this.add("path", { class: "sign", d: `M${x - 3} ${y - 4.5}l8 4.5-8 4.5z` });
    else this.add("circle", { class: "sign", cx: x, cy: y, r: 2.5 });
    this.add("text", { class: `halo ${step.turn === "stops" ? "lost" : ""}`, x: x + 18, y: y + 4.5 }, short(step.name, 110));
  }

  pause(item) {
    this.lives(item.down);
    this.add("text", { class: "pause halo", x: this.left, y: this.height / 2 + 4 }, `${span(item.gap)} pass`);
  }

  // A line between two lifelines; one that passes the subject's by hops over it.
  wire(kind, from, to, y) {
    const hop = this.columns.at(this.columns.subject);
    const passes = (from - hop) * (to - hop) < 0;
    const way = from < to ? 1 : -1;
    const over = passes ? `H${hop - 6 * way}a6 6 0 0 ${way > 0 ? 1 : 0} ${12 * way} 0` : "";
    this.add("path", { class: `wire ${kind}`, d: `M${from} ${y}${over}H${to}` });
  }

  tip(kind, x, y, way) {
    const back = -8 * way;
    const close = kind.startsWith("open") ? "" : "z";
    this.add("path", { class: `tip ${kind}`, d: `M${x + back} ${y - 4.5}L${x} ${y}L${x + back} ${y + 4.5}${close}` });
  }

  cross(x, y) {
    this.add("path", { class: "cross", d: `M${x - 5} ${y - 5}l10 10m0-10l-10 10` });
  }

  label(step, operation) {
    const text = svg("text", { class: "halo", x: this.left, y: REQUEST - 8 });
    text.append(svg("tspan", { class: operation }, short(step.name)));
    if (step.key) text.append(svg("tspan", { class: "key", dx: 7 }, short(step.key, 40)));
    if (step.occurrence > 1) text.append(svg("tspan", { class: "key", dx: 7 }, `#${step.occurrence}`));
    this.canvas.append(text);
  }

  pill(step, x, y) {
    const words = short(step.fault, 30);
    this.add("rect", { class: "pill", x, y: y - 10, width: 33 + words.length * 7.3, height: 20, rx: 10 });
    this.add("path", { class: "bolt", d: `M${x + 15} ${y - 7}l-6.5 7.5h4.2l-1.5 6 7-8.5h-4.3z` });
    this.add("text", { class: "pill-text", x: x + 22, y: y + 4 }, words);
  }

  call(step) {
    const { columns } = this;
    const from = columns.at(step.source);
    const to = columns.at(step.target);
    const way = from < to ? 1 : -1;
    const edge = to - 5 * way;
    const who = columns.participants[step.source].role === "scenario" ? "scenario" : "";
    this.lives(step.down);
    this.gutter(step);
    this.wire(who, from, edge, REQUEST);
    this.tip(who, edge, REQUEST, way);
    if (step.answered) {
      this.wire("answer", edge, from, ANSWER);
      this.tip("open", from, ANSWER, -way);
    } else {
      const end = edge - Math.min(84, (Math.abs(edge - from) * 2) / 5) * way;
      this.wire("answer broken", edge, end, ANSWER);
      this.cross(end, ANSWER);
    }
    this.add("rect", { class: `bar ${step.effect}`, x: to - 5, y: REQUEST - 3, width: 10, height: ANSWER - REQUEST + 6, rx: 2.5 });
    this.label(step, "operation");
    this.add("text", { class: `halo ${step.answered ? "sub" : "sub lost"}`, x: this.left, y: ANSWER - 6 }, short(step.answer));
    const beside = to + 14;
    if (step.fault) this.pill(step, beside, REQUEST - 2);
    const said = step.change ? `✓ ${step.change}` : step.effect === "applied" ? "✓ applied" : step.fault ? "no effect" : "";
    const place = step.fault ? ANSWER + 2 : (REQUEST + ANSWER) / 2 + 4;
    if (said) this.add("text", { class: `halo sub ${step.effect === "applied" ? "change" : ""}`, x: beside, y: place }, short(said, 40));
  }

  delivery(step) {
    const { columns } = this;
    const from = columns.at(step.source);
    const to = columns.at(step.target);
    const y = REQUEST + 6;
    this.lives(step.down);
    this.gutter(step);
    if (step.reached) {
      this.wire("webhook", from, to + 2, y);
      this.tip("open webhook", to + 1, y, -1);
    } else {
      const end = to + (from - to) * 0.55;
      this.wire("webhook", from, end, y);
      this.cross(end, y);
    }
    this.add("circle", { class: "sign", cx: from, cy: y, r: 4 });
    this.label(step, "operation");
    const answer = step.reached ? step.answer : `never arrived: ${step.answer}`;
    this.add("text", { class: `halo ${step.answered ? "sub" : "sub lost"}`, x: this.left, y: y + 19 }, short(answer));
    if (step.fault) this.pill(step, from + 14, y);
  }
}

function draw(columns, item) {
  if (!item.step) {
    const drawing = new Drawing(columns, HEIGHT.gap);
    drawing.pause(item);
    return drawing.canvas;
  }
  const drawing = new Drawing(columns, HEIGHT[item.step.kind]);
  drawing[item.step.kind](item.step);
  return drawing.canvas;
}
