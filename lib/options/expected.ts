import type { NumberOption, Option } from './option.js'

/** What messages say an option expects: "an integer from 1 to 10". */
export function expected(option: Option): string {
  switch (option.type) {
    case 'integer':
    case 'number':
      return [
        option.zeroOrFrom === undefined ? '' : '0 or ',
        option.type === 'integer' ? 'an integer' : 'a number',
        range(option),
        option.orNull ? ', or null' : '',
      ].join('')
    case 'boolean':
      return 'true or false'
    case 'choice':
      return `one of ${[...option.choices, ...(option.alsoKnown ?? [])].join(', ')}`
    case 'size':
      return "a number of bytes or a size as '5GB', '500MB' or '2GiB'"
    case 'text':
      return option.expected ?? 'a text'
    case 'list':
      return option.expected
    case 'group':
      return option.expected ?? 'an object'
    case 'other':
      return option.expected ?? ''
  }
}

function range({ zeroOrFrom, least: given, most, above, below }: NumberOption): string {
  const least = zeroOrFrom ?? given
  const from = least === undefined ? '' : above ? ` above ${numberText(least)}` : ` from ${numberText(least)}`
  if (most === undefined) return from
  const to = `${below ? 'below ' : ''}${numberText(most)}`
  return above ? `${from} and up to ${to}` : `${from} to ${to}`
}

/** A number as people write it: 1e-5, 2^53 - 1. */
export function numberText(value: number): string {
  if (value === Number.MAX_SAFE_INTEGER) return '2^53 - 1'
  return value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential() : `${value}`
}
