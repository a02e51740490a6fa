import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** A request as the server got it. */
export interface Received {
  method: string
  path: string
  headers: IncomingMessage['headers']
  // biome-ignore lint/suspicious/noExplicitAny: whatever was sent
  body: any
}

export type Script = (received: Received, response: ServerResponse) => void | Promise<void>

/** A server that does what its script says with each request, also what no server should. */
export class ScriptedServer {
  readonly received: Received[] = []
  outstanding = 0
  mostOutstanding = 0

  private constructor(
    private readonly server: Server,
    readonly url: string,
    public script: Script,
  ) {}

  /** @param secret - with it, over TLS */
  static async start(script: Script, port = 0, secret?: { cert: string; key: string }): Promise<ScriptedServer> {
    const listener = (request: IncomingMessage, response: ServerResponse) => {
      self.outstanding++
      self.mostOutstanding = Math.max(self.mostOutstanding, self.outstanding)
      response.on('close', () => self.outstanding--)
      const pieces: Buffer[] = []
      request.on('data', (piece) => pieces.push(piece))
      request.on('end', () => {
        const text = Buffer.concat(pieces).toString('utf8')
        const received = {
          method: request.method ?? '',
          path: request.url ?? '',
          headers: request.headers,
          body: text === '' ? undefined : JSON.parse(text),
        }
        self.received.push(received)
        void self.script(received, response)
      })
    }
    const server = secret ? createSecureServer(secret, listener) : createServer(listener)
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
    const url = `${secret ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
    const self = new ScriptedServer(server, url, script)
    return self
  }

  /** Requests for answers, without those that ask what the server is. */
  get asked(): Received[] {
    return this.received.filter(({ path }) => path.endsWith('completions'))
  }

  /** Resolves when all that clients sent before they ended has been received. */
  async disconnected(): Promise<void> {
    const connections = () =>
      new Promise<number>((resolve, reject) =>
        this.server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
      )
    while ((await connections()) > 0) await sleep(5)
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
  }
}

export const json = (response: ServerResponse, value: unknown, status = 200, headers = {}): void => {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(JSON.stringify(value))
}

/** The head of a stream of events. */
export const beginEvents = (response: ServerResponse): void => {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
}

export const chunkOf = (delta: object, finish: string | null = null, rest: object = {}): string =>
  `data: ${JSON.stringify({ object: 'chat.completion.chunk', model: 'served', choices: [{ index: 0, delta, finish_reason: finish }], ...rest })}\n\n`

export const usageChunk = (prompt: number, completion: number): string =>
  `data: ${JSON.stringify({ choices: [], usage: { prompt_tokens: prompt, completion_tokens: completion } })}\n\n`

/** A stream as a good server sends it. */
export const streamOf = (texts: readonly string[], finish = 'stop'): string =>
  [
    chunkOf({ role: 'assistant', content: '' }),
    ...texts.map((content) => chunkOf({ content })),
    chunkOf({}, finish),
    usageChunk(7, texts.length),
    'data: [DONE]\n\n',
  ].join('')

/** Answers what the client asks about the server, and short answers to its probe; everything else is the script's. */
export function withProbe(
  script: Script,
  { models = [{ id: 'served', owned_by: 'somebody' }] as object[], other = {} as Record<string, unknown> } = {},
): Script {
  return (received, response) => {
    const { path, body } = received
    if (path === '/v1/models') return json(response, { object: 'list', data: models })
    if (path in other) return json(response, other[path])
    const isProbe =
      path.endsWith('completions') && body?.max_tokens === 8 && JSON.stringify(body).includes('Say hello.')
    if (isProbe) {
      beginEvents(response)
      response.end(streamOf(['Hello']))
      return
    }
    if (path.endsWith('completions')) return script(received, response)
    return json(response, { error: { message: 'Not Found' } }, 404)
  }
}
