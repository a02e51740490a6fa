import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Dispatcher, request } from 'undici'
import { BranchMergeError } from '../errors.js'
import { version } from '../version.js'
import { FileContent } from './fileContent.js'
import { type Refusal, refusalError } from './hubError.js'
import type { HubSettings } from './settings.js'

export type Headers = Record<string, string>

export interface Answer {
  status: number
  /** Names in lower case. */
  headers: Headers
  body: Dispatcher.ResponseData['body']
  /** Where it came from, after redirects. */
  url: string
}

export interface Ask {
  method?: 'GET' | 'HEAD' | 'POST' | 'PUT'
  headers?: Headers
  /** Made anew for each try. */
  body?: () => Dispatcher.DispatchOptions['body'] | Promise<Dispatcher.DispatchOptions['body']>
  signal?: AbortSignal | undefined
  /** What messages call it: "the model org/name". */
  subject: string
  /** Answers besides 2xx that the caller takes. */
  accepts?: readonly number[]
  /** It writes: what is refused is a matter of the token. */
  writing?: boolean
  /** Default: follow. Only within one host, as a renamed repository needs. */
  redirects?: 'follow' | 'return'
}

interface Client {
  request: typeof request
  dispatcher: Dispatcher
}

const tries = 6
const firstWait = 250
const longestWait = 60_000
const maxRedirects = 5
/** Of an error's body. */
const maxMessage = 4096

/**
 * Asks the Hub and the stores that it sends to: by the proxies of the environment, again after what passes (429, 5xx, lost
 * connections), with the token to the Hub alone. @huggingface/hub gives up at the first of these.
 */
export class Transport {
  private client: Promise<Client> | undefined
  private readonly origin: string

  constructor(readonly settings: HubSettings) {
    this.origin = new URL(settings.endpoint).origin
  }

  async close(): Promise<void> {
    await (await this.client)?.dispatcher.destroy()
  }

  /**
   * @throws ERR_HUB_NOT_FOUND, ERR_HUB_ACCESS, ERR_HUB_UNAVAILABLE; the signal's reason after an abort
   */
  async ask(url: string, ask: Ask): Promise<Answer> {
    if (this.settings.offline) {
      throw new BranchMergeError(
        'ERR_HUB_UNAVAILABLE',
        `Cannot ask the Hub for ${ask.subject}: HF_HUB_OFFLINE is set, and it is not in the cache, ${this.settings.cache}`,
      )
    }
    for (let failures = 1; ; failures++) {
      const found = await this.once(url, ask, maxRedirects).catch((cause: Error) => {
        ask.signal?.throwIfAborted()
        if (cause instanceof BranchMergeError) throw cause
        return this.connectionFailure(cause, ask.subject)
      })
      const failure = found instanceof BranchMergeError ? found : await this.failureOf(found, ask)
      if (failure === undefined) return found as Answer
      const wait = waitAfter(found, failures)
      if (wait === undefined || failures === tries) throw failure
      await sleep(wait, undefined, ask.signal ? { signal: ask.signal } : {}).catch(() => ask.signal?.throwIfAborted())
    }
  }

  /** The whole body as text. */
  async text(url: string, ask: Ask): Promise<{ answer: Answer; text: string }> {
    const answer = await this.ask(url, ask)
    return { answer, text: await answer.body.text() }
  }

  /** For @huggingface/hub: with the token, the tries and the errors of this. */
  fetchFor(subject: string, signal: AbortSignal | undefined, more: Pick<Ask, 'writing'> = {}): typeof fetch {
    return async (input, init = {}) => {
      const { method = 'GET', body } = init
      const made = () =>
        body instanceof FileContent
          ? body.send()
          : body instanceof Blob
            ? Readable.from(streamOf(body))
            : (body as string)
      const length = body instanceof Blob ? { 'content-length': `${body.size}` } : {}
      const answer = await this.ask(String(input), {
        method: method as 'GET',
        headers: { ...withoutToken(init.headers), ...length },
        ...(body ? { body: made } : {}),
        signal: init.signal ?? signal,
        subject,
        ...more,
      })
      const content = Buffer.from(await answer.body.arrayBuffer())
      return new Response(answer.status === 204 ? null : content, { status: answer.status, headers: answer.headers })
    }
  }

  private async once(url: string, ask: Ask, redirects: number): Promise<Answer> {
    const { method = 'GET', headers = {}, signal } = ask
    const own = new URL(url).origin === this.origin
    this.client ??= openClient()
    const { request, dispatcher } = await this.client
    const answer = await request(url, {
      method,
      headers: {
        'user-agent': `branchmerge/${version}; node/${process.versions.node}`,
        'accept-encoding': 'identity',
        ...headers,
        ...(own && this.settings.token !== undefined ? { authorization: `Bearer ${this.settings.token}` } : {}),
      },
      ...(ask.body ? { body: (await ask.body()) ?? null } : {}),
      dispatcher,
      ...(signal ? { signal } : {}),
    })
    const found = { status: answer.statusCode, headers: flat(answer.headers), body: answer.body, url }
    const { location } = found.headers
    if (location === undefined || !isRedirect(found.status)) return found
    const target = new URL(location, url)
    if (ask.redirects === 'return' && target.origin !== this.origin) return found
    if (redirects === 0 || (target.origin !== new URL(url).origin && method !== 'GET' && method !== 'HEAD')) {
      throw new BranchMergeError('ERR_HUB_UNAVAILABLE', `The Hub redirects without end for ${ask.subject}`)
    }
    await answer.body.dump()
    return await this.once(target.href, ask, redirects - 1)
  }

  private async failureOf(answer: Answer, ask: Ask): Promise<BranchMergeError | undefined> {
    const { status } = answer
    if ((status >= 200 && status < 300) || ask.accepts?.includes(status)) return undefined
    if (ask.redirects === 'return' && isRedirect(status)) return undefined
    const own = new URL(answer.url).origin === this.origin
    const refusal = await refusalOf(answer)
    const { token } = this.settings
    if (own) return refusalError(refusal, ask.subject, { hasToken: token !== undefined, writing: ask.writing === true })
    const { host } = new URL(answer.url)
    return new BranchMergeError('ERR_HUB_UNAVAILABLE', `The store ${host} answered ${status} for ${ask.subject}`)
  }

  private connectionFailure(cause: NodeJS.ErrnoException, subject: string): BranchMergeError {
    const why = cause.code ?? (cause.cause as NodeJS.ErrnoException | undefined)?.code ?? cause.message
    return new BranchMergeError(
      'ERR_HUB_UNAVAILABLE',
      `Cannot reach the Hub at ${this.settings.endpoint} for ${subject}: ${why}`,
    )
  }
}

/** Loaded with the first request: it takes a fifth of a second, and most models lie on this machine. */
async function openClient(): Promise<Client> {
  const { EnvHttpProxyAgent, request } = await import('undici')
  // Idle times of a slow store; connections are few, and each is kept.
  const dispatcher = new EnvHttpProxyAgent({
    headersTimeout: 60_000,
    bodyTimeout: 60_000,
    connect: { timeout: 20_000 },
  })
  return { request, dispatcher }
}

/** The library writes one even where it has none. */
function withoutToken(given: RequestInit['headers']): Headers {
  const headers = new globalThis.Headers(given)
  headers.delete('authorization')
  return Object.fromEntries(headers)
}

async function* streamOf(blob: Blob): AsyncGenerator<Uint8Array> {
  for await (const piece of blob.stream() as unknown as AsyncIterable<Uint8Array>) yield piece
}

const isRedirect = (status: number): boolean => [301, 302, 303, 307, 308].includes(status)

function flat(headers: Record<string, string | string[] | undefined>): Headers {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, Array.isArray(value) ? value.join(', ') : value] as const],
    ),
  )
}

async function refusalOf({ status, headers, body }: Answer): Promise<Refusal> {
  const text = (await body.text().catch(() => '')).slice(0, maxMessage)
  return { status, code: headers['x-error-code'], message: headers['x-error-message'] ?? messageIn(text) }
}

function messageIn(text: string): string | undefined {
  try {
    const { error } = JSON.parse(text) as { error?: unknown }
    return typeof error === 'string' ? error : undefined
  } catch {
    return undefined
  }
}

/** Milliseconds until the next try; undefined for what will not pass. */
function waitAfter(found: Answer | BranchMergeError, failures: number): number | undefined {
  const usual = firstWait * 2 ** (failures - 1)
  if (found instanceof BranchMergeError) return usual
  if (![408, 429, 500, 502, 503, 504].includes(found.status)) return undefined
  const said = Number(found.headers['retry-after'] ?? Number.NaN) * 1000
  if (Number.isNaN(said)) return usual
  return said > longestWait ? undefined : said
}
