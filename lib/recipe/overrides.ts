import { BranchMergeError } from '../errors.js'
import { invalidArgument, isMapping } from '../validate.js'
import type { Locate, Path } from './problems.js'
import { readYaml } from './readYaml.js'

/** A value that was said outside the file: of the keys at a path. */
export interface Override {
  path: readonly string[]
  value: unknown
  /** As messages name its place: `--set training.seed`. */
  text: string
}

/**
 * An override as the command line has it.
 *
 * @param text - `training.learningRate=2e-5`; the value is read as YAML
 * @throws ERR_INVALID_ARGUMENT, also for a value that is no YAML
 */
export function parseOverride(text: string): Override {
  const [, key, source] = /^([\w.]+)=(.*)$/s.exec(text) ?? []
  if (key === undefined || source === undefined) throw invalidArgument('KEY=VALUE, as training.seed=7,', 'set', text)
  const place = `--set ${key}`
  try {
    const [document] = readYaml(source, place)
    return { path: key.split('.'), value: document?.value ?? null, text: place }
  } catch (cause) {
    throw new BranchMergeError('ERR_INVALID_ARGUMENT', (cause as Error).message, { cause })
  }
}

/** The value with what was said outside the file in it. */
export function applyOverrides(value: unknown, overrides: readonly Override[]): unknown {
  return overrides.reduce((root, { path, value: set }) => withValue(root, path, set), value)
}

function withValue(value: unknown, [key, ...rest]: readonly string[], set: unknown): unknown {
  if (key === undefined) return set
  const mapping = isMapping(value) ? value : {}
  return { ...mapping, [key]: withValue(mapping[key], rest, set) }
}

/** What was said outside the file has its place there. */
export function locateWith(locate: Locate, overrides: readonly Override[]): Locate {
  return (path, options) => {
    const override =
      overrides.findLast((each) => each.path.every((key, i) => String(path[i] ?? '') === key)) ??
      // A key above the one that was set, as `trianing` of `trianing.seed`, has come with it.
      (options?.key ? overrides.findLast((each) => path.every((key, i) => each.path[i] === String(key))) : undefined)
    return override
      ? { text: override.text, order: Number.MAX_SAFE_INTEGER, isOption: true }
      : locate(path as Path, options)
  }
}
