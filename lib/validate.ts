import { inspect } from 'node:util'
import { BranchMergeError } from './errors.js'
import { isHome } from './pathFromFile.js'

/** The one wording for arguments that are refused: "Expected X for NAME but received V of type T". */
export function invalidArgument(expected: string, name: string, value: unknown): BranchMergeError {
  const received = value === undefined ? 'undefined' : `${show(value)} of type ${typeName(value)}`
  return new BranchMergeError('ERR_INVALID_ARGUMENT', `Expected ${expected} for ${name} but received ${received}`)
}

function show(value: unknown): string {
  const text = inspect(value, {
    depth: 0,
    breakLength: Number.POSITIVE_INFINITY,
    maxStringLength: 80,
    maxArrayLength: 8,
  })
  return text.length > 120 ? `${text.slice(0, 117)}...` : text
}

function typeName(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'array' : typeof value
}

/** An object of options, whatever is in it. */
export function checkObject(value: unknown, name: string): void {
  if (!isMapping(value)) throw invalidArgument('an object', name, value)
}

/** An object whose keys are all in `known`; a misspelt option is an error that suggests the nearest name. */
export function checkOptionNames(
  options: unknown,
  known: readonly string[],
): asserts options is Record<string, unknown> {
  checkObject(options, 'options')
  for (const name of Object.keys(options as object)) {
    if (known.includes(name)) continue
    const near = nearestName(name, known)
    const advice = near ? `did you mean ${near}?` : `expected one of ${known.join(', ')}`
    throw new BranchMergeError('ERR_INVALID_ARGUMENT', `Unknown option ${show(name)}: ${advice}`)
  }
}

/** The known name that a misspelt one most likely meant, or undefined when none is close. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const limit = Math.max(1, Math.floor(name.length / 3))
  const ranked = known
    .map((candidate) => ({ candidate, distance: editDistance(name.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)
  return ranked[0] && ranked[0].distance <= limit ? ranked[0].candidate : undefined
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(substitution, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[b.length] as number
}

export function checkChoice<T extends string | number>(value: unknown, name: string, choices: readonly T[]): T {
  if (choices.includes(value as T)) return value as T
  const near = typeof value === 'string' ? nearestName(value, choices.map(String)) : undefined
  const refusal = invalidArgument(`one of ${choices.join(', ')}`, name, value)
  throw near ? new BranchMergeError(refusal.code, `${refusal.message} (did you mean ${near}?)`) : refusal
}

export function checkInteger(value: unknown, name: string, least: number, most: number): number {
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return value as number
  throw invalidArgument(`an integer from ${least} to ${most}`, name, value)
}

export function checkNumber(value: unknown, name: string, least: number, most: number): number {
  if (typeof value === 'number' && value >= least && value <= most) return value
  throw invalidArgument(`a number from ${least} to ${most}`, name, value)
}

export function checkBoolean(value: unknown, name: string): boolean {
  if (typeof value === 'boolean') return value
  throw invalidArgument('true or false', name, value)
}

/** A path that the operating system can take: no empty text, no NUL; and none that only a shell understands. */
export function checkPath(value: unknown, name: string): string {
  if (typeof value !== 'string' || value === '' || value.includes('\0')) throw invalidArgument('a path', name, value)
  // A shell expands it at the beginning of a word alone, so --out=~/merged comes as it is.
  if (isHome(value)) {
    throw invalidArgument(`the home directory written out, or ./${value} for a directory of that name,`, name, value)
  }
  return value
}

export function checkFunction<F>(value: F, name: string): F {
  if (value === undefined || typeof value === 'function') return value
  throw invalidArgument('a function', name, value)
}

export function checkSignal(value: unknown): AbortSignal | undefined {
  if (value === undefined || value instanceof AbortSignal) return value
  throw invalidArgument('an AbortSignal', 'signal', value)
}

/** An object of JSON or YAML, no array. */
export const isMapping = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
