/** Loaded before the command (`node --import`): the disk is full after 20 MiB of downloaded files. */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

let space = 20 * 2 ** 20
const { open } = fs.promises
Object.assign(fs.promises, {
  open: async (/** @type {string} */ path, /** @type {string} */ flags, /** @type {number} */ mode) => {
    const handle = await open(path, flags, mode)
    if (!String(path).endsWith('.incomplete')) return handle
    const { writev } = handle
    return Object.assign(handle, {
      writev: async (/** @type {Buffer[]} */ buffers, /** @type {number} */ position) => {
        space -= buffers.reduce((sum, { length }) => sum + length, 0)
        if (space < 0) throw Object.assign(new Error('ENOSPC: no space left on device, writev'), { code: 'ENOSPC' })
        return await writev.call(handle, buffers, position)
      },
    })
  },
})
syncBuiltinESMExports()
