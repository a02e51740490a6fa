/**
 * Loaded before the command (`node --import`): kills the process, as kill -9 does, right before its Nth change to the file
 * system, N being BRANCHMERGE_TEST_KILL_AT. So every order of a crash and a write can be tried, one by one.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const killAt = Number(process.env.BRANCHMERGE_TEST_KILL_AT)
let step = 0

for (const name of /** @type {const} */ (['mkdir', 'open', 'copyFile', 'rename', 'unlink'])) {
  const original = /** @type {(...values: unknown[]) => unknown} */ (fs.promises[name])
  Object.assign(fs.promises, {
    [name]: (/** @type {unknown[]} */ ...values) => {
      if (++step === killAt) process.kill(process.pid, 'SIGKILL')
      return original.apply(fs.promises, values)
    },
  })
}
syncBuiltinESMExports()
