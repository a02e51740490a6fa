import { setMaxListeners } from 'node:events'
import { join } from 'node:path'
import { type DecoderShape, decoderShape, readConfigJson } from '../../checkpoint/decoderShape.js'
import { readJsonObject } from '../../checkpoint/readConfig.js'
import { BranchMergeError } from '../../errors.js'
import { memoryOfProcess, threadsOfProcess } from '../../machineLimits.js'
import { CheckpointContent } from '../checkpointContent.js'
import type { Engine, EngineIdentity, Generation, GenerationRequest, Prompt, Sampling } from '../generation.js'
import { openPromptRenderer, opensReasoning, type PromptRenderer } from '../promptRenderer.js'
import { type Allotment, allot } from './allotment.js'
import { type CachedGguf, cachedGguf } from './ggufCache.js'
import {
  type Llama,
  type LlamaContext,
  type LlamaModel,
  type LlamaSequence,
  loadLlamaModule,
  missing,
} from './llamaCpp.js'

export interface EmbeddedSettings {
  path: string
  cache: string
  concurrency: number | undefined
  contextLength: number | undefined
  gpuLayers: number | undefined
  threads: number | undefined
}

export interface EmbeddedProgress {
  stage: 'hash' | 'export' | 'load'
  done: number
  total: number
}

/** llama.cpp's sign for "any seed". */
const anySeed = 0xffffffff
/** What llama.cpp and Node need beside the model and its caches. */
const spareBytes = 2 ** 30
/** Weights that a thread reads for a token. With less to do, threads wait for each other longer than they compute. */
const bytesPerThread = 32 * 2 ** 20
/** Tokens that are computed at once. */
const batchSize = 512

/**
 * A model in this process, through llama.cpp.
 *
 * @throws ERR_ENGINE_MISSING without node-llama-cpp; ERR_OUT_OF_MEMORY; ERR_ENGINE where llama.cpp cannot load the model; what reading
 *   the checkpoint and writing its GGUF file throw; the signal's reason after an abort
 */
export async function openEmbeddedEngine(
  settings: EmbeddedSettings,
  signal: AbortSignal | undefined,
  onProgress: ((progress: EmbeddedProgress) => void) | undefined,
): Promise<Engine> {
  const { path } = settings
  // First, so that nobody waits for an export in vain.
  const { module, version } = await loadLlamaModule()
  const content = await CheckpointContent.open(path, signal)
  const config = await readConfigJson(join(path, 'config.json'))
  const shape = decoderShape(config, join(path, 'config.json'))
  const renderer = await openPromptRenderer(path)
  const ends = await endTokens(path, config, renderer)
  const gguf = await cachedGguf(content, {
    cache: settings.cache,
    signal,
    onProgress: (stage, done, total) => onProgress?.({ stage, done, total }),
  })
  const threads = settings.threads ?? Math.min(threadsOfProcess(), Math.ceil(gguf.bytes / bytesPerThread))
  const log = new LlamaLog()
  const llama = await module
    .getLlama({
      gpu: 'auto',
      build: 'never',
      skipDownload: true,
      maxThreads: threads,
      logLevel: 'error',
      logger: log.add,
    })
    .catch((cause) => {
      throw missing(cause)
    })
  try {
    const loaded = await load(llama, gguf, shape, trainedLength(config), { ...settings, threads }, signal, (done) =>
      onProgress?.({ stage: 'load', done, total: 1 }),
    )
    return new EmbeddedEngine({ ...loaded, llama, gguf, renderer, ends, version, threads })
  } catch (error) {
    await llama.dispose()
    if (signal?.aborted) throw signal.reason
    if (error instanceof BranchMergeError) throw error
    const isMemory = error instanceof module.InsufficientMemoryError
    throw new BranchMergeError(
      isMemory ? 'ERR_OUT_OF_MEMORY' : 'ERR_ENGINE',
      `llama.cpp cannot load ${path} (${gguf.path}): ${(error as Error).message}${log.text()}` +
        (isMemory ? '. Set a smaller concurrency, contextLength or gpuLayers.' : ''),
      { cause: error },
    )
  }
}

interface Loaded {
  model: LlamaModel
  context: LlamaContext
  allotment: Allotment
}

async function load(
  llama: Llama,
  gguf: CachedGguf,
  shape: DecoderShape,
  trained: number,
  { contextLength, concurrency, gpuLayers, threads }: EmbeddedSettings & { threads: number },
  signal: AbortSignal | undefined,
  onProgress: (done: number) => void,
): Promise<Loaded> {
  const bytesPerToken = 4 * shape.layers * shape.keyValueHeads * shape.headDim
  const free = async () => (llama.gpu === false ? memoryOfProcess() - spareBytes : (await llama.getVramState()).free)
  const before = await free()
  const needs = { bytesPerToken, contextLength, concurrency, trained }
  const first = allot({ ...needs, bytesFree: before - (llama.gpu === false ? gguf.bytes : 0) })
  const model = await llama.loadModel({
    modelPath: gguf.path,
    gpuLayers: gpuLayers ?? { fitContext: { contextSize: first.contextLength } },
    onLoadProgress: onProgress,
    ...(signal && { loadSignal: signal }),
  })
  const isOnGpu = llama.gpu !== false && model.gpuLayers > 0
  const bytesFree = isOnGpu ? 0.9 * (await free()) : memoryOfProcess() - spareBytes - gguf.bytes
  const allotment = allot({ ...needs, bytesFree })
  const context = await model.createContext({
    sequences: allotment.sequences,
    contextSize: allotment.contextLength,
    threads,
    batchSize,
    ...(signal && { createSignal: signal }),
  })
  return { model, context, allotment }
}

/** Tokens that the model was trained with. */
function trainedLength({ max_position_embeddings: length }: Record<string, unknown>): number {
  return typeof length === 'number' && length > 0 ? length : 4096
}

/** Ids that end an answer: of generation_config.json, config.json and the tokenizer's eos_token. */
async function endTokens(
  path: string,
  config: Record<string, unknown>,
  { tokenizer }: PromptRenderer,
): Promise<ReadonlySet<number>> {
  const generation = await readJsonObject(join(path, 'generation_config.json'))
  const { eos_token: text } = tokenizer.namedTokens
  const named = text === undefined ? undefined : tokenizer.idOf(text)
  const listed = [generation?.json.eos_token_id, config.eos_token_id, named].flat()
  return new Set(listed.filter((id): id is number => Number.isInteger(id)))
}

/** The end of what llama.cpp complained of. */
class LlamaLog {
  private readonly lines: string[] = []

  readonly add = (_: string, message: string): void => {
    this.lines.push(message.trim())
    if (this.lines.length > 20) this.lines.shift()
  }

  text(): string {
    return this.lines.length > 0 ? `\n${this.lines.join('\n')}` : ''
  }
}

interface Parts extends Loaded {
  llama: Llama
  gguf: CachedGguf
  renderer: PromptRenderer
  ends: ReadonlySet<number>
  version: string
  threads: number
}

interface Waiting {
  resolve: (sequence: LlamaSequence) => void
  reject: (reason: unknown) => void
}

class EmbeddedEngine implements Engine {
  readonly identity: EngineIdentity
  readonly description: Readonly<Record<string, unknown>>
  readonly concurrency: number
  private readonly free: LlamaSequence[]
  private readonly waiting: Waiting[] = []
  private readonly running = new Set<Promise<unknown>>()
  private readonly closing = new AbortController()

  constructor(private readonly parts: Parts) {
    const { llama, model, context, gguf, allotment, renderer, version, threads } = parts
    // Every answer that is on its way, or waits, listens.
    setMaxListeners(0, this.closing.signal)
    this.concurrency = allotment.sequences
    this.free = Array.from({ length: allotment.sequences }, () => context.getSequence())
    this.identity = { kind: 'embedded', model: gguf.hash, details: { weights: gguf.dtype, cache: 'F16' } }
    this.description = {
      engine: 'embedded',
      program: `node-llama-cpp ${version}`,
      llamaCpp: llama.llamaCppRelease.release,
      gpu: llama.gpu,
      gpuLayers: model.gpuLayers,
      threads,
      gguf: gguf.path,
      weights: gguf.dtype,
      cache: 'F16',
      contextLength: allotment.contextLength,
      concurrency: allotment.sequences,
      template: renderer.templateHash,
      // vLLM and Transformers apply the temperature first, so that top_p and min_p keep less at temperatures below 1.
      samplers: ['penalties', 'top_k', 'top_p', 'min_p', 'temperature'],
    }
  }

  async generate(request: GenerationRequest): Promise<Generation> {
    const { signal } = request
    const begun = performance.now()
    signal?.throwIfAborted()
    checkSampling(request.sampling)
    const text = this.parts.renderer.render(request.prompt)
    const prompt = this.parts.renderer.tokenizer.encode(text)
    const limit = this.limitFor(prompt.length, request.sampling.maxTokens)
    const sequence = await this.take(signal)
    request.onStart?.()
    const work = this.write(sequence, prompt, limit, request).finally(() => this.giveBack(sequence))
    this.running.add(work)
    const settled = work.finally(() => this.running.delete(work))
    settled.catch(() => {}) // whoever was aborted no longer waits for it
    const answer = await untilAborted(settled, signal, this.closing.signal)
    return {
      text: answer.text,
      reasoning: null,
      thinkOpened: opensReasoning(text),
      finish: answer.finish,
      usage: { promptTokens: prompt.length, completionTokens: answer.tokens, exact: true },
      times: {
        first: answer.first === null ? null : Math.round(answer.first - begun),
        last: Math.round(performance.now() - begun),
      },
      attempts: 1,
      maxTokens: limit,
      server: 'embedded',
    }
  }

  countTokens(prompt: Prompt): Promise<number | null> {
    const { renderer } = this.parts
    return Promise.resolve(renderer.tokenizer.encode(renderer.render(prompt)).length)
  }

  async close(): Promise<void> {
    if (this.closing.signal.aborted) return
    const reason = new BranchMergeError('ERR_ENGINE', 'The engine was closed before the answer was there')
    this.closing.abort(reason)
    for (const { reject } of this.waiting.splice(0)) reject(reason)
    // llama.cpp must not lose what it computes with.
    await Promise.allSettled(this.running)
    await this.parts.llama.dispose()
  }

  private limitFor(prompt: number, asked: number): number {
    const { contextLength } = this.parts.allotment
    if (prompt === 0) throw new BranchMergeError('ERR_ENGINE', 'Expected a prompt of at least one token')
    if (prompt < contextLength) return Math.min(asked, contextLength - prompt)
    throw new BranchMergeError(
      'ERR_ENGINE',
      `Expected a prompt that fits into the context of ${contextLength} tokens but it has ${prompt}. ` +
        'Set a larger contextLength, where the model and the memory allow it, or leave the question out.',
    )
  }

  private async write(
    sequence: LlamaSequence,
    prompt: readonly number[],
    limit: number,
    { sampling, seed, signal, onTokens }: GenerationRequest,
  ): Promise<Written> {
    const { model, renderer, ends } = this.parts
    const written: number[] = []
    const stops = new StopTexts(sampling.stop, (tokens) => renderer.tokenizer.decode(tokens))
    let first: number | null = null
    const tokens = sequence.evaluate(prompt, samplerOptions(sampling, seed, prompt, written))
    const closing = this.closing.signal
    for await (const token of tokens) {
      if (signal?.aborted || closing.aborted) throw signal?.aborted ? signal.reason : closing.reason
      first ??= performance.now()
      if (ends.has(token) || model.isEogToken(token)) {
        // The token that ends an answer is one of those that a server counts.
        return { text: renderer.tokenizer.decode(written), finish: 'stop', tokens: written.length + 1, first }
      }
      written.push(token)
      onTokens?.(written.length)
      const stopped = stops.find(written)
      if (stopped !== undefined) return { text: stopped, finish: 'stop', tokens: written.length, first }
      if (written.length >= limit) break
    }
    return { text: renderer.tokenizer.decode(written), finish: 'length', tokens: written.length, first }
  }

  private take(signal: AbortSignal | undefined): Promise<LlamaSequence> {
    if (this.closing.signal.aborted) return Promise.reject(this.closing.signal.reason)
    const sequence = this.free.pop()
    if (sequence) return Promise.resolve(sequence)
    return new Promise((resolve, reject) => {
      const abort = () => {
        const place = this.waiting.indexOf(entry)
        if (place >= 0) this.waiting.splice(place, 1)
        reject(signal?.reason)
      }
      const entry: Waiting = {
        resolve: (found) => {
          signal?.removeEventListener('abort', abort)
          resolve(found)
        },
        reject,
      }
      signal?.addEventListener('abort', abort, { once: true })
      this.waiting.push(entry)
    })
  }

  private async giveBack(sequence: LlamaSequence): Promise<void> {
    await sequence.clearHistory()
    const next = this.waiting.shift()
    if (next) next.resolve(sequence)
    else this.free.push(sequence)
  }
}

interface Written {
  text: string
  finish: 'stop' | 'length'
  tokens: number
  first: number | null
}

/** llama.cpp counts the same tokens for all of its penalties, others do not. */
function checkSampling({ repetitionPenalty, presencePenalty, frequencyPenalty }: Sampling): void {
  if (repetitionPenalty === 1 || (presencePenalty === 0 && frequencyPenalty === 0)) return
  throw new BranchMergeError(
    'ERR_ENGINE',
    'Expected repetitionPenalty, or presencePenalty and frequencyPenalty, but received both: the first counts the tokens of prompt ' +
      'and answer, the others those of the answer, and llama.cpp cannot tell them apart. Leave one out, or use a server.',
  )
}

function samplerOptions(
  { temperature, topP, topK, minP, repetitionPenalty, presencePenalty, frequencyPenalty, maxTokens }: Sampling,
  seed: number,
  prompt: readonly number[],
  written: readonly number[],
): Parameters<LlamaSequence['evaluate']>[1] {
  const isRepetition = repetitionPenalty !== 1
  const isPenalised = isRepetition || presencePenalty !== 0 || frequencyPenalty !== 0
  return {
    temperature,
    topK,
    topP,
    minP,
    seed: seed === anySeed ? 0x7fffffff : seed,
    yieldEogToken: true,
    ...(isPenalised && {
      repeatPenalty: {
        punishTokens: () => (isRepetition ? [...prompt, ...written] : [...written]),
        maxPunishTokens: maxTokens + (isRepetition ? prompt.length : 0),
        penalty: repetitionPenalty,
        frequencyPenalty,
        presencePenalty,
      },
    }),
  }
}

/** Looks for the texts that end an answer, in what the last tokens add to it. */
class StopTexts {
  /** Tokens at the end that can hold such a text, or the beginning of one: none has less than a character but parts of one. */
  private readonly window: number

  constructor(
    private readonly stops: readonly string[],
    private readonly decode: (tokens: readonly number[]) => string,
  ) {
    this.window = 8 + Math.max(0, ...stops.map((stop) => Buffer.byteLength(stop)))
  }

  /** The answer without what begins with such a text; undefined where there is none. */
  find(written: readonly number[]): string | undefined {
    if (this.stops.length === 0) return undefined
    const end = this.decode(written.slice(-this.window))
    if (!this.stops.some((stop) => end.includes(stop))) return undefined
    const whole = this.decode(written)
    const places = this.stops.map((stop) => whole.indexOf(stop)).filter((place) => place >= 0)
    return places.length === 0 ? undefined : whole.slice(0, Math.min(...places))
  }
}

/** The result, or the reason of the first signal that is aborted before it is there. */
async function untilAborted<T>(work: Promise<T>, ...signals: (AbortSignal | undefined)[]): Promise<T> {
  const listeners: (() => void)[] = []
  const aborted = new Promise<never>((_, reject) => {
    for (const signal of signals) {
      if (!signal) continue
      const abort = () => reject(signal.reason)
      if (signal.aborted) abort()
      signal.addEventListener('abort', abort, { once: true })
      listeners.push(() => signal.removeEventListener('abort', abort))
    }
  })
  try {
    return await Promise.race([work, aborted])
  } finally {
    for (const remove of listeners) remove()
  }
}
