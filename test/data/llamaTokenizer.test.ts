import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startLlama } from '../llama/llama.js'
import { dialogue, encoderOf, fixtureTokenizer, shippedTemplate, texts, tokenizerText } from './support.js'

type Llama = Awaited<ReturnType<typeof startLlama>>

/** Kinds of metadata values in GGUF. */
const [uint32, int32, float32, string, array] = [4, 5, 6, 8, 9] as const

/** A GGUF file with a vocabulary and no tensor, which is all that tokenizing takes. */
function vocabularyFile(): Buffer {
  const { added_tokens, model } = JSON.parse(tokenizerText)
  const tokens: string[] = []
  for (const [token, id] of Object.entries(model.vocab as Record<string, number>)) tokens[id] = token
  const types = tokens.map(() => 1)
  for (const { id, content, special } of added_tokens) {
    tokens[id] = content
    types[id] = special ? 3 : 4 // control, user-defined
  }
  const parts: Buffer[] = []
  const u32 = (value: number) => parts.push(Buffer.from(Uint32Array.of(value).buffer))
  const u64 = (value: number) => parts.push(Buffer.from(BigUint64Array.of(BigInt(value)).buffer))
  const text = (value: string) => {
    u64(Buffer.byteLength(value))
    parts.push(Buffer.from(value))
  }
  const entries: [key: string, kind: number, write: () => void][] = []
  const put = (key: string, kind: number, write: () => void) => entries.push([key, kind, write])
  put('general.architecture', string, () => text('qwen2'))
  for (const [key, value] of Object.entries({
    context_length: 128,
    embedding_length: 32,
    block_count: 1,
    feed_forward_length: 32,
    'attention.head_count': 1,
  })) {
    put(`qwen2.${key}`, uint32, () => u32(value))
  }
  put('qwen2.attention.layer_norm_rms_epsilon', float32, () => parts.push(Buffer.from(Float32Array.of(1e-6).buffer)))
  put('tokenizer.ggml.model', string, () => text('gpt2'))
  put('tokenizer.ggml.pre', string, () => text('qwen2'))
  put('tokenizer.ggml.eos_token_id', uint32, () => u32(4095))
  const list = (key: string, kind: number, values: readonly unknown[], write: (value: never) => void) =>
    put(key, array, () => {
      u32(kind)
      u64(values.length)
      for (const value of values) write(value as never)
    })
  list('tokenizer.ggml.tokens', string, tokens, text)
  list('tokenizer.ggml.token_type', int32, types, u32)
  const merges = (model.merges as (string | string[])[]).map((merge) =>
    Array.isArray(merge) ? merge.join(' ') : merge,
  )
  list('tokenizer.ggml.merges', string, merges, text)
  parts.push(Buffer.from('GGUF'))
  u32(3)
  u64(0)
  u64(entries.length)
  for (const [key, kind, write] of entries) {
    text(key)
    u32(kind)
    write()
  }
  return Buffer.concat(parts)
}

const directory = mkdtempSync(join(tmpdir(), 'branchmerge-test-'))
let llama: Llama
let tokenize: (text: string) => number[]

beforeAll(async () => {
  writeFileSync(join(directory, 'vocabulary.gguf'), vocabularyFile())
  llama = await startLlama('disabled')
  const model = await llama.loadModel({ modelPath: join(directory, 'vocabulary.gguf'), vocabOnly: true })
  tokenize = (text) => model.tokenize(text, true).map(Number)
})

afterAll(async () => {
  await llama?.dispose()
  rmSync(directory, { recursive: true })
})

// llama.cpp does not bring text into normal form C, which the tokenizer asks for.
test.each(Object.keys(texts))('llama.cpp has the same ids: %s', (name) => {
  const text = (texts[name] as string).normalize('NFC')
  expect(fixtureTokenizer().encode(text)).toEqual(tokenize(text))
})

test('of whole conversations', () => {
  for (const name of ['chatml', 'deepseekr1', 'llama3']) {
    const encoder = encoderOf(shippedTemplate(name))
    const messages = dialogue(texts['english'] as string, texts['chinese'] as string, texts['cpp'] as string, 'ok')
    const rendered = encoder.template.documents({ messages, tools: undefined }, false).flat()
    const [document] = encoder.encode({ messages, tools: undefined })
    expect([...(document?.tokens ?? [])]).toEqual(
      rendered.flatMap(({ source, target }) => [...tokenize(source), ...tokenize(target)]),
    )
  }
})
