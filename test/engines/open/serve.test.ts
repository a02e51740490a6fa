import { spawn } from 'node:child_process'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { beforeAll, expect, test } from 'vitest'
import { type EngineProgress, openEngine } from '../../../lib/engines/open/openEngine.js'
import { temporaryDirectory, temporaryDirectoryOfFile } from '../../support/temporary.js'
import { tinyModel } from '../../support/tinyModel.js'

const server = fileURLToPath(new URL('../../support/servedModel.js', import.meta.url))
const command = (mode: string) => `'${process.execPath}' '${server}' {model} {port} ${mode}`

let model: string
beforeAll(async () => {
  const directory = temporaryDirectoryOfFile()
  process.env.XDG_CACHE_HOME = join(directory, 'cache')
  model = await tinyModel({ directory })
})

const question = {
  prompt: { messages: [{ role: 'user' as const, content: 'Hello?' }] },
  sampling: {
    temperature: 0,
    topP: 1,
    topK: 0,
    minP: 0,
    repetitionPenalty: 1,
    presencePenalty: 0,
    frequencyPenalty: 0,
    maxTokens: 20,
    stop: [],
  },
  seed: 1,
}

interface Processes {
  worker: number
  server: number
}

/** What the server and its worker are, as it printed it; nothing before it did. */
function printedIn(log: string): Processes | undefined {
  const [, worker, server] = /^worker (\d+), server (\d+)\n/m.exec(readFileSync(log, 'utf8')) ?? []
  return worker === undefined ? undefined : { worker: Number(worker), server: Number(server) }
}

/** The same of a server that runs: what it prints comes to its log a little later. */
async function processesOf(log: string): Promise<Processes> {
  for (;;) {
    const printed = printedIn(log)
    if (printed) return printed
    await sleep(20)
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    // One that has ended and that nobody asked for runs no longer.
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

async function untilEnded(pid: number): Promise<void> {
  expect(pid).toBeGreaterThan(1)
  while (isRunning(pid)) await sleep(20)
}

test('a command serves a model until the engine is closed, its workers as well', async () => {
  const log = join(temporaryDirectory(), 'log')
  const engine = await openEngine({ path: model, serve: command('good'), log })
  const { worker } = await processesOf(log)
  expect(isRunning(worker)).toBe(true)
  expect(await engine.generate(question)).toMatchObject({ text: 'Hello', finish: 'stop' })
  // The content of the checkpoint and the command, not where they are.
  expect(engine.identity).toMatchObject({ kind: 'chat', model: expect.stringMatching(/^[0-9a-f]{64}$/) })
  expect(engine.identity.details).toEqual({ serve: command('good') })
  expect(engine.description).toMatchObject({ log })
  await engine.close()
  await untilEnded(worker)
})

test('one whose checkpoint changes before it answers is stopped: its key would be that of another', async () => {
  const copy = join(temporaryDirectory(), 'model')
  cpSync(model, copy, { recursive: true })
  const log = join(temporaryDirectory(), 'log')
  let isChanged = false
  const onProgress = ({ stage }: EngineProgress) => {
    if (stage !== 'start' || isChanged) return
    isChanged = true
    writeFileSync(join(copy, 'generation_config.json'), '{"eos_token_id": 3}')
  }
  await expect(openEngine({ path: copy, serve: command('good'), log }, { onProgress })).rejects.toMatchObject({
    code: 'ERR_FILE_CHANGED',
  })
  await untilEnded((await processesOf(log)).worker)
})

test('one that does not want to end is made to', async () => {
  const log = join(temporaryDirectory(), 'log')
  const engine = await openEngine({ path: model, serve: command('stubborn'), log })
  const { worker } = await processesOf(log)
  await engine.close()
  await untilEnded(worker)
  expect(readFileSync(log, 'utf8')).toContain('asked to end')
})

test('one that ends at once is told of, with what it printed', async () => {
  const log = join(temporaryDirectory(), 'log')
  await expect(openEngine({ path: model, serve: command('ends'), log })).rejects.toMatchObject({
    code: 'ERR_ENGINE',
    message: expect.stringMatching(/exit code 3.*out of memory: cannot load it/s),
  })
})

test('one that never answers is stopped after a while', async () => {
  const log = join(temporaryDirectory(), 'log')
  // Long enough for it to start its worker, however busy the machine is.
  for (let startTimeout = 1; ; startTimeout *= 2) {
    await expect(openEngine({ path: model, serve: command('silent'), log, startTimeout })).rejects.toMatchObject({
      code: 'ERR_ENGINE',
      message: expect.stringContaining(`within ${startTimeout} s`),
    })
    const printed = printedIn(log)
    if (!printed) continue
    await untilEnded(printed.worker)
    return
  }
})

test('an abort stops what is being started', async () => {
  const log = join(temporaryDirectory(), 'log')
  const controller = new AbortController()
  const opening = openEngine(
    { path: model, serve: command('silent'), log },
    {
      signal: controller.signal,
      onProgress: ({ stage }) => stage === 'start' && printedIn(log) && controller.abort(new Error('enough')),
    },
  )
  await expect(opening).rejects.toThrow('enough')
  const { worker, server } = await processesOf(log)
  await untilEnded(worker)
  await untilEnded(server)
})

test('one that dies later ends what is asked, and is not waited for', async () => {
  const log = join(temporaryDirectory(), 'log')
  const engine = await openEngine({ path: model, serve: command('dies'), log })
  try {
    const { server } = await processesOf(log)
    process.kill(server, 'SIGUSR2')
    await untilEnded(server)
    await expect(engine.generate(question)).rejects.toMatchObject({
      code: 'ERR_ENGINE',
      message: expect.stringContaining('exit code 5'),
    })
  } finally {
    await engine.close()
  }
})

test('a program that is not there is told of', async () => {
  await expect(openEngine({ path: model, serve: 'no-such-program {model} {port}' })).rejects.toMatchObject({
    code: 'ERR_ENGINE',
    message: expect.stringContaining('ENOENT'),
  })
})

test.for(['exit', 'kill'])('the end of this process is the end of the server: %s', async (how) => {
  const log = join(temporaryDirectory(), 'log')
  const script = fileURLToPath(new URL('../../support/serveAndExit.js', import.meta.url))
  const child = spawn(process.execPath, [script, model, command('good'), log, how], { stdio: 'inherit' })
  const ended = await new Promise((resolve) => child.once('exit', (code, signal) => resolve(signal ?? code)))
  expect(ended).toBe(how === 'kill' ? 'SIGKILL' : 0)
  const { worker, server } = await processesOf(log)
  await untilEnded(worker)
  await untilEnded(server)
})
