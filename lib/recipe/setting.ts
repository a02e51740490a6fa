import { isNumber } from '../options/checkOption.js'
import { expected } from '../options/expected.js'
import { invalidArgument } from '../validate.js'
import type { Parameter } from './methods.js'

/** Values at evenly spaced places from the first layer to the last, linear in between, as mergekit's lists. */
export interface Gradient {
  gradient: number[]
}

/** The value of one input. */
export type InputSetting = number | Gradient
/** What can be said of a parameter; an array has one entry for each input, null where nothing is said of it. */
export type Setting = number | boolean | string | Gradient | (InputSetting | null)[]

/** More than any model has layers. */
const maxGradientValues = 1024

export function isGradient(value: unknown): value is Gradient {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && 'gradient' in value
}

/**
 * The values of a parameter for a method of `inputs` inputs: an array for a parameter that each input has its own of, one
 * value otherwise.
 *
 * @returns what is wrong with `setting` in words, where something is
 */
export function settingProblem(
  name: string,
  parameter: Parameter,
  setting: unknown,
  inputs: number,
): string | undefined {
  if (!Array.isArray(setting)) return valueProblem(name, parameter, setting)
  if (!parameter.perInput) {
    const advice = setting.every((value) => typeof value === 'number')
      ? '; values over layers are {gradient: [...]}'
      : ''
    return `${invalidArgument(expected(parameter), name, setting).message}${advice}`
  }
  if (setting.length !== inputs) {
    return invalidArgument(`${inputs} values, one for each input,`, name, setting).message
  }
  return setting
    .map((value, i) => (value === null ? undefined : valueProblem(`${name}[${i}]`, parameter, value)))
    .find((problem) => problem !== undefined)
}

function valueProblem(name: string, parameter: Parameter, value: unknown): string | undefined {
  if (!isGradient(value)) {
    return isValue(parameter, value) ? undefined : invalidArgument(expected(parameter), name, value).message
  }
  const { gradient } = value
  if (parameter.type !== 'number') return `Expected ${expected(parameter)} for ${name} but received a gradient`
  if (!Array.isArray(gradient) || gradient.length < 2 || gradient.length > maxGradientValues) {
    return invalidArgument(`2 to ${maxGradientValues} numbers`, `${name}.gradient`, gradient).message
  }
  const wrong = gradient.findIndex((item) => !isValue(parameter, item))
  return wrong < 0
    ? undefined
    : invalidArgument(expected(parameter), `${name}.gradient[${wrong}]`, gradient[wrong]).message
}

function isValue(parameter: Parameter, value: unknown): boolean {
  if (parameter.type === 'boolean') return typeof value === 'boolean'
  if (parameter.type === 'choice') return parameter.choices.includes(value as string)
  return isNumber(parameter, value)
}

/** The value at `place`, from 0 in the first layer to 1 in the last. */
export function valueAt(value: InputSetting, place: number): number
export function valueAt<T extends number | boolean | string>(value: T | Gradient, place: number): T | number
export function valueAt<T>(value: T | Gradient, place: number): T | number {
  if (!isGradient(value)) return value
  const { gradient } = value
  const scaled = place * (gradient.length - 1)
  const below = Math.min(Math.floor(scaled), gradient.length - 2)
  const [from, to] = [gradient[below] as number, gradient[below + 1] as number]
  const fraction = scaled - below
  return (1 - fraction) * from + fraction * to
}
