import { checkBoolean, checkChoice, checkOptionNames, checkPath, invalidArgument } from '../validate.js'
import { expected } from './expected.js'
import { allOptions, type ListOption, type NumberOption, type Option, type Options, type TextOption } from './option.js'

/**
 * Refuses a value that an option cannot have. Undefined is no value.
 *
 * @throws ERR_INVALID_ARGUMENT naming the option, what it expects and what it received
 */
export function checkOption(option: Option, value: unknown, name: string): void {
  if (value === undefined || option.type === 'other') return
  if (option.type === 'group') checkOptions(allOptions(option), value, { name })
  else if (option.type === 'boolean') checkBoolean(value, name)
  else if (option.type === 'choice') checkChoice(value, name, [...option.choices, ...(option.alsoKnown ?? [])])
  else if (option.type === 'text' && option.expected === 'a path') checkPath(value, name)
  else if (!isValue(option, value)) throw invalidArgument(expected(option), name, value)
}

/** An object whose keys are all options and whose values are right. @throws ERR_INVALID_ARGUMENT */
export function checkOptions(options: Options, value: unknown, { name }: { name?: string } = {}): void {
  if (name !== undefined && !isObject(value)) throw invalidArgument('an object', name, value)
  checkOptionNames(value, Object.keys(options))
  for (const [key, option] of Object.entries(options)) {
    checkOption(option, value[key], name === undefined ? key : `${name}.${key}`)
  }
}

function isValue(option: NumberOption | TextOption | ListOption | Extract<Option, { type: 'size' }>, value: unknown) {
  if (option.type === 'text') return isText(option, value)
  if (option.type === 'list') return isList(option, value)
  if (option.type === 'size') return typeof value === 'number' || typeof value === 'string'
  return isNumber(option, value)
}

/** Whether a value is a number of the option's range, or null where that may be. */
export function isNumber(option: NumberOption, value: unknown): boolean {
  const { type, zeroOrFrom = 0, least, most, above, below, orNull } = option
  if (value === null) return orNull === true
  if (typeof value !== 'number' || Number.isNaN(value)) return false
  if (type === 'integer' && !Number.isInteger(value)) return false
  if (value > 0 && value < zeroOrFrom) return false
  if (least !== undefined && (above ? value <= least : value < least)) return false
  return most === undefined || (below ? value < most : value <= most)
}

function isText({ pattern }: TextOption, value: unknown): boolean {
  if (typeof value !== 'string' || value.trim() === '') return false
  return pattern === undefined || new RegExp(pattern, 'u').test(value)
}

function isList({ items, least = 0, most = Number.POSITIVE_INFINITY }: ListOption, value: unknown): boolean {
  if (!Array.isArray(value) || value.length < least || value.length > most) return false
  return value.every((item) => isText(items, item))
}

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value)
