import { type ChildProcess, spawn } from 'node:child_process'
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { Readable, Writable } from 'node:stream'

type Parameters = Record<string, unknown>
interface Reply {
  id?: number
  method?: string
  params?: Parameters
  result?: Parameters
  error?: { message: string }
}

const names = ['chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome']

function chromium(): string {
  const directories = (process.env['PATH'] ?? '').split(delimiter)
  for (const path of names.flatMap((name) => directories.map((directory) => join(directory, name)))) {
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // Another place may have it.
    }
  }
  throw new Error(
    `This test needs Chromium: expected one of ${names.join(', ')} in PATH. "test/setup.sh all" installs it.`,
  )
}

/** One page of a headless Chromium, driven by the DevTools protocol over its pipe. */
export class BrowserPage {
  /** Addresses that were asked for, and what the console and the page's policy said. */
  readonly requests: string[] = []
  readonly messages: string[] = []
  private readonly waiting = new Map<number, (reply: Reply) => void>()
  private readonly profile = mkdtempSync(join(tmpdir(), 'branchmerge-browser-'))
  private readonly process: ChildProcess
  private session: string | undefined
  private last = 0
  private loaded: (() => void) | undefined

  private constructor() {
    this.process = spawn(
      chromium(),
      [
        '--headless',
        '--no-sandbox',
        '--disable-gpu',
        '--disable-dev-shm-usage',
        '--remote-debugging-pipe',
        `--user-data-dir=${this.profile}`,
        'about:blank',
      ],
      { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] },
    )
    let text = ''
    const output = this.process.stdio[4] as Readable
    output.setEncoding('utf8').on('data', (piece: string) => {
      text += piece
      const replies = text.split('\0')
      text = replies.pop() ?? ''
      for (const reply of replies) this.receive(JSON.parse(reply))
    })
  }

  static async start(): Promise<BrowserPage> {
    const page = new BrowserPage()
    const { targetInfos } = (await page.send('Target.getTargets')) as {
      targetInfos: { type: string; targetId: string }[]
    }
    const targetId = targetInfos.find(({ type }) => type === 'page')?.targetId
    page.session = (await page.send('Target.attachToTarget', { targetId, flatten: true }))['sessionId'] as string
    for (const domain of ['Page', 'Network', 'Runtime', 'Log']) await page.send(`${domain}.enable`)
    return page
  }

  async open(address: string): Promise<void> {
    const loaded = new Promise<void>((resolve) => {
      this.loaded = resolve
    })
    await this.send('Page.navigate', { url: address })
    await loaded
  }

  /** What an expression gives, as JSON; a promise is waited for. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', {
      expression,
      returnByValue: true,
      awaitPromise: true,
    })
    if (exceptionDetails) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`)
    return (result as { value: T }).value
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.process.once('exit', resolve))
    this.process.kill()
    await ended
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 })
  }

  send(method: string, params: Parameters = {}): Promise<Parameters> {
    const id = ++this.last
    const input = this.process.stdio[3] as Writable
    input.write(`${JSON.stringify({ id, method, params, ...(this.session && { sessionId: this.session }) })}\0`)
    return new Promise((resolve, reject) => {
      this.waiting.set(id, ({ result, error }) =>
        error ? reject(new Error(`${method}: ${error.message}`)) : resolve(result ?? {}),
      )
    })
  }

  private receive(reply: Reply): void {
    if (reply.id !== undefined) {
      this.waiting.get(reply.id)?.(reply)
      this.waiting.delete(reply.id)
      return
    }
    const params = reply.params as never as {
      request: { url: string }
      args: { value: unknown }[]
      entry: { text: string }
      exceptionDetails: unknown
    }
    if (reply.method === 'Network.requestWillBeSent') this.requests.push(params.request.url)
    if (reply.method === 'Page.loadEventFired') this.loaded?.()
    if (reply.method === 'Runtime.consoleAPICalled') this.messages.push(params.args.map(({ value }) => value).join(' '))
    if (reply.method === 'Log.entryAdded') this.messages.push(params.entry.text)
    if (reply.method === 'Runtime.exceptionThrown') this.messages.push(JSON.stringify(params.exceptionDetails))
    if (reply.method === 'Page.javascriptDialogOpening') this.messages.push('a dialog')
  }
}
