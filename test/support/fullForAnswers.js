/** Loaded before the command (`node --import`): the disk is full after 3 kB of answers.jsonl, the last line of which is cut. */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { basename } from 'node:path'

const space = 3000
const { open } = fs.promises
let written = 0
Object.assign(fs.promises, {
  open: async (/** @type {string} */ path, /** @type {string} */ flags) => {
    const handle = await open(path, flags)
    if (basename(path) !== 'answers.jsonl' || flags === 'r') return handle
    const { appendFile } = handle
    return Object.assign(handle, {
      appendFile: async (/** @type {string} */ text) => {
        const rest = Math.max(0, space - written)
        written += text.length
        await appendFile.call(handle, text.slice(0, rest))
        if (text.length > rest) {
          throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
        }
      },
    })
  },
})
syncBuiltinESMExports()
