/**
 * Loaded before the command (`node --import`): before each of its changes to the file system, copies BRANCHMERGE_TEST_RECORD_OF
 * to BRANCHMERGE_TEST_RECORD_TO/N, as a kill right before the Nth change would leave it. So every order of a crash and a write
 * can be looked at after one run. killAtStep.js counts the same steps.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'

const { BRANCHMERGE_TEST_RECORD_OF: of = '', BRANCHMERGE_TEST_RECORD_TO: to = '' } = process.env
let step = 0

/** Changes that have begun on other threads may take a file away while it is copied: then it is copied again. */
function record() {
  const place = join(to, String(++step))
  for (let tries = 0; ; tries++) {
    try {
      fs.mkdirSync(place)
      if (fs.existsSync(of)) fs.cpSync(of, join(place, 'out'), { recursive: true, preserveTimestamps: true })
      return
    } catch (error) {
      if (tries === 20) throw error
      fs.rmSync(place, { recursive: true, force: true })
    }
  }
}

for (const name of /** @type {const} */ (['mkdir', 'open', 'copyFile', 'rename', 'unlink'])) {
  const original = /** @type {(...values: unknown[]) => unknown} */ (fs.promises[name])
  Object.assign(fs.promises, {
    [name]: (/** @type {unknown[]} */ ...values) => {
      record()
      return original.apply(fs.promises, values)
    },
  })
}
syncBuiltinESMExports()
