import { JinjaError } from './syntax.js'

export interface Token {
  type:
    | 'text'
    | 'blockBegin'
    | 'blockEnd'
    | 'variableBegin'
    | 'variableEnd'
    | 'name'
    | 'string'
    | 'integer'
    | 'float'
    | 'operator'
    | 'end'
  value: string
  line: number
}

const tagBegin = /\{%|\{\{|\{#/g
const rawBegin = /([-+]?)\s*raw\s*(-%\}\s*|%\}\n?)/y
const rawEnd = /\{%([-+]?)\s*endraw\s*(?:\+%\}|-%\}\s*|%\}\n?)/g
const commentEnd = /\+#\}|-#\}\s*|#\}\n?/g
const blockEnd = /\+%\}|-%\}\s*|%\}\n?/y
const variableEnd = /-\}\}\s*|\}\}/y
const space = /\s+/y
const float = /(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy
const integer = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy
const name = /[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Nd}\p{Mn}\p{Mc}\p{Pc}]*/uy
const string = /'([^'\\]*(?:\\.[^'\\]*)*)'|"([^"\\]*(?:\\.[^"\\]*)*)"/sy
const operator = /\/\/|\*\*|==|!=|>=|<=|[-+*/%~[\](){}<>=.:|,;]/y

/**
 * The tokens of a template, as Jinja 3.1 cuts them with `trim_blocks` and `lstrip_blocks`, which is how chat templates are
 * rendered.
 *
 * @throws JinjaError
 */
export function tokenize(template: string): Token[] {
  return new Lexer(template).all()
}

class Lexer {
  private readonly tokens: Token[] = []
  private readonly source: string
  private position = 0
  private line = 1
  /** What was read last ended a line. */
  private atLineStart = true

  constructor(template: string) {
    this.source = template.replace(/\r\n?/g, '\n').replace(/\n$/, '')
  }

  all(): Token[] {
    while (this.position < this.source.length) this.next()
    this.push('end', '')
    return this.tokens
  }

  private next(): void {
    tagBegin.lastIndex = this.position
    const found = tagBegin.exec(this.source)
    if (!found) {
      this.text(this.source.slice(this.position))
      this.position = this.source.length
      return
    }
    const before = this.source.slice(this.position, found.index)
    const { atLineStart } = this
    this.moveTo(found.index + 2)
    const kind = found[0]
    if (kind === '{%' && this.raw(before, atLineStart)) return
    const sign = this.sign()
    this.text(stripBefore(before, sign, kind !== '{{', atLineStart))
    if (kind === '{#') this.comment()
    else this.tag(kind === '{%' ? 'block' : 'variable')
  }

  private sign(): string {
    const sign = this.source[this.position] ?? ''
    if (sign !== '-' && sign !== '+') return ''
    this.position++
    return sign
  }

  /** `{% raw %}` … `{% endraw %}` is text. */
  private raw(before: string, atLineStart: boolean): boolean {
    rawBegin.lastIndex = this.position
    const begin = rawBegin.exec(this.source)
    if (!begin) return false
    this.text(stripBefore(before, begin[1] ?? '', true, atLineStart))
    this.moveTo(rawBegin.lastIndex)
    rawEnd.lastIndex = this.position
    const end = rawEnd.exec(this.source)
    if (!end) throw this.error('Missing end of raw directive')
    const inside = this.source.slice(this.position, end.index)
    this.text(stripBefore(inside, end[1] ?? '', true, this.atLineStart))
    this.moveTo(rawEnd.lastIndex)
    return true
  }

  private comment(): void {
    commentEnd.lastIndex = this.position
    if (!commentEnd.exec(this.source)) throw this.error('Missing end of comment tag')
    this.moveTo(commentEnd.lastIndex)
  }

  private tag(kind: 'block' | 'variable'): void {
    this.push(kind === 'block' ? 'blockBegin' : 'variableBegin', '')
    const end = kind === 'block' ? blockEnd : variableEnd
    const open: string[] = []
    for (;;) {
      this.match(space)
      if (open.length === 0 && this.match(end) !== undefined) break
      if (this.position >= this.source.length) throw this.error('The template ends inside of a tag')
      this.inside(open)
    }
    this.push(kind === 'block' ? 'blockEnd' : 'variableEnd', '')
  }

  private inside(open: string[]): void {
    for (const [type, pattern] of [
      ['float', float],
      ['integer', integer],
      ['name', name],
      ['string', string],
      ['operator', operator],
    ] as const) {
      // 1.2.3 is no float behind a point: x.1.2 asks for an item of an item.
      if (type === 'float' && this.source[this.position - 1] === '.') continue
      const text = this.match(pattern)
      if (text === undefined) continue
      if (type === 'operator') this.balance(text, open)
      this.push(type, type === 'string' ? readEscapes(text.slice(1, -1)) : text)
      return
    }
    throw this.error(`Unexpected character ${JSON.stringify(this.source[this.position])}`)
  }

  private balance(text: string, open: string[]): void {
    const closing = { '(': ')', '[': ']', '{': '}' }[text]
    if (closing) open.push(closing)
    else if (text === ')' || text === ']' || text === '}') {
      const expected = open.pop()
      if (expected !== text) throw this.error(`Unexpected ${text}${expected ? `, expected ${expected}` : ''}`)
    }
  }

  private match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.position
    const found = pattern.exec(this.source)
    if (!found) return undefined
    this.moveTo(pattern.lastIndex)
    return found[0]
  }

  private moveTo(position: number): void {
    for (
      let i = this.source.indexOf('\n', this.position);
      i >= 0 && i < position;
      i = this.source.indexOf('\n', i + 1)
    ) {
      this.line++
    }
    if (position > this.position) this.atLineStart = this.source[position - 1] === '\n'
    this.position = position
  }

  private text(text: string): void {
    if (text !== '') this.push('text', text)
  }

  private push(type: Token['type'], value: string): void {
    this.tokens.push({ type, value, line: this.line })
  }

  private error(message: string): JinjaError {
    return new JinjaError(`${message} (line ${this.line})`)
  }
}

/** What a tag leaves of the text before it. */
function stripBefore(text: string, sign: string, isBlock: boolean, atLineStart: boolean): string {
  if (sign === '-') return text.replace(/\s+$/, '')
  if (sign === '+' || !isBlock) return text
  const lineBegin = text.lastIndexOf('\n') + 1
  const isAlone = (lineBegin > 0 || atLineStart) && /^\s*$/.test(text.slice(lineBegin))
  return isAlone ? text.slice(0, lineBegin) : text
}

const escapes: Record<string, string> = {
  ...{ n: '\n', t: '\t', r: '\r', b: '\b', f: '\f', v: '\v', a: '\x07' },
  ...{ '\\': '\\', "'": "'", '"': '"', '\n': '' },
}

/** As Python reads the inside of a string. */
function readEscapes(text: string): string {
  if (!text.includes('\\')) return text
  return text.replace(
    /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{1,3})|([\s\S]))/g,
    (all, byte, short, long, octal, character: string) => {
      const hex: string | undefined = byte ?? short ?? long
      if (hex !== undefined) return fromCode(Number.parseInt(hex, 16))
      if (octal !== undefined) return fromCode(Number.parseInt(octal, 8))
      if (character === 'x' || character === 'u' || character === 'U' || character === 'N') {
        throw new JinjaError(`Cannot read the escape sequence ${all}`)
      }
      return escapes[character] ?? all
    },
  )
}

function fromCode(code: number): string {
  if (code > 0x10ffff) throw new JinjaError(`There is no character ${code.toString(16)}`)
  return String.fromCodePoint(code)
}
