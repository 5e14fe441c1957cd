'use strict';
// How the four systems are called: credentials, time limit, what an answer means.

const crypto = require('node:crypto');

const { env } = process;
const TIMEOUT = Number(env.TIMEOUT_MS ?? 300);
const BACKOFF_BASE = Number(env.BACKOFF_BASE ?? 0.05) * 1000;

const sha256 = (text) => crypto.createHash('sha256').update(text).digest('hex');
const tryAgain = (message, more) => Object.assign(new Error(message), more);
const refused = (message, status) => Object.assign(new Error(message), { final: true, status });

function pick(source, names, optional = []) {
  const missing = names.filter((name) => source?.[name] === undefined);
  if (missing.length) throw tryAgain(`an answer lacks ${missing.join(', ')}`);
  return Object.fromEntries([...optional, ...names].map((name) => [name, source[name]]));
}

const fixed = (name, value) => async () => ({ [name]: value });
const client = `${encodeURIComponent(env.CRM_CLIENT_ID)}:${encodeURIComponent(env.CRM_CLIENT_SECRET)}`;
const systems = {
  shop: { url: env.SHOP_URL, credential: fixed('X-Shop-Api-Key', env.SHOP_API_KEY) },
  token: { url: env.CRM_URL, credential: fixed('Authorization', `Basic ${btoa(client)}`) },
  crm: { url: env.CRM_URL, credential: bearer, renewable: true },
  accounting: { url: env.ACCOUNTING_URL, credential: fixed('Authorization', `Bearer ${env.ACCOUNTING_TOKEN}`) },
  shipping: { url: env.SHIPPING_URL, credential: fixed('X-Carrier-Key', env.SHIPPING_API_KEY) },
};

let token = { expires: 0 };

async function fetchToken() {
  const form = new URLSearchParams({ grant_type: 'client_credentials' });
  const { body } = await call('token', 'POST', '/oauth/token', { form });
  const { access_token: value, expires_in: lifetime } = pick(body, ['access_token', 'expires_in']);
  token = { Authorization: `Bearer ${value}`, expires: Date.now() + Math.max(lifetime / 2, lifetime - 10) * 1000 };
}

async function bearer(refusal) {
  if (token.expires < Date.now() || refusal === token.Authorization) {
    await (token.refresh ??= fetchToken().finally(() => delete token.refresh)); // many orders share one refresh
  }
  return { Authorization: token.Authorization };
}

async function call(name, method, path, { body, form, key, order, expect } = {}) {
  const system = systems[name];
  const source = `${name} ${method} ${path.split('?')[0]}`;
  const send = async (credential) => {
    const notBefore = system.notBefore ?? 0;
    if (Date.now() < notBefore) throw tryAgain(`${name} asked to wait`, { notBefore, unsent: true });
    const span = crypto.randomBytes(8).toString('hex');
    const headers = { ...credential, traceparent: `00-${sha256(order ?? span).slice(0, 32)}-${span}-01` };
    if (key) headers['Idempotency-Key'] = key;
    if (body) headers['Content-Type'] = 'application/json';
    const payload = form ?? (body && JSON.stringify(body));
    const signal = AbortSignal.timeout(TIMEOUT); // until the last byte
    try {
      const response = await fetch(system.url + path, { method, headers, body: payload, redirect: 'manual', signal });
      return { status: response.status, headers: response.headers, text: await response.text() };
    } catch (error) {
      throw tryAgain(`${source}: ${error.cause?.code ?? error.name}`);
    }
  };
  const credential = await system.credential();
  let answer = await send(credential);
  if (answer.status === 401 && system.renewable) answer = await send(await system.credential(credential.Authorization));
  return judge(system, source, answer, expect);
}

function judge(system, source, { status, headers, text }, expect) {
  let body = {};
  try {
    if (text) body = JSON.parse(text);
  } catch {
    if (status < 300) throw tryAgain(`${source}: ${status} with a body that is not JSON`);
  }
  if (status >= 200 && status < 300) return { body, link: headers.get('link') };
  const reason = [`${source}: ${status}`, body.title, ...(body.errors ?? []).map(({ pointer }) => pointer)].join(' ');
  const asked = headers.get('retry-after') ?? '';
  const moment = /^\d+$/.test(asked) ? Date.now() + asked * 1000 : Date.parse(asked);
  const notBefore = env.MISTAKE === 'ignores-retry-after' ? 0 : moment || 0;
  if ([408, 425, 429].includes(status) || status >= 500) {
    system.notBefore = Math.max(system.notBefore ?? 0, notBefore);
    throw tryAgain(reason, { notBefore });
  }
  const problem = String(body.type).split('/').pop();
  if (expect && [problem, status].includes(expect)) return { body, problem };
  // An unexplained 409 means that the first request is still at work.
  if (status === 409 || status < 400) throw tryAgain(reason, { notBefore: notBefore || Date.now() + BACKOFF_BASE });
  throw refused(reason, status);
}

module.exports = { BACKOFF_BASE, call, pick, refused, sha256, tryAgain };
