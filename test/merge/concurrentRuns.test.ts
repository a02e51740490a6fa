import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { merge, verify } from '../../lib/index.js'
import { fileNames, hashFiles, isPartial } from '../support/directoryContents.js'
import { type CommandResult, preload, runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'
import { writePair } from '../support/writeCheckpoint.js'

interface Held {
  child: ChildProcess
  /** Of the command, when it has gone on and ended. */
  result: Promise<CommandResult>
  goOn(): Promise<CommandResult>
}

/** Starts a command and waits until it is about to do what `at` matches. */
async function hold(args: string[], at: string): Promise<Held> {
  let child: ChildProcess | undefined
  const env = { NODE_OPTIONS: preload('holdAt.js'), BRANCHMERGE_TEST_HOLD_AT: at }
  const result = runCommand(args, { env, onStart: (started) => (child = started) })
  const running = child as unknown as ChildProcess
  await Promise.race([once(running.stderr as NodeJS.ReadableStream, 'data'), result])
  expect(running.exitCode).toBeNull()
  return {
    child: running,
    result,
    goOn: () => {
      running.kill('SIGUSR2')
      return result
    },
  }
}

async function setUp() {
  const directory = temporaryDirectory()
  const { left, right } = writePair(directory)
  const models = { a: left.path, b: right.path }
  const named = Object.entries(models).flatMap(([name, path]) => ['--model', `${name}=${path}`])
  const line = (out: string) => ['merge', 'a & b', ...named, '--out', out, '--max-shard-size', '10KB', '--json']
  const whole = join(directory, 'whole')
  await merge('a & b', { models, out: whole, maxShardSize: '10KB' })
  return { directory, line, expected: hashFiles(whole), out: join(directory, 'out') }
}

const outcome = ({ code, stdout }: CommandResult) => [code, code === 0 ? undefined : JSON.parse(stdout).error]
const refused = (pid: number | undefined) => [
  1,
  { code: 'ERR_OUTPUT_EXISTS', message: expect.stringContaining(`Process ${pid} on `) },
]

test('of two that resume one output, the later is told of the other, and loses nothing of its work', async () => {
  const { line, expected, out } = await setUp()
  const resuming = [...line(out), '--resume']
  const interrupted = await hold(resuming, '^copyFile ')
  interrupted.child.kill('SIGKILL')
  await interrupted.result
  expect(fileNames(out).filter((name) => name.startsWith('journal.'))).toHaveLength(1)

  // This one has looked at the output, and found nobody at work.
  const late = await hold(resuming, '^open .*/claim\\.')
  // This one has read the inputs again, and is about to take the files.
  const first = await hold(resuming, '^rename .*/model-')
  expect(outcome(await late.goOn())).toEqual(refused(first.child.pid))
  expect(outcome(await runCommand(resuming))).toEqual(refused(first.child.pid))
  const { code, stdout } = await first.goOn()
  expect([code, JSON.parse(stdout).alreadyDone]).toEqual([0, false])
  expect(JSON.parse(stdout).bytesRead).toBe(0)
  expect(hashFiles(out)).toEqual(expected)
})

test('of two that begin a new directory, one finds the other there', async () => {
  const { directory, line, expected, out } = await setUp()
  const late = await hold(line(out), `^mkdir ${out}$`)
  // It has made the directory and written nothing but its claim.
  const first = await hold(line(out), `^open ${directory}$`)
  expect(fileNames(out)).toEqual([expect.stringMatching(/^claim\.\d+-/)])
  expect(outcome(await late.goOn())).toEqual(refused(first.child.pid))
  expect(outcome(await first.goOn())).toEqual([0, undefined])
  expect(hashFiles(out)).toEqual(expected)
})

test('of many that begin together, one merges and the others are refused', async () => {
  const { line, expected, out } = await setUp()
  const held = await Promise.all(Array.from({ length: 5 }, () => hold(line(out), `^mkdir ${out}$`)))
  const results = (await Promise.all(held.map(({ goOn }) => goOn()))).map(outcome)
  const [done, others] = [results.filter(([code]) => code === 0), results.filter(([code]) => code !== 0)]
  expect(done).toHaveLength(1)
  expect(others).toEqual(others.map(() => [1, expect.objectContaining({ code: 'ERR_OUTPUT_EXISTS' })]))
  expect(fileNames(out).filter(isPartial)).toEqual([])
  expect(hashFiles(out)).toEqual(expected)
  expect((await verify(out)).problems).toEqual([])
})

test('a claim that a killed process left is no hindrance', async () => {
  const { directory, line, expected, out } = await setUp()
  const killed = await hold(line(out), `^open ${directory}$`)
  killed.child.kill('SIGKILL')
  await killed.result
  expect(fileNames(out)).toHaveLength(1)
  expect(outcome(await runCommand(line(out)))).toEqual([0, undefined])
  expect(hashFiles(out)).toEqual(expected)
})
