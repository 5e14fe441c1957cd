'use strict';
// Carries each paid order of the shop through CRM, accounting and shipping. Node 20, no packages.
// State is an append-only file of JSON lines; after a restart it says what is still to be done.
// MISTAKE=<name> switches one common mistake on, for those who want to see it caught.

const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const { BACKOFF_BASE, call, pick, refused, sha256, tryAgain } = require('./systems');

const { env } = process;
const MISTAKE = env.MISTAKE ?? '';
const mistakes = ['', 'new-key-on-retry', 'no-deduplication', 'acknowledges-before-storing', 'ignores-retry-after'];
if (!mistakes.includes(MISTAKE)) throw new Error(`MISTAKE is none of${mistakes.join(' ')}`);
const RECONCILE = Number(env.RECONCILE_MS ?? 2000);
const BACKOFF_CAP = Number(env.BACKOFF_CAP ?? 2) * 1000;
const LONG_CAP = 30_000; // where nobody waits for the outcome
const MAX_ATTEMPTS = Number(env.MAX_ATTEMPTS ?? 8);
const TOLERANCE = 300; // seconds that a webhook's timestamp may be off
const MAX_BODY = 1 << 20;
const WEBHOOK_KEY = Buffer.from(env.WEBHOOK_SECRET.replace(/^whsec_/, ''), 'base64');

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, Math.min(ms, 2 ** 31 - 1)));
const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

// Full jitter, but never before the time that a system named.
function pause(failures, { notBefore = 0 } = {}, cap = BACKOFF_CAP) {
  const jitter = Math.random() * Math.min(cap, BACKOFF_BASE * 2 ** Math.min(failures - 1, 30));
  return Math.max(jitter, notBefore - Date.now() + 1 + Math.random() * BACKOFF_BASE);
}

// --- State ------------------------------------------------------------------------------------------------------
const [FILE, POLLED] = ['integrator.jsonl', 'polled-until'];
const seen = new Set(); // webhook-ids
const orders = new Map(); // by number; a status is open, parking (still to be shown in the shop), parked or settled

function apply({ webhook, order: number, changed = '', status, step, state, afresh, ...more }) {
  if (webhook) seen.add(webhook);
  if (!number) return;
  if (!orders.has(number)) orders.set(number, { changed: '', steps: {}, failures: 0, news: 0 });
  const order = orders.get(number);
  if (changed > order.changed) order.changed = changed;
  if (afresh) order.steps = {};
  if (step) order.steps[step] = state;
  if (status) Object.assign(order, { status, ...more });
  if (status === 'open') Object.assign(order, { failures: 0, news: order.news + 1 });
}

const known = fs.existsSync(FILE) ? fs.readFileSync(FILE, 'utf8') : '';
const complete = known.slice(0, known.lastIndexOf('\n') + 1);
if (complete !== known) fs.truncateSync(FILE, Buffer.byteLength(complete)); // a kill has cut the last line short
for (const line of complete.split('\n').slice(0, -1)) apply(JSON.parse(line));
const file = fs.openSync(FILE, 'a');

function store(entry) {
  fs.writeSync(file, `${JSON.stringify(entry)}\n`);
  apply(entry);
}

// A step has its effect once: until its outcome is known, the same body is sent with the same key.
async function once(number, name, body, send) {
  const order = orders.get(number);
  const save = (state) => store({ order: number, step: name, state });
  const before = order.steps[name];
  if (!before || (before.refused && !same(before.body, body))) {
    const revision = (before?.revision ?? 0) + 1;
    const key = MISTAKE === 'no-deduplication' ? crypto.randomUUID() : `${name}-${number}-${revision}`;
    save({ body, key, revision });
  }
  const step = order.steps[name];
  if (step.refused) throw refused(step.refused);
  if (step.result) return step.result;
  try {
    const result = await send(step.body, MISTAKE === 'new-key-on-retry' ? crypto.randomUUID() : step.key);
    save({ ...step, result });
    order.failures = 0;
    return result;
  } catch (error) {
    if (error.final && error.status !== 401) save({ ...step, refused: error.message });
    throw error;
  }
}

// --- An order's way ---------------------------------------------------------------------------------------------
function without(lines, others) {
  const left = [...others];
  return lines.filter((line) => {
    const at = left.findIndex((other) => same(line, other));
    return at < 0 || !left.splice(at, 1);
  });
}

function parseOrder(document) {
  const address = (source) => pick(source, ['street', 'postal_code', 'city', 'country'], ['additional_line']);
  const { billing_address: billing, delivery_address: delivery, ...order } = document;
  const { items, fulfilment, updated_at: updated } = pick(order, ['items', 'fulfilment', 'updated_at']);
  const lines = items.filter(({ status }) => status !== 'cancelled');
  const needed = {
    ...pick(order, ['status', 'paid', 'currency']),
    lines: lines.map((item) => pick(item, ['description', 'quantity', 'net_amount', 'tax_rate'])),
    buyer: pick(order.buyer, ['name', 'email']),
    customer: { ...pick(billing, ['name']), billing_address: address(billing) },
    recipient: { ...pick(delivery, ['name']), address: address(delivery) },
  };
  return { ...needed, fulfilment, updated, fingerprint: sha256(JSON.stringify(needed)) };
}

const path = (number) => `/orders/${encodeURIComponent(number)}`;
const putFulfilment = (number, body) => call('shop', 'PUT', `${path(number)}/fulfilment`, { body, order: number });

async function carry(number, state) {
  const { body, problem } = await call('shop', 'GET', path(number), { order: number, expect: 404 });
  if (problem) throw tryAgain('shop: an order that was announced is not there');
  const order = parseOrder(body);
  if (order.updated < state.changed) throw tryAgain('shop: the order is older than its announcement');
  state.latest = order.fingerprint;
  if (order.status === 'cancelled') await takeBack(number, state.steps);
  else if (order.paid) await fulfil(number, state.steps, order);
  return order.fingerprint;
}

const creating = (system, path, names, order) => async (body, key) => {
  const sent = MISTAKE === 'no-deduplication' && system === 'shipping' ? null : key;
  return pick((await call(system, 'POST', path, { body, key: sent, order })).body, names);
};
const book = (number) => creating('accounting', '/invoices', ['id'], number);
const ship = (number) => creating('shipping', '/shipments', ['shipment_id', 'carrier', 'tracking_number'], number);

async function findOrCreate(buyer, key, order) {
  const search = () => call('crm', 'POST', '/customers/search', { body: { email: buyer.email }, order });
  const find = async () => pick((await search()).body, ['customers']).customers[0];
  let customer = await find();
  if (!customer) {
    const answer = await call('crm', 'POST', '/customers', { body: buyer, key, order, expect: 'duplicate-email' });
    customer = answer.problem && !answer.body.customer_id ? await find() : answer.body;
  }
  return pick(customer, ['customer_id']);
}

async function credit(number, steps, wanted, reason) {
  let billed = steps.invoice.body.lines;
  for (let n = 1; without(billed, wanted).length || steps[`credit-note-${n}`]; n += 1) {
    const { id } = steps.invoice.result;
    const note = { invoice_id: id, order_number: number, reason, lines: without(billed, wanted) };
    await once(number, `credit-note-${n}`, note, creating('accounting', '/credit-notes', ['id'], number));
    billed = without(billed, steps[`credit-note-${n}`].body.lines);
  }
  if (without(wanted, billed).length) throw refused('the invoice lacks lines of the order');
}

async function fulfil(number, steps, { buyer, currency, customer, lines, recipient, fulfilment }) {
  const { customer_id: id } = await once(number, 'customer', buyer, (body, key) => findOrCreate(body, key, number));
  const activity = { type: 'order_placed', order_number: number };
  await once(number, 'activity', activity, creating('crm', `/customers/${id}/activities`, ['activity_id'], number));

  const cents = lines.reduce((sum, line) => sum + Math.round(line.net_amount * 100), 0);
  const invoice = { order_number: number, currency, customer, lines, amount_net: cents / 100 };
  await once(number, 'invoice', invoice, book(number));
  await credit(number, steps, lines, 'Line item cancelled');

  const shipment = await once(number, 'shipment', { reference: number, recipient }, ship(number));
  if (!same((steps.address ?? steps.shipment).body.recipient, recipient)) {
    store({ order: number, step: 'address', state: { body: { recipient } } });
  }
  if (steps.address) {
    const options = { body: { name: recipient.name, ...recipient.address }, order: number };
    const move = () => call('shipping', 'PUT', `/shipments/${shipment.shipment_id}/address`, options);
    await once(number, 'address', { recipient }, async () => Boolean(await move()));
  }
  const report = { status: 'in_progress', ...pick(shipment, ['carrier', 'tracking_number']) };
  const told = Object.keys(report).every((name) => fulfilment[name] === report[name]);
  if (!told && !['shipped', 'delivered'].includes(fulfilment.status)) await putFulfilment(number, report);
}

async function takeBack(number, steps) {
  // What was begun is brought to its end first, so that there is an id to take back.
  const begun = (step) => step && !step.refused;
  if (begun(steps.shipment)) {
    const { shipment_id: id } = await once(number, 'shipment', steps.shipment.body, ship(number));
    const cancel = () => call('shipping', 'POST', `/shipments/${id}/cancel`, { order: number });
    await once(number, 'cancelled', {}, async () => Boolean(await cancel()));
  }
  if (begun(steps.invoice)) {
    const { id } = await once(number, 'invoice', steps.invoice.body, book(number));
    const cancel = () => call('accounting', 'POST', `/invoices/${id}/void`, { order: number, expect: 'invoice-paid' });
    const { problem } = await once(number, 'void', {}, async () => ({ problem: (await cancel()).problem }));
    if (problem) await credit(number, steps, [], 'Order cancelled');
  }
}

// --- Work -------------------------------------------------------------------------------------------------------
async function drive(number) {
  const state = orders.get(number);
  if (state.driven) return;
  state.driven = true;
  while (['open', 'parking'].includes(state.status)) {
    const parking = state.status === 'parking';
    const record = (status, more) => store({ order: number, status, ...more });
    try {
      if (parking) {
        await putFulfilment(number, { status: 'on_hold', reason: state.reason });
        record(state.news === state.handled ? 'parked' : 'open');
      } else {
        state.handled = state.news; // what is heard from now on asks for another round
        const fingerprint = await carry(number, state);
        if (state.news === state.handled) record('settled', { fingerprint });
      }
    } catch (error) {
      console.error(number, error.message);
      if (!error.unsent) state.failures += 1;
      if (parking && error.final) record('parked'); // the shop will not show it; the log has the reason
      else if (parking || !(error.final || state.failures >= MAX_ATTEMPTS)) {
        await sleep(pause(state.failures, error, parking ? LONG_CAP : BACKOFF_CAP));
      } else {
        const reason = error.message.replace(/[^\x20-\x7e]/g, ' ').slice(0, 500);
        record('parking', { reason, fingerprint: state.latest, handled: state.handled });
      }
    }
  }
  state.driven = false;
}

// --- News from the shop -----------------------------------------------------------------------------------------
function verified(headers, raw) {
  const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures } = headers;
  if (!id || !signatures || !(Math.abs(Date.now() / 1000 - Number(timestamp)) <= TOLERANCE)) return false;
  const mac = crypto.createHmac('sha256', WEBHOOK_KEY).update(`${id}.${timestamp}.`).update(raw).digest('base64');
  const expected = Buffer.from(`v1,${mac}`);
  const fits = (given) => given.length === expected.length && crypto.timingSafeEqual(given, expected);
  return signatures.split(' ').some((signature) => fits(Buffer.from(signature)));
}

function receive(webhook, { type, data }) {
  const forgetful = MISTAKE === 'no-deduplication';
  if (forgetful ? type === 'order.placed' : seen.has(webhook)) return; // the forgetful one begins with each payment
  const afresh = forgetful && type === 'order.paid';
  const { order_number: order, updated_at: changed } = data ?? {};
  store(order ? { webhook, order, changed, status: 'open', afresh } : { webhook });
  if (order) drive(order);
}

async function webhook(request) {
  if (Number(request.headers['content-length'] ?? Infinity) > MAX_BODY) return 413;
  const raw = Buffer.concat(await request.toArray());
  if (!verified(request.headers, raw)) return 401;
  const [id, event] = [request.headers['webhook-id'], JSON.parse(raw)];
  if (MISTAKE === 'acknowledges-before-storing') setTimeout(receive, 250, id, event);
  else receive(id, event);
  return 204;
}

function notice(document) {
  const { order_number: order, updated_at: changed } = document;
  const before = orders.get(order);
  try {
    if (['open', 'parking'].includes(before?.status)) return;
    if (before?.fingerprint === parseOrder(document).fingerprint) return;
  } catch {
    // One order that cannot be read must not hide the others; who looks at it will park it.
  }
  store({ order, changed, status: 'open' });
  drive(order);
}

async function poll() {
  const began = Date.now();
  const last = fs.existsSync(POLLED) && Date.parse(fs.readFileSync(POLLED, 'utf8'));
  // Two periods early, so that neither a stale list nor a clock that is a little off loses an order.
  const query = last ? { updated_since: new Date(last - 2 * RECONCILE).toISOString(), limit: 100 } : { limit: 100 };
  do {
    const { body, link } = await call('shop', 'GET', `/orders?${new URLSearchParams(query)}`);
    pick(body, ['orders']).orders.forEach(notice);
    query.cursor = /[?&]cursor=([^&>]+)[^>]*>; *rel="?next/.exec(link)?.[1];
  } while (query.cursor);
  fs.writeFileSync(POLLED, new Date(began).toISOString());
}

async function reconcile(failures = 0) {
  let wait = RECONCILE;
  await poll().catch((error) => {
    console.error('poll', error.message);
    wait = error.final ? LONG_CAP : pause(failures + 1, error, LONG_CAP);
  });
  setTimeout(reconcile, wait, wait === RECONCILE ? 0 : failures + 1);
}

const server = http.createServer(async (request, response) => {
  let status = request.url === '/health' ? 200 : 404;
  if (request.method === 'POST' && request.url === '/webhooks') status = await webhook(request).catch(() => 500);
  response.writeHead(status).end();
});

server.listen(Number(env.PORT), '127.0.0.1', () => {
  for (const number of orders.keys()) drive(number);
  if (!['no-deduplication', 'acknowledges-before-storing'].includes(MISTAKE)) reconcile();
});
