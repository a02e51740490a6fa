import { cpSync, existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { preload, runCommand } from './runCommand.js'
import { temporaryDirectory } from './temporary.js'

export interface CrashingCommand {
  args: string[]
  /** What the command changes. */
  out: string
  /** Lays `out` as the command shall find it. */
  prepare: () => void
  /** Looks at `out` as a kill before change `step`, counted from 1, leaves it. */
  check: (step: number) => void | Promise<void>
}

/**
 * What a kill right before each change to the file system leaves in `out`. The command runs once and is recorded; at some of the
 * steps it is killed, too, which shows that a recorded state is the one that a kill leaves.
 *
 * @returns how many changes there are
 */
export async function crashEverywhere({ args, out, prepare, check }: CrashingCommand): Promise<number> {
  const lay = () => {
    rmSync(out, { recursive: true, force: true })
    prepare()
  }
  const record = temporaryDirectory()
  lay()
  const recording = {
    NODE_OPTIONS: preload('recordSteps.js'),
    BRANCHMERGE_TEST_RECORD_OF: out,
    BRANCHMERGE_TEST_RECORD_TO: record,
  }
  const { code, stderr } = await runCommand(args, { env: recording })
  expect([code, stderr]).toEqual([0, ''])
  const steps = readdirSync(record).length
  for (let step = 1; step <= steps; step++) {
    rmSync(out, { recursive: true, force: true })
    const state = join(record, String(step), 'out')
    if (existsSync(state)) cpSync(state, out, { recursive: true, preserveTimestamps: true })
    await check(step)
  }
  for (const step of new Set([1, Math.ceil(steps / 3), Math.ceil((2 * steps) / 3), steps])) {
    lay()
    const env = { NODE_OPTIONS: preload('killAtStep.js'), BRANCHMERGE_TEST_KILL_AT: String(step) }
    const { signal, stderr: said } = await runCommand(args, { env })
    expect([step, signal, said]).toEqual([step, 'SIGKILL', ''])
    await check(step)
  }
  lay()
  expect(await runCommand(args)).toMatchObject({ code: 0 })
  return steps
}
