/**
 * Loaded before the command (`node --import`): the disk is full after BRANCHMERGE_TEST_SPACE bytes of the unfinished files whose names
 * begin with BRANCHMERGE_TEST_FULL.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { basename } from 'node:path'

const { BRANCHMERGE_TEST_FULL: prefix = '', BRANCHMERGE_TEST_SPACE: space = '0' } = process.env
const { open } = fs.promises
let written = 0
Object.assign(fs.promises, {
  open: async (/** @type {string} */ path, /** @type {string} */ flags) => {
    const handle = await open(path, flags)
    const name = basename(String(path))
    if (!name.startsWith(prefix) || !name.endsWith('.branchmerge-partial')) return handle
    const { appendFile } = handle
    return Object.assign(handle, {
      appendFile: async (/** @type {Uint8Array} */ bytes) => {
        const rest = Math.max(0, Number(space) - written)
        written += bytes.length
        await appendFile.call(handle, bytes.subarray(0, rest))
        if (bytes.length > rest) {
          throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
        }
      },
    })
  },
})
syncBuiltinESMExports()
