import { BranchMergeError } from '../../errors.js'
import { nearestName } from '../../validate.js'
import type { ResolvedStep } from './resolvePipeline.js'

/** Which steps may run; those that may not are not even looked at again. */
export interface StepChoice {
  /** These alone. */
  only?: readonly string[] | undefined
  /** These, and what hangs on them. */
  from?: readonly string[] | undefined
  /** These, and what they hang on. */
  until?: readonly string[] | undefined
}

/**
 * Names of the steps that may run: those that every part of the choice has.
 *
 * @throws ERR_INVALID_ARGUMENT for steps that there are not
 */
export function chosenSteps(steps: readonly ResolvedStep[], { only, from, until }: StepChoice): Set<string> {
  const names = steps.map(({ name }) => name)
  for (const [option, given] of Object.entries({ only, from, until })) {
    for (const name of given ?? []) if (!names.includes(name)) throw noStep(name, option, names)
  }
  const allowed = [
    ...(only ? [new Set(only)] : []),
    ...(from
      ? [closure(from, (name) => steps.filter(({ needs }) => needs.includes(name)).map((each) => each.name))]
      : []),
    ...(until ? [closure(until, (name) => steps.find((each) => each.name === name)?.needs ?? [])] : []),
  ]
  return new Set(names.filter((name) => allowed.every((each) => each.has(name))))
}

function noStep(name: string, option: string, names: readonly string[]): BranchMergeError {
  const near = nearestName(name, names)
  const advice = near ? `did you mean ${near}?` : `the steps are ${names.join(', ')}`
  return new BranchMergeError('ERR_INVALID_ARGUMENT', `Expected a step for ${option} but received ${name}: ${advice}`)
}

function closure(given: readonly string[], next: (name: string) => readonly string[]): Set<string> {
  const found = new Set(given)
  // A set takes in what is added while it is gone through.
  for (const name of found) for (const each of next(name)) found.add(each)
  return found
}
