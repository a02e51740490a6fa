import { BranchMergeError } from '../../errors.js'
import { userCache } from '../../files/userCache.js'
import { withDefaults } from '../../options/option.js'
import { checkFunction, checkOptionNames, checkSignal } from '../../validate.js'
import { CheckpointContent } from '../checkpointContent.js'
import { openEmbeddedEngine } from '../embedded/embeddedEngine.js'
import type { Engine } from '../generation.js'
import { openPromptRenderer } from '../promptRenderer.js'
import { openServerEngine, type ServerSettings } from '../server/serverEngine.js'
import type { Address } from '../server/transport.js'
import { clientKeys, servedKeys, timeoutKeys } from './engineKeys.js'
import type { ClientOptions, ServedSpec, ServerSpec } from './engineOptions.js'
import { checkEngineSpec, type EngineSpec, isServedSpec, isServerSpec, withAbsolutePaths } from './engineSpec.js'
import { serveModel } from './serve.js'

/** How far the start of an engine is. */
export interface EngineProgress {
  /**
   * `hash` and `export`: bytes of the checkpoint; `load`: of 1; `start`: seconds since the command that serves it was started,
   * whose number nobody knows.
   */
  stage: 'hash' | 'export' | 'load' | 'start'
  done: number
  total: number | undefined
}

export interface OpenEngineOptions {
  signal?: AbortSignal | undefined
  onProgress?: ((progress: EngineProgress) => void) | undefined
}

/**
 * Makes an engine ready to answer. Whoever opens it closes it.
 *
 * @throws ERR_INVALID_ARGUMENT for the spec; ERR_ENGINE where a server does not answer or refuses; ERR_ENGINE_MISSING where what
 *   answers is not installed; what reading a checkpoint throws; the signal's reason after an abort
 */
export async function openEngine(spec: EngineSpec, options: OpenEngineOptions = {}): Promise<Engine> {
  const { onProgress } = options
  checkOptionNames(options, ['signal', 'onProgress'])
  const signal = checkSignal(options.signal)
  checkFunction(onProgress, 'onProgress')
  const checked = withAbsolutePaths(checkEngineSpec(spec))
  signal?.throwIfAborted()
  if (isServerSpec(checked)) return await openServers(checked, signal)
  if (isServedSpec(checked)) return await openServed(checked, signal, onProgress)
  const { path, concurrency, contextLength, gpuLayers, threads } = checked
  const settings = { path, cache: checked.cache ?? userCache(), concurrency, contextLength, gpuLayers, threads }
  return await openEmbeddedEngine(settings, signal, onProgress)
}

async function openServers(spec: ServerSpec, signal: AbortSignal | undefined): Promise<Engine> {
  const renderer = spec.tokenizer === undefined ? undefined : await openPromptRenderer(spec.tokenizer)
  if (spec.api === 'completions' && renderer?.templateHash === null) {
    throw new BranchMergeError(
      'ERR_CHAT_TEMPLATE',
      `Expected a chat template in ${spec.tokenizer} for api: completions but there is none`,
    )
  }
  const key = keyOf(spec)
  const addresses = spec.urls.map((url) => addressOf(url, key, spec.headers))
  return await openServerEngine({ ...clientSettings(spec), addresses, model: spec.model, renderer }, signal)
}

/** The answers are those of the checkpoint and the command, wherever both lie: its content is part of their keys. */
async function openServed(
  spec: ServedSpec,
  signal: AbortSignal | undefined,
  onProgress: OpenEngineOptions['onProgress'],
): Promise<Engine> {
  const content = await CheckpointContent.open(spec.path, signal)
  const hash = await content.hash({
    cache: userCache(),
    signal,
    onProgress: (done, total) => onProgress?.({ stage: 'hash', done, total }),
  })
  const renderer = await openPromptRenderer(spec.path)
  const served = await serveModel({
    path: spec.path,
    command: spec.serve,
    startTimeout: (spec.startTimeout ?? servedKeys.startTimeout.default) * 1000,
    log: spec.log,
    signal,
    onWait: (seconds) => onProgress?.({ stage: 'start', done: seconds, total: undefined }),
  })
  try {
    const settings = {
      ...clientSettings(spec),
      addresses: [addressOf(served.url, undefined, {})],
      model: spec.model,
      renderer,
    }
    const engine = await openServerEngine(settings, signal)
    // The server has read the files after they were hashed.
    await content.checkUnchanged().catch(async (error) => {
      await engine.close()
      throw error
    })
    return new ServedEngine(engine, served, { hash, command: spec.serve })
  } catch (error) {
    await served.stop()
    throw served.ended.aborted ? served.ended.reason : error
  }
}

type Served = Awaited<ReturnType<typeof serveModel>>

/** An engine over a server that lives as long as it does. */
class ServedEngine implements Engine {
  readonly identity: Engine['identity']
  readonly concurrency: number

  constructor(
    private readonly engine: Engine,
    private readonly served: Served,
    { hash, command }: { hash: string; command: string },
  ) {
    const { kind, details } = engine.identity
    this.identity = { kind, model: hash, details: { ...details, serve: command } }
    this.concurrency = engine.concurrency
  }

  get description(): Engine['description'] {
    return { ...this.engine.description, log: this.served.log }
  }

  /** A server that is gone does not come back: its end is the error, and nobody waits for it. */
  async generate(request: Parameters<Engine['generate']>[0]): ReturnType<Engine['generate']> {
    const { ended } = this.served
    if (ended.aborted) throw ended.reason
    const controller = new AbortController()
    const stop = () => controller.abort(ended.aborted ? ended.reason : request.signal?.reason)
    const signals = [ended, ...(request.signal ? [request.signal] : [])]
    for (const signal of signals) signal.addEventListener('abort', stop, { once: true })
    if (request.signal?.aborted) stop()
    try {
      return await this.engine.generate({ ...request, signal: controller.signal })
    } finally {
      for (const signal of signals) signal.removeEventListener('abort', stop)
    }
  }

  countTokens(prompt: Parameters<Engine['countTokens']>[0]): Promise<number | null> {
    return this.engine.countTokens(prompt)
  }

  async close(): Promise<void> {
    await this.engine.close()
    await this.served.stop()
  }
}

function clientSettings(options: ClientOptions): Omit<ServerSettings, 'addresses' | 'model' | 'renderer'> {
  const {
    timeouts = {},
    api,
    concurrency,
    requestsPerMinute,
    tokensPerMinute,
    attempts,
  } = withDefaults(clientKeys, options)
  const { connect, firstByte, idle, total, down } = withDefaults(timeoutKeys, timeouts)
  return {
    api,
    concurrency,
    requestsPerMinute,
    tokensPerMinute,
    attempts,
    timeouts: { connect: connect * 1000, firstByte: firstByte * 1000, idle: idle * 1000, total: total * 1000 },
    down: down * 1000,
  }
}

function keyOf({ apiKey, apiKeyVariable }: ServerSpec): string | undefined {
  if (apiKeyVariable === undefined) return apiKey
  const key = process.env[apiKeyVariable]
  if (key) return key
  throw new BranchMergeError(
    'ERR_INVALID_ARGUMENT',
    `Expected the key of the server in the variable ${apiKeyVariable} but it is not set`,
  )
}

/** Whatever is secret is taken out of the URL. */
function addressOf(text: string, key: string | undefined, extra: Readonly<Record<string, string>> = {}): Address {
  const url = new URL(text)
  const { username, password } = url
  url.username = ''
  url.password = ''
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  const basic = username === '' ? undefined : Buffer.from(credentials).toString('base64')
  const bare = Object.entries(extra).map(([name, value]) => [name.toLowerCase(), value] as const)
  const headers = {
    ...(basic !== undefined && { authorization: `Basic ${basic}` }),
    ...(key !== undefined && { authorization: `Bearer ${key}` }),
    ...Object.fromEntries(bare),
  }
  const query = [...url.searchParams.values()]
  const secrets = [key, basic, password, ...Object.values(extra), ...query].filter(
    (each) => each !== undefined && each.length >= 4,
  )
  return { name: `${url.origin}${url.pathname}`.replace(/\/+$/, ''), url, headers, secrets: secrets as string[] }
}
