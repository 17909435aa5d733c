// Ten conversations with OpenAI's official client for Node. `node conversations.mjs BASE_URL` prints a line of JSON for
// each: {"name", "ok", "error"?}.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "none" });
const reply = "Let me think about everything.";
const poem = [{ role: "user", content: "write a poem about the sea" }];
const ask = [{ role: "user", content: "WEATHER in two cities" }];
const schema = {
  type: "object",
  properties: { city: { type: "string" }, people: { type: "integer" } },
  required: ["city", "people"],
  additionalProperties: false,
};
const tools = [
  { type: "function", function: { name: "get_weather", parameters: { type: "object", properties: { city: { type: "string" } } } } },
];

const conversations = {
  async "a routed answer"() {
    const answer = await client.chat.completions.create({ model: "auto", messages: poem });
    assert.equal(answer.model, "poet");
    assert.equal(answer.shoal.decision.expert, "poet");
    const again = [...poem, answer.choices[0].message, { role: "user", content: "a poem on rain in the city" }];
    assert.equal((await client.chat.completions.create({ model: "auto", messages: again })).model, "poet");
  },
  async "a stream with usage"() {
    const stream = await client.chat.completions.create({
      model: "big", messages: [{ role: "user", content: "hello" }], stream: true, stream_options: { include_usage: true },
    });
    let text = "", usage = null;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? "";
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, reply);
    assert.equal(usage.completion_tokens, 5);
  },
  async "tools to the end"() {
    const called = await client.chat.completions.create({ model: "auto", messages: ask, tools });
    const message = called.choices[0].message;
    const results = message.tool_calls.map((call) => ({
      role: "tool", tool_call_id: call.id, content: JSON.parse(call.function.arguments).city,
    }));
    const final = await client.chat.completions.create({ model: "auto", messages: [...ask, message, ...results], tools });
    assert.equal(final.choices[0].message.content, "It is Oslo.");
  },
  async "streamed tool calls"() {
    const stream = client.chat.completions.stream({ model: "big", messages: ask, tools });
    const final = await stream.finalChatCompletion();
    const cities = final.choices[0].message.tool_calls.map((call) => JSON.parse(call.function.arguments).city);
    assert.deepEqual(cities, ["Paris", "Oslo"]);
  },
  async "structured output"() {
    const answer = await client.chat.completions.parse({
      model: "auto", messages: [{ role: "user", content: "a TOWN" }],
      response_format: { type: "json_schema", json_schema: { name: "town", strict: true, schema } },
    });
    assert.deepEqual(JSON.parse(answer.choices[0].message.content), { city: "Paris", people: 2 });
  },
  async "errors of the right class"() {
    const patient = client.withOptions({ maxRetries: 0 });
    const cases = [
      [{ model: "nobody" }, OpenAI.NotFoundError],
      [{ temperature: 3 }, OpenAI.BadRequestError],
      [{ messages: [{ role: "user", content: "BIGFAIL" }] }, OpenAI.InternalServerError],
    ];
    for (const [change, kind] of cases) {
      await assert.rejects(
        patient.chat.completions.create({ model: "big", messages: poem, ...change }),
        (error) => error instanceof kind && Boolean(error.requestID) && Boolean(error.type),
      );
    }
  },
  async "a failure is tried again"() {
    const messages = [{ role: "user", content: "node" }];
    const answer = await client.chat.completions.create({ model: "flaky", messages });
    assert.equal(answer.choices[0].message.content, "Now it works");
    const again = [{ role: "user", content: "node once more" }];
    const stream = await client.chat.completions.create({ model: "flaky", messages: again, stream: true });
    let text = "";
    for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? "";
    assert.equal(text, "Hello wörld 🐟");
  },
  async "a stream that breaks off raises"() {
    const messages = [{ role: "user", content: "CUT" }];
    const stream = await client.chat.completions.create({ model: "poet", messages, stream: true });
    await assert.rejects(async () => {
      for await (const _ of stream);
    }, OpenAI.APIError);
  },
  async "responses go on"() {
    const first = await client.responses.create({ model: "big", input: "hello" });
    assert.equal(first.output_text, reply);
    const stream = client.responses.stream({ model: "big", input: "and now?", previous_response_id: first.id });
    const kinds = [];
    for await (const event of stream) kinds.push(event.type);
    assert.equal(kinds[0], "response.created");
    assert.equal(kinds.at(-1), "response.completed");
    assert.equal((await stream.finalResponse()).previous_response_id, first.id);
    await client.responses.delete(first.id);
    await assert.rejects(client.responses.retrieve(first.id), OpenAI.NotFoundError);
  },
  async "embeddings, models and completions"() {
    const vectors = await client.embeddings.create({ model: "encoder", input: ["a", "b"] });
    assert.equal(vectors.data[1].embedding.length, 384);
    assert.ok(Math.abs(Math.hypot(...vectors.data[0].embedding) - 1) < 1e-4);
    const names = [];
    for await (const model of client.models.list()) names.push(model.id);
    assert.equal(names[0], "auto");
    const text = await client.completions.create({ model: "big", prompt: "once", max_tokens: 2 });
    assert.equal(text.choices[0].text, "Let me ");
  },
  async "the local model"() {
    const answer = await client.chat.completions.create({
      model: "chat", messages: [{ role: "user", content: "Say hi" }], max_tokens: 8, temperature: 0,
    });
    assert.ok(answer.choices[0].message.content);
    const town = await client.chat.completions.parse({
      model: "chat", messages: [{ role: "user", content: "Paris has 2 people. Give the town as JSON." }],
      max_tokens: 96, temperature: 0,
      response_format: { type: "json_schema", json_schema: { name: "town", strict: true, schema } },
    });
    assert.deepEqual(Object.keys(JSON.parse(town.choices[0].message.content)).sort(), ["city", "people"]);
  },
};

for (const [name, talk] of Object.entries(conversations)) {
  try {
    await talk();
    console.log(JSON.stringify({ name, ok: true }));
  } catch (error) {
    console.log(JSON.stringify({ name, ok: false, error: String(error?.stack ?? error) }));
  }
}
