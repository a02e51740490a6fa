import http from 'node:http'
import https from 'node:https'
import { connectionFailure, type HeaderValues, RequestFailure, statusFailure, withoutSecrets } from './failure.js'

/** Milliseconds; 0 is none. */
export interface Timeouts {
  connect: number
  /** Until the first byte of an answer, which waits in the server's queue. */
  firstByte: number
  /** Between two bytes afterwards. */
  idle: number
  total: number
}

/** Where a server is, and what is sent with every request. */
export interface Address {
  /** Base URL without its credentials, as messages and records show it. */
  readonly name: string
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  /** What must stand in no message. */
  readonly secrets: readonly string[]
}

export interface Exchange {
  method: 'GET' | 'POST'
  /** Behind the base URL, or behind its host where it begins with a slash. */
  path: string
  body?: unknown
  timeouts: Timeouts
  signal?: AbortSignal | undefined
  /** Called once, before the body; only of a 2xx answer. */
  onHead?: ((headers: HeaderValues) => void) | undefined
  onData: (bytes: Buffer) => void
  /** Asked after each piece: true where the answer is complete and the rest does not matter. */
  isComplete?: (() => boolean) | undefined
}

/** An error page of a proxy is read this far. */
const maxErrorBytes = 64 * 1024

/** Keeps connections, as many as there are requests. A dead peer is noticed by the keep-alives of TCP. */
export class Transport {
  private readonly agents: Agents = {
    'http:': new http.Agent({
      keepAlive: true,
      keepAliveMsecs: 30_000,
      maxSockets: Number.POSITIVE_INFINITY,
      maxFreeSockets: 4096,
    }),
    'https:': new https.Agent({
      keepAlive: true,
      keepAliveMsecs: 30_000,
      maxSockets: Number.POSITIVE_INFINITY,
      maxFreeSockets: 4096,
    }),
  }

  close(): void {
    for (const agent of Object.values(this.agents)) agent.destroy()
  }

  /** One request. Resolves at the end of a 2xx answer. @throws RequestFailure; the signal's reason after an abort */
  async exchange(address: Address, exchange: Exchange): Promise<void> {
    for (let again = 0; ; again++) {
      try {
        return await this.once(address, exchange)
      } catch (error) {
        // A kept connection that the server closed at this moment: nothing was lost, and it is no failure of the server.
        if (!(error instanceof StaleConnection) || again >= 3) {
          throw withoutSecrets(error instanceof StaleConnection ? error.failure : error, address.secrets)
        }
      }
    }
  }

  private once(address: Address, exchange: Exchange): Promise<void> {
    if (exchange.signal?.aborted) return Promise.reject(exchange.signal.reason)
    return new Promise<void>((resolve, reject) => new Sending(address, exchange, this.agents, resolve, reject))
  }

  /** The JSON that a GET or POST answers. @throws RequestFailure where it fails or is no JSON */
  async json(
    address: Address,
    method: 'GET' | 'POST',
    path: string,
    { body, timeouts, signal }: Pick<Exchange, 'body' | 'timeouts' | 'signal'>,
  ): Promise<unknown> {
    const pieces: Buffer[] = []
    await this.exchange(address, { method, path, body, timeouts, signal, onData: (bytes) => pieces.push(bytes) })
    const text = Buffer.concat(pieces).toString('utf8')
    try {
      return JSON.parse(text)
    } catch (cause) {
      const failure = new RequestFailure(
        'passing',
        `${address.name}/${path} answered no JSON: ${text.trim().slice(0, 100)}`,
        { cause },
      )
      throw withoutSecrets(failure, address.secrets)
    }
  }
}

interface Agents {
  'http:': http.Agent
  'https:': https.Agent
}

/** One request on its way. */
class Sending {
  private readonly request: http.ClientRequest
  /** As messages name it. */
  private readonly shown: string
  private readonly timers: NodeJS.Timeout[] = []
  private readonly firstByte: NodeJS.Timeout | undefined
  private idle: NodeJS.Timeout | undefined
  private isSettled = false
  private bytes = 0
  private readonly errorText: Buffer[] = []

  constructor(
    address: Address,
    private readonly exchange: Exchange,
    agents: Agents,
    private readonly resolve: () => void,
    private readonly reject: (error: unknown) => void,
  ) {
    const { method, path, body, timeouts, signal } = exchange
    const url = urlOf(address.url, path)
    this.shown = `${address.name}${path.startsWith('/') ? ` (${path})` : `/${path}`}`
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body))
    const protocol = url.protocol as keyof Agents
    const headers = {
      accept: 'text/event-stream, application/json',
      'user-agent': 'branchmerge',
      ...(payload && { 'content-type': 'application/json', 'content-length': payload.length }),
      ...address.headers,
    }
    this.request = (protocol === 'https:' ? https : http).request(url, { method, agent: agents[protocol], headers })
    signal?.addEventListener('abort', this.abort, { once: true })
    this.limit(timeouts.total, 'the answer took longer than the limit in all')
    this.firstByte = this.limit(timeouts.firstByte, 'no byte of an answer came within the limit')
    this.request.on('socket', (socket) => {
      if (!socket.connecting) return
      const connecting = this.limit(timeouts.connect, 'the connection was not made within the limit')
      socket.once(protocol === 'https:' ? 'secureConnect' : 'connect', () => clearTimeout(connecting))
    })
    this.request.on('error', this.fail)
    this.request.on('response', (response) => this.respond(response))
    this.request.end(payload)
  }

  private readonly abort = (): void => this.settle(this.exchange.signal?.reason)

  private readonly fail = (cause: NodeJS.ErrnoException): void => {
    const failure = connectionFailure(cause, this.shown)
    const isStale = this.request.reusedSocket && (cause.code === 'ECONNRESET' || cause.code === 'EPIPE')
    this.settle(isStale && this.bytes === 0 ? new StaleConnection(failure) : failure)
  }

  private settle(error?: unknown): void {
    if (this.isSettled) return
    this.isSettled = true
    for (const timer of this.timers) clearTimeout(timer)
    this.exchange.signal?.removeEventListener('abort', this.abort)
    if (error !== undefined) this.request.destroy()
    if (error === undefined) this.resolve()
    else this.reject(error)
  }

  private limit(milliseconds: number, what: string): NodeJS.Timeout | undefined {
    if (milliseconds <= 0) return undefined
    const timer = setTimeout(() => {
      this.settle(new RequestFailure('passing', `${this.shown}: ${what} (${milliseconds / 1000} s)`))
    }, milliseconds)
    this.timers.push(timer)
    return timer
  }

  private respond(response: http.IncomingMessage): void {
    const status = response.statusCode ?? 0
    const isGood = status >= 200 && status < 300
    response.on('data', (piece: Buffer) => {
      if (this.isSettled) return
      this.countTime()
      this.bytes += piece.length
      if (isGood) this.take(piece, response)
      else if (this.bytes <= maxErrorBytes) this.errorText.push(piece)
    })
    response.on('end', () => {
      const text = () => Buffer.concat(this.errorText).toString('utf8')
      this.settle(isGood ? undefined : statusFailure(status, response.headers, text(), this.shown))
    })
    response.on('error', (cause) => this.settle(connectionFailure(cause, this.shown)))
    response.on('close', () => {
      if (response.complete) return
      this.settle(new RequestFailure('passing', `${this.shown}: the connection ended within the answer`))
    })
    if (isGood) this.exchange.onHead?.(response.headers)
  }

  private countTime(): void {
    if (this.bytes > 0) this.idle?.refresh()
    else {
      clearTimeout(this.firstByte)
      this.idle = this.limit(this.exchange.timeouts.idle, 'nothing came within the limit between two pieces')
    }
  }

  private take(piece: Buffer, response: http.IncomingMessage): void {
    try {
      this.exchange.onData(piece)
    } catch (error) {
      this.settle(error)
      return
    }
    if (!this.exchange.isComplete?.()) return
    this.settle()
    // What is left is passed over, so that the connection can be used again; one that never ends is not kept.
    const timer = setTimeout(() => this.request.destroy(), 5000)
    response.once('close', () => clearTimeout(timer))
  }
}

/** The connection was kept from an earlier request and is gone. */
class StaleConnection extends Error {
  constructor(readonly failure: RequestFailure) {
    super(failure.message)
  }
}

/** `chat/completions` behind http://host/v1, `/version` behind the host and what stands before `/v1`. The query stays. */
function urlOf(base: URL, path: string): URL {
  const url = new URL(base)
  const root = base.pathname.replace(/\/+$/, '')
  url.pathname = path.startsWith('/') ? root.replace(/\/v\d+$/, '') + path : `${root}/${path}`
  return url
}
