import type { Path } from '../recipe/problems.js'
import { isMapping } from '../validate.js'

/** `${name}` or `${name}/path`: what a step writes, or something in its directory. */
const pattern = /^\$\{([^{}]*)\}(\/.*)?$/s

export interface Reference {
  /** Name of the step. */
  step: string
  /** Behind the name, without the slash; undefined where there is nothing. */
  path: string | undefined
  /** Where it stands in the value. */
  at: Path
}

/** Every reference in a value, in its order. */
export function referencesIn(value: unknown, at: Path = []): Reference[] {
  if (typeof value === 'string') {
    const [, step, path] = pattern.exec(value) ?? []
    return step === undefined ? [] : [{ step, path: path?.slice(1), at }]
  }
  return childrenOf(value).flatMap(([key, each]) => referencesIn(each, [...at, key]))
}

/** The value with a path in the place of each reference. */
export function withReferences(value: unknown, pathOf: (reference: Reference) => string, at: Path = []): unknown {
  if (typeof value === 'string') {
    const [reference] = referencesIn(value, at)
    return reference ? pathOf(reference) : value
  }
  if (Array.isArray(value)) return value.map((each, i) => withReferences(each, pathOf, [...at, i]))
  if (!isMapping(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [key, withReferences(each, pathOf, [...at, key])]),
  )
}

const childrenOf = (value: unknown): [key: string | number, value: unknown][] =>
  Array.isArray(value) ? [...value.entries()] : isMapping(value) ? Object.entries(value) : []
