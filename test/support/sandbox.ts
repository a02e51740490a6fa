import { afterAll } from 'vitest'
import { openSandbox } from '../../lib/sandbox/openSandbox.js'
import type { ProgramRunner } from '../../lib/sandbox/program.js'

/** A sandbox that closes when all tests of the file are over. Tests may replace its methods in a copy. */
export async function sandboxOfFile(): Promise<ProgramRunner> {
  const sandbox = await openSandbox({ workers: 1 })
  afterAll(() => sandbox.close())
  return {
    level: sandbox.level,
    outline: (...args) => sandbox.outline(...args),
    run: (...args) => sandbox.run(...args),
    close: () => sandbox.close(),
  }
}
