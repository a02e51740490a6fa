import { BranchMergeError } from '../../errors.js'
import type { Engine, EngineIdentity, Generation, GenerationRequest, Prompt, Sampling } from '../generation.js'
import { opensReasoning, type PromptRenderer } from '../promptRenderer.js'
import { type Answer, AnswerReader } from './answer.js'
import { type Clock, sleep, systemClock } from './clock.js'
import { EventReader } from './eventStream.js'
import { RequestFailure, withoutSecrets } from './failure.js'
import { ModelServer } from './modelServer.js'
import {
  accepted,
  contextNumbers,
  isContextRefusal,
  optionalParameters,
  samplerParameters,
  unknownParameter,
} from './parameters.js'
import { loadedContext, probeServer } from './probe.js'
import { Router, type Turn } from './router.js'
import { type Address, type Timeouts, Transport } from './transport.js'

/** How servers are asked. */
export interface ServerSettings {
  addresses: readonly Address[]
  /** Undefined: the only one that they serve. */
  model: string | undefined
  /** What becomes of messages: the server's chat template, or ours and a text. */
  api: 'chat' | 'completions'
  /** Of the checkpoint that they serve. */
  renderer: PromptRenderer | undefined
  /** Requests at the same time to each server at most. */
  concurrency: number
  requestsPerMinute: number | undefined
  tokensPerMinute: number | undefined
  /** Requests for an answer at most, while a server can be reached. */
  attempts: number
  timeouts: Timeouts
  /** Milliseconds for which nothing may answer at all. */
  down: number
}

const firstPause = 1000
const longestPause = 60_000
/** Tokens that a template may write around messages, beside those of their texts. */
const templateTokens = 1024
const recentAnswers = 50

/**
 * An engine over servers that speak the API of OpenAI.
 *
 * @throws ERR_ENGINE where a server does not answer, or answers what cannot be used; the signal's reason after an abort
 */
export async function openServerEngine(
  settings: ServerSettings,
  signal: AbortSignal | undefined,
  clock: Clock = systemClock,
): Promise<Engine> {
  const transport = new Transport()
  try {
    const servers = settings.addresses.map((address) => new ModelServer(address, transport))
    const models = await Promise.all(servers.map((server) => probeServer(server, settings.model, clock, signal)))
    const [model] = models as [string]
    const other = models.findIndex((each) => each !== model)
    if (other > 0) {
      throw new BranchMergeError(
        'ERR_ENGINE',
        `Expected one model behind all URLs but ${servers[0]?.url} serves ${model} and ${servers[other]?.url} ${models[other]}: ` +
          'write the name behind a URL, #name',
      )
    }
    const engine = new ServerEngine(settings, servers, model, transport, clock)
    await engine.probeAnswers(signal)
    return engine
  } catch (error) {
    transport.close()
    throw error
  }
}

/** What the requests for one answer have come to. */
interface Tries {
  attempts: number
  /** Those that count against the limit. */
  failures: number
  unreachableSince: number | undefined
  /** Limit of tokens after a refusal. */
  shrunk: number | undefined
}

class ServerEngine implements Engine {
  readonly identity: EngineIdentity
  readonly concurrency: number
  private readonly router: Router<ModelServer>
  private readonly active = new Set<AbortController>()
  private readonly recent: number[] = []
  private closed = false

  constructor(
    private readonly settings: ServerSettings,
    private readonly servers: readonly ModelServer[],
    private readonly model: string,
    private readonly transport: Transport,
    private readonly clock: Clock,
  ) {
    const { api, concurrency, renderer } = settings
    this.identity = {
      kind: api,
      model,
      details: api === 'completions' && renderer ? { template: renderer.templateHash } : {},
    }
    this.concurrency = concurrency * servers.length
    this.router = new Router(servers, concurrency, clock, settings)
  }

  get description(): Readonly<Record<string, unknown>> {
    const { api, model, servers, settings } = this
    const { concurrency, requestsPerMinute, tokensPerMinute, attempts, timeouts, down } = settings
    return {
      engine: 'server',
      api,
      model,
      servers: servers.map((server) => server.describe()),
      concurrency,
      requestsPerMinute: requestsPerMinute ?? null,
      tokensPerMinute: tokensPerMinute ?? null,
      attempts,
      timeouts: { ...timeouts, down },
    }
  }

  private get api(): 'chat' | 'completions' {
    return this.settings.api
  }

  async generate(request: GenerationRequest): Promise<Generation> {
    return await this.withSignal(request.signal, (signal) => this.persist(request, signal))
  }

  async countTokens(prompt: Prompt): Promise<number | null> {
    return await this.withSignal(undefined, async (signal) => {
      const server = this.servers.find(({ countsTokens }) => countsTokens) ?? (this.servers[0] as ModelServer)
      return (await this.tokensOf(server, prompt, signal)) ?? null
    })
  }

  close(): Promise<void> {
    if (this.closed) return Promise.resolve()
    this.closed = true
    const reason = closedError()
    this.router.close(reason)
    for (const controller of this.active) controller.abort(reason)
    this.transport.close()
    return Promise.resolve()
  }

  /** A short answer from every server, to see which parameters it takes and which fields it has. */
  async probeAnswers(signal: AbortSignal | undefined): Promise<void> {
    const sampling: Sampling = {
      temperature: 0.6,
      topP: 0.95,
      topK: 0,
      minP: 0,
      repetitionPenalty: 1,
      presencePenalty: 0,
      frequencyPenalty: 0,
      maxTokens: 8,
      stop: [],
    }
    const text = 'Say hello.'
    const { api, settings } = this
    const hasTemplate = settings.renderer !== undefined && settings.renderer.templateHash !== null
    const prompt: Prompt = api === 'chat' || hasTemplate ? { messages: [{ role: 'user', content: text }] } : { text }
    const request = { prompt, sampling, seed: 0 }
    await Promise.all(
      this.servers.map(async (server) => {
        const router = new Router([server], 1, this.clock, { requestsPerMinute: undefined, tokensPerMinute: undefined })
        try {
          await this.persist(request, signal, router)
        } catch (error) {
          const found = await this.findRefused(server, request, signal, error)
          if (!found) throw error
        }
        await loadedContext(server, this.model, signal)
      }),
    )
  }

  /** Where a server refuses the request and does not say why: without all that is optional, then with one after the other. */
  private async findRefused(
    server: ModelServer,
    request: GenerationRequest,
    signal: AbortSignal | undefined,
    error: unknown,
  ): Promise<boolean> {
    const failure = error instanceof BranchMergeError ? error.cause : undefined
    const status = failure instanceof RequestFailure ? failure.details.status : undefined
    if (status !== 400 && status !== 422) return false
    const words = (failure as RequestFailure).message
    const open = optionalParameters.filter((name) => !server.acceptance.refused.has(name) && name !== 'stream')
    const works = async () => {
      try {
        await this.once(server, request, request.sampling.maxTokens, signal)
        return true
      } catch (cause) {
        if (cause instanceof RequestFailure && cause.kind === 'refused') return false
        throw cause
      }
    }
    for (const name of open) server.acceptance.refused.set(name, words)
    if (!(await works())) {
      for (const name of open) server.acceptance.refused.delete(name)
      return false
    }
    for (const name of open) {
      server.acceptance.refused.delete(name)
      if (!(await works())) server.acceptance.refused.set(name, words.slice(0, 300))
    }
    return true
  }

  private async withSignal<T>(outer: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.closed) throw closedError()
    outer?.throwIfAborted()
    const controller = new AbortController()
    const abort = () => controller.abort(outer?.reason)
    outer?.addEventListener('abort', abort, { once: true })
    this.active.add(controller)
    try {
      return await work(controller.signal)
    } finally {
      this.active.delete(controller)
      outer?.removeEventListener('abort', abort)
    }
  }

  /** Asks until there is an answer, or no sense in asking again. */
  private async persist(
    request: GenerationRequest,
    signal: AbortSignal | undefined,
    router = this.router,
  ): Promise<Generation> {
    const tries: Tries = { attempts: 0, failures: 0, unreachableSince: undefined, shrunk: undefined }
    for (;;) {
      const turn = await router.take(this.estimate(request), tries.attempts > 0, signal)
      if (tries.attempts++ === 0) request.onStart?.()
      let tokens: number | undefined
      let pause = 0
      try {
        const { generation, isWhole } = await this.attempt(turn, request, tries, router, signal)
        router.good(turn, isWhole)
        const { promptTokens, completionTokens } = generation.usage
        if (promptTokens !== null && completionTokens !== null) tokens = promptTokens + completionTokens
        this.remember(completionTokens)
        return generation
      } catch (error) {
        if (!(error instanceof RequestFailure)) throw error
        if (error.kind === 'refused') await this.adapt(turn.lane.server, request, error, tries, signal)
        else pause = this.pauseAfter(error, turn, tries, router)
      } finally {
        router.release(turn, tokens)
      }
      if (pause > 0) await sleep(this.clock, pause, signal)
    }
  }

  private async attempt(
    turn: Turn<ModelServer>,
    request: GenerationRequest,
    { attempts, shrunk }: Tries,
    router: Router<ModelServer>,
    signal: AbortSignal | undefined,
  ): Promise<{ generation: Generation; isWhole: boolean }> {
    const { server } = turn.lane
    const limit = shrunk ?? (await this.limitFor(server, request, signal))
    const onPiece = () => router.piece(turn)
    const { answer, begun, thinkOpened, isWhole } = await this.once(server, request, limit, signal, onPiece)
    return { generation: this.generation(answer, { begun, thinkOpened, attempts, limit, server }), isWhole }
  }

  /**
   * Milliseconds to wait after a failure, beside those for which nobody asks its server.
   *
   * @throws ERR_ENGINE where it was tried often enough
   */
  private pauseAfter(
    failure: RequestFailure,
    turn: Turn<ModelServer>,
    tries: Tries,
    router: Router<ModelServer>,
  ): number {
    const { kind, details } = failure
    const now = this.clock.now()
    if (kind === 'down' || details.status === 503) {
      tries.unreachableSince ??= now
      if (now - tries.unreachableSince >= this.settings.down) throw engineError(failure, tries)
    } else {
      tries.unreachableSince = undefined
      tries.failures++
      const isOver = details.said?.code === 'insufficient_quota'
      if (tries.failures >= this.settings.attempts || isOver) throw engineError(failure, tries)
    }
    if (kind === 'busy') router.busy(turn, details.wait)
    else if (kind === 'down') router.rest(turn, 500 + this.clock.random() * 4500)
    else return Math.max(details.wait ?? 0, this.jitter(tries.failures))
    return 0
  }

  /** Full jitter: anything up to a bound that doubles. */
  private jitter(failures: number): number {
    return this.clock.random() * Math.min(longestPause, firstPause * 2 ** (failures - 1))
  }

  /**
   * Changes what a server refused: the limit of tokens, once, or a parameter that it does not know.
   *
   * @throws ERR_ENGINE where nothing can be changed
   */
  private async adapt(
    server: ModelServer,
    request: GenerationRequest,
    failure: RequestFailure,
    tries: Tries,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { said, status } = failure.details
    const isAboutRequest = status === 400 || status === 413 || status === 422
    if (!said || !isAboutRequest) throw engineError(failure, tries)
    if (isContextRefusal(said)) {
      const room = tries.shrunk === undefined ? await this.roomAfter(server, request, said.message, signal) : undefined
      if (room === undefined) throw engineError(failure, tries)
      tries.shrunk = room
      return
    }
    const sent = this.bodyOf(server, request, request.prompt.text, request.sampling.maxTokens)
    const unknown = unknownParameter(said, sent)
    if (unknown === undefined || !server.refuse(unknown, said.message)) throw engineError(failure, tries)
  }

  /** Tokens for the answer that a refusal leaves; undefined where there are none, or it cannot be known. */
  private async roomAfter(
    server: ModelServer,
    { prompt, sampling }: GenerationRequest,
    message: string,
    signal: AbortSignal | undefined,
  ): Promise<number | undefined> {
    const numbers = contextNumbers(message)
    const context = numbers.context ?? server.contextLength
    if (context === undefined) return undefined
    server.contextLength = Math.min(context, server.contextLength ?? context)
    const count = numbers.prompt ?? (await this.tokensOf(server, prompt, signal))
    const room = count === undefined ? 0 : context - count
    return room > 0 && room < sampling.maxTokens ? room : undefined
  }

  /** Tokens that an answer may have: what was asked, or what is left of the context. */
  private async limitFor(
    server: ModelServer,
    { prompt, sampling }: GenerationRequest,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    const known = this.servers.flatMap(({ contextLength }) => contextLength ?? [])
    if (known.length === 0) return sampling.maxTokens
    const context = Math.min(...known)
    // No token has less than a byte.
    if (bytesOf(prompt) + templateTokens + sampling.maxTokens <= context) return sampling.maxTokens
    const count = await this.tokensOf(server, prompt, signal)
    if (count === undefined) return sampling.maxTokens
    if (count >= context) {
      throw new BranchMergeError(
        'ERR_ENGINE',
        `Expected a prompt that fits into the context of ${context} tokens of ${server.url} but it has ${count}. ` +
          'Start the server with a longer context, or leave the question out.',
      )
    }
    return Math.min(sampling.maxTokens, context - count)
  }

  private async tokensOf(
    server: ModelServer,
    prompt: Prompt,
    signal: AbortSignal | undefined,
  ): Promise<number | undefined> {
    const { renderer } = this.settings
    if (renderer && (prompt.text !== undefined || renderer.templateHash !== null)) {
      return renderer.tokenizer.encode(renderer.render(prompt)).length
    }
    return (await server.tokenize(this.model, prompt.text ?? prompt.messages, signal))?.length
  }

  private estimate({ prompt, sampling }: GenerationRequest): number {
    const { recent } = this
    const answer = recent.length > 0 ? recent.reduce((a, b) => a + b, 0) / recent.length : sampling.maxTokens
    return Math.ceil(bytesOf(prompt) / 4 + answer)
  }

  private remember(completionTokens: number | null): void {
    if (completionTokens === null) return
    this.recent.push(completionTokens)
    if (this.recent.length > recentAnswers) this.recent.shift()
  }

  private bodyOf(
    server: ModelServer,
    { prompt, sampling, seed }: GenerationRequest,
    rendered: string | readonly number[] | undefined,
    limit: number,
  ): Record<string, unknown> {
    const asked = rendered === undefined ? { messages: prompt.messages } : { prompt: rendered }
    const isText = typeof rendered === 'string'
    const body = {
      model: this.model,
      ...asked,
      stream: true,
      stream_options: { include_usage: true },
      max_tokens: limit,
      ...samplerParameters(sampling, seed, server.kind),
      ...(sampling.stop.length > 0 && { stop: sampling.stop }),
      // The text has the tokens that the tokenizer would put in front.
      ...(isText && server.kind !== 'deepseek' && { add_special_tokens: false }),
    }
    return accepted(body, server.acceptance)
  }

  /** One request for one answer. @throws RequestFailure */
  private async once(
    server: ModelServer,
    request: GenerationRequest,
    limit: number,
    signal: AbortSignal | undefined,
    onPiece?: () => void,
  ): Promise<{ answer: Answer; begun: number; thinkOpened: boolean; isWhole: boolean }> {
    const text = this.textOf(server, request.prompt)
    const rendered = text === undefined ? undefined : await this.promptFor(server, text, signal)
    const body = this.bodyOf(server, request, rendered, limit)
    const path = text === undefined ? 'chat/completions' : 'completions'
    const url = `${server.url}/${path}`
    const begun = this.clock.now()
    const onPieces = (pieces: number) => {
      onPiece?.()
      request.onTokens?.(pieces)
    }
    const reader = new AnswerReader({ url, now: () => this.clock.now(), onPieces })
    const events = new EventReader((data, event) => reader.event(data, event))
    let whole: Buffer[] | undefined
    await this.transport
      .exchange(server.address, {
        method: 'POST',
        path,
        body,
        timeouts: this.settings.timeouts,
        signal,
        onHead: (headers) => {
          if (!String(headers['content-type'] ?? '').includes('text/event-stream')) whole = []
        },
        onData: (bytes) => {
          if (whole) whole.push(bytes)
          else events.push(bytes)
        },
        isComplete: () => reader.isDone,
      })
      .catch((error) => {
        // All of the answer is there; only its end is missing.
        if (!(error instanceof RequestFailure) || error.details.said || reader.answer.finish === undefined) throw error
      })
    let answer: Answer
    try {
      answer = finishReading(reader, events, whole)
    } catch (error) {
      throw withoutSecrets(error, server.address.secrets)
    }
    server.reasoningField ??= answer.reasoningField
    server.reportsUsage = answer.completionTokens !== null
    server.systemFingerprint = answer.systemFingerprint ?? server.systemFingerprint
    server.servedModel = answer.model ?? server.servedModel
    const { isWhole } = reader
    if (isWhole) answer.pieces = 0
    const thinkOpened = text === undefined ? server.thinkOpened === true : opensReasoning(text)
    return { answer, begun, thinkOpened, isWhole }
  }

  /** The rendered prompt where a text is asked, undefined where the server renders. */
  private textOf(server: ModelServer, prompt: Prompt): string | undefined {
    if (prompt.text === undefined && this.api === 'chat') return undefined
    if (server.kind === 'ollama') {
      throw new BranchMergeError(
        'ERR_ENGINE',
        `Expected messages for ${server.url} but the prompt is a text: Ollama writes its template around every text. Use api: chat.`,
      )
    }
    if (prompt.text !== undefined) return prompt.text
    const { renderer } = this.settings
    if (!renderer) {
      throw new BranchMergeError(
        'ERR_ENGINE',
        'Expected the directory of the checkpoint as tokenizer: with api: completions its chat template writes the messages',
      )
    }
    return renderer.render(prompt)
  }

  /** Ids where a server would put a second begin of the text before the first. */
  private async promptFor(
    server: ModelServer,
    text: string,
    signal: AbortSignal | undefined,
  ): Promise<string | readonly number[]> {
    if (server.kind !== 'llama.cpp' && server.kind !== 'sglang') return text
    return this.settings.renderer?.tokenizer.encode(text) ?? (await server.tokenize(this.model, text, signal)) ?? text
  }

  private generation(
    answer: Answer,
    by: { begun: number; thinkOpened: boolean; attempts: number; limit: number; server: ModelServer },
  ): Generation {
    const { text, reasoning, finish = 'stop', promptTokens, completionTokens, pieces, first, last } = answer
    const isExact = completionTokens !== null && (completionTokens > 0 || pieces === 0)
    return {
      text,
      reasoning,
      thinkOpened: by.thinkOpened,
      finish,
      usage: {
        promptTokens,
        completionTokens: isExact
          ? completionTokens
          : pieces > 0 || (text === '' && reasoning === null)
            ? pieces
            : null,
        exact: isExact,
      },
      times: {
        first: first === null ? null : Math.round(first - by.begun),
        last: Math.round((first === null ? this.clock.now() : last) - by.begun),
      },
      attempts: by.attempts,
      maxTokens: by.limit,
      server: by.server.url,
    }
  }
}

function finishReading(reader: AnswerReader, events: EventReader, whole: readonly Buffer[] | undefined): Answer {
  const body = whole === undefined ? undefined : Buffer.concat(whole).toString('utf8').trim()
  // Some send events under another content type.
  if (body !== undefined && /^(data|event|:)/.test(body)) events.push(Buffer.from(body))
  else if (body !== undefined) reader.whole(body)
  events.end()
  return reader.end()
}

const closedError = () => new BranchMergeError('ERR_ENGINE', 'The engine was closed before the answer was there')

function engineError(failure: RequestFailure, { attempts }: Pick<Tries, 'attempts'>): BranchMergeError {
  const tries = attempts > 1 ? ` (${attempts} requests)` : ''
  return new BranchMergeError('ERR_ENGINE', `${failure.message}${tries}`, { cause: failure })
}

const bytesOf = ({ text, messages }: Prompt): number =>
  text === undefined
    ? messages.reduce((total, { content }) => total + Buffer.byteLength(content), 0)
    : Buffer.byteLength(text)
