/** Loaded before the command (`node --import`): the disk is full for files whose name begins with stats. */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { basename } from 'node:path'

const { open } = fs.promises
Object.assign(fs.promises, {
  open: async (/** @type {string} */ path, /** @type {string} */ flags) => {
    const handle = await open(path, flags)
    if (!basename(path).startsWith('stats')) return handle
    return Object.assign(handle, {
      writeFile: () =>
        Promise.reject(Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })),
    })
  },
})
syncBuiltinESMExports()
