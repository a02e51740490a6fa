import { asText, bind, required } from './arguments.js'
import { format } from './format.js'
import { type JsonOptions, toJson } from './json.js'
import { attribute, capitalize, item, replace, spaces, splitLines, strip } from './methods.js'
import { binary } from './operators.js'
import { JinjaError } from './syntax.js'
import { defineTest, plain, testOf } from './tests.js'
import {
  asNumber,
  type Call,
  type Callable,
  equal,
  Float,
  found,
  Iterator,
  index,
  integer,
  isInteger,
  isNumeric,
  isTrue,
  items,
  key,
  length,
  order,
  text,
  tuple,
  typeName,
  Undefined,
  type Value,
} from './values.js'

export type Filter = (input: Value, call: Call) => Value

/** Jinja's filters. Those that differ from run to run or make HTML are left out, as is what chat templates cannot need. */
const filters = new Map<string, Filter>()

const define = (names: string, filter: Filter) => {
  for (const name of names.split(' ')) filters.set(name, filter)
}

/** @throws JinjaError where there is none of this name */
export function filterOf(name: string): Filter {
  const found = filters.get(name)
  if (found) return found
  throw new JinjaError(`No filter named '${name}'`)
}

const noCall: Call = { args: [], named: new Map() }

// Texts.

const ofText = (names: string, step: (value: string) => Value) =>
  define(names, (input, call) => {
    bind(names, call, [])
    return step(text(input))
  })

ofText('upper', (value) => value.toUpperCase())
ofText('lower', (value) => value.toLowerCase())
ofText('capitalize', capitalize)
ofText('string', (value) => value)
ofText('safe', (value) => value)
ofText('wordcount', (value) => value.match(/[\p{L}\p{N}_]+/gu)?.length ?? 0)
ofText('title', (value) =>
  value
    .split(/([-\s({[<]+)/)
    .map((word) => capitalize(word))
    .join(''),
)
ofText('striptags', (value) =>
  value
    .replace(/<!--.*?-->/gs, '')
    .replace(/<.*?>/gs, '')
    .split(new RegExp(`[${spaces}]+`))
    .filter((word) => word !== '')
    .join(' '),
)
ofText('escape e forceescape', (value) =>
  value
    .replaceAll('&', '&amp;')
    .replaceAll('>', '&gt;')
    .replaceAll('<', '&lt;')
    .replaceAll("'", '&#39;')
    .replaceAll('"', '&#34;'),
)

define('trim', (input, call) => strip(text(input), bind('trim', call, ['chars'])[0], 'both'))

define('replace', (input, call) => {
  const [old, by, count = null] = bind('replace', call, ['old', 'new', 'count'])
  return replace(
    text(input),
    text(required('replace', old)),
    text(required('replace', by)),
    count === null ? -1 : index(count),
  )
})

define('indent', (input, call) => {
  const [width = 4, first = false, blank = false] = bind('indent', call, ['width', 'first', 'blank'])
  const indentation = typeof width === 'string' ? width : ' '.repeat(Math.max(0, index(width)))
  const whole = `${text(input)}\n`
  const lines = splitLines(whole, false)
  const [head = '', ...rest] = isTrue(blank) ? whole.slice(0, -1).split(/\r\n|[\n\r]/) : lines
  const indented = rest.map((line) => (line !== '' || isTrue(blank) ? indentation + line : line))
  return (isTrue(first) ? indentation : '') + [head, ...indented].join('\n')
})

define('center', (input, call) => {
  const width = bind('center', call, ['width'])[0] ?? 80
  return (attribute(text(input), 'center') as Callable).call({ args: [width], named: new Map() })
})

define('truncate', (input, call) => {
  const [size = 255, killWords = false, end = '...', leeway = 5] = bind('truncate', call, [
    'length',
    'killwords',
    'end',
    'leeway',
  ])
  const [value, tail] = [[...text(input)], asText('end', end)]
  if (value.length <= index(size) + index(leeway)) return value.join('')
  const kept = value.slice(0, Math.max(0, index(size) - length(tail))).join('')
  if (isTrue(killWords)) return kept + tail
  const space = kept.lastIndexOf(' ')
  return (space < 0 ? kept : kept.slice(0, space)) + tail
})

define('format', (input, { args, named }) => {
  if (args.length > 0 && named.size > 0)
    throw new JinjaError("can't handle positional and keyword arguments at the same time")
  return format(text(input), named.size > 0 ? [] : args, named.size > 0 ? new Map<Value, Value>(named) : null)
})

define('urlencode', (input, call) => {
  bind('urlencode', call, [])
  const encode = (value: Value, safe: string) =>
    encodeURIComponent(text(value)).replace(/[!'()*]|%2F/g, (c) =>
      c === '%2F' ? safe || c : `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
    )
  if (typeof input === 'string') return encode(input, '/')
  const pairs = input instanceof Map ? [...input] : items(input).map((pair) => items(pair) as [Value, Value])
  return pairs.map(([name, value]) => `${encode(name, '')}=${encode(value, '')}`.replaceAll('%20', '+')).join('&')
})

define('tojson', (input, call) => {
  const [ascii = false, indent = null, separators = null, sortKeys = false] = bind('tojson', call, [
    ...['ensure_ascii', 'indent', 'separators', 'sort_keys'],
  ])
  return toJson(input, {
    ensureAscii: isTrue(ascii),
    indent: indent === null ? undefined : typeof indent === 'string' ? indent : ' '.repeat(Math.max(0, index(indent))),
    separators: jsonSeparators(separators, indent !== null),
    sortKeys: isTrue(sortKeys),
  })
})

function jsonSeparators(given: Value, isIndented: boolean): JsonOptions['separators'] {
  if (given === null) return [isIndented ? ',' : ', ', ': ']
  const [item, key, ...more] = items(given)
  if (more.length > 0) throw new JinjaError('separators are two texts')
  return [asText('separators', item), asText('separators', key)]
}

// Numbers.

define('abs', (input, call) => {
  bind('abs', call, [])
  if (input instanceof Float) return new Float(Math.abs(input.value))
  if (!isNumeric(input)) throw new JinjaError(`bad operand type for abs(): '${typeName(input)}'`)
  const number = asNumber(input)
  return number < 0 ? -number : number
})

define('int', (input, call) => {
  const [otherwise = 0, base = 10] = bind('int', call, ['default', 'base'])
  if (typeof input === 'string') return textToInteger(input, index(base)) ?? otherwise
  if (!isNumeric(input)) return otherwise
  const number = asNumber(input)
  if (typeof number === 'bigint') return number
  return Number.isFinite(number) ? integer(BigInt(Math.trunc(number))) : otherwise
})

function textToInteger(value: string, base: number): Value | undefined {
  const [, sign = '', digits = ''] =
    /^([-+]?)(\w+(?:\.\w*)?)$/.exec(strip(value, undefined, 'both').replace(/(?<=\d)_(?=\d)/g, '')) ?? []
  const isPlain = base === 10 && /^\d+$/.test(digits)
  const prefix = { 2: '0b', 8: '0o', 16: '0x' }[base]
  const body = prefix && digits.toLowerCase().startsWith(prefix) ? digits.slice(2) : digits
  const isBased = prefix && new RegExp(`^[${'0123456789abcdef'.slice(0, base)}]+$`, 'i').test(body)
  if (isPlain || isBased) {
    const size = BigInt(isPlain ? digits : prefix + body)
    return integer(sign === '-' ? -size : size)
  }
  const number = textToFloat(value)
  return number !== undefined && Number.isFinite(number) ? integer(BigInt(Math.trunc(number))) : undefined
}

function textToFloat(value: string): number | undefined {
  const trimmed = strip(value, undefined, 'both').replace(/(?<=\d)_(?=\d)/g, '')
  if (/^[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$/i.test(trimmed)) return Number(trimmed)
  const [, sign, word] = /^([-+]?)(inf(?:inity)?|nan)$/i.exec(trimmed) ?? []
  if (word === undefined) return undefined
  return word.toLowerCase() === 'nan' ? Number.NaN : sign === '-' ? -Infinity : Infinity
}

define('float', (input, call) => {
  const [otherwise = new Float(0)] = bind('float', call, ['default'])
  if (typeof input === 'string') {
    const number = textToFloat(input)
    return number === undefined ? otherwise : new Float(number)
  }
  return isNumeric(input) ? new Float(Number(asNumber(input))) : otherwise
})

define('round', (input, call) => {
  const [digits = 0, method = 'common'] = bind('round', call, ['precision', 'method'])
  if (!isNumeric(input)) throw new JinjaError(`cannot round a ${typeName(input)}`)
  const [number, factor] = [Number(asNumber(input)), 10 ** index(digits)]
  if (method === 'ceil') return new Float(Math.ceil(number * factor) / factor)
  if (method === 'floor') return new Float(Math.floor(number * factor) / factor)
  if (method !== 'common') throw new JinjaError('method must be common, ceil or floor')
  const rounded = roundHalfEven(number, index(digits))
  return isInteger(input) || typeof input === 'boolean' ? rounded : new Float(rounded)
})

/** Python's round: to the nearest by the exact value, halves to even. */
function roundHalfEven(value: number, digits: number): number {
  const scaled = value * 10 ** digits
  if (digits === 0 && Math.abs(scaled % 1) === 0.5) return 2 * Math.round(scaled / 2)
  return digits >= 0 && digits <= 20 && Math.abs(value) < 1e21
    ? Number(value.toFixed(digits))
    : Math.round(scaled) / 10 ** digits
}

define('filesizeformat', (input, call) => {
  const isBinary = isTrue(bind('filesizeformat', call, ['binary'])[0] ?? false)
  const bytes = Number((filterOf('float')(input, noCall) as Float).value)
  const base = isBinary ? 1024 : 1000
  if (bytes === 1) return '1 Byte'
  if (bytes < base) return `${Math.trunc(bytes)} Bytes`
  const units = isBinary ? 'KiB MiB GiB TiB PiB EiB ZiB YiB' : 'kB MB GB TB PB EB ZB YB'
  const names = units.split(' ')
  const power = names.findIndex((_, i) => bytes < base ** (i + 2))
  const i = power < 0 ? names.length - 1 : power
  return `${(bytes / base ** (i + 1)).toFixed(1)} ${names[i]}`
})

// Lists and dicts.

define('length count', (input, call) => {
  bind('length', call, [])
  return length(input)
})
define('list', (input, call) => {
  bind('list', call, [])
  return [...items(input)]
})
define('items', (input, call) => {
  bind('items', call, [])
  if (input instanceof Undefined) return new Iterator([])
  if (!(input instanceof Map)) throw new JinjaError('Can only get item pairs from a mapping.')
  return new Iterator([...input].map((entry) => tuple(entry)))
})
define('first', (input, call) => {
  bind('first', call, [])
  return found(items(input)[0], 'No first item, sequence was empty.')
})
define('last', (input, call) => {
  bind('last', call, [])
  if (input instanceof Iterator) throw new JinjaError("'generator' object is not reversible")
  return found(items(input).at(-1), 'No last item, sequence was empty.')
})
define('reverse', (input, call) => {
  bind('reverse', call, [])
  return typeof input === 'string' ? [...input].reverse().join('') : new Iterator([...items(input)].reverse())
})
define('join', (input, call) => {
  const [separator = '', attr = null] = bind('join', call, ['d', 'attribute'])
  const read = attr === null ? (value: Value) => value : getter(attr)
  return items(input)
    .map((value) => text(read(value)))
    .join(text(separator))
})
define('default d', (input, call) => {
  const [otherwise = '', boolean = false] = bind('default', call, ['default_value', 'boolean'])
  return input instanceof Undefined || (isTrue(boolean) && !isTrue(input)) ? otherwise : input
})
define('attr', (input, call) => {
  const name = text(required('attr', bind('attr', call, ['name'])[0]))
  return found(attribute(input, name), `'${typeName(input)} object' has no attribute '${name}'`)
})
define('batch', (input, call) => {
  const [size, fill = null] = bind('batch', call, ['linecount', 'fill_with'])
  const [all, width] = [items(input), index(required('batch', size))]
  if (width < 1) throw new JinjaError('batch needs a size of at least 1')
  const rows = Array.from({ length: Math.ceil(all.length / width) }, (_, i) => all.slice(i * width, (i + 1) * width))
  const last = rows.at(-1)
  if (fill !== null) while (last && last.length < width) last.push(fill)
  return new Iterator(rows)
})
define('slice', (input, call) => {
  const [count, fill = null] = bind('slice', call, ['slices', 'fill_with'])
  const [all, slices] = [items(input), index(required('slice', count))]
  if (slices < 1) throw new JinjaError('slice needs a number of at least 1')
  const [size, longer] = [Math.floor(all.length / slices), all.length % slices]
  let begin = 0
  const parts = Array.from({ length: slices }, (_, i) => {
    const end = begin + size + (i < longer ? 1 : 0)
    const part: Value[] = all.slice(begin, end)
    begin = end
    if (fill !== null && i >= longer) part.push(fill)
    return part
  })
  return new Iterator(parts)
})

/** Reads an attribute as filters name one: `a.b.0`, or a number. */
function getter(attr: Value, otherwise: Value | undefined = undefined, fold = false): (value: Value) => Value {
  const path =
    typeof attr === 'number'
      ? [attr]
      : asText('attribute', attr)
          .split('.')
          .map((step) => (/^\d+$/.test(step) ? Number(step) : step))
  return (value) => {
    let found = value
    for (const step of path) {
      found = item(found, step)
      if (found instanceof Undefined && otherwise !== undefined) return otherwise
    }
    return fold ? folded(found) : found
  }
}

const folded = (value: Value): Value => (typeof value === 'string' ? value.toLowerCase() : value)

/** What sort, unique, min, max and groupby compare. */
const comparedBy = (attr: Value, caseSensitive: Value): ((value: Value) => Value) => {
  const isFolded = !isTrue(caseSensitive)
  if (attr === null) return isFolded ? folded : (value) => value
  return getter(attr, undefined, isFolded)
}

define('sort', (input, call) => {
  const [reverse = false, caseSensitive = false, attr = null] = bind('sort', call, [
    'reverse',
    'case_sensitive',
    'attribute',
  ])
  const names = typeof attr === 'string' ? attr.split(',') : [attr]
  const keyed = items(input).map(
    (value) => [names.map((name) => comparedBy(name, caseSensitive)(value)), value] as const,
  )
  keyed.sort(([a], [b]) => (isTrue(reverse) ? order(b, a) : order(a, b)))
  return keyed.map(([, value]) => value)
})
define('dictsort', (input, call) => {
  const [caseSensitive = false, by = 'key', reverse = false] = bind('dictsort', call, [
    'case_sensitive',
    'by',
    'reverse',
  ])
  if (by !== 'key' && by !== 'value') throw new JinjaError('You can only sort by either "key" or "value"')
  if (!(input instanceof Map)) throw new JinjaError(`'${typeName(input)}' object has no attribute 'items'`)
  const place = by === 'key' ? 0 : 1
  const read = comparedBy(null, caseSensitive)
  const entries = [...input].sort((a, b) => order(read(a[place]), read(b[place])) * (isTrue(reverse) ? -1 : 1))
  return entries.map((entry) => tuple(entry))
})
define('unique', (input, call) => {
  const [caseSensitive = false, attr = null] = bind('unique', call, ['case_sensitive', 'attribute'])
  const read = comparedBy(attr, caseSensitive)
  const seen = new Set<Value>()
  const kept = items(input).filter((value) => {
    const mark = key(read(value))
    return !seen.has(mark) && seen.add(mark)
  })
  return new Iterator(kept)
})
for (const [name, sign] of [
  ['min', 1],
  ['max', -1],
] as const) {
  define(name, (input, call) => {
    const [caseSensitive = false, attr = null] = bind(name, call, ['case_sensitive', 'attribute'])
    const read = comparedBy(attr, caseSensitive)
    const [first, ...rest] = items(input)
    if (first === undefined) return new Undefined('No aggregated item, sequence was empty.')
    return rest.reduce((best, value) => (sign * order(read(value), read(best)) < 0 ? value : best), first)
  })
}
define('sum', (input, call) => {
  const [attr = null, start = 0] = bind('sum', call, ['attribute', 'start'])
  const read = attr === null ? (value: Value) => value : getter(attr)
  return items(input).reduce((total, value) => binary('+', total, read(value)), start)
})
define('groupby', (input, call) => {
  const [attr, otherwise, caseSensitive = false] = bind('groupby', call, ['attribute', 'default', 'case_sensitive'])
  const plain = getter(required('groupby', attr), otherwise)
  const read = isTrue(caseSensitive) ? plain : (value: Value) => folded(plain(value))
  const sorted = items(input)
    .map((value) => [read(value), value] as const)
    .sort(([a], [b]) => order(a, b))
  const groups: [Value, Value[]][] = []
  for (const [mark, value] of sorted) {
    const last = groups.at(-1)
    if (last && equal(last[0], mark)) last[1].push(value)
    else groups.push([mark, [value]])
  }
  return groups.map(([mark, members]) => tuple([isTrue(caseSensitive) ? mark : plain(members[0] as Value), members]))
})

define('map', (input, { args, named }) => {
  const attr = named.get('attribute')
  const list = items(input)
  if (args.length === 0 && attr !== undefined) {
    return new Iterator(list.map(getter(attr, named.get('default'))))
  }
  const [name, ...rest] = args
  const filter = filterOf(asText('the filter of map', name))
  return new Iterator(list.map((value) => filter(value, { args: rest, named })))
})

for (const [name, isKept, byAttribute] of [
  ['select', true, false],
  ['reject', false, false],
  ['selectattr', true, true],
  ['rejectattr', false, true],
] as const) {
  define(name, (input, { args, named }) => {
    const read = byAttribute ? getter(required(name, args[0])) : (value: Value) => value
    const [testName, ...rest] = byAttribute ? args.slice(1) : args
    const test = testName === undefined ? isTrue : testOf(asText(`the test of ${name}`, testName))
    return new Iterator(items(input).filter((value) => test(read(value), { args: rest, named }) === isKept))
  })
}

defineTest(
  'filter',
  plain((value) => filters.has(text(value))),
)
