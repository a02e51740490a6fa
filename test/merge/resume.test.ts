import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { merge } from '../../lib/index.js'
import { fileNames, hashFiles, isPartial, looksComplete } from '../support/directoryContents.js'
import { Random } from '../support/random.js'
import { rounds } from '../support/rounds.js'
import { runCommand } from '../support/runCommand.js'
import { writeLargePair } from '../support/writeLargePair.js'

let large: { directory: string; left: string; right: string }
let expected: ReturnType<typeof hashFiles>
let wholeBytes: number
/** A sequence over three models, into some twenty files. */
const argumentsFor = (out: string, ...extra: string[]) => [
  'merge',
  '((math & science) & coding)',
  ...['--model', `math=${large.left}`, '--model', `science=${large.right}`, '--model', `coding=${large.left}`],
  ...['--out', out, '--max-shard-size', '10MB', '--json', ...extra],
]

beforeAll(async () => {
  const directory = mkdtempSync(join(tmpdir(), 'branchmerge-resume-'))
  large = { directory, ...writeLargePair(directory, 24) }
  const out = join(directory, 'whole')
  const { code, stdout } = await runCommand(argumentsFor(out))
  expect(code).toBe(0)
  expected = hashFiles(out)
  wholeBytes = JSON.parse(stdout).bytesRead
  rmSync(out, { recursive: true })
})
afterAll(() => rmSync(large.directory, { recursive: true }))

/** What a run notes as it goes on: a line for what is safe. */
const journalPath = (out: string) => join(out, fileNames(out).find((name) => name.startsWith('journal.')) ?? 'journal')
const journalOf = (out: string) => (existsSync(journalPath(out)) ? readFileSync(journalPath(out), 'utf8') : '')
const linesIn = (out: string) => journalOf(out).split('\n').length - 1

/** Starts a run and kills it when it has noted so many lines more; false when it finished first. */
async function killAfter(out: string, lines: number): Promise<boolean> {
  const wanted = linesIn(out) + lines
  const { signal } = await runCommand(argumentsFor(out, '--resume'), {
    onStart: (child) => {
      const timer = setInterval(() => {
        if (child.exitCode !== null) clearInterval(timer)
        if (!fileNames(out).some((name) => isPartial(name)) || linesIn(out) < wanted) return
        clearInterval(timer)
        child.kill('SIGKILL')
      }, 2)
    },
  })
  return signal === 'SIGKILL'
}

async function finish(out: string): Promise<number> {
  const { code, stdout, stderr } = await runCommand(argumentsFor(out, '--resume'))
  expect([code, stderr]).toEqual([0, ''])
  expect(hashFiles(out)).toEqual(expected)
  return JSON.parse(stdout).bytesRead
}

describe('a merge that is cut off', () => {
  test('goes on after each of many kills at random moments, and ends with the same bytes', async () => {
    const out = join(large.directory, 'out')
    const random = new Random(3)
    const wanted = rounds({ all: 50, quick: 6 })
    let spared = 0
    for (let kills = 0; kills < wanted; ) {
      const killed = await killAfter(out, random.below(8))
      if (killed) kills++
      if (!looksComplete(out)) {
        // From time to time somebody lets it finish.
        if (!killed || random.uniform() < 0.8) continue
        if ((await finish(out)) < wholeBytes) spared++
      }
      expect(hashFiles(out)).toEqual(expected)
      rmSync(out, { recursive: true })
    }
    if (existsSync(out) && !looksComplete(out) && (await finish(out)) < wholeBytes) spared++
    // Otherwise nothing was ever gone on with.
    expect(spared).toBeGreaterThan(0)
    rmSync(out, { recursive: true, force: true })
  })

  /** Kills a run after some of its files are safe. */
  async function interrupted(name: string): Promise<string> {
    const out = join(large.directory, name)
    while (!(await killAfter(out, 4))) rmSync(out, { recursive: true })
    return out
  }

  test('begins again where it cannot trust what it finds: a torn journal, a file that is gone or short', async () => {
    const out = await interrupted('torn')
    const text = journalOf(out)
    writeFileSync(journalPath(out), text.slice(0, text.length - 10))
    await finish(out)
    rmSync(out, { recursive: true })

    const gone = await interrupted('gone')
    const shards = fileNames(gone).filter((name) => name.startsWith('model-'))
    rmSync(join(gone, shards[0] as string))
    truncateSync(join(gone, shards.at(-1) as string), 100)
    await finish(gone)
    rmSync(gone, { recursive: true })
  })

  test('does not go on with another merge, and reads again what may have changed', async () => {
    const out = await interrupted('other')
    const other = await runCommand([...argumentsFor(out, '--resume'), '--lambda', '2'])
    expect([other.code, other.stderr]).toEqual([1, expect.stringContaining('options.lambda was not given and is 2')])
    const replaced = await runCommand([...argumentsFor(out, '--resume', '--overwrite'), '--lambda', '2'])
    expect([replaced.code, JSON.parse(replaced.stdout).bytesRead]).toEqual([0, wholeBytes])
    rmSync(out, { recursive: true })

    const touched = await interrupted('touched')
    utimesSync(join(large.left, 'model.safetensors'), new Date(), new Date())
    expect(await finish(touched)).toBeLessThan(wholeBytes)
    rmSync(touched, { recursive: true })
  })

  test('a run that fails keeps its work when it was asked to resume', async () => {
    const out = join(large.directory, 'failed')
    const controller = new AbortController()
    const models = { math: large.left, science: large.right, coding: large.left }
    let tensors = 0
    const options = {
      models,
      out,
      maxShardSize: '10MB',
      resume: true,
      signal: controller.signal,
      onTensor: () => void (++tensors === 20 && controller.abort(new Error('enough'))),
    }
    await expect(merge('((math & science) & coding)', options)).rejects.toThrow('enough')
    expect(fileNames(out).every((name) => isPartial(name))).toBe(true)
    await merge('((math & science) & coding)', { models, out, maxShardSize: '10MB', resume: true })
    expect(hashFiles(out)).toEqual(expected)
    rmSync(out, { recursive: true })
  })

  test('without --resume a later run begins again and removes what was left', async () => {
    const out = await interrupted('plain')
    const { code, stdout } = await runCommand(argumentsFor(out))
    expect([code, JSON.parse(stdout).bytesRead]).toEqual([0, wholeBytes])
    expect(hashFiles(out)).toEqual(expected)
    rmSync(out, { recursive: true })
  })
})

test('the bytes do not depend on the memory that tensors may take', async () => {
  const out = join(large.directory, 'tight')
  const { code } = await runCommand(argumentsFor(out, '--memory', '1MB'))
  expect(code).toBe(0)
  expect(hashFiles(out)).toEqual(expected)
  rmSync(out, { recursive: true })
})
