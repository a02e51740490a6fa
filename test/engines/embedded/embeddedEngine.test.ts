import { execFile } from 'node:child_process'
import { cpSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { openCheckpoint } from '../../../lib/checkpoint/openCheckpoint.js'
import { readTokenizerFiles } from '../../../lib/checkpoint/tokenizerFiles.js'
import { TextTokenizer } from '../../../lib/data/tokenizer.js'
import { CheckpointContent } from '../../../lib/engines/checkpointContent.js'
import { allot } from '../../../lib/engines/embedded/allotment.js'
import { cachedGguf } from '../../../lib/engines/embedded/ggufCache.js'
import type { Engine, GenerationRequest, Sampling } from '../../../lib/engines/generation.js'
import { type EngineProgress, openEngine } from '../../../lib/engines/open/openEngine.js'
import { startLlama } from '../../llama/llama.js'
import { temporaryDirectory, temporaryDirectoryOfFile } from '../../support/temporary.js'
import { tinyModel } from '../../support/tinyModel.js'

let model: string
let cache: string
beforeAll(async () => {
  model = await tinyModel({ directory: temporaryDirectoryOfFile() })
  cache = temporaryDirectoryOfFile()
})

const engines: Engine[] = []
afterEach(async () => {
  for (const engine of engines.splice(0)) await engine.close()
})

async function open(more: object = {}, path = model, stages: string[] = []): Promise<Engine> {
  const onProgress = ({ stage }: EngineProgress) => stages.at(-1) !== stage && stages.push(stage)
  const engine = await openEngine({ path, cache, concurrency: 4, ...more }, { onProgress })
  engines.push(engine)
  return engine
}

const greedy: Sampling = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  maxTokens: 24,
  stop: [],
}

const asked = (
  content: string,
  more: Partial<GenerationRequest> & { with?: Partial<Sampling> } = {},
): GenerationRequest => {
  const { with: sampling, ...rest } = more
  return { prompt: { messages: [{ role: 'user', content }] }, sampling: { ...greedy, ...sampling }, seed: 1, ...rest }
}

const questions = ['a', 'a small text', 'again and again', 'to learn', 'Größe 🙂', 'What is 1 + 1?', 'x'.repeat(80)]

/** What llama.cpp itself writes, one answer after the other, without our tokenizer and template. */
async function byLlama(gguf: string, limit: number): Promise<number[][]> {
  const llama = await startLlama()
  try {
    const loaded = await llama.loadModel({ modelPath: gguf, gpuLayers: 0 })
    const answers: number[][] = []
    for (const question of questions) {
      const context = await loaded.createContext({ contextSize: 256, threads: 1 })
      const text = `<|im_start|>user\n${question}<|im_end|>\n<|im_start|>assistant\n`
      const written: number[] = []
      for await (const token of context.getSequence().evaluate(loaded.tokenize(text, true), { temperature: 0 })) {
        written.push(token)
        if (written.length === limit) break
      }
      answers.push(written)
      await context.dispose()
    }
    return answers
  } finally {
    await llama.dispose()
  }
}

test('greedy answers, several at a time, are those of llama.cpp with one sequence', async () => {
  const engine = await open()
  const together = await Promise.all(questions.map((question) => engine.generate(asked(question))))
  const alone: string[] = []
  for (const question of questions) alone.push((await engine.generate(asked(question))).text)
  const texts = together.map(({ text }) => text)
  expect(texts).toEqual(alone)
  expect(new Set(texts).size).toBeGreaterThan(3)
  const tokenizer = new TextTokenizer(await readTokenizerFiles(model))
  const expected = await byLlama(engine.description.gguf as string, 24)
  expect(texts).toEqual(expected.map((tokens) => tokenizer.decode(tokens)))
  expect(together[0]).toMatchObject({
    reasoning: null,
    thinkOpened: false,
    finish: 'length',
    usage: { completionTokens: 24, exact: true },
    attempts: 1,
    maxTokens: 24,
    server: 'embedded',
  })
  expect(engine.identity).toMatchObject({ kind: 'embedded', details: { weights: 'F32' } })
  expect(engine.concurrency).toBe(4)
})

test('a seed decides what is drawn', async () => {
  const engine = await open()
  const draw = async (seed: number) => (await engine.generate(asked('a', { seed, with: { temperature: 1 } }))).text
  const first = await draw(7)
  expect(await draw(7)).toBe(first)
  expect(await draw(8)).not.toBe(first)
  // What llama.cpp takes for any seed.
  expect(await draw(0xffffffff)).toBe(await draw(0xffffffff))
})

test.for<[name: string, sampling: Partial<Sampling>]>([
  ['top_k 1', { topK: 1, temperature: 1.5 }],
  ['a small top_p', { topP: 1e-6, temperature: 1.5 }],
  ['min_p near 1', { minP: 0.999999, temperature: 1.5 }],
])('%s leaves the most likely token', async ([, sampling]) => {
  const engine = await open()
  const best = await engine.generate(asked('a small text'))
  expect((await engine.generate(asked('a small text', { with: sampling }))).text).toBe(best.text)
})

describe('penalties', () => {
  test('change what is written', async () => {
    const engine = await open()
    const plain = await engine.generate(asked('again', { with: { maxTokens: 60 } }))
    for (const sampling of [{ repetitionPenalty: 2 }, { presencePenalty: 5 }, { frequencyPenalty: 5 }]) {
      const penalised = await engine.generate(asked('again', { with: { maxTokens: 60, ...sampling } }))
      expect(penalised.text).not.toBe(plain.text)
    }
  })

  test('that llama.cpp cannot tell apart are refused', async () => {
    const engine = await open()
    await expect(
      engine.generate(asked('a', { with: { repetitionPenalty: 2, presencePenalty: 1 } })),
    ).rejects.toMatchObject({
      code: 'ERR_ENGINE',
      message: expect.stringContaining('received both'),
    })
  })
})

describe('an answer ends', () => {
  test('before a stop text', async () => {
    const engine = await open()
    const { text } = await engine.generate(asked('a'))
    const stop = text.slice(4, 7)
    const stopped = await engine.generate(asked('a', { with: { stop: [stop, 'never written'] } }))
    expect(stopped).toMatchObject({ text: text.slice(0, text.indexOf(stop)), finish: 'stop' })
  })

  test('at a token that generation_config.json names', async () => {
    const plain = await open()
    const [written = []] = await byLlama(plain.description.gguf as string, 24)
    const last = written[6] as number
    const files = { 'generation_config.json': JSON.stringify({ eos_token_id: [279, last] }) }
    const engine = await open({}, await tinyModel({ files }))
    const place = written.indexOf(last)
    const tokenizer = new TextTokenizer(await readTokenizerFiles(model))
    expect(await engine.generate(asked(questions[0] as string))).toMatchObject({
      text: tokenizer.decode(written.slice(0, place)),
      finish: 'stop',
      usage: { completionTokens: place + 1 },
    })
  })

  test('where the context does', async () => {
    const engine = await open({ contextLength: 64 })
    const tokens = (await engine.countTokens(asked('a').prompt)) as number
    const generation = await engine.generate(asked('a', { with: { maxTokens: 1000 } }))
    expect(generation).toMatchObject({
      finish: 'length',
      maxTokens: 64 - tokens,
      usage: { completionTokens: 64 - tokens },
    })
    await expect(engine.generate(asked('x y '.repeat(60)))).rejects.toMatchObject({
      code: 'ERR_ENGINE',
      message: expect.stringContaining('context of 64 tokens'),
    })
  })
})

test('a template that opens the reasoning is told of, and a text is asked as it is', async () => {
  const template =
    "{% for m in messages %}{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}{{ '<think>\\n' }}{% endif %}"
  const path = await tinyModel({ files: { 'chat_template.jinja': template } })
  const engine = await open({}, path)
  const answer = await engine.generate(asked('again'))
  expect(answer.thinkOpened).toBe(true)
  const same = await engine.generate({ ...asked(''), prompt: { text: 'again<think>\n' } })
  expect(same).toMatchObject({ text: answer.text, thinkOpened: true })
})

describe('GGUF files', () => {
  const files = (directory: string) => readdirSync(join(directory, 'gguf')).sort()

  test('are written once for a content, wherever it lies', async () => {
    const own = temporaryDirectory()
    const stages: string[] = []
    await (await open({ cache: own }, model, stages)).close()
    expect(stages).toEqual(['hash', 'export', 'load'])
    const [name = ''] = files(own)
    const { ino } = statSync(join(own, 'gguf', name))
    const copy = join(temporaryDirectory(), 'elsewhere')
    cpSync(model, copy, { recursive: true })
    const again: string[] = []
    await (await open({ cache: own }, copy, again)).close()
    expect(again).not.toContain('export')
    expect(files(own)).toEqual([name])
    expect(statSync(join(own, 'gguf', name))).toMatchObject({ ino })
    writeFileSync(join(copy, 'generation_config.json'), '{"eos_token_id": 3}')
    const changed = await open({ cache: own }, copy)
    expect(changed.identity.model).not.toBe(name.slice(0, 64))
    expect(files(own).length).toBe(2)
  })

  test.for(['BF16', 'F16', 'F32'] as const)('are %s as the checkpoint', async (dtype) => {
    const engine = await open({}, await tinyModel({ dtype }))
    expect(engine.description).toMatchObject({ weights: dtype })
    expect((await engine.generate(asked('a'))).usage.completionTokens).toBe(24)
  })

  test('are not there after a kill, and written by the next who asks', async () => {
    const own = temporaryDirectory()
    const script = fileURLToPath(new URL('../../support/openThenDie.js', import.meta.url))
    await expect(promisify(execFile)(process.execPath, [script, model, own])).rejects.toMatchObject({
      signal: 'SIGKILL',
    })
    const left = files(own)
    expect(left.filter((name) => name.endsWith('.gguf'))).toEqual([])
    expect(left.length).toBeGreaterThan(0)
    const engine = await open({ cache: own })
    expect((await engine.generate(asked('a'))).text).toBe((await (await open()).generate(asked('a'))).text)
    expect(files(own).map((name) => name.endsWith('.gguf'))).toEqual([true])
  })

  const lastByte = (path: string) => {
    const bytes = readFileSync(path)
    bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1
    writeFileSync(path, bytes)
  }
  const spaced = (path: string) => writeFileSync(path, `${readFileSync(path, 'utf8')} `)
  const changes: Record<string, (path: string) => void> = {
    'model.safetensors': lastByte,
    'tokenizer.json': spaced,
    'config.json': spaced,
    'chat_template.jinja': (path) => writeFileSync(path, '{{ messages[0].content }}'),
  }

  test.for(
    Object.keys(changes).flatMap((name) => (['hash', 'export'] as const).map((stage) => [name, stage] as const)),
  )('are not kept of a checkpoint whose %s changes at the stage %s', async ([name, stage]) => {
    const own = temporaryDirectory()
    const copy = join(temporaryDirectory(), 'model')
    cpSync(model, copy, { recursive: true })
    let isChanged = false
    const onProgress = (progress: EngineProgress) => {
      if (progress.stage !== stage || isChanged) return
      isChanged = true
      changes[name]?.(join(copy, name))
    }
    await expect(openEngine({ path: copy, cache: own }, { onProgress })).rejects.toMatchObject({
      code: 'ERR_FILE_CHANGED',
    })
    expect(isChanged).toBe(true)
    expect(files(own)).toEqual([])
    const hashOf = async (path: string) =>
      (await CheckpointContent.open(path, undefined)).hash({ cache: temporaryDirectory() })
    const content = await CheckpointContent.open(copy, undefined)
    const { hash } = await cachedGguf(content, { cache: own, signal: undefined, onProgress: undefined })
    expect(hash).toBe(await hashOf(copy))
    expect(hash).not.toBe(await hashOf(model))
    expect(files(own)).toEqual([expect.stringContaining(hash)])
  })

  test('are not kept of a checkpoint whose index of shards changes, which says where each tensor lies', async () => {
    const own = temporaryDirectory()
    const copy = join(temporaryDirectory(), 'model')
    cpSync(model, copy, { recursive: true })
    const index = join(copy, 'model.safetensors.index.json')
    const { tensors } = await openCheckpoint(copy)
    renameSync(join(copy, 'model.safetensors'), join(copy, 'model-00001-of-00001.safetensors'))
    const weightMap = Object.fromEntries(tensors.map(({ name }) => [name, 'model-00001-of-00001.safetensors']))
    writeFileSync(index, JSON.stringify({ weight_map: weightMap }))
    let isChanged = false
    const onProgress = ({ stage }: EngineProgress) => {
      if (stage !== 'hash' || isChanged) return
      isChanged = true
      spaced(index)
    }
    await expect(openEngine({ path: copy, cache: own }, { onProgress })).rejects.toMatchObject({
      code: 'ERR_FILE_CHANGED',
    })
    expect([isChanged, files(own)]).toEqual([true, []])
  })

  test('of several who ask at once are one', async () => {
    const own = temporaryDirectory()
    const both = await Promise.all([open({ cache: own }), open({ cache: own })])
    const texts = await Promise.all(both.map(async (engine) => (await engine.generate(asked('a'))).text))
    expect(texts[0]).toBe(texts[1])
    expect(files(own).length).toBe(1)
  })
})

describe('an abort', () => {
  test('ends what is written and what waits, and others go on', async () => {
    const engine = await open({ concurrency: 1 })
    const controller = new AbortController()
    const { signal } = controller
    const long = { with: { maxTokens: 200 }, signal }
    const first = engine.generate(
      asked('a', { ...long, onTokens: (tokens) => tokens === 3 && controller.abort(new Error('enough')) }),
    )
    const results = await Promise.allSettled([
      first,
      engine.generate(asked('b', long)),
      engine.generate(asked('c', { signal })),
    ])
    for (const result of results) expect(result).toMatchObject({ status: 'rejected', reason: { message: 'enough' } })
    expect((await engine.generate(asked('a'))).usage.completionTokens).toBe(24)
  })

  test('closing does the same', async () => {
    const engine = await open({ concurrency: 1 })
    const answers = [engine.generate(asked('a', { with: { maxTokens: 200 } })), engine.generate(asked('b'))]
    const results = Promise.allSettled(answers)
    await engine.close()
    for (const result of await results)
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'ERR_ENGINE' } })
    await expect(engine.generate(asked('a'))).rejects.toMatchObject({ code: 'ERR_ENGINE' })
  })

  test('before anything is open', async () => {
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(openEngine({ path: model, cache }, { signal })).rejects.toThrow('enough')
  })
})

test('without node-llama-cpp the message has the command that installs it', async () => {
  const before = process.env.BRANCHMERGE_LLAMA
  try {
    process.env.BRANCHMERGE_LLAMA = ''
    await expect(openEngine({ path: model, cache })).rejects.toMatchObject({
      code: 'ERR_ENGINE_MISSING',
      message: expect.stringContaining('npm install node-llama-cpp'),
    })
    process.env.BRANCHMERGE_LLAMA = '/nowhere'
    await expect(openEngine({ path: model, cache })).rejects.toMatchObject({
      code: 'ERR_ENGINE_MISSING',
      message: expect.stringContaining('/nowhere'),
    })
  } finally {
    process.env.BRANCHMERGE_LLAMA = before
  }
})

test('a file that llama.cpp cannot load is an error, and the process lives', async () => {
  const own = temporaryDirectory()
  await (await open({ cache: own })).close()
  const [name = ''] = readdirSync(join(own, 'gguf'))
  const path = join(own, 'gguf', name)
  writeFileSync(path, readFileSync(path).subarray(0, 5000))
  await expect(open({ cache: own })).rejects.toMatchObject({
    code: 'ERR_ENGINE',
    message: expect.stringContaining(path),
  })
})

test.for<[needs: Parameters<typeof allot>[0], expected: object]>([
  // 57,344 bytes a token is Qwen2.5-7B's.
  [
    { bytesPerToken: 57_344, bytesFree: 40e9, trained: 131_072, contextLength: undefined, concurrency: undefined },
    { contextLength: 40_960, sequences: 8 },
  ],
  [
    { bytesPerToken: 57_344, bytesFree: 6e9, trained: 131_072, contextLength: undefined, concurrency: undefined },
    { contextLength: 40_960, sequences: 2 },
  ],
  [
    { bytesPerToken: 57_344, bytesFree: 1e9, trained: 131_072, contextLength: undefined, concurrency: undefined },
    { contextLength: 17_438, sequences: 1 },
  ],
  [
    { bytesPerToken: 57_344, bytesFree: 6e9, trained: 4096, contextLength: undefined, concurrency: undefined },
    { contextLength: 4096, sequences: 8 },
  ],
  [
    { bytesPerToken: 57_344, bytesFree: 1e9, trained: 4096, contextLength: 8192, concurrency: 3 },
    { contextLength: 8192, sequences: 3 },
  ],
])('memory is allotted: %j', ([needs, expected]) => {
  expect(allot(needs)).toEqual(expected)
})

test('a memory that holds no answer is said', () => {
  const needs = {
    bytesPerToken: 57_344,
    bytesFree: 1e6,
    trained: 4096,
    contextLength: undefined,
    concurrency: undefined,
  }
  expect(() => allot(needs)).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_MEMORY' }))
})
