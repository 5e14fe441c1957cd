function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const name in attributes) made.setAttribute(name, attributes[name]);
  made.append(...children);
  return made;
}

function pretty(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

function headers(of) {
  return Object.entries(of || {}).map(([name, value]) => `${name}: ${value}`).join("\n");
}

// What was asked or answered: the first line, the headers, the body.
function message(title, line, part) {
  const text = [line, headers(part && part.headers)].filter(Boolean).join("\n");
  const shown = [element("h4", {}, title)];
  if (text) shown.push(element("pre", {}, text));
  if (part && part.body !== null && part.body !== undefined) shown.push(element("pre", {}, pretty(part.body)));
  return shown;
}

// All that the journal holds about a step.
function detailsOf(step, entry, participants) {
  const rows = [
    ["time", clock(step.at)],
    ["date", new Date(entry.at * 1000).toISOString()],
    ["from, to", step.kind === "note" ? "" : `${participants[step.source].name} → ${participants[step.target].name}`],
    ["key", step.key],
    ["occurrence", step.kind === "note" ? "" : String(step.occurrence)],
    ["fault", step.fault],
    ["effect", step.change || step.effect],
    [step.kind === "delivery" ? "answer" : "caller saw", step.answer],
    ["evidence", step.evidence ? "the violation names this entry" : ""],
  ];
  const list = element("dl", {});
  for (const [name, value] of rows) {
    if (value) list.append(element("dt", {}, name), element("dd", {}, value));
  }
  const shown = [element("h3", {}, step.name), list];
  const request = entry.request;
  if (request) {
    const query = request.query ? `?${request.query}` : "";
    shown.push(...message("Request", request.url ? `POST ${request.url}` : `${request.method} ${request.path}${query}`, request));
  }
  const answer = entry.answer;
  if (answer && typeof answer === "object" && (answer.status || answer.error)) {
    const title = step.kind === "call" && !step.answered ? "Answer, as it would have been" : "Answer";
    shown.push(...message(title, String(answer.status || answer.error), answer));
  }
  if (entry.fault) shown.push(element("h4", {}, "Fault"), element("pre", {}, pretty(entry.fault)));
  if (entry.changes && entry.changes.length) shown.push(element("h4", {}, "Changes"), element("pre", {}, pretty(entry.changes)));
  return shown;
}

// What a step is to somebody who does not see it.
function spoken(step, participants) {
  if (step.kind === "note") return `${clock(step.at)}: ${step.name}`;
  const words = [
    `${clock(step.at)}: ${step.kind === "delivery" ? "webhook" : "call"} ${step.label}`,
    `${participants[step.source].name} to ${participants[step.target].name}`,
    step.reached ? step.answer : "never arrived",
  ];
  if (step.fault) words.push(`fault ${step.fault}`);
  if (step.kind === "call") words.push(step.change || (step.effect === "applied" ? "effect applied" : "no effect"));
  if (step.evidence) words.push("evidence of the violation");
  return words.join(", ");
}
