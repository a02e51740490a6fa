import { JinjaError } from './syntax.js'
import { type Call, typeName, Undefined, type Value } from './values.js'

/**
 * The arguments of a call in the order of their names; undefined where one is not given.
 *
 * @throws JinjaError where there are more, or others
 */
export function bind(name: string, { args, named }: Call, names: readonly string[]): (Value | undefined)[] {
  if (args.length > names.length) {
    throw new JinjaError(`${name} takes at most ${names.length} arguments (${args.length} given)`)
  }
  const bound: (Value | undefined)[] = names.map((_, i) => args[i])
  for (const [key, value] of named) {
    const place = names.indexOf(key)
    if (place < 0) throw new JinjaError(`${name} got an unexpected keyword argument '${key}'`)
    if (bound[place] !== undefined) throw new JinjaError(`${name} got multiple values for argument '${key}'`)
    bound[place] = value
  }
  return bound
}

export function required(name: string, value: Value | undefined): Value {
  if (value === undefined) throw new JinjaError(`${name} lacks an argument`)
  return value
}

export function asText(name: string, value: Value | undefined): string {
  if (typeof value === 'string') return value
  if (value instanceof Undefined) value.fail()
  throw new JinjaError(`${name} must be a text, not ${value === undefined ? 'missing' : typeName(value)}`)
}
