import { access, mkdir, open, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { outputFailure } from './outputDirectory.js'

/**
 * Creates a directory and those above it that are missing, and returns the topmost that it made. (mkdir's own `recursive`
 * never returns on a file system that answers ENOENT to every creation, as /proc does.)
 */
export async function makeDirectory(path: string): Promise<string> {
  const parent = dirname(path)
  const above = parent === path || (await isPresent(parent)) ? undefined : await makeSharedDirectory(parent)
  await write(path, () => mkdir(path))
  return above ?? path
}

/** The same where another run may be making it at this moment: then nothing is returned. */
export async function makeSharedDirectory(path: string): Promise<string | undefined> {
  try {
    return await makeDirectory(path)
  } catch (error) {
    if ((error as { cause?: NodeJS.ErrnoException }).cause?.code !== 'EEXIST') throw error
    return undefined
  }
}

function isPresent(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

/** Runs a step that writes at `path`; its failure is an output error. */
export async function write<T>(path: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step()
  } catch (error) {
    throw outputFailure(path, error as NodeJS.ErrnoException)
  }
}

export async function writeNew(path: string, text: string): Promise<void> {
  const handle = await open(path, 'wx')
  try {
    await handle.writeFile(text)
  } finally {
    await handle.close()
  }
}

/** Makes a file or the names in a directory durable. */
export async function sync(path: string): Promise<void> {
  await write(path, async () => {
    const handle = await open(path, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  })
}

/** Makes the names of new directories durable, from `path` up to `top`. */
export async function syncAbove(path: string, top: string): Promise<void> {
  for (let each = path; each !== dirname(top); each = dirname(each)) await sync(dirname(each))
}

export async function removeIfPresent(path: string): Promise<void> {
  await unlink(path).catch((cause) => {
    if (cause.code !== 'ENOENT') throw outputFailure(path, cause)
  })
}
