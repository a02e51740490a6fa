import { asText, bind, required } from './arguments.js'
import { formatFields } from './format.js'
import { JinjaError } from './syntax.js'
import {
  type Call,
  Callable,
  characters,
  equal,
  Float,
  index,
  items,
  key,
  length,
  Namespace,
  Tuple,
  tuple,
  typeName,
  Undefined,
  type Value,
} from './values.js'

/** What Python counts as white space. */
export const spaces = '\t\n\v\f\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000'
const leadingSpace = new RegExp(`^[${spaces}]+`)
const trailingSpace = new RegExp(`[${spaces}]`)
const words = new RegExp(`[^${spaces}]+`, 'g')
const onlySpace = new RegExp(`^[${spaces}]+$`)

type Side = 'left' | 'right' | 'both'

/** Without these characters at its ends; without white space where none are named. */
export function strip(value: string, chars: Value | undefined, side: Side): string {
  if (chars === undefined || chars === null) return stripWhere(value, side, (unit) => trailingSpace.test(unit))
  const set = new Set(asText('the argument of strip', chars))
  return stripWhere(value, side, (character) => set.has(character))
}

function stripWhere(value: string, side: Side, isStripped: (character: string) => boolean): string {
  let [start, end] = [0, value.length]
  while (side !== 'right' && start < end) {
    const character = String.fromCodePoint(value.codePointAt(start) as number)
    if (!isStripped(character)) break
    start += character.length
  }
  while (side !== 'left' && end > start) {
    const isPair = end - start > 1 && /[\udc00-\udfff]/.test(value[end - 1] as string)
    const character = value.slice(isPair ? end - 2 : end - 1, end)
    if (!isStripped(character)) break
    end -= character.length
  }
  return value.slice(start, end)
}

type TextMethod = (self: string, call: Call) => Value

const simple =
  (name: string, step: (self: string) => Value): TextMethod =>
  (self, call) => {
    bind(name, call, [])
    return step(self)
  }

const stripper =
  (name: string, side: Side): TextMethod =>
  (self, call) =>
    strip(self, bind(name, call, ['chars'])[0], side)

/** A word's first letter large, or all of them small: what is cased begins behind what is not. */
const title = (text: string): string =>
  text.replace(/[\p{Lu}\p{Ll}\p{Lt}\p{Lm}ªº]+/gu, (word) => {
    const [first = '', ...rest] = word
    return first.toUpperCase() + rest.join('').toLowerCase()
  })

export function capitalize(text: string): string {
  const [first = '', ...rest] = text
  return first.toUpperCase() + rest.join('').toLowerCase()
}

const swapCase = (text: string): string =>
  [...text].map((c) => (c === c.toLowerCase() ? c.toUpperCase() : c.toLowerCase())).join('')

const hasCase = /[\p{Lu}\p{Ll}\p{Lt}]/u
export const isLower = (text: string): boolean => hasCase.test(text) && !/[\p{Lu}\p{Lt}]/u.test(text)
export const isUpper = (text: string): boolean => hasCase.test(text) && !/[\p{Ll}\p{Lt}]/u.test(text)

/** The part of a text that `start` and `end` name, counted in characters. */
function part(self: string, start: Value | undefined, end: Value | undefined): { text: string; from: number } {
  if ((start ?? null) === null && (end ?? null) === null) return { text: self, from: 0 }
  const all = [...self]
  const place = (value: Value | undefined, otherwise: number) => {
    if (value === undefined || value === null) return otherwise
    const at = index(value)
    return Math.max(0, at < 0 ? at + all.length : at)
  }
  const from = place(start, 0)
  if (from > all.length) return { text: '\0', from: -1 }
  return { text: all.slice(from, place(end, all.length)).join(''), from }
}

function affix(name: string, test: (text: string, affix: string) => boolean): TextMethod {
  return (self, call) => {
    const [given, start, end] = bind(name, call, ['prefix', 'start', 'end'])
    const { text, from } = part(self, start, end)
    if (given instanceof Tuple) return from >= 0 && given.some((one) => test(text, asText(`${name} argument`, one)))
    return test(text, asText(`the argument of ${name}`, given)) && from >= 0
  }
}

function finder(name: string, last: boolean, mustFind: boolean): TextMethod {
  return (self, call) => {
    const [sub, start, end] = bind(name, call, ['sub', 'start', 'end'])
    const { text, from } = part(self, start, end)
    const wanted = asText(`the argument of ${name}`, sub)
    const at = from < 0 ? -1 : last ? text.lastIndexOf(wanted) : text.indexOf(wanted)
    if (at >= 0) return from + length(text.slice(0, at))
    if (mustFind) throw new JinjaError('substring not found')
    return -1
  }
}

function splitter(name: string, fromRight: boolean): TextMethod {
  return (self, call) => {
    const [separator = null, limit = -1] = bind(name, call, ['sep', 'maxsplit'])
    const most = index(limit)
    if (separator === null) return fromRight ? splitSpacesRight(self, most) : splitSpaces(self, most)
    const sep = asText('sep', separator)
    if (sep === '') throw new JinjaError('empty separator')
    const parts = self.split(sep)
    if (most < 0 || parts.length - 1 <= most) return parts
    if (!fromRight) return [...parts.slice(0, most), parts.slice(most).join(sep)]
    const head = parts.slice(0, parts.length - most).join(sep)
    return [head, ...parts.slice(parts.length - most)]
  }
}

function splitSpaces(self: string, most: number): string[] {
  const parts: string[] = []
  for (const { 0: word, index: at } of self.matchAll(words)) {
    if (parts.length === most) return [...parts, strip(self.slice(at), undefined, 'right')]
    parts.push(word)
  }
  return parts
}

function splitSpacesRight(self: string, most: number): string[] {
  const found = [...self.matchAll(words)]
  if (most < 0 || found.length <= most) return found.map(([word]) => word)
  const firstKept = found[found.length - most]
  const head = strip(
    self.slice(0, firstKept ? firstKept.index : self.length).replace(leadingSpace, ''),
    undefined,
    'right',
  )
  return [head, ...found.slice(found.length - most).map(([word]) => word)]
}

const lineBreaks = '\n\r\v\f\x1c-\x1e\x85\u2028\u2029'
const lineBreak = new RegExp(`\r\n|[${lineBreaks}]`, 'g')

export function splitLines(self: string, keepEnds: boolean): string[] {
  const lines: string[] = []
  let begin = 0
  for (const { 0: end, index: at } of self.matchAll(lineBreak)) {
    lines.push(self.slice(begin, keepEnds ? at + end.length : at))
    begin = at + end.length
  }
  if (begin < self.length) lines.push(self.slice(begin))
  return lines
}

export function replace(self: string, old: string, by: string, count: number): string {
  if (count < 0) return self.replaceAll(old, () => by)
  let [out, begin] = ['', 0]
  for (let done = 0; done < count; done++) {
    const at = old === '' ? begin + Math.min(done, 1) : self.indexOf(old, begin)
    if (at < 0 || at > self.length) break
    out += self.slice(begin, at) + by
    begin = at + old.length
  }
  return out + self.slice(begin)
}

function partition(name: string, last: boolean): TextMethod {
  return (self, call) => {
    const separator = asText('sep', bind(name, call, ['sep'])[0])
    if (separator === '') throw new JinjaError('empty separator')
    const at = last ? self.lastIndexOf(separator) : self.indexOf(separator)
    if (at < 0) return last ? tuple(['', '', self]) : tuple([self, '', ''])
    return tuple([self.slice(0, at), separator, self.slice(at + separator.length)])
  }
}

function aligner(name: string, leftShare: (missing: number, width: number) => number): TextMethod {
  return (self, call) => {
    const [width, fill = ' '] = bind(name, call, ['width', 'fillchar'])
    const wanted = index(required(name, width))
    const missing = Math.max(0, wanted - length(self))
    const left = leftShare(missing, wanted)
    return asText('fillchar', fill).repeat(left) + self + (fill as string).repeat(missing - left)
  }
}

function zfill(self: string, call: Call): string {
  const missing = Math.max(0, index(required('zfill', bind('zfill', call, ['width'])[0])) - length(self))
  const sign = /^[-+]/.exec(self)?.[0] ?? ''
  return sign + '0'.repeat(missing) + self.slice(sign.length)
}

function expandTabs(self: string, call: Call): string {
  const size = index(bind('expandtabs', call, ['tabsize'])[0] ?? 8)
  let column = 0
  return [...self]
    .map((c) => {
      const width = c === '\t' ? (size > 0 ? size - (column % size) : 0) : 1
      column = c === '\n' || c === '\r' ? 0 : column + width
      return c === '\t' ? ' '.repeat(width) : c
    })
    .join('')
}

function join(self: string, call: Call): string {
  const list = items(required('join', bind('join', call, ['iterable'])[0]))
  const wrong = list.findIndex((item) => typeof item !== 'string')
  if (wrong < 0) return list.join(self)
  throw new JinjaError(`sequence item ${wrong}: expected str instance, ${typeName(list[wrong] as Value)} found`)
}

function count(self: string, call: Call): number {
  const [sub, start, end] = bind('count', call, ['sub', 'start', 'end'])
  const { text, from } = part(self, start, end)
  if (from < 0) return 0
  const wanted = asText('the argument of count', sub)
  return wanted === '' ? length(text) + 1 : text.split(wanted).length - 1
}

const removed = (name: string, from: 'prefix' | 'suffix'): TextMethod => {
  return (self, call) => {
    const affix = asText(`the argument of ${name}`, bind(name, call, [from])[0])
    if (affix === '') return self
    if (from === 'prefix') return self.startsWith(affix) ? self.slice(affix.length) : self
    return self.endsWith(affix) ? self.slice(0, -affix.length) : self
  }
}

const matches = (pattern: RegExp) => (self: string) => pattern.test(self)

const textMethods = new Map<string, TextMethod>(
  Object.entries({
    strip: stripper('strip', 'both'),
    lstrip: stripper('lstrip', 'left'),
    rstrip: stripper('rstrip', 'right'),
    upper: simple('upper', (self) => self.toUpperCase()),
    lower: simple('lower', (self) => self.toLowerCase()),
    casefold: simple('casefold', (self) => self.toUpperCase().toLowerCase()),
    title: simple('title', title),
    capitalize: simple('capitalize', capitalize),
    swapcase: simple('swapcase', swapCase),
    startswith: affix('startswith', (text, start) => text.startsWith(start)),
    endswith: affix('endswith', (text, end) => text.endsWith(end)),
    find: finder('find', false, false),
    rfind: finder('rfind', true, false),
    index: finder('index', false, true),
    rindex: finder('rindex', true, true),
    count,
    split: splitter('split', false),
    rsplit: splitter('rsplit', true),
    splitlines: (self, call) => splitLines(self, bind('splitlines', call, ['keepends'])[0] === true),
    partition: partition('partition', false),
    rpartition: partition('rpartition', true),
    replace: (self, call) => {
      const [old, by, most = -1] = bind('replace', call, ['old', 'new', 'count'])
      return replace(self, asText('old', old), asText('new', by), index(most))
    },
    removeprefix: removed('removeprefix', 'prefix'),
    removesuffix: removed('removesuffix', 'suffix'),
    join,
    format: (self, { args, named }) => formatFields(self, args, named),
    ljust: aligner('ljust', () => 0),
    rjust: aligner('rjust', (missing) => missing),
    center: aligner('center', (missing, width) => Math.floor(missing / 2) + (missing & width & 1)),
    zfill,
    expandtabs: expandTabs,
    isalnum: simple('isalnum', matches(/^[\p{L}\p{N}]+$/u)),
    isalpha: simple('isalpha', matches(/^\p{L}+$/u)),
    isascii: simple('isascii', (self) => !/[\x80-\uffff]/.test(self)),
    isdecimal: simple('isdecimal', matches(/^\p{Nd}+$/u)),
    isdigit: simple('isdigit', matches(/^[\p{Nd}\u00b2\u00b3\u00b9\u2070-\u2079\u2080-\u2089]+$/u)),
    isnumeric: simple('isnumeric', matches(/^\p{N}+$/u)),
    isidentifier: simple('isidentifier', matches(/^[\p{ID_Start}_]\p{ID_Continue}*$/u)),
    islower: simple('islower', isLower),
    isupper: simple('isupper', isUpper),
    isspace: simple('isspace', matches(onlySpace)),
    istitle: simple('istitle', (self) => hasCase.test(self) && title(self) === self),
  }),
)

/** Those that change a list or a dict: chat templates are rendered where nothing may be changed. */
const unsafe = new Set(
  ['append', 'extend', 'insert', 'remove', 'reverse', 'sort', 'clear', 'pop'].concat(
    ...['popitem', 'setdefault', 'update', 'add', 'discard'],
  ),
)

function dictMethod(self: Map<Value, Value>, name: string, call: Call): Value {
  const [first, second] = bind(name, call, name === 'get' ? ['key', 'default'] : [])
  if (name === 'items') return [...self].map((entry) => tuple(entry))
  if (name === 'keys') return [...self.keys()]
  if (name === 'values') return [...self.values()]
  if (name === 'copy') return new Map(self)
  const held = self.get(key(required('get', first)))
  return held !== undefined ? held : (second ?? null)
}

function listMethod(self: Value[], name: string, call: Call): Value {
  const [wanted] = bind(name, call, name === 'copy' ? [] : ['value'])
  if (name === 'copy') return [...self]
  const value = required(name, wanted)
  if (name === 'count') return self.filter((item) => equal(item, value)).length
  const at = self.findIndex((item) => equal(item, value))
  if (at < 0) throw new JinjaError('the value is not in the list')
  return at
}

const dictMethods = new Set(['get', 'items', 'keys', 'values', 'copy'])
const listMethods = new Set(['index', 'count', 'copy'])

/** A method or an attribute that Python's types have; undefined where there is none. */
export function attribute(object: Value, name: string): Value | undefined {
  if (typeof object === 'string') {
    const method = textMethods.get(name)
    return method && new Callable(name, (call) => method(object, call))
  }
  if (object instanceof Undefined) object.fail()
  if (object instanceof Namespace) return object.values.get(name)
  if (object instanceof Callable) return name === 'name' ? object.name : object.attributes?.(name)
  if (object instanceof Map) {
    if (dictMethods.has(name)) return new Callable(name, (call) => dictMethod(object, name, call))
    return unsafeMethod(object, name)
  }
  if (Array.isArray(object)) {
    if (listMethods.has(name)) return new Callable(name, (call) => listMethod(object, name, call))
    return object instanceof Tuple ? undefined : unsafeMethod(object, name)
  }
  if (object instanceof Float && name === 'is_integer') {
    return new Callable(name, () => Number.isInteger(object.value))
  }
  return undefined
}

/** Reading one is allowed; whoever calls it is told. */
function unsafeMethod(object: Value, name: string): Value | undefined {
  if (
    !unsafe.has(name) ||
    (object instanceof Map && ['append', 'extend', 'insert', 'remove', 'reverse', 'sort'].includes(name))
  )
    return undefined
  return new Callable(name, () => {
    throw new JinjaError(`access to attribute '${name}' of '${typeName(object)}' object is unsafe`)
  })
}

/** `object.name`: what the type has, then what the dict has. */
export function member(object: Value, name: string): Value {
  const own = attribute(object, name)
  if (own !== undefined) return own
  const held = object instanceof Map ? object.get(name) : undefined
  return held !== undefined ? held : missing(object, name)
}

/** `object[index]`: what the list or dict has, then what the type has. */
export function item(object: Value, at: Value): Value {
  if (object instanceof Undefined) object.fail()
  if (object instanceof Map) {
    const found = object.get(typeof at === 'string' ? at : key(at))
    if (found !== undefined) return found
  } else if (typeof at === 'number' || typeof at === 'boolean') {
    const list = typeof object === 'string' ? characters(object) : object
    const found = Array.isArray(list) || typeof list === 'string' ? list.at(Number(at)) : undefined
    if (found !== undefined) return found
  }
  const own = typeof at === 'string' ? attribute(object, at) : undefined
  return own !== undefined ? own : missing(object, at)
}

function missing(object: Value, name: Value): Undefined {
  const what = typeof name === 'string' ? `has no attribute '${name}'` : `has no element ${String(name)}`
  return new Undefined(`'${typeName(object)} object' ${what}`)
}
