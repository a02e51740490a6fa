import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** Names in a directory, sorted; none when there is no directory. */
export const fileNames = (directory: string): string[] => (existsSync(directory) ? readdirSync(directory).sort() : [])

/** Hash of every file of a directory and of those below, by name. */
export function hashFiles(directory: string): Record<string, string> {
  const hash = (name: string) =>
    createHash('sha256')
      .update(readFileSync(join(directory, name)))
      .digest('hex')
  const names = existsSync(directory) ? readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort() : []
  const files = names.filter((name) => statSync(join(directory, name)).isFile())
  return Object.fromEntries(files.map((name) => [name, hash(name)]))
}

/** Size, time of change and identity of every file of a directory: a quick way to see that nothing was touched. */
export function stampFiles(directory: string): Record<string, string> {
  const stamp = (name: string) => {
    const { size, mtimeMs, ctimeMs, ino, mode } = statSync(join(directory, name))
    return [size, mtimeMs, ctimeMs, ino, mode].join(' ')
  }
  return Object.fromEntries(fileNames(directory).map((name) => [name, stamp(name)]))
}

/** Whether a file of the output is unfinished, by its name. */
export const isPartial = (name: string): boolean => name.endsWith('.branchmerge-partial')

/** Whether a loader would take the directory for a checkpoint. */
export function looksComplete(directory: string): boolean {
  return ['model.safetensors', 'model.safetensors.index.json'].some((name) => existsSync(join(directory, name)))
}
