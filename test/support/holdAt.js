/**
 * Loaded before the command (`node --import`): before the first change to the file system that BRANCHMERGE_TEST_HOLD_AT matches
 * ('rename /out/model-.*'), it says `held` on stderr and waits for SIGUSR2, so that a test can do something else at that moment.
 * Without the signal it fails once the test has ended.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const test = process.ppid
const wanted = new RegExp(process.env.BRANCHMERGE_TEST_HOLD_AT ?? '(?!)')
let isHeld = false

for (const name of /** @type {const} */ (['mkdir', 'open', 'copyFile', 'rename', 'unlink'])) {
  const original = /** @type {(...values: unknown[]) => unknown} */ (fs.promises[name])
  Object.assign(fs.promises, {
    [name]: async (/** @type {unknown[]} */ ...values) => {
      if (!isHeld && wanted.test(`${name} ${values[0]}`)) {
        isHeld = true
        const limit = setInterval(() => process.ppid !== test && process.exit(1), 500)
        await new Promise((resolve) => {
          process.once('SIGUSR2', resolve)
          process.stderr.write('held\n')
        })
        clearInterval(limit)
      }
      return await original.apply(fs.promises, values)
    },
  })
}
syncBuiltinESMExports()
