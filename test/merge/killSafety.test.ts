import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fileNames, hashFiles, isPartial, looksComplete, stampFiles } from '../support/directoryContents.js'
import { Random } from '../support/random.js'
import { rounds } from '../support/rounds.js'
import { type CommandResult, runCommand } from '../support/runCommand.js'
import { writeLargePair } from '../support/writeLargePair.js'

// docs/output-safety.md makes the promises, this file keeps some of them.

let large: { directory: string; left: string; right: string }
beforeAll(() => {
  const directory = mkdtempSync(join(tmpdir(), 'branchmerge-large-'))
  large = { directory, ...writeLargePair(directory, 24) }
})
afterAll(() => rmSync(large.directory, { recursive: true }))

describe('a pair that takes a while', () => {
  test('kill -9 at any moment: inputs untouched, nothing that looks complete, and the next run succeeds', async () => {
    const { left, right, directory } = large
    const out = join(directory, 'out')
    const args = ['fuse', left, right, '--out', out]
    const inputs = [hashFiles(left), hashFiles(right)]
    const stamps = [stampFiles(left), stampFiles(right)]
    const started = performance.now()
    expect(await runCommand(args)).toMatchObject({ code: 0 })
    let duration = performance.now() - started
    const expected = hashFiles(out)
    rmSync(out, { recursive: true })

    const random = new Random(11)
    const kills = rounds({ all: 24, quick: 4 })
    let killed = 0
    for (let run = 0; killed < kills && run < 4 * kills; run++) {
      const delay = ((killed + random.uniform()) / kills) * duration
      const began = performance.now()
      const { signal } = await runCommand(args, {
        onStart: (child) => void setTimeout(() => child.kill('SIGKILL'), delay),
      })
      if (signal === 'SIGKILL') killed++
      else duration = Math.min(duration, performance.now() - began)
      expect([stampFiles(left), stampFiles(right)]).toEqual(stamps)
      if (!looksComplete(out)) continue
      expect(hashFiles(out)).toEqual(expected)
      rmSync(out, { recursive: true })
    }
    expect(killed).toBe(kills)
    expect(await runCommand([...args, '--overwrite'])).toMatchObject({ code: 0 })
    expect(hashFiles(out)).toEqual(expected)
    expect([hashFiles(left), hashFiles(right)]).toEqual(inputs)
    rmSync(out, { recursive: true })
  })

  /** Slow enough (seconds) that a signal finds the work in progress. */
  const slow = { BRANCHMERGE_INSTRUCTION_SET: 'scalar' }

  /** Calls `act` when the output files are being written. */
  function interrupt(out: string, extra: string[], act: (child: ChildProcess) => void): Promise<CommandResult> {
    const args = ['fuse', large.left, large.right, '--out', out, '--threads', '1', ...extra]
    const onStart = (child: ChildProcess) => {
      const timer = setInterval(() => {
        if (child.exitCode !== null) clearInterval(timer)
        if (!fileNames(out).some((name) => isPartial(name))) return
        clearInterval(timer)
        act(child)
      }, 20)
    }
    return runCommand(args, { env: slow, onStart })
  }

  test.each([['SIGINT', 130] as const, ['SIGTERM', 143] as const])(
    '%s ends it with %i and leaves nothing',
    async (signal, code) => {
      const out = join(large.directory, 'interrupted')
      const result = await interrupt(out, [], (child) => child.kill(signal))
      expect(result).toMatchObject({ code, signal: null, stdout: '' })
      expect(result.stderr).toContain(`Interrupted by ${signal}; unfinished files were removed`)
      expect(existsSync(out)).toBe(false)
    },
  )

  test('interrupted under --json: one object, the same code, and what was there stays', async () => {
    const out = join(large.directory, 'kept')
    mkdirSync(out)
    const result = await interrupt(out, ['--json'], (child) => child.kill('SIGINT'))
    expect(result.code).toBe(130)
    expect(JSON.parse(result.stdout)).toMatchObject({ error: { code: 'ERR_CANCELLED' } })
    expect(fileNames(out)).toEqual([])
  })

  test('a second process is told that the first is at work there', async () => {
    const out = join(large.directory, 'shared')
    let second: Promise<CommandResult> | undefined
    await interrupt(out, [], (child) => {
      // It must not end before the other has come.
      child.kill('SIGSTOP')
      second = runCommand(['fuse', large.left, large.right, '--out', out, '--overwrite'])
      second.finally(() => {
        child.kill('SIGCONT')
        child.kill('SIGINT')
      })
    })
    const result = (await second) as CommandResult
    expect(result.code).toBe(1)
    expect(result.stderr).toMatch(/Process \d+ on \S+ is writing to/)
  })

  test('a write that fails half way, by a limit on file sizes, leaves nothing', async () => {
    const out = join(large.directory, 'limited')
    // Both units of ulimit, 512 and 1024 bytes, put the limit inside the one output file of 201 MB.
    const shell = 'ulimit -f 100000 && exec "$@"'
    const { code, stderr } = await runCommand(['fuse', large.left, large.right, '--out', out], { shell })
    expect([code, stderr]).toEqual([1, expect.stringMatching(/model\.safetensors.*(too large|large)/i)])
    expect(existsSync(out)).toBe(false)
  })
})
