import type { Checkpoint } from '../../checkpoint/openCheckpoint.js'

/** What versions of Transformers, and tools around a model, put before the names of the same tensors. */
const prefix = /^(?:(?:model|language_model|transformer|backbone|base_model|module|_orig_mod)\.)+/
const withoutPrefix = (name: string): string => name.replace(prefix, '')

/**
 * The names of `other` that `reference` has not, each with the name of `reference` that it agrees with but for prefixes. Names
 * that agree with several, or that several agree with, are not among them.
 */
export function prefixedNames(reference: Checkpoint, other: Checkpoint): Map<string, string> {
  const [ours, theirs] = [namesOf(reference), namesOf(other)]
  const targets = byCore([...ours].filter((name) => !theirs.has(name)))
  const candidates = byCore([...theirs].filter((name) => !ours.has(name)))
  const pairs = [...candidates].flatMap(([core, names]) => {
    const target = targets.get(core)
    return names.length === 1 && target?.length === 1 ? [[names[0] as string, target[0] as string] as const] : []
  })
  return new Map(pairs)
}

const namesOf = ({ tensors }: Checkpoint): Set<string> => new Set(tensors.map(({ name }) => name))

function byCore(names: string[]): Map<string, string[]> {
  const groups = new Map<string, string[]>()
  for (const name of names) {
    const group = groups.get(withoutPrefix(name))
    if (group) group.push(name)
    else groups.set(withoutPrefix(name), [name])
  }
  return groups
}

/** The checkpoint with tensors under other names; files and data stay as they are. */
export function withNames(checkpoint: Checkpoint, names: ReadonlyMap<string, string>): Checkpoint {
  if (names.size === 0) return checkpoint
  const tensors = checkpoint.tensors.map((tensor) => ({ ...tensor, name: names.get(tensor.name) ?? tensor.name }))
  return { ...checkpoint, tensors }
}
