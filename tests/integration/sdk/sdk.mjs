// The OpenAI SDK as a client of polderd: node sdk.mjs BASE_URL. Exits 1 on the first surprise.
import assert from "node:assert/strict";
import OpenAI, { APIError, BadRequestError, NotFoundError } from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "Once upon a time" }];
const model = (await client.models.list()).data[0].id;
const on = { ignore_eos: true };  // not OpenAI's: texts as long as asked for, whatever the model
const facts = [];
const fact = (name, run) => facts.push([name, run]);

fact("lists the model", async () => {
  const list = await client.models.list();
  assert.equal(list.data[0].id, model);
  assert.equal((await client.models.retrieve(model)).id, model);
});

fact("answers a chat", async () => {
  const answer = await client.chat.completions.create({ model, messages, max_tokens: 12, temperature: 0, ...on });
  assert.equal(answer.choices[0].message.role, "assistant");
  if (model === "stories260K") assert.ok(answer.choices[0].message.content.includes("little"));
  assert.equal(answer.usage.completion_tokens, 12);
  assert.ok(answer._request_id);
});

fact("streams the same text, usage at the end", async () => {
  const request = { model, messages, max_completion_tokens: 40, temperature: 0, ...on };
  const whole = await client.chat.completions.create(request);
  const stream = await client.chat.completions.create({
    ...request, stream: true, stream_options: { include_usage: true } });
  let text = "", usage = null, finish = null;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? "";
    finish = chunk.choices[0]?.finish_reason ?? finish;
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.equal(finish, "length");
  assert.equal(usage.total_tokens, whole.usage.total_tokens);
});

fact("runs the stream helper", async () => {
  const runner = client.chat.completions.stream({ model, messages, max_tokens: 8, temperature: 0, ...on });
  const final = await runner.finalChatCompletion();
  assert.equal(final.choices[0].finish_reason, "length");
  assert.ok(final.choices[0].message.content.length > 0);
});

fact("gives log probabilities", async () => {
  const answer = await client.chat.completions.create({
    model, messages, max_tokens: 3, temperature: 0, logprobs: true, top_logprobs: 2 });
  assert.equal(answer.choices[0].logprobs.content.length, 3);
  assert.equal(answer.choices[0].logprobs.content[0].top_logprobs.length, 2);
});

fact("completes texts, echoes and scores them", async () => {
  const answer = await client.completions.create({
    model, prompt: ["Once upon", "The dog"], max_tokens: 1, echo: true, logprobs: 1, temperature: 0 });
  assert.equal(answer.choices.length, 2);
  assert.ok(answer.choices[0].text.startsWith("Once upon"));
  assert.equal(answer.choices[1].logprobs.token_logprobs[0], null);
});

fact("gives several texts, whole and streamed", async () => {
  const request = { model, messages, max_tokens: 10, n: 3, seed: 4, temperature: 0.9 };
  const whole = await client.chat.completions.create(request);
  assert.deepEqual(whole.choices.map((choice) => choice.index), [0, 1, 2]);
  assert.equal(new Set(whole.choices.map((choice) => choice.message.content)).size, 3);
  const one = await client.chat.completions.create({ ...request, n: 1 });
  assert.equal(whole.usage.prompt_tokens, one.usage.prompt_tokens);
  const texts = ["", "", ""];
  let usage = null;
  for await (const chunk of await client.chat.completions.create({
    ...request, stream: true, stream_options: { include_usage: true } })) {
    for (const choice of chunk.choices) texts[choice.index] += choice.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.deepEqual(texts, whole.choices.map((choice) => choice.message.content));
  assert.deepEqual(usage.completion_tokens, whole.usage.completion_tokens);
});

fact("collects several texts in the stream helper", async () => {
  const final = await client.chat.completions.stream({ model, messages, max_tokens: 6, n: 2 }).finalChatCompletion();
  assert.equal(final.choices.length, 2);
  assert.ok(final.choices.every((choice) => choice.finish_reason !== null));
});

fact("picks the best of several", async () => {
  const request = { model, prompt: "Once upon a time", max_tokens: 12, seed: 2, temperature: 1, logprobs: 0 };
  const made = await client.completions.create({ ...request, n: 5 });
  const told = await client.completions.create({ ...request, best_of: 5 });
  const mean = (choice) => choice.logprobs.token_logprobs.reduce((a, b) => a + b) / choice.logprobs.tokens.length;
  const best = made.choices.reduce((a, b) => (mean(b) > mean(a) ? b : a));
  assert.equal(told.choices.length, 1);
  assert.equal(told.choices[0].text, best.text);
  assert.equal(told.usage.completion_tokens, made.usage.completion_tokens);
});

fact("tells what was cached", async () => {
  const text = "Lily and Ben went to the park with their red ball. They saw a big dog. ".repeat(4);
  const ask = () => client.chat.completions.create({ model, messages: [{ role: "user", content: text }], max_tokens: 2 });
  const first = await ask(), second = await ask();
  assert.equal(first.usage.prompt_tokens_details.cached_tokens, 0);
  assert.ok(second.usage.prompt_tokens_details.cached_tokens > 0);
  assert.ok(second.usage.prompt_tokens_details.cached_tokens < second.usage.prompt_tokens);
  const stream = await client.chat.completions.create({ model, messages: [{ role: "user", content: text }],
    max_tokens: 2, stream: true, stream_options: { include_usage: true } });
  let usage = null;
  for await (const chunk of stream) usage = chunk.usage ?? usage;
  assert.deepEqual(usage.prompt_tokens_details, second.usage.prompt_tokens_details);
});

fact("aborts while queued", async () => {
  const load = async () => (await fetch(new URL("/load", process.argv[2]))).json();
  const requests = Array.from({ length: 100 }, () => {
    const controller = new AbortController();
    const answer = client.chat.completions.create({ model, messages, max_tokens: 480, ignore_eos: true },
      { signal: controller.signal });
    return { controller, answer };
  });
  for (let i = 0; i < 500 && (await load()).waiting === 0; i += 1) await new Promise((done) => setTimeout(done, 1));
  for (const { controller } of requests) controller.abort();
  const ends = await Promise.allSettled(requests.map(({ answer }) => answer));
  assert.ok(ends.some((end) => end.status === "rejected"));
  for (let i = 0; ; i += 1) {
    const { server_load: calls, running, waiting } = await load();
    if (calls === 0 && running === 0 && waiting === 0) break;
    assert.ok(i < 200, "calls stay inside");
    await new Promise((done) => setTimeout(done, 20));
  }
});

fact("aborts a stream", async () => {
  const stream = await client.chat.completions.create({ model, messages, max_tokens: 400, stream: true });
  for await (const chunk of stream) {
    assert.ok(chunk.id);
    break;
  }
  stream.controller.abort();
});

fact("throws the SDK's own errors", async () => {
  await assert.rejects(client.chat.completions.create({ model: "nope", messages }), (error) =>
    error instanceof NotFoundError && error.code === "model_not_found" && error.param === "model");
  await assert.rejects(client.chat.completions.create({ model, messages, temperature: 9 }), (error) =>
    error instanceof BadRequestError && error.param === "temperature" && error.type === "invalid_request_error");
  await assert.rejects(client.chat.completions.create({ model, messages: [] }), APIError);
});

fact("serves many at once", async () => {
  const request = { model, messages, max_tokens: 30, temperature: 0 };
  const answers = await Promise.all(Array.from({ length: 32 }, () => client.chat.completions.create(request)));
  assert.equal(new Set(answers.map((answer) => answer.choices[0].message.content)).size, 1);
});

let failed = 0;
for (const [index, [name, run]] of facts.entries()) {
  try {
    await run();
    console.log(`ok ${index + 1} - ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`not ok ${index + 1} - ${name}\n${error.stack}`);
  }
}
console.log(`1..${facts.length}`);
process.exit(failed === 0 ? 0 : 1);
