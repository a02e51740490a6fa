/** Loaded before the command (`node --import`): what lies in $READ_ONLY cannot be written, also by root. */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const root = `${process.env.READ_ONLY}`
const refuse = (/** @type {unknown} */ path) => {
  if (!String(path).startsWith(root)) return
  throw Object.assign(new Error(`EROFS: read-only file system, '${path}'`), { code: 'EROFS' })
}
/** @type {any} */
const promises = fs.promises
const { access, open, mkdir } = promises
for (const name of ['symlink', 'writeFile', 'rename', 'appendFile', 'rm']) {
  const call = promises[name]
  promises[name] = async (/** @type {unknown[]} */ ...args) => {
    refuse(name === 'symlink' ? args[1] : args[0])
    return await call(...args)
  }
}
promises.access = async (/** @type {string} */ path, /** @type {number} */ mode) => {
  if (mode === fs.constants.W_OK) refuse(path)
  return await access(path, mode)
}
promises.mkdir = async (/** @type {string} */ path, /** @type {fs.MakeDirectoryOptions} */ options) => {
  // With recursive, a directory that is there is no fault.
  if (!fs.existsSync(path)) refuse(path)
  return await mkdir(path, options)
}
promises.open = async (/** @type {string} */ path, /** @type {unknown} */ flags, /** @type {unknown} */ mode) => {
  if (typeof flags === 'string' && flags !== 'r') refuse(path)
  return await open(path, flags, mode)
}
syncBuiltinESMExports()
