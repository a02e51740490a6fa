import { stat } from 'node:fs/promises'
import { readFailure } from '../../files/readSmallFile.js'
import type { MergePlan } from '../plan/mergePlan.js'

/**
 * What tells that a file has not been written to since, without reading it: every write changes the last two, and no program can set
 * the last one. The number of its device is left out: it is another one after a restart, and on another machine.
 */
export interface InputState {
  inode: string
  bytes: number
  /** Nanoseconds of the last write, and of the last change of anything about the file. */
  modified: string
  changed: string
}

/** Two writes within this may have one time: file systems count in ticks, some of them in whole seconds. */
const settledNanoseconds = 2_000_000_000n

/** The state of a file as it is now; undefined for one that was written to a moment ago, whose state may not tell the next write. */
export async function inputState(path: string): Promise<InputState | undefined> {
  const now = BigInt(Date.now()) * 1_000_000n
  const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true }).catch((cause) => {
    throw readFailure(path, cause)
  })
  if (now - ctimeNs < settledNanoseconds) return undefined
  return { inode: String(ino), bytes: Number(size), modified: String(mtimeNs), changed: String(ctimeNs) }
}

export function isSameState(one: InputState | null | undefined, other: InputState | null | undefined): boolean {
  if (!one || !other) return false
  return (
    one.inode === other.inode &&
    one.bytes === other.bytes &&
    one.modified === other.modified &&
    one.changed === other.changed
  )
}

/** The states of the files of all models, in their order. */
export async function statesOf({ models }: Pick<MergePlan, 'models'>): Promise<(InputState | null)[]> {
  const paths = models.flatMap(({ checkpoint }) => checkpoint.files.map(({ path }) => path))
  return await Promise.all(paths.map(async (path) => (await inputState(path)) ?? null))
}

/** Positions of the models that may have another content than they had: a file of them is not known to be as it was. */
export function changedModels(
  { models }: Pick<MergePlan, 'models'>,
  earlier: readonly (InputState | null)[],
  now: readonly (InputState | null)[],
): number[] {
  const owners = models.flatMap(({ checkpoint }, model) => checkpoint.files.map(() => model))
  return models.flatMap((_, model) => {
    const same = owners.every((owner, file) => owner !== model || isSameState(earlier[file], now[file]))
    return same ? [] : [model]
  })
}
