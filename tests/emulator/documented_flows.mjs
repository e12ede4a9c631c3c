// The flows that White Rabbit documents, written from its documentation with nothing but fetch and node:crypto.
//
// Usage: node documented_flows.mjs URL API_KEY API_SECRET signed|unsigned|unsigned-streams
// Prints the name of each flow that has succeeded; an error ends the script with status 1.

import assert from "node:assert/strict";
import crypto from "node:crypto";
import http from "node:http";
import { once } from "node:events";

const [base, apiKey, apiSecret, mode] = process.argv.slice(2);
const privateKey = crypto.createPrivateKey({ key: Buffer.from(apiSecret, "base64"), format: "der", type: "pkcs8" });
const JSON_TYPE = { "Content-Type": "application/json" };

function sign(method, path, body = {}) {
  const timestamp = Math.floor(Date.now() / 1000).toString();
  const message = [method, path, timestamp, JSON.stringify(body)].filter(Boolean).join("|");
  const signature = crypto.sign(null, Buffer.from(message), privateKey).toString("base64");
  return { "X-Api-Key": apiKey, "X-Sdk-Timestamp": timestamp, "X-Sdk-Signature": signature };
}

function authentication(method, path, body) {
  const isUnsigned = mode === "unsigned" || (mode === "unsigned-streams" && path.endsWith("/stream"));
  return isUnsigned ? { "X-Api-Key": apiKey } : sign(method, path, body);
}

async function call(method, path, body, headers = authentication(method, path, body)) {
  const type = body === undefined ? {} : JSON_TYPE;
  const response = await fetch(base + path, {
    method,
    headers: { ...headers, ...type },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return { status: response.status, data: JSON.parse(await response.text()) };
}

async function ok(method, path, body) {
  const { status, data } = await call(method, path, body);
  assert.equal(status, 200, `${method} ${path}: ${status} ${JSON.stringify(data)}`);
  return data;
}

const submit = (module, fields = {}) => ok("POST", "/v1/sdk/components", { module, input: {}, config: {}, ...fields });
const executionPath = (id) => `/v1/sdk/components/executions/${id}`;
const runPath = (id) => `/v1/sdk/workflows/executions/${id}`;

async function untilEnded(path) {
  for (;;) {
    const record = await ok("GET", path);
    if (["COMPLETED", "FAILED", "CANCELED"].includes(record.status)) return record;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// The documentation's way to read a stream: split the text at line ends, and skip what is no event, such as ":ping".
async function eventsOf(path) {
  const response = await fetch(base + path, { headers: authentication("GET", path) });
  assert.equal(response.status, 200);
  assert.match(response.headers.get("content-type"), /^text\/event-stream/);
  const events = [];
  let buffer = "";
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = (buffer + chunk).split("\n");
    buffer = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data: ") || line === "data: :ping") continue;
      events.push(JSON.parse(line.slice("data: ".length)));
    }
  }
  return events;
}

// Receives one callback, and returns its headers and the bytes of its body.
async function receiver() {
  const server = http.createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const next = async () => {
    const [request, response] = await once(server, "request");
    const parts = [];
    for await (const part of request) parts.push(part);
    response.writeHead(204).end();
    return { headers: request.headers, body: Buffer.concat(parts) };
  };
  return { url: `http://127.0.0.1:${server.address().port}/hook`, next, close: () => server.close() };
}

function isSigned({ headers, body }, secret) {
  const mac = crypto.createHmac("sha256", secret).update(`${headers["x-signature-timestamp"]}.`).update(body);
  const expected = Buffer.from(`sha256=${mac.digest("hex")}`);
  const actual = Buffer.from(headers["x-signature"]);
  return actual.length === expected.length && crypto.timingSafeEqual(actual, expected);
}

const flows = {
  async "submit and poll"() {
    const created = await submit("RANDOM_UUID");
    assert.deepEqual([created.module, created.status, created.completed], ["RANDOM_UUID", "CREATED", false]);
    assert.deepEqual([created.output, created.error, created.totalUsage], [null, null, 0]);
    assert.ok(!Number.isNaN(Date.parse(created.createdAt)));
    const ended = await untilEnded(executionPath(created.id));
    assert.equal(ended.status, "COMPLETED");
    assert.match(ended.output.uuid, /^[0-9a-f-]{36}$/);
  },
  async "wait inline"() {
    const ended = await submit("SLOW", { input: { wei: "1", é: [1.5, null] }, attempts: 2, waitForMs: 15000 });
    assert.deepEqual([ended.status, ended.completed, ended.output], ["COMPLETED", true, { done: true }]);
    assert.equal((await submit("RANDOM_UUID", { waitForMs: 0 })).status, "CREATED");
  },
  async "stream an execution"() {
    const { id } = await submit("SLOW");
    const events = await eventsOf(`${executionPath(id)}/stream`);
    assert.deepEqual([events.at(-1).id, events.at(-1).status, events.at(-1).error], [id, "COMPLETED", null]);
    assert.deepEqual(events.at(-1).output, { done: true });
    assert.ok(events.every((event) => !Number.isNaN(Date.parse(event.timestamp))));
  },
  async "a failed execution"() {
    const failed = await untilEnded(executionPath((await submit("BROKEN")).id));
    assert.deepEqual([failed.status, failed.completed, failed.output], ["FAILED", true, null]);
    assert.deepEqual(failed.error, { message: "no funds" });
  },
  async "callback and replay"() {
    const hook = await receiver();
    try {
      const first = hook.next();
      const callback = { callbackUrl: hook.url, callbackSecret: "s3cret", callbackHeaders: { "X-Team": "a" } };
      const created = await submit("RANDOM_UUID", callback);
      assert.deepEqual([created.callback.url, created.callback.signed], [hook.url, true]);
      assert.equal(created.callback.signatureAlgorithm, "hmac-sha256-v1");
      assert.deepEqual(created.callback.headerNames, ["X-Team"]);
      const delivery = await first;
      assert.ok(isSigned(delivery, "s3cret"));
      assert.ok(!isSigned(delivery, "another"));
      assert.equal(delivery.headers["x-delivery-id"], `${created.id}:1`);
      assert.equal(delivery.headers["x-event"], "component.execution.terminal");
      assert.equal(delivery.headers["x-signature-version"], "v1");
      assert.equal(delivery.headers["x-team"], "a");
      assert.equal(JSON.parse(delivery.body).status, "COMPLETED");
      for (const [number, body] of [[2, {}], [3, undefined]]) {
        const again = hook.next();
        await ok("POST", `${executionPath(created.id)}/replay-callback`, body);
        assert.equal((await again).headers["x-delivery-id"], `${created.id}:${number}`);
      }
    } finally {
      hook.close();
    }
  },
  async "run a workflow"() {
    for (const body of [undefined, {}]) {
      const { runId, jobId } = await ok("POST", "/v1/sdk/workflows/flow", body);
      assert.match(jobId, /^bull-\d+$/);
      const run = await untilEnded(runPath(runId));
      assert.deepEqual([run.id, run.status, run.pendingStageCount, run.failedStageCount], [runId, "COMPLETED", 0, 0]);
      assert.deepEqual(run.runStages.map((stage) => stage.module), ["RANDOM_UUID", "SLOW"]);
      assert.ok(run.runStages.every((stage) => stage.status === "COMPLETED" && stage.executionAttempt === 1));
      assert.equal(run.totalUsage, run.runStages.reduce((sum, stage) => sum + stage.creditUsage, 0));
    }
  },
  async "stream a workflow run"() {
    const { runId } = await ok("POST", "/v1/sdk/workflows/flow", {});
    const events = await eventsOf(`${runPath(runId)}/stream`);
    assert.equal(events.at(-1).status, "COMPLETED");
    assert.deepEqual(events.at(-1).output.nonTerminalStages, []);
    assert.equal(events.at(-1).output.pendingStageCount, 0);
  },
  async "update a component"() {
    const path = "/v1/sdk/workflows/flow/components/c-1";
    await ok("POST", path, { config: { apiUrl: "https://example.org" }, name: "Call" });
    const updated = await ok("POST", path, { config: { method: "GET" }, position: [1, 2.5] });
    assert.deepEqual(updated.config, { apiUrl: "https://example.org", method: "GET" });
    assert.deepEqual([updated.name, updated.position], ["Call", [1, 2.5]]);
  },
  async "read the catalogue"() {
    const response = await fetch(`${base}/v1/system/components`); // needs no key
    const definitions = Object.fromEntries((await response.json()).map((each) => [each.module, each]));
    const { inputs, outputs, configs, executionModes } = definitions.BROADCAST_BITCOIN_TRANSACTION;
    assert.deepEqual(inputs.parameters.map((field) => field.name), ["signedTransaction"]);
    assert.deepEqual(outputs.response.map((field) => field.name), ["txid"]);
    assert.deepEqual(configs.required, ["network"]);
    assert.ok(executionModes.includes("COMPONENT"));
  },
  async "errors"() {
    const unknown = await call("GET", executionPath(crypto.randomUUID()));
    assert.equal(unknown.status, 404);
    assert.equal(typeof (unknown.data.errors?.[0].message ?? unknown.data.message), "string");
    assert.equal((await call("POST", "/v1/sdk/components", { input: {}, config: {} })).status, 422);
    assert.equal((await call("POST", "/v1/sdk/workflows/forbidden")).status, 403);
    const path = "/v1/sdk/components";
    const wrongKey = { ...sign("GET", path), "X-Api-Key": "ws_wrong" };
    assert.equal((await call("GET", executionPath("x"), undefined, wrongKey)).status, 401);
    const otherBody = sign("POST", path, { module: "OTHER" });
    assert.equal((await call("POST", path, { module: "RANDOM_UUID", input: {}, config: {} }, otherBody)).status, 401);
  },
  async "only JSON is parsed"() {
    const path = "/v1/sdk/components";
    const body = { module: "RANDOM_UUID", input: {}, config: {} };
    // Without a Content-Type of its own, fetch sends text as text/plain.
    const response = await fetch(base + path, {
      method: "POST",
      headers: authentication("POST", path, body),
      body: JSON.stringify(body),
    });
    assert.equal(response.status, 401);
  },
  async "signatures are needed"() {
    const { id } = await submit("RANDOM_UUID");
    const onlyKey = { "X-Api-Key": apiKey };
    const record = await fetch(base + executionPath(id), { headers: onlyKey });
    assert.equal(record.status, mode === "unsigned" ? 200 : 401);
    const stream = await fetch(`${base}${executionPath(id)}/stream`, { headers: onlyKey });
    assert.equal(stream.status, mode === "signed" ? 401 : 200);
    await Promise.all([record.text(), stream.text()]);
  },
};

for (const [name, flow] of Object.entries(flows)) {
  await flow();
  console.log(name);
}
