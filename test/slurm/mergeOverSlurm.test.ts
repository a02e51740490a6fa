import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { merge } from '../../lib/index.js'
import { fileNames, hashFiles, looksComplete } from '../support/directoryContents.js'
import { preload, runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'
import { dealToShards, drawModel, fineTune, writeCheckpoint, writePair } from '../support/writeCheckpoint.js'
import { SlurmCluster, until } from './cluster.js'

let cluster: SlurmCluster
beforeAll(async () => {
  cluster = await SlurmCluster.start()
})
afterAll(() => cluster?.stop())

const parts = 4
const expression = '(left & right) & left'

interface Merge {
  left: string
  right: string
  out: string
}

function newMerge(out = 'out'): Merge {
  const directory = temporaryDirectory()
  const { left, right } = writePair(directory, { leftShards: 5, rightShards: 3 })
  return { left: left.path, right: right.path, out: join(directory, out) }
}

/** What the same merge gives without a cluster. */
async function expectedOf({ left, right, out }: Merge): Promise<Record<string, string>> {
  const local = `${out} local`
  await merge(expression, { models: { left, right }, out: local })
  return hashFiles(local)
}

function submit({ left, right, out }: Merge, more: string[] = [], env: Record<string, string> = {}) {
  const models = ['--model', `left=${left}`, '--model', `right=${right}`]
  const slurm = ['--slurm', '--parts', String(parts), '--partition', 'main', '--time', '5', '--cpus', '1']
  const args = ['merge', expression, ...models, '--out', out, ...slurm, '--json', ...more]
  return runCommand(args, { env: { ...cluster.env, ...env } })
}

async function submitted(merge: Merge, env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await submit(merge, [], env)
  expect([code, stderr]).toEqual([0, ''])
  return JSON.parse(stdout) as { mergeJob: string; finishJob: string; parts: number; files: number; logs: string }
}

const stagingOf = ({ out }: Merge): string => join(out, '.branchmerge-shards')
const recordOf = (merge: Merge, part: number): string => join(stagingOf(merge), `part-0000${part}-of-0000${parts}.json`)

/** Makes a task stop before it gives a file its name. */
const hold = (part: number) => ({ NODE_OPTIONS: preload('holdPart.js'), BRANCHMERGE_TEST_HOLD_PART: `${part}` })

/** Until task 2 has written a file, and the others are done. */
async function untilHeld(merge: Merge): Promise<void> {
  await until('part 2 writes and the others are done', 600, () => {
    const names = fileNames(stagingOf(merge))
    const done = [1, 3, 4].every((part) => existsSync(recordOf(merge, part)))
    return done && names.some((name) => /^model.*\.branchmerge-partial$/.test(name))
  })
}

const logsOf = (directory: string): string =>
  readdirSync(directory)
    .map((name) => readFileSync(join(directory, name), 'utf8'))
    .join('\n')

describe('merge --slurm', () => {
  test('gives the bytes of the merge on one machine, whatever the directory is called', async () => {
    const merge = newMerge('it\'s 100%a "$HOME" *')
    const expected = await expectedOf(merge)
    const jobs = await submitted(merge)
    expect(jobs).toMatchObject({ parts, files: 5, logs: join(stagingOf(merge), 'logs') })
    expect(await cluster.endOf(jobs.finishJob)).toBe('COMPLETED')
    expect(hashFiles(merge.out)).toEqual(expected)
  })

  test('a task that is requeued in the middle of its work goes on', async () => {
    const merge = newMerge()
    const expected = await expectedOf(merge)
    const { mergeJob, finishJob } = await submitted(merge, hold(2))
    await untilHeld(merge)
    await cluster.run('scontrol', ['requeue', `${mergeJob}_2`])
    expect(await cluster.endOf(finishJob)).toBe('COMPLETED')
    expect(hashFiles(merge.out)).toEqual(expected)
  })

  test('a task that is killed leaves no checkpoint; submitted again, the rest is done', async () => {
    const merge = newMerge()
    const expected = await expectedOf(merge)
    const first = await submitted(merge, hold(2))
    await untilHeld(merge)
    await cluster.run('scancel', ['--signal=KILL', '--full', `${first.mergeJob}_2`])
    expect(await cluster.endOf(first.finishJob)).toBe('CANCELLED')
    expect(looksComplete(merge.out)).toBe(false)
    expect(existsSync(recordOf(merge, 2))).toBe(false)
    // Were part 1 merged again, it would never end.
    const second = await submitted(merge, hold(1))
    expect(await cluster.endOf(second.finishJob)).toBe('COMPLETED')
    expect(hashFiles(merge.out)).toEqual(expected)
  })

  test('a task that fails leaves no checkpoint, and finishing does not run', async () => {
    const directory = temporaryDirectory()
    const base = drawModel()
    const right = fineTune(base, { seed: 3 })
    const shards = dealToShards(base, 5)
    right.get(shards[0]?.[0] as string)?.data.fill(0xff) // NaN
    const merge = { left: join(directory, 'left'), right: join(directory, 'right'), out: join(directory, 'out') }
    writeCheckpoint(merge.left, { tensors: fineTune(base, { seed: 2 }), shards })
    writeCheckpoint(merge.right, { tensors: right, shards })
    const { finishJob, logs } = await submitted(merge)
    expect(await cluster.endOf(finishJob)).toBe('CANCELLED')
    expect(looksComplete(merge.out)).toBe(false)
    expect(logsOf(logs)).toContain('ERR_NON_FINITE')
    expect(existsSync(join(logs, 'finish.log'))).toBe(false)
  })

  test('what Slurm refuses is an error with its words', async () => {
    const merge = newMerge()
    const { code, stdout } = await submit(merge, ['--sbatch-arg=--qos=', '--sbatch-arg=--partition=nowhere'])
    expect(code).toBe(1)
    expect(JSON.parse(stdout).error).toMatchObject({ code: 'ERR_SLURM', message: expect.stringContaining('partition') })
    expect(looksComplete(merge.out)).toBe(false)
  })

  test('--plan prints the scripts, submits nothing and writes nothing', async () => {
    const merge = newMerge()
    const { code, stdout } = await submit(merge, ['--plan'])
    expect(code).toBe(0)
    expect(JSON.parse(stdout).jobs.map(({ script }: { script: string }) => script.split('\n')[0])).toEqual([
      '#!/bin/sh',
      '#!/bin/sh',
    ])
    expect(existsSync(merge.out)).toBe(false)
    expect(await cluster.run('squeue', ['--noheader'])).toBe('')
  })
})
