import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { Engine, GenerationRequest, Sampling } from '../../../lib/engines/generation.js'
import { openEngine } from '../../../lib/engines/open/openEngine.js'
import { openServerEngine, type ServerSettings } from '../../../lib/engines/server/serverEngine.js'
import { FastClock } from '../../support/fastClock.js'
import {
  beginEvents,
  chunkOf,
  json,
  type Script,
  ScriptedServer,
  streamOf,
  usageChunk,
  withProbe,
} from '../../support/scriptedServer.js'
import { passingFailures } from '../../support/serverFailures.js'

const open: { close?: () => Promise<void>; stop?: () => Promise<void> }[] = []
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await (each.close?.() ?? each.stop?.())
})

async function serverOf(script: Script, options?: Parameters<typeof withProbe>[1]): Promise<ScriptedServer> {
  const server = await ScriptedServer.start(withProbe(script, options))
  open.push(server)
  return server
}

const sampling: Sampling = {
  temperature: 0.6,
  topP: 0.95,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  maxTokens: 32768,
  stop: [],
}

const asked = (more: Partial<GenerationRequest> = {}): GenerationRequest => ({
  prompt: { messages: [{ role: 'user', content: 'What is 1 + 1?' }] },
  sampling,
  seed: 17,
  ...more,
})

const settingsFor = (urls: readonly string[], more: Partial<ServerSettings> = {}): ServerSettings => ({
  addresses: urls.map((url) => ({ name: url, url: new URL(url), headers: {}, secrets: [] })),
  model: undefined,
  api: 'chat',
  renderer: undefined,
  concurrency: 64,
  requestsPerMinute: undefined,
  tokensPerMinute: undefined,
  attempts: 8,
  timeouts: { connect: 10_000, firstByte: 0, idle: 600_000, total: 7_200_000 },
  down: 600_000,
  ...more,
})

async function engineOf(
  servers: readonly ScriptedServer[],
  more?: Partial<ServerSettings>,
  clock?: FastClock,
): Promise<Engine> {
  const settings = settingsFor(
    servers.map(({ url }) => url),
    more,
  )
  const engine = await openServerEngine(settings, undefined, clock)
  open.push(engine)
  return engine
}

/** An engine over a server of this script. */
async function engineFor(script: Script, more?: Partial<ServerSettings>, clock = new FastClock()) {
  const server = await serverOf(script)
  const engine = await engineOf([server], more, clock)
  server.received.length = 0
  clock.waits.length = 0
  return { server, engine, clock }
}

/** Answers the first requests as the script does, all later ones well. */
function firstThenGood(...first: Script[]): Script {
  let count = 0
  return (received, response) => {
    const script = first[count++]
    if (script) return script(received, response)
    beginEvents(response)
    response.end(streamOf(['The ', 'answer']))
  }
}

const servedDescription = (engine: Engine) => (engine.description.servers as Record<string, unknown>[])[0] ?? {}

test('an answer comes with what was said of it, and every sampler parameter is sent', async () => {
  const { server, engine } = await engineFor(firstThenGood())
  const tokens: number[] = []
  const generation = await engine.generate(asked({ onTokens: (count) => tokens.push(count) }))
  expect(generation).toMatchObject({
    text: 'The answer',
    reasoning: null,
    thinkOpened: false,
    finish: 'stop',
    usage: { promptTokens: 7, completionTokens: 2, exact: true },
    attempts: 1,
    maxTokens: 32768,
    server: server.url,
  })
  expect(tokens).toEqual([1, 2])
  expect(server.asked[0]?.body).toEqual({
    model: 'served',
    messages: [{ role: 'user', content: 'What is 1 + 1?' }],
    stream: true,
    stream_options: { include_usage: true },
    max_tokens: 32768,
    temperature: 0.6,
    top_p: 0.95,
    top_k: -1,
    min_p: 0,
    repetition_penalty: 1,
    presence_penalty: 0,
    frequency_penalty: 0,
    seed: 17,
  })
  expect(engine.identity).toEqual({ kind: 'chat', model: 'served', details: {} })
})

test.for<[name: string, script: Script, expected: object]>([
  [
    'reasoning_content, then content',
    (_, response) => {
      beginEvents(response)
      response.write(chunkOf({ role: 'assistant', content: null, reasoning_content: '' }))
      response.write(chunkOf({ reasoning_content: 'One and one', content: null }))
      response.write(chunkOf({ reasoning_content: ' is two.' }))
      response.write(chunkOf({ content: '2' }))
      response.end(`${chunkOf({}, 'stop')}${usageChunk(5, 9)}data: [DONE]\n\n`)
    },
    { text: '2', reasoning: 'One and one is two.', finish: 'stop', usage: { completionTokens: 9, exact: true } },
  ],
  [
    'reasoning, as vLLM calls it now',
    (_, response) => {
      beginEvents(response)
      response.end(
        `${chunkOf({ reasoning: 'Hm.' })}${chunkOf({ content: '2' }, 'stop')}${usageChunk(5, 9)}data: [DONE]\n\n`,
      )
    },
    { text: '2', reasoning: 'Hm.' },
  ],
  [
    'both fields with one text',
    (_, response) => {
      beginEvents(response)
      response.end(
        `${chunkOf({ reasoning: 'Hm.', reasoning_content: 'Hm.' })}${chunkOf({ content: '2' }, 'stop')}data: [DONE]\n\n`,
      )
    },
    { text: '2', reasoning: 'Hm.' },
  ],
  [
    'tags are left in the text',
    (_, response) => {
      beginEvents(response)
      response.end(streamOf(['<think>', 'Hm.', '</think>', '2']))
    },
    { text: '<think>Hm.</think>2', reasoning: null },
  ],
  [
    'keep-alive comments, blank lines and no usage: tokens are counted',
    (_, response) => {
      beginEvents(response)
      response.write(': keep-alive\n\n\n\n')
      response.write(chunkOf({ content: 'a' }))
      response.write(': ping - 2026\n\n')
      response.end(`${chunkOf({ content: 'b' })}${chunkOf({ content: 'c' })}${chunkOf({}, 'length')}data: [DONE]\n\n`)
    },
    { text: 'abc', finish: 'length', usage: { promptTokens: null, completionTokens: 3, exact: false } },
  ],
  [
    'no [DONE] at the end',
    (_, response) => {
      beginEvents(response)
      response.end(`${chunkOf({ content: 'a' })}${chunkOf({}, 'stop')}`)
    },
    { text: 'a', finish: 'stop' },
  ],
  [
    'the connection breaks after all is there',
    async (_, response) => {
      beginEvents(response)
      response.write(`${chunkOf({ content: 'a' })}${chunkOf({}, 'stop')}`)
      await sleep(20)
      response.destroy()
    },
    { text: 'a', finish: 'stop', attempts: 1 },
  ],
  [
    'a server that streams nothing, with white space before its JSON',
    (_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.write('\n\n  \n')
      const message = { role: 'assistant', content: '2', reasoning_content: 'Hm.' }
      response.end(JSON.stringify({ choices: [{ message, finish_reason: 'stop' }] }))
    },
    { text: '2', reasoning: 'Hm.', usage: { promptTokens: null, completionTokens: null, exact: false } },
  ],
  [
    'events under the type of JSON',
    (_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(streamOf(['2']))
    },
    { text: '2', finish: 'stop' },
  ],
  [
    'one line break between events',
    (_, response) => {
      beginEvents(response)
      response.end(streamOf(['a', 'b']).replaceAll('\n\n', '\n'))
    },
    { text: 'ab', finish: 'stop', usage: { completionTokens: 2 } },
  ],
  [
    'an empty answer',
    (_, response) => {
      beginEvents(response)
      response.end(streamOf([]))
    },
    { text: '', reasoning: null, finish: 'stop', usage: { completionTokens: 0, exact: true } },
  ],
  [
    'what is thought as parts of the content',
    (_, response) => {
      const parts = [
        { type: 'thinking', thinking: [{ type: 'text', text: 'Hm.' }] },
        { type: 'text', text: '2' },
      ]
      beginEvents(response)
      response.end(`${chunkOf({ content: parts }, 'stop')}data: [DONE]\n\n`)
    },
    { text: '2', reasoning: 'Hm.' },
  ],
  [
    'a finish_reason of its own',
    (_, response) => {
      beginEvents(response)
      response.end(streamOf(['a'], 'content_filter'))
    },
    { finish: 'content_filter' },
  ],
])('reads %s', async ([, script, expected]) => {
  const { engine, server } = await engineFor(script)
  expect(await engine.generate(asked())).toMatchObject(expected)
  expect(server.asked.length).toBe(1)
})

describe('failures that pass', () => {
  test.for(passingFailures)('%s is asked again', async ([, script, attempts = 3]) => {
    const { server, engine } = await engineFor(firstThenGood(script, script))
    const generation = await engine.generate(asked())
    expect(generation).toMatchObject({ text: 'The answer', attempts })
    expect(server.asked.length).toBe(3)
  })

  test('the pauses grow, at random up to a bound, and the last failure is the error', async () => {
    const clock = new FastClock(() => 0.999999)
    const { server, engine } = await engineFor(
      (_, response) => json(response, { error: { message: 'worker died' } }, 500),
      {},
      clock,
    )
    await expect(engine.generate(asked())).rejects.toMatchObject({
      code: 'ERR_ENGINE',
      message: expect.stringMatching(/answered 500: worker died \(8 requests\)$/),
    })
    expect(server.asked.length).toBe(8)
    expect(clock.waits.map((wait) => Math.round(wait / 1000))).toEqual([1, 2, 4, 8, 16, 32, 60])
  })
})

describe('servers that have enough', () => {
  test.for<[headers: Record<string, string>, least: number]>([
    [{ 'retry-after': '7' }, 7000],
    [{ 'retry-after-ms': '1234' }, 1234],
    [{ 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-reset-requests': '1m2.5s' }, 62_500],
    [{ 'x-ratelimit-remaining-tokens': '0', 'x-ratelimit-reset-tokens': '250ms' }, 250],
    [{ 'x-ratelimit-remaining-tokens': '5', 'x-ratelimit-reset-tokens': '9s' }, 500],
  ])('429 with %j', async ([headers, least]) => {
    const { engine, clock } = await engineFor(
      firstThenGood((_, response) => json(response, { error: 'slow down' }, 429, headers)),
    )
    const before = clock.now()
    expect(await engine.generate(asked())).toMatchObject({ text: 'The answer', attempts: 2 })
    const waited = clock.now() - before
    expect(waited).toBeGreaterThanOrEqual(least)
    expect(waited).toBeLessThan(least + 1000)
  })

  test('one refusal stops all workers, and half as many go on', async () => {
    let refused = 0
    const times: number[] = []
    const clock = new FastClock()
    const { server, engine } = await engineFor(
      async (_, response) => {
        if (refused < 8) {
          refused++
          while (refused < 8) await sleep(1)
          return json(response, { error: 'slow down' }, 429, { 'retry-after': '5' })
        }
        if (times.length === 0) server.mostOutstanding = 0
        times.push(clock.now())
        await sleep(10)
        beginEvents(response)
        response.end(streamOf(['a']))
      },
      { concurrency: 8 },
      clock,
    )
    const begun = clock.now()
    await Promise.all(Array.from({ length: 24 }, () => engine.generate(asked())))
    expect(times.length).toBe(24)
    expect(Math.min(...times) - begun).toBeGreaterThanOrEqual(5000)
    expect(server.mostOutstanding).toBeLessThanOrEqual(4)
  })

  test('the number grows again, one by one', async () => {
    let isFirst = true
    const clock = new FastClock()
    const { server, engine } = await engineFor(
      async (_, response) => {
        if (isFirst) {
          isFirst = false
          return json(response, {}, 503)
        }
        await sleep(10)
        beginEvents(response)
        response.end(streamOf(['a']))
      },
      { concurrency: 3 },
      clock,
    )
    const together = async () => {
      server.mostOutstanding = 0
      await Promise.all(Array.from({ length: 12 }, () => engine.generate(asked())))
      return server.mostOutstanding
    }
    await engine.generate(asked())
    expect(await together()).toBe(1)
    clock.pass(31_000)
    await engine.generate(asked())
    expect(await together()).toBe(2)
    clock.pass(31_000)
    await engine.generate(asked())
    expect(await together()).toBe(3)
  })

  test('a quota that is used up is no reason to ask again', async () => {
    const { server, engine } = await engineFor((_, response) =>
      json(response, { error: { message: 'You exceeded your quota', code: 'insufficient_quota' } }, 429),
    )
    await expect(engine.generate(asked())).rejects.toMatchObject({ code: 'ERR_ENGINE' })
    expect(server.asked.length).toBe(1)
  })
})

test.for([401, 403, 404, 413, 422])('%s is not asked again', async (status) => {
  const { server, engine } = await engineFor((_, response) =>
    json(response, { error: { message: 'no such thing' } }, status),
  )
  await expect(engine.generate(asked())).rejects.toMatchObject({
    code: 'ERR_ENGINE',
    message: expect.stringContaining(`answered ${status}: no such thing`),
  })
  expect(server.asked.length).toBe(1)
})

describe('parameters that a server does not take', () => {
  const refusing =
    (names: readonly string[], answer: (name: string) => [status: number, body: unknown]): Script =>
    ({ body }, response) => {
      const found = names.find((name) => name in body)
      if (found !== undefined) {
        const [status, value] = answer(found)
        json(response, value, status)
        return
      }
      beginEvents(response)
      response.end(streamOf(['Hello']))
    }

  test.for<[name: string, answer: (name: string) => [number, unknown]]>([
    [
      'OpenAI',
      (name) => [
        400,
        { error: { message: `Unrecognized request argument supplied: ${name}`, type: 'invalid_request_error' } },
      ],
    ],
    [
      'OpenAI, by param',
      (name) => [400, { error: { message: 'Unknown parameter.', param: name, code: 'unknown_parameter' } }],
    ],
    [
      'FastAPI',
      (name) => [
        422,
        { detail: [{ loc: ['body', name], msg: 'Extra inputs are not permitted', type: 'extra_forbidden' }] },
      ],
    ],
    ['one that does not say which', () => [400, { error: { message: 'Bad Request' } }]],
  ])('are found out at the start, said, and left out: %s', async ([, answer]) => {
    const script = refusing(['top_k', 'min_p', 'stream_options'], answer)
    const server = await ScriptedServer.start((received, response) =>
      received.path === '/v1/models'
        ? json(response, { data: [{ id: 'served' }] })
        : received.path.endsWith('completions')
          ? script(received, response)
          : json(response, {}, 404),
    )
    open.push(server)
    const engine = await engineOf([server])
    const described = servedDescription(engine)
    expect(Object.keys(described.notAccepted as object).sort()).toEqual(['min_p', 'stream_options', 'top_k'])
    expect((described.unset as string[]).sort()).toEqual(['min_p', 'stream_options', 'top_k'])
    server.received.length = 0
    expect(await engine.generate(asked())).toMatchObject({ text: 'Hello', attempts: 1 })
    expect(server.asked[0]?.body).toMatchObject({ temperature: 0.6, top_p: 0.95, repetition_penalty: 1, seed: 17 })
    expect(server.asked[0]?.body).not.toHaveProperty('top_k')
  })

  test('max_completion_tokens where max_tokens is refused', async () => {
    const message =
      "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    const { server, engine } = await engineFor(
      refusing(['max_tokens'], () => [400, { error: { message, code: 'unsupported_parameter', param: 'max_tokens' } }]),
    )
    expect(await engine.generate(asked())).toMatchObject({ text: 'Hello', attempts: 2 })
    expect(server.asked[1]?.body).toMatchObject({ max_completion_tokens: 32768 })
    expect(servedDescription(engine)).toMatchObject({ limitName: 'max_completion_tokens' })
  })

  test('a value that is refused is the error, and nothing is left out', async () => {
    const { server, engine } = await engineFor(
      refusing(['temperature'], () => [
        400,
        { error: { message: 'temperature must be in [0, 0.5]', param: 'temperature' } },
      ]),
    )
    await expect(engine.generate(asked())).rejects.toMatchObject({
      code: 'ERR_ENGINE',
      message: expect.stringContaining('temperature must be'),
    })
    expect(server.asked.length).toBe(1)
  })

  test('what Ollama passes over is said', async () => {
    const server = await serverOf(firstThenGood(), {
      models: [{ id: 'qwen3:8b', owned_by: 'library' }],
      other: {
        '/api/ps': { models: [{ name: 'qwen3:8b', context_length: 4096 }] },
        '/api/version': { version: '0.12' },
      },
    })
    const engine = await engineOf([server])
    expect(servedDescription(engine)).toMatchObject({
      kind: 'ollama',
      version: '0.12',
      contextLength: 4096,
      knownToIgnore: ['top_k', 'min_p', 'repetition_penalty'],
    })
  })
})

describe('the context', () => {
  const vllm = (tokens: number) => ({
    models: [{ id: 'served', owned_by: 'vllm', max_model_len: 1000 }],
    other: {
      '/version': { version: '0.26.0' },
      '/tokenize': { count: tokens, max_model_len: 1000, tokens: Array.from({ length: tokens }, (_, i) => i) },
      '/detokenize': { prompt: '<｜Assistant｜><think>\n' },
    },
  })

  test('is respected before anything is asked, and the limit that was in force is told', async () => {
    const server = await serverOf(firstThenGood(), vllm(300))
    const engine = await engineOf([server])
    server.received.length = 0
    expect(await engine.generate(asked())).toMatchObject({ maxTokens: 700, thinkOpened: true })
    expect(server.asked[0]?.body.max_tokens).toBe(700)
    expect(server.received.find(({ path }) => path === '/tokenize')?.body).toMatchObject({
      add_generation_prompt: true,
    })
    expect(servedDescription(engine)).toMatchObject({
      kind: 'vllm',
      version: '0.26.0',
      contextLength: 1000,
      thinkOpened: true,
    })
    expect(await engine.countTokens(asked().prompt)).toBe(300)
  })

  test('a prompt that fills it is refused, and not asked', async () => {
    const server = await serverOf(firstThenGood(), vllm(300))
    const engine = await engineOf([server])
    server.script = withProbe(firstThenGood(), vllm(1000))
    server.received.length = 0
    await expect(engine.generate(asked())).rejects.toMatchObject({
      code: 'ERR_ENGINE',
      message: expect.stringContaining('context of 1000 tokens'),
    })
    expect(server.asked.length).toBe(0)
  })

  test.for([
    "This model's maximum context length is 4096 tokens. However, you requested 32775 tokens (1007 in the messages, 32768 in the completion). Please reduce the length of the messages or completion.",
    "'max_tokens' or 'max_completion_tokens' is too large: 32768. This model's maximum context length is 4096 tokens and your request has 1007 input tokens (32768 > 4096 - 1007).",
  ])('a refusal of it shrinks the limit, once: %s', async (message) => {
    const refuse: Script = (_, response) =>
      json(response, { object: 'error', message, type: 'BadRequestError', code: 400 }, 400)
    const { server, engine } = await engineFor(firstThenGood(refuse))
    expect(await engine.generate(asked())).toMatchObject({ text: 'The answer', maxTokens: 4096 - 1007, attempts: 2 })
    server.script = withProbe(refuse)
    await expect(engine.generate(asked())).rejects.toMatchObject({ code: 'ERR_ENGINE' })
    expect(server.asked.length).toBe(4)
  })
})

describe('llama.cpp', () => {
  const other = {
    '/props': { build_info: 'b9000', default_generation_settings: { n_ctx: 8192 } },
    '/apply-template': { prompt: '<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n' },
    '/tokenize': { tokens: [11, 12, 13] },
  }

  test('gets its own names, and the ids of a text', async () => {
    const server = await serverOf(firstThenGood(), { models: [{ id: 'm.gguf', owned_by: 'llamacpp' }], other })
    const engine = await engineOf([server])
    server.received.length = 0
    await engine.generate(
      asked({ prompt: { text: '<s>Once' }, seed: 0xffffffff, sampling: { ...sampling, maxTokens: 50 } }),
    )
    const [request] = server.asked
    expect(request?.path).toBe('/v1/completions')
    expect(request?.body).toMatchObject({ prompt: [11, 12, 13], top_k: 0, repeat_penalty: 1, min_p: 0 })
    // Its sign for "any seed".
    expect(request?.body.seed).not.toBe(0xffffffff)
    expect(servedDescription(engine)).toMatchObject({
      kind: 'llama.cpp',
      version: 'b9000',
      contextLength: 8192,
      thinkOpened: false,
    })
  })
})

test('a server that answers gets more and more requests at the same time, up to the limit', async () => {
  const clock = new FastClock()
  const streams = new Set<ServerResponse>()
  let isOver = false
  const { server, engine } = await engineFor(
    (_, response) => {
      beginEvents(response)
      if (isOver) return void response.end(streamOf(['a']))
      streams.add(response)
    },
    { concurrency: 30 },
    clock,
  )
  let came = () => {}
  const answers = Array.from({ length: 100 }, () => engine.generate(asked({ onTokens: () => came() })))
  await vi.waitFor(() => expect(streams.size).toBe(8), { timeout: 600_000 })
  while (streams.size < 30) {
    clock.pass(50)
    let left = streams.size
    const all = new Promise<void>((resolve) => {
      came = () => --left <= 0 && resolve()
    })
    for (const response of streams) response.write(chunkOf({ content: 'a' }))
    await all
  }
  isOver = true
  for (const response of streams) response.end(streamOf(['a']))
  expect(await Promise.all(answers)).toHaveLength(100)
  expect(server.mostOutstanding).toBe(30)
})

describe('several servers', () => {
  test('each request goes to the one with the fewest outstanding', async () => {
    const slow: Script = async (_, response) => {
      while (one.asked.length + two.asked.length < 20) await sleep(5)
      beginEvents(response)
      response.end(streamOf(['a']))
    }
    const [one, two] = [await serverOf(slow), await serverOf(firstThenGood())]
    const engine = await engineOf([one, two], { concurrency: 2 })
    expect(engine.concurrency).toBe(4)
    for (const server of [one, two]) server.received.length = 0
    await Promise.all(Array.from({ length: 20 }, () => engine.generate(asked())))
    expect(one.asked.length + two.asked.length).toBe(20)
    expect(one.asked.length).toBeLessThanOrEqual(4)
    expect(one.mostOutstanding).toBeLessThanOrEqual(2)
  })

  test('one that goes away is left out until it is back', async () => {
    const [one, two] = [await serverOf(firstThenGood()), await serverOf(firstThenGood())]
    const engine = await engineOf([one, two], {}, new FastClock())
    await one.stop()
    open.splice(open.indexOf(one), 1)
    two.received.length = 0
    const answers = await Promise.all(Array.from({ length: 8 }, () => engine.generate(asked())))
    expect(answers.map(({ server }) => server)).toEqual(Array(8).fill(two.url))
  })

  test('two that serve other models are refused', async () => {
    const [one, two] = [await serverOf(firstThenGood()), await serverOf(firstThenGood(), { models: [{ id: 'other' }] })]
    await expect(engineOf([one, two])).rejects.toMatchObject({
      code: 'ERR_ENGINE',
      message: expect.stringContaining('one model'),
    })
  })
})

test('a server that starts again is waited for, as long as allowed', async () => {
  const clock = new FastClock()
  const { server, engine } = await engineFor(firstThenGood(), { down: 60_000 }, clock)
  const port = Number(new URL(server.url).port)
  await server.stop()
  open.splice(open.indexOf(server), 1)
  await expect(engine.generate(asked())).rejects.toMatchObject({
    code: 'ERR_ENGINE',
    message: expect.stringContaining('ECONNREFUSED'),
  })
  expect(clock.now()).toBeGreaterThan(60_000)
  // It starts in one of the first pauses, and no pause is over before it has started.
  let started: Promise<ScriptedServer> | undefined
  clock.hold = () => (started ??= ScriptedServer.start(withProbe(firstThenGood()), port))
  expect(await engine.generate(asked())).toMatchObject({ text: 'The answer' })
  if (started) open.push(await started)
})

describe('limits of time', () => {
  const quick = { connect: 10_000, firstByte: 0, idle: 0, total: 0 }
  const hang: Script = (_, response) => {
    beginEvents(response)
    response.write(chunkOf({ content: 'The' }))
  }
  test.for<[name: string, timeouts: object, script: Script, words: string]>([
    ['the first byte', { firstByte: 60 }, () => {}, 'no byte'],
    ['between pieces', { idle: 60 }, hang, 'between two pieces'],
    [
      'in all',
      { total: 90 },
      (_, response) => {
        beginEvents(response)
        const timer = setInterval(() => response.write(': keep-alive\n\n'), 20)
        response.on('close', () => clearInterval(timer))
      },
      'in all',
    ],
  ])('%s', async ([, timeouts, script, words]) => {
    const { engine, server } = await engineFor(script, {
      timeouts: { ...quick, total: 5000, ...timeouts },
      attempts: 2,
    })
    await expect(engine.generate(asked())).rejects.toMatchObject({
      code: 'ERR_ENGINE',
      message: expect.stringContaining(words),
    })
    await vi.waitFor(() => expect(server.asked.length).toBe(2), { timeout: 600_000 })
  })

  test('a trickle is no silence', async () => {
    // Slower where the machine itself is silent for so long.
    for (let factor = 1; factor < 16; factor *= 4)
      if (
        await trickles(factor).then(
          () => true,
          () => false,
        )
      )
        return
    await trickles(16)
  })

  async function trickles(factor: number): Promise<void> {
    const { engine } = await engineFor(
      async (_, response) => {
        beginEvents(response)
        for (let i = 0; i < 10; i++) {
          await sleep(30 * factor)
          response.write(i % 2 ? ': keep-alive\n\n' : chunkOf({ content: 'a' }))
        }
        response.end(`${chunkOf({}, 'stop')}data: [DONE]\n\n`)
      },
      { timeouts: { ...quick, idle: 150 * factor, total: 5000 * factor } },
    )
    expect(await engine.generate(asked())).toMatchObject({ text: 'aaaaa', attempts: 1 })
  }
})

describe('an abort', () => {
  test('ends what is asked and what waits, and the connection with it', async () => {
    const { engine, server } = await engineFor((_, response) => beginEvents(response), { concurrency: 2 })
    const controller = new AbortController()
    const answers = Array.from({ length: 5 }, () => engine.generate(asked({ signal: controller.signal })))
    const results = Promise.allSettled(answers)
    while (server.outstanding < 2) await sleep(5)
    controller.abort(new Error('enough'))
    for (const result of await results) {
      expect(result).toMatchObject({ status: 'rejected', reason: { message: 'enough' } })
    }
    while (server.outstanding > 0) await sleep(5)
    server.script = withProbe(firstThenGood())
    expect(await engine.generate(asked())).toMatchObject({ text: 'The answer' })
  })

  test('closing does the same', async () => {
    const { engine, server } = await engineFor((_, response) => beginEvents(response))
    const answer = engine.generate(asked())
    const refusal = expect(answer).rejects.toMatchObject({
      code: 'ERR_ENGINE',
      message: expect.stringContaining('closed'),
    })
    while (server.outstanding < 1) await sleep(5)
    await engine.close()
    await refusal
    await expect(engine.generate(asked())).rejects.toMatchObject({ code: 'ERR_ENGINE' })
    while (server.outstanding > 0) await sleep(5)
  })

  test('within a pause', async () => {
    const server = await serverOf((_, response) => json(response, {}, 429, { 'retry-after': '3000' }))
    const engine = await engineOf([server])
    await expect(engine.generate(asked({ signal: AbortSignal.timeout(50) }))).rejects.toMatchObject({
      name: 'TimeoutError',
    })
  })
})

describe('limits of a service', () => {
  test('requests of a minute', async () => {
    const clock = new FastClock()
    const { engine } = await engineFor(firstThenGood(), { requestsPerMinute: 3 }, clock)
    const begun = clock.now()
    await Promise.all(Array.from({ length: 7 }, () => engine.generate(asked())))
    expect(clock.now() - begun).toBe(120_000)
  })

  test('tokens of a minute, by what answers had', async () => {
    const clock = new FastClock()
    const { engine } = await engineFor(firstThenGood(), { tokensPerMinute: 30 }, clock)
    await engine.generate(asked())
    const begun = clock.now()
    // 9 tokens each, of which 6 were foreseen.
    for (let i = 0; i < 6; i++) await engine.generate(asked())
    expect(clock.now() - begun).toBe(120_000)
  })
})

describe('secrets', () => {
  test('are sent, and in no message and no record', async () => {
    const secret = 'sk-very-secret-1234'
    const server = await serverOf(({ headers }, response) =>
      json(
        response,
        { error: { message: `Incorrect API key provided: ${headers.authorization}, ${headers['x-team']}` } },
        401,
      ),
    )
    const engine = await openEngine({ urls: [server.url], apiKey: secret, headers: { 'X-Team': 'team-secret' } })
    open.push(engine)
    const error = await engine.generate(asked()).catch((thrown) => thrown)
    expect(server.asked[0]?.headers).toMatchObject({ authorization: `Bearer ${secret}`, 'x-team': 'team-secret' })
    const { inspect } = await import('node:util')
    const shown = inspect(error, { depth: 10 }) + JSON.stringify(engine.description) + JSON.stringify(engine.identity)
    expect(shown).toContain('Incorrect API key')
    expect(shown).not.toContain(secret)
    expect(shown).not.toContain('team-secret')
  })

  test('a key comes from a variable, and one in the URL is shown nowhere', async () => {
    const server = await serverOf(firstThenGood())
    process.env.TEST_ENGINE_KEY = 'sk-from-variable'
    const engine = await openEngine({
      urls: [server.url.replace('//', '//somebody:pass-word@')],
      apiKeyVariable: 'TEST_ENGINE_KEY',
    })
    open.push(engine)
    expect(server.asked[0]?.headers.authorization).toBe('Bearer sk-from-variable')
    expect(JSON.stringify(engine.description)).not.toContain('pass-word')
    await expect(openEngine({ urls: [server.url], apiKeyVariable: 'TEST_ENGINE_NOTHING' })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringContaining('TEST_ENGINE_NOTHING'),
    })
  })
})

describe('a start that fails says what to do', () => {
  test('nobody listens', async () => {
    await expect(
      openServerEngine(settingsFor(['http://127.0.0.1:9/v1']), undefined, new FastClock()),
    ).rejects.toMatchObject({
      code: 'ERR_ENGINE',
      message: expect.stringContaining('Start the server'),
    })
  })

  test('the base URL lacks /v1', async () => {
    const server = await serverOf(firstThenGood())
    const url = server.url.replace('/v1', '')
    await expect(openEngine({ urls: [url] })).rejects.toMatchObject({
      code: 'ERR_ENGINE',
      message: expect.stringContaining(`write ${url}/v1`),
    })
  })

  test('several models', async () => {
    const server = await serverOf(firstThenGood(), { models: [{ id: 'one' }, { id: 'two' }] })
    await expect(openEngine({ urls: [server.url] })).rejects.toMatchObject({
      code: 'ERR_ENGINE',
      message: expect.stringContaining('#one'),
    })
    open.push(await openEngine({ urls: [server.url], model: 'two' }))
    expect(server.asked[0]?.body.model).toBe('two')
  })

  test('a text for Ollama, which writes a template around it', async () => {
    const server = await serverOf(firstThenGood(), { models: [{ id: 'a', owned_by: 'library' }] })
    const engine = await engineOf([server])
    await expect(engine.generate(asked({ prompt: { text: 'Once' } }))).rejects.toMatchObject({
      code: 'ERR_ENGINE',
      message: expect.stringContaining('Ollama'),
    })
  })
})
