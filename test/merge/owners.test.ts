import { spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { isAtWork, keepAlive, newToken, type Owner, ownerOf, removeAbandoned } from '../../lib/files/owners.js'
import { fuse } from '../../lib/index.js'
import { refuseRunning } from '../../lib/train/heartbeats.js'
import { isPartial } from '../support/directoryContents.js'
import { startOf, tokenOf } from '../support/owners.js'
import { temporaryDirectory } from '../support/temporary.js'
import { writePair } from '../support/writeCheckpoint.js'

const elsewhere = '0badcafe'
const partial = (token: string, name = 'model.safetensors') => `${name}.${token}.branchmerge-partial`
const ownerOfToken = (token: string) => ownerOf(partial(token)) as Owner

function writeAged(path: string, secondsAgo: number) {
  writeFileSync(path, 'half')
  const then = Date.now() / 1000 - secondsAgo
  utimesSync(path, then, then)
  return path
}

/** Touches a file as a process of another host would, during the work. */
async function whileTouched(path: string, work: () => Promise<void>) {
  const timer = setInterval(() => utimesSync(path, new Date(), new Date()), 200)
  await work().finally(() => clearInterval(timer))
}

async function endedProcess(): Promise<number> {
  const child = spawn(process.execPath, ['-e', ''])
  await new Promise((resolve) => child.on('close', resolve))
  return child.pid as number
}

test('a token says which process of which host', () => {
  expect(ownerOfToken(newToken())).toEqual({
    pid: process.pid,
    started: startOf(process.pid),
    host: expect.stringMatching(/^\w+$/),
    place: expect.stringMatching(/^[0-9a-f]{8}$/),
  })
  expect(newToken()).not.toBe(newToken())
  for (const name of [
    'model.safetensors.123-0123abcd.branchmerge-partial',
    'model.safetensors.0123abcd.branchmerge-partial',
  ])
    expect(ownerOf(name)).toBeUndefined()
})

describe('at work', () => {
  const parent = { pid: process.ppid, started: startOf(process.ppid) }

  test.for<[string, Parameters<typeof tokenOf>[0], boolean]>([
    ['a process of this host that runs', parent, true],
    ['another process of the same number, started later', { ...parent, started: parent.started - 1 }, false],
    ['this process itself', {}, false],
  ])('%s', async ([, owner, works]) => {
    const path = writeAged(join(temporaryDirectory(), 'x'), 0)
    expect(await isAtWork(path, ownerOfToken(tokenOf(owner)))).toBe(works)
  })

  test('one of another host while its file changes, whatever its clock and whoever has its number here', async () => {
    const owner = ownerOfToken(tokenOf({ ...parent, place: elsewhere }))
    const path = writeAged(join(temporaryDirectory(), 'x'), 1000)
    await whileTouched(path, async () => {
      expect(await isAtWork(path, owner, 10)).toBe(true)
    })
    const silent = writeAged(join(temporaryDirectory(), 'x'), -1000)
    expect(await isAtWork(silent, owner, 1)).toBe(false)
    // What is so old is not watched, however long the watch would be.
    expect(await isAtWork(writeAged(silent, 7200), owner, 86_400)).toBe(false)
  })

  test('a process touches what it writes, until it rests', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    try {
      const path = writeAged(join(temporaryDirectory(), 'x'), 1000)
      const before = statSync(path).mtimeMs
      const rest = keepAlive(() => [join(path, 'missing'), path])
      vi.advanceTimersByTime(6000)
      await vi.waitFor(() => expect(statSync(path).mtimeMs).toBeGreaterThan(before + 900_000), { timeout: 600_000 })
      rest()
      writeAged(path, 1000)
      vi.advanceTimersByTime(60_000)
      expect(statSync(path).mtimeMs).toBeLessThan(Date.now() - 900_000)
    } finally {
      vi.useRealTimers()
    }
  })
})

test('what is removed as abandoned', async () => {
  const directory = temporaryDirectory()
  const dead = await endedProcess()
  const gone = [partial(tokenOf({ pid: dead, started: 1 })), partial(tokenOf({ pid: dead, started: 1 }), 'config.json')]
  const old = partial(tokenOf({ place: elsewhere }))
  const kept = [
    partial(newToken()),
    partial(tokenOf({ pid: process.ppid, started: startOf(process.ppid) })),
    partial(tokenOf({ pid: dead, started: 1 }), 'other.gguf'),
    'model.safetensors',
  ]
  for (const name of [...gone, ...kept]) writeAged(join(directory, name), 0)
  writeAged(join(directory, old), 2 * 86400)
  const slow = partial(tokenOf({ place: elsewhere }))
  writeAged(join(directory, slow), 7200)
  const unknown = partial('123-0123abcd')
  writeAged(join(directory, unknown), 7200)
  for (const prefix of ['model.safetensors.', 'config.json.']) await removeAbandoned(directory, prefix)
  expect(readdirSync(directory).sort()).toEqual([...kept, slow, unknown].sort())
})

describe('an output into which another host writes', () => {
  test('is refused, and what lies there stays; it is free when that host has been silent', async () => {
    const directory = temporaryDirectory()
    const pair = writePair(directory)
    const [left, right] = [pair.left.path, pair.right.path]
    const out = join(directory, 'out')
    mkdirSync(out)
    const path = writeAged(join(out, partial(tokenOf({ pid: 7, place: elsewhere }))), 0)
    await whileTouched(path, async () => {
      await expect(fuse(left, right, { out })).rejects.toMatchObject({
        code: 'ERR_OUTPUT_EXISTS',
        message: expect.stringMatching(/^Process 7 on \w+ is writing to /),
      })
    })
    expect(readdirSync(out).filter(isPartial)).toHaveLength(1)
    writeAged(path, 7200)
    await fuse(left, right, { out })
    expect(readdirSync(out).filter(isPartial)).toEqual([])
  })

  test('as a training', async () => {
    const directory = temporaryDirectory()
    const path = join(directory, 'heartbeat-3.json')
    const here = {
      host: hostname(),
      boot: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
      pidNamespace: readlinkSync('/proc/self/ns/pid'),
      pid: process.ppid,
      started: startOf(process.ppid),
    }
    const write = (other: object) =>
      writeFileSync(path, JSON.stringify({ rank: 3, phase: 'training', ...here, ...other }))
    write({})
    await expect(refuseRunning(directory)).rejects.toThrow(`Process ${process.ppid} is still training`)
    write({ phase: 'ended' })
    await refuseRunning(directory)
    write({ pid: 999999999 })
    await refuseRunning(directory)
    // Another process has its number by now: after the container's start, too, whose host keeps its name.
    write({ started: here.started - 1 })
    await refuseRunning(directory)
    // A number of elsewhere tells nothing here.
    for (const other of [{ host: 'node17' }, { boot: 'earlier' }, { pidNamespace: 'pid:[1]' }]) {
      write({ ...other, pid: 999999999 })
      await whileTouched(path, async () => {
        await expect(refuseRunning(directory)).rejects.toThrow('Process 999999999 is still training')
      })
    }
    write({ host: 'node17' })
    await whileTouched(path, async () => {
      await expect(refuseRunning(directory)).rejects.toMatchObject({
        code: 'ERR_OUTPUT_EXISTS',
        message: expect.stringContaining('on node17. Wait for it'),
      })
    })
    utimesSync(path, 1, 1)
    await refuseRunning(directory)
  })
})
