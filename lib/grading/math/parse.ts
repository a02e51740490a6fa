import { maximumDepth, maximumNodes, UnsupportedError } from './budget.js'
import { parseDecimal, rational } from './rational.js'
import { rebuild } from './rebuild.js'
import { type Node, type RelationOperator, symbolsOf } from './syntax.js'
import { type CommaReading, functionNames, greek, type Token, tokenize } from './tokens.js'
import { isUnitName } from './units.js'

/** An answer that is not written as mathematics. It is compared as text. */
export class NotMathematics extends Error {}

/**
 * What an answer in LaTeX or plain text says.
 *
 * @throws NotMathematics where it cannot be read, UnsupportedError where it is beyond a limit or holds what is not supported
 */
export function parseMath(text: string, commas?: CommaReading): Node {
  return new Parser(tokenize(text, commas)).answer()
}

const relations = new Set(['=', '≠', '<', '>', '≤', '≥', '∈', '∉', '≈', '≡', '→', '~', '∣', '⊂'])
const environments: Readonly<Record<string, 'matrix' | 'lines' | 'determinant' | 'cases'>> = {
  matrix: 'matrix',
  pmatrix: 'matrix',
  bmatrix: 'matrix',
  Bmatrix: 'matrix',
  smallmatrix: 'matrix',
  array: 'matrix',
  vmatrix: 'determinant',
  Vmatrix: 'determinant',
  cases: 'cases',
  aligned: 'lines',
  align: 'lines',
  'align*': 'lines',
  gathered: 'lines',
  split: 'lines',
  equation: 'lines',
  'equation*': 'lines',
  gather: 'lines',
  'gather*': 'lines',
  'pmatrix*': 'matrix',
  'bmatrix*': 'matrix',
}
const unsupportedCommands = new Set(
  'int iint iiint oint lim limsup liminf forall exists nexists partial nabla bigoplus oplus otimes coprod hline multicolumn overset underset stackrel overbrace underbrace'.split(
    ' ',
  ),
)
const inverses: Readonly<Record<string, string>> = {
  sin: 'arcsin',
  cos: 'arccos',
  tan: 'arctan',
  cot: 'arccot',
  sec: 'arcsec',
  csc: 'arccsc',
  sinh: 'arcsinh',
  cosh: 'arccosh',
  tanh: 'arctanh',
}
const aliases: Readonly<Record<string, string>> = {
  asin: 'arcsin',
  acos: 'arccos',
  atan: 'arctan',
  acot: 'arccot',
  asinh: 'arcsinh',
  acosh: 'arccosh',
  atanh: 'arctanh',
  cosec: 'csc',
  cosech: 'csch',
  sign: 'sgn',
  re: 'Re',
  im: 'Im',
}
/** Letters that name functions where an argument in parentheses follows. */
const functionLetters = /^[fghFGH]$/
const decorations = new Set([
  'overline',
  'hat',
  'tilde',
  'dot',
  'ddot',
  'check',
  'widetilde',
  'overparen',
  'wideparen',
  'underbar',
])
const plainDecorations = new Set(['vec'])
const wordConstants: Readonly<Record<string, Node>> = {
  pi: { kind: 'constant', name: 'pi' },
  inf: { kind: 'constant', name: 'infinity' },
  infty: { kind: 'constant', name: 'infinity' },
  infinity: { kind: 'constant', name: 'infinity' },
  Infinity: { kind: 'constant', name: 'infinity' },
  oo: { kind: 'constant', name: 'infinity' },
}

export const integer = (value: number): Node => ({ kind: 'number', value: rational(BigInt(value)) })
const multiply = (factors: Node[]): Node =>
  factors.length === 1 ? (factors[0] as Node) : { kind: 'multiply', factors }

export function numberNode(text: string): Node {
  const [digits = '', exponent] = text.split(/[eE]/)
  const decimals = digits.split('.')[1]?.length
  let value = parseDecimal(digits)
  if (exponent !== undefined) {
    const power = Number(exponent)
    if (Math.abs(power) > 1000) throw new UnsupportedError('an exponent too large')
    const scale = 10n ** BigInt(Math.abs(power))
    value =
      power >= 0
        ? rational(value.numerator * scale, value.denominator)
        : rational(value.numerator, value.denominator * scale)
  }
  const written = exponent === undefined ? decimals : Math.max(0, (decimals ?? 0) - Number(exponent))
  return written === undefined || written === 0
    ? { kind: 'number', value }
    : { kind: 'number', value, decimals: written }
}

class Parser {
  private position = 0
  private nodes = 0
  private depth = 0
  /** Bars that are open: inside them a bar closes. */
  private bars = 0

  constructor(private readonly tokens: readonly Token[]) {}

  answer(): Node {
    const node = this.statements()
    if (this.peek().kind !== 'end') throw new NotMathematics(`unexpected ${this.peek().value}`)
    return this.isPrice() && isAmount(node) ? { kind: 'unit', of: node, unit: 'dollar' } : node
  }

  /** One sign of dollars, before all else. */
  private isPrice(): boolean {
    const isDollar = ({ kind, value }: Token) => kind === 'symbol' && value === '$'
    return isDollar(this.tokens[0] as Token) && !this.tokens.slice(1).some(isDollar)
  }

  // Tokens

  private peek(offset = 0): Token {
    return (this.tokens[this.position + offset] ?? this.tokens.at(-1)) as Token
  }

  private is(value: string, offset = 0): boolean {
    const token = this.peek(offset)
    return (
      token.value === value &&
      (token.kind === 'symbol' || (token.kind === 'name' && (value === 'and' || value === 'or')))
    )
  }

  private isCommand(value: string): boolean {
    const token = this.peek()
    return token.kind === 'command' && token.value === value
  }

  private take(): Token {
    const token = this.peek()
    if (token.kind !== 'end') this.position++
    return token
  }

  private skip(value: string): boolean {
    if (!this.is(value)) return false
    this.position++
    return true
  }

  private expect(value: string): void {
    if (!this.skip(value)) throw new NotMathematics(`expected ${value}`)
  }

  private node(node: Node): Node {
    if (++this.nodes > maximumNodes) throw new UnsupportedError('too many parts')
    return node
  }

  private nested<T>(read: () => T): T {
    if (++this.depth > maximumDepth) throw new UnsupportedError('nested too deep')
    const result = read()
    this.depth--
    return result
  }

  // Lists

  /** Alternatives by `;`, words and line breaks; each of them a list by commas. The last of a derivation by ⇒ counts. */
  private statements(): Node {
    let parts: Node[] = []
    let join: 'and' | 'or' | ',' = ','
    for (;;) {
      const part = this.commaList()
      if (part) parts.push(part)
      if (this.skip('⇒')) parts = []
      else if (this.is('and') || this.is('or')) join = this.take().value as 'and' | 'or'
      else if (!this.skip(';') && !this.skip('\\\\')) break
    }
    if (parts.length === 0) throw new NotMathematics('nothing')
    return parts.length === 1 ? (parts[0] as Node) : this.node(joinLists(parts, join))
  }

  private commaList(): Node | undefined {
    const items: Node[] = []
    while (!this.atSeparator()) {
      items.push(this.nested(() => this.relation()))
      if (!this.skip(',')) break
      while (this.skip(',')) {}
    }
    if (items.length === 0) return undefined
    return items.length === 1 ? items[0] : this.node({ kind: 'list', items, join: ',' })
  }

  private atSeparator(): boolean {
    const { kind, value } = this.peek()
    if (kind === 'end') return true
    if (kind === 'name') return value === 'and' || value === 'or'
    if (kind === 'command') return value === 'end'
    return kind === 'symbol' && [';', 'and', 'or', '\\\\', '⇒', ')', ']', '\\}', '}', '⟩', '&'].includes(value)
  }

  // Relations

  private relation(): Node {
    while (this.skip('&')) {}
    const operands: Node[] = []
    const operators: RelationOperator[] = []
    // `= 5` continues what the question began.
    if (this.is('=') || this.is('≈')) this.position++
    operands.push(this.sets())
    for (;;) {
      while (this.is('&') && this.relationAt(1)) this.position++
      const operator = this.relationAt(0)
      if (operator === undefined) break
      this.position++
      while (this.skip('&')) {}
      operators.push(operator)
      operands.push(this.sets())
    }
    return operators.length === 0 ? (operands[0] as Node) : this.node({ kind: 'relation', operands, operators })
  }

  private relationAt(offset: number): RelationOperator | undefined {
    const { kind, value } = this.peek(offset)
    if (kind === 'name' && value === 'in') return '∈'
    return kind === 'symbol' && relations.has(value) ? (value as RelationOperator) : undefined
  }

  private sets(): Node {
    let left = this.ratio()
    for (;;) {
      const operator = (['∪', '∩', '∖'] as const).find((symbol) => this.is(symbol))
      const word = this.peek().kind === 'name' && ['U', 'union', 'cup'].includes(this.peek().value) && isSetLike(left)
      if (operator === undefined && !(word && this.startsBracket(1))) return left
      this.position++
      const right = this.ratio()
      left = this.node(combine(operator ?? '∪', left, right))
    }
  }

  private startsBracket(offset: number): boolean {
    return ['(', '[', '\\{', '{'].some((open) => this.is(open, offset))
  }

  private ratio(): Node {
    const parts = [this.sum()]
    while (this.is(':') && parts.length < 8) {
      this.position++
      parts.push(this.sum())
    }
    return parts.length === 1 ? (parts[0] as Node) : this.node({ kind: 'ratio', parts })
  }

  // Arithmetic

  private sum(): Node {
    const terms: Node[] = []
    let left = this.signedTerm()
    terms.push(left)
    for (;;) {
      if (this.skip('+')) terms.push(this.signedTerm())
      else if (this.skip('-')) terms.push(this.node({ kind: 'negate', of: this.signedTerm() }))
      else if (this.is('±') || this.is('∓')) {
        const sign = this.take().value === '±' ? 1 : -1
        left = terms.length === 1 ? (terms[0] as Node) : this.node({ kind: 'add', terms: [...terms] })
        terms.length = 0
        terms.push(this.node({ kind: 'plusMinus', sign, left, right: this.term() }))
      } else break
    }
    if (terms.length === 1) return terms[0] as Node
    const [set, other] = terms
    // `ℝ - {0}` is a difference of sets.
    if (terms.length === 2 && set && isSetLike(set) && other?.kind === 'negate' && isSetLike(other.of))
      return this.node(combine('∖', set, other.of))
    return this.node({ kind: 'add', terms })
  }

  private signedTerm(): Node {
    if (this.skip('+')) return this.nested(() => this.signedTerm())
    if (this.skip('-')) return this.node({ kind: 'negate', of: this.nested(() => this.signedTerm()) })
    if (this.is('±') || this.is('∓')) {
      const sign = this.take().value === '±' ? 1 : -1
      return this.node({ kind: 'plusMinus', sign, left: undefined, right: this.term() })
    }
    return this.term()
  }

  private term(): Node {
    let factors = [this.factor()]
    for (;;) {
      const unit = this.unit(factors)
      if (unit !== undefined) {
        factors = [this.node({ kind: 'unit', of: multiply(factors), unit })]
        continue
      }
      if (this.skip('*')) factors.push(this.signedFactor())
      else if (this.is('/') || this.is('÷')) {
        this.position++
        const denominator = this.signedFactor()
        factors = [this.node({ kind: 'divide', numerator: multiply(factors), denominator })]
      } else if (this.modulo(factors)) continue
      else if (this.startsFactor()) factors.push(this.factor())
      else break
    }
    return factors.length === 1 ? (factors[0] as Node) : this.node({ kind: 'multiply', factors })
  }

  /** `17 \bmod 5` is 2; `3 \pmod 5` a residue class. */
  private modulo(factors: Node[]): boolean {
    const { kind, value } = this.peek()
    const residue = kind === 'command' && (value === 'pmod' || value === 'mod')
    const bracketed = this.is('(') && this.peek(1).kind === 'name' && this.peek(1).value === 'mod'
    const remainder = (kind === 'command' && value === 'bmod') || (kind === 'name' && value === 'mod')
    if (!residue && !remainder && !bracketed) return false
    this.position += bracketed ? 2 : 1
    const modulus = this.factor()
    if (bracketed) this.expect(')')
    const name = residue || bracketed ? 'residue' : 'mod'
    const whole = this.node({ kind: 'call', name, arguments: [multiply([...factors]), modulus] })
    factors.splice(0, factors.length, whole)
    return true
  }

  private signedFactor(): Node {
    if (this.skip('-')) return this.node({ kind: 'negate', of: this.nested(() => this.signedFactor()) })
    if (this.skip('+')) return this.nested(() => this.signedFactor())
    return this.factor()
  }

  private startsFactor(): boolean {
    const { kind, value } = this.peek()
    if (kind === 'number') return true
    if (kind === 'name')
      return value !== 'and' && value !== 'or' && value !== 'in' && value !== 'U' && value !== 'union'
    if (kind === 'command') return !['end', 'over', 'choose', 'recurring', 'pmod', 'mod', 'bmod', 'not'].includes(value)
    if (kind !== 'symbol') return false
    if (value === '|') return this.bars === 0 && this.closesBar()
    return (
      ['(', '[', '{', '\\{', '∞', '⌊', '⌈', '⟨', '$', '€', '‖', '…', '∅'].includes(value) &&
      !(value === '[' && this.bars < 0)
    )
  }

  /** Whether a bar that would open here has a partner before the answer ends. */
  private closesBar(): boolean {
    for (let i = this.position + 1; i < this.tokens.length; i++) {
      const { kind, value } = this.tokens[i] as Token
      if (kind === 'symbol' && value === '|') return true
      if (kind === 'symbol' && (value === ',' || value === ';')) return false
    }
    return false
  }

  // Units

  /** The unit that follows a quantity: marked as text, or a known name of several letters. */
  private unit(factors: readonly Node[]): string | undefined {
    const { kind, value } = this.peek()
    if (kind === 'text') return this.unitText()
    if (kind === 'command' && value === 'frac') return this.unitFraction()
    if (kind === 'symbol' && (value === '$' || value === '€')) {
      this.position++
      return value === '$' ? 'dollar' : ''
    }
    const isPower =
      ['square', 'sq', 'cubic'].includes(value) && this.peek(1).kind === 'name' && isUnitName(this.peek(1).value)
    if (kind !== 'name' || !(isUnitName(value) || isPower) || !factors.every(isQuantity)) return undefined
    return this.unitText()
  }

  /** `\\frac{\\text{m}}{\\text{s}}` after a quantity. */
  private unitFraction(): string | undefined {
    if (!this.is('{', 1) || this.peek(2).kind !== 'text') return undefined
    const start = this.position
    this.position += 2
    const above = this.unitText()
    if (this.skip('}') && this.skip('{') && this.peek().kind === 'text') {
      const below = this.unitText()
      if (this.skip('}')) return `${above} / ${below}`
    }
    this.position = start
    return undefined
  }

  private unitText(): string {
    let text = this.take().value
    for (;;) {
      const { kind, value } = this.peek()
      if (kind === 'symbol' && value === '^' && this.unitPower(1) !== undefined) text += this.takeUnitPower()
      else if (kind === 'symbol' && (value === '/' || value === '*') && ['text', 'name'].includes(this.peek(1).kind)) {
        this.position++
        text += `${value === '/' ? '/' : ' '}${this.take().value}`
      } else if (kind === 'text' || (kind === 'name' && value.length > 1 && value !== 'and' && value !== 'or')) {
        text += ` ${this.take().value}`
      } else return text
    }
  }

  private unitPower(offset: number): string | undefined {
    let at = offset
    while (this.is('{', at)) at++
    let sign = ''
    if (this.is('-', at)) {
      sign = '-'
      at++
    }
    const { kind, value } = this.peek(at)
    return kind === 'number' && /^[1-9]$/.test(value) ? sign + value : undefined
  }

  private takeUnitPower(): string {
    this.position++
    const power = this.unitPower(0) as string
    while (this.skip('{') || this.skip('-')) {}
    this.position++
    while (this.skip('}')) {}
    return power
  }

  // Factors

  private factor(): Node {
    return this.nested(() => this.postfix(this.primary()))
  }

  private postfix(start: Node): Node {
    let node = this.plainIndex(start)
    for (;;) {
      if (this.is('^')) node = this.power(node)
      else if (this.is('°')) {
        this.position++
        node = this.node({ kind: 'degrees', of: node })
      } else if (this.is('%')) {
        this.position++
        node = this.node({ kind: 'percent', of: node })
      } else if (this.is('!') && !this.is('=', 1)) {
        this.position++
        const double = this.skip('!')
        node = this.node({ kind: 'call', name: double ? 'double factorial' : 'factorial', arguments: [node] })
      } else if (this.is("'")) node = this.primed(node)
      else if (this.is('_')) node = this.subscript(node)
      else return node
    }
  }

  /** `x1` in plain text is `x_1`. */
  private plainIndex(node: Node): Node {
    const { kind, value, spaced } = this.peek()
    const previous = this.tokens[this.position - 1]
    const follows = kind === 'number' && !spaced && /^\d$/.test(value) && previous?.kind === 'name'
    if (!follows || node.kind !== 'symbol' || !/^[a-zA-Z]$/.test(node.name)) return node
    this.position++
    return { kind: 'symbol', name: `${node.name}_${value}` }
  }

  private primed(node: Node): Node {
    this.position++
    if (node.kind !== 'symbol') throw new NotMathematics('a prime')
    return { kind: 'symbol', name: `${node.name}'` }
  }

  private power(base: Node): Node {
    this.position++
    if (this.is('{') && this.is('°', 1) && this.is('}', 2)) {
      this.position += 3
      return this.node({ kind: 'degrees', of: base })
    }
    if (this.skip('°') || (base.kind === 'number' && this.degreeLetter()))
      return this.node({ kind: 'degrees', of: base })
    const transpose = this.transpose()
    if (transpose && base.kind !== 'symbol') return this.node({ kind: 'call', name: 'transpose', arguments: [base] })
    const chosen = base.kind === 'symbol' ? /^C_(\d+)$/.exec(base.name)?.[1] : undefined
    if (chosen !== undefined) {
      const exponent = this.nested(() => this.exponent())
      return this.node({ kind: 'call', name: 'binomial', arguments: [integer(Number(chosen)), exponent] })
    }
    const primes = this.primes()
    if (primes !== undefined && base.kind === 'symbol') return { kind: 'symbol', name: base.name + primes }
    return this.node({ kind: 'power', base, exponent: this.nested(() => this.exponent()) })
  }

  /** `150^\\text{o}`: the letter as the sign of degrees. */
  private degreeLetter(): boolean {
    const braced = this.is('{')
    const { kind, value } = this.peek(braced ? 1 : 0)
    if (kind !== 'name' || (value !== 'o' && value !== 'circ') || (braced && !this.is('}', 2))) return false
    this.position += braced ? 3 : 1
    return true
  }

  private transpose(): boolean {
    const isMark = (token: Token) => ['T', 'top', 'intercal'].includes(token.value) && token.kind !== 'symbol'
    const previous = this.tokens[this.position - 2]
    const afterBracket = previous !== undefined && [')', ']', '⟩', '}'].includes(previous.value)
    if (!afterBracket) return false
    if (isMark(this.peek())) {
      this.position++
      return true
    }
    if (!this.is('{') || !isMark(this.peek(1)) || !this.is('}', 2)) return false
    this.position += 3
    return true
  }

  private primes(): string | undefined {
    let count = 0
    const start = this.position
    this.skip('{')
    while (this.skip("'")) count++
    this.skip('}')
    if (count > 0) return "'".repeat(count)
    this.position = start
    return undefined
  }

  private exponent(): Node {
    if (this.skip('-')) return this.node({ kind: 'negate', of: this.nested(() => this.exponent()) })
    if (this.skip('+')) return this.nested(() => this.exponent())
    const base = this.nested(() => this.primary())
    return this.is('^') ? this.power(base) : this.is('!') ? this.postfix(base) : base
  }

  private subscript(node: Node): Node {
    this.position++
    const text = this.subscriptText()
    if (node.kind === 'number') {
      const digits = node.decimals === undefined ? `${node.value.numerator}` : undefined
      if (digits === undefined || node.value.denominator !== 1n) throw new NotMathematics('a subscript')
      return { kind: 'based', digits, base: numberOfBase(text) }
    }
    if (node.kind === 'symbol') return { kind: 'symbol', name: `${node.name}_${text}` }
    if (node.kind === 'constant') return { kind: 'symbol', name: `${node.name}_${text}` }
    // A sum in parentheses with a base, or an index of a bracket: no arithmetic.
    throw new UnsupportedError('a subscript of an expression')
  }

  private subscriptText(): string {
    if (!this.skip('{')) {
      const token = this.take()
      if (token.kind === 'end') throw new NotMathematics('a subscript')
      return token.value
    }
    let level = 1
    const parts: string[] = []
    while (this.peek().kind !== 'end') {
      if (this.is('{')) level++
      if (this.is('}') && --level === 0) break
      parts.push(this.take().value)
    }
    this.expect('}')
    return parts.join('')
  }

  // Primaries

  private primary(): Node {
    const token = this.peek()
    if (token.kind === 'number') return this.number()
    if (token.kind === 'name') return this.name()
    if (token.kind === 'command') return this.command()
    if (token.kind === 'text') return this.textSymbol()
    if (token.kind === 'symbol') return this.symbol(token.value)
    throw new NotMathematics('an end')
  }

  private symbol(value: string): Node {
    this.position++
    switch (value) {
      case '(':
      case '[':
      case '⟨':
      case ']':
        return this.bracket(value)
      case '{':
        return this.group()
      case '\\{':
        return this.set('\\}')
      case '|':
        return this.bar('|', 'abs')
      case '‖':
        return this.bar('‖', 'norm')
      case '⌊':
        return this.between('⌋', 'floor')
      case '⌈':
        return this.between('⌉', 'ceil')
      case '∞':
        return this.node({ kind: 'constant', name: 'infinity' })
      case '∅':
        return this.node({ kind: 'set', items: [] })
      case '$':
      case '€':
        return this.factor()
      case '…':
        throw new UnsupportedError('an ellipsis')
      default:
        throw new NotMathematics(`unexpected ${value}`)
    }
  }

  private number(): Node {
    const text = this.take().value
    if (this.isCommand('recurring')) {
      this.position++
      return this.recurring(text, this.take().value)
    }
    if (this.isCommand('overline') || this.isCommand('dot')) {
      const digits = this.recurringDigits()
      if (digits !== undefined) return this.recurring(text, digits)
    }
    if (this.is('…') && /\.\d*?(\d+)\1{2,}$/.test(text)) return this.ellipsis(text)
    const whole = this.node(numberNode(text))
    return this.mixed(text, whole) ?? whole
  }

  /** `0.333…`, whose last digits come three times, goes on with them. */
  private ellipsis(text: string): Node {
    this.position++
    const digits = /\.\d*?(\d+?)\1{2,}$/.exec(text)?.[1] as string
    return this.recurring(text, digits)
  }

  private recurringDigits(): string | undefined {
    const start = this.position
    this.position++
    const braced = this.skip('{')
    const { kind, value } = this.take()
    if (kind === 'number' && /^\d+$/.test(value) && (!braced || this.skip('}'))) return value
    this.position = start
    return undefined
  }

  private recurring(text: string, digits: string): Node {
    const [whole = '0', fixed = ''] = text.split('.')
    if (digits.length > 50) throw new UnsupportedError('a period too long')
    const nines = 10n ** BigInt(digits.length) - 1n
    const scale = 10n ** BigInt(fixed.length)
    const numerator = BigInt(whole + fixed || '0') * nines + BigInt(digits)
    return this.node({ kind: 'number', value: rational(numerator, nines * scale) })
  }

  /** `2\frac{1}{3}` and `2 1/3`: a whole number and a proper fraction. */
  private mixed(text: string, whole: Node): Node | undefined {
    if (!/^\d+$/.test(text) || whole.kind !== 'number') return undefined
    const fraction = this.latexFraction() ?? this.plainFraction()
    if (fraction === undefined) return undefined
    return this.node({ kind: 'add', terms: [whole, fraction] })
  }

  private latexFraction(): Node | undefined {
    if (!this.isCommand('frac')) return undefined
    const start = this.position
    const given = this.tokens.slice(start + 1, start + 3)
    this.position++
    const numerator = this.plainArgument()
    const denominator = numerator === undefined ? undefined : this.plainArgument()
    const value = properFraction(numerator, denominator)
    if (value !== undefined) return value
    ;(this.tokens as Token[]).splice(start + 1, given.length, ...given)
    this.position = start
    return undefined
  }

  private plainArgument(): string | undefined {
    if (this.is('{')) {
      const { kind, value } = this.peek(1)
      if (kind !== 'number' || !this.is('}', 2)) return undefined
      this.position += 3
      return value
    }
    const token = this.peek()
    if (token.kind !== 'number') return undefined
    const [digit = '', ...rest] = token.value
    if (rest.length === 0) this.position++
    else this.replace({ ...token, value: rest.join('') })
    return digit
  }

  private replace(token: Token): void {
    ;(this.tokens as Token[])[this.position] = token
  }

  private plainFraction(): Node | undefined {
    const numerator = this.peek()
    const denominator = this.peek(2)
    if (numerator.kind !== 'number' || !numerator.spaced || !this.is('/', 1) || denominator.kind !== 'number')
      return undefined
    const value = properFraction(numerator.value, denominator.value)
    if (value === undefined) throw new UnsupportedError('a whole number before an improper fraction')
    this.position += 3
    return value
  }

  private textSymbol(): Node {
    const { value } = this.take()
    return this.node({ kind: 'text', text: value })
  }

  // Names

  private name(): Node {
    const { value } = this.take()
    if (value.length === 1) return this.letter(value)
    const constant = wordConstants[value]
    if (constant) return this.node(constant)
    const lower = value.toLowerCase()
    if (functionNames.has(value) || functionNames.has(lower))
      return this.functionCall(functionNames.has(value) ? value : lower)
    if (greek.has(value)) return this.node({ kind: 'symbol', name: value })
    if (value === 'frac' || value === 'binom' || value === 'choose') throw new NotMathematics(value)
    return this.letters(value)
  }

  private letter(value: string): Node {
    if (value === 'e' || value === 'i') return this.node({ kind: 'constant', name: value })
    if (['ℝ', 'ℤ', 'ℚ', 'ℕ', 'ℂ'].includes(value)) return this.numbers(value)
    if (value === 'C' && this.is('(')) return this.choice()
    if (functionLetters.test(value) && (this.is('(') || this.is("'") || this.is('^'))) return this.application(value)
    return this.node({ kind: 'symbol', name: value })
  }

  /** `C(5, 2)` of two whole numbers is a binomial coefficient. */
  private choice(): Node {
    const [, n, comma, k, close] = [0, 1, 2, 3, 4].map((offset) => this.peek(offset))
    const numbers = [n, k].every((token) => token?.kind === 'number' && /^\d+$/.test(token.value))
    if (!numbers || comma?.value !== ',' || close?.value !== ')') return this.node({ kind: 'symbol', name: 'C' })
    this.position += 5
    const given = [n, k].map((token) => numberNode((token as Token).value))
    return this.node({ kind: 'call', name: 'binomial', arguments: given })
  }

  /** ℝ⁺ and the like are names of their own. */
  private numbers(value: string): Node {
    let name = value
    while (this.is('^') || this.is('_')) {
      this.position++
      name += this.subscriptText()
    }
    return this.node({ kind: 'numbers', name })
  }

  /** `f(x)` as an unknown function's value; `f`, `f^2` and `f'` alone are names. */
  private application(letter: string): Node {
    const start = this.position
    let name = letter
    while (this.skip("'")) name += "'"
    if (this.is('^') && this.is('{', 1) && this.is('-', 2) && this.peek(3).value === '1' && this.is('}', 4)) {
      this.position += 5
      name += '⁻¹'
    }
    if (!this.is('(')) {
      this.position = start
      return this.node({ kind: 'symbol', name: letter })
    }
    this.position++
    const inside = this.bracket('(')
    const given = inside.kind === 'bracket' ? inside.items : [inside]
    return this.node({ kind: 'call', name: `function ${name}`, arguments: given })
  }

  /** A run of letters: factors of one letter each, but for the names of functions and constants among them. */
  private letters(value: string): Node {
    const pieces = segment(value)
    const at = pieces.findIndex((piece) => piece.length > 1 && functionNames.has(piece))
    const factors = (at < 0 ? pieces.slice(0, -1) : pieces.slice(0, at)).map((piece) => this.piece(piece))
    // What follows a run belongs to its last piece: its power, its index, its argument.
    if (at < 0) factors.push(this.postfix(this.piece(pieces.at(-1) as string)))
    else if (at === pieces.length - 1) factors.push(this.functionCall(pieces[at] as string))
    else {
      const inside = pieces.slice(at + 1).map((piece) => this.piece(piece))
      inside.push(this.postfix(inside.pop() as Node))
      factors.push(callOf(pieces[at] as string, [multiply(inside)], undefined))
    }
    return this.node(multiply(factors))
  }

  private piece(value: string): Node {
    if (value.length === 1)
      return value === 'e' || value === 'i'
        ? this.node({ kind: 'constant', name: value })
        : this.node({ kind: 'symbol', name: value })
    return wordConstants[value] ?? this.node({ kind: 'symbol', name: value })
  }

  // Commands

  private command(): Node {
    const { value } = this.take()
    if (unsupportedCommands.has(value)) throw new UnsupportedError(`\\${value}`)
    if (functionNames.has(value) && value !== 'sqrt') return this.functionCall(value)
    if (greek.has(value)) return this.node({ kind: 'symbol', name: value })
    if (decorations.has(value)) return this.decorated(value)
    if (plainDecorations.has(value)) return this.argument()
    const read = this.commands[value]
    if (!read) throw new NotMathematics(`\\${value}`)
    return this.nested(read)
  }

  private readonly commands: Readonly<Record<string, () => Node>> = {
    pi: () => this.node({ kind: 'constant', name: 'pi' }),
    frac: () => this.fraction(),
    sqrt: () => this.root(),
    binom: () => this.binomial(),
    begin: () => this.environment(),
    sum: () => this.series('sum'),
    prod: () => this.series('product'),
    angle: () => this.named('angle '),
    triangle: () => this.named('triangle '),
    measuredangle: () => this.named('angle '),
    Pr: () => this.probability(),
    imath: () => this.node({ kind: 'constant', name: 'i' }),
    exponentialE: () => this.node({ kind: 'constant', name: 'e' }),
    parallel: () => this.between('‖', 'norm'),
  }

  private probability(): Node {
    this.expect('(')
    const inside = this.bracket('(')
    return this.node({ kind: 'call', name: 'function Pr', arguments: [inside] })
  }

  private named(prefix: string): Node {
    const inside = this.factor()
    const names = lettersOf(inside)
    if (names === undefined) throw new NotMathematics(prefix)
    return this.node({ kind: 'symbol', name: prefix + names })
  }

  private decorated(decoration: string): Node {
    const inside = this.argument()
    const names = lettersOf(inside)
    if (names === undefined && decoration === 'overline' && symbolsOf(inside).size === 0) return conjugate(inside)
    if (names === undefined) throw new UnsupportedError(`\\${decoration}`)
    return this.node({ kind: 'symbol', name: `${decoration} ${names}` })
  }

  /** What a command takes: a group, or one token; of a number, all its digits unless told. */
  private argument(oneDigit = false): Node {
    if (this.skip('{')) return this.group()
    const token = this.peek()
    if (oneDigit && token.kind === 'number' && token.value.length > 1) {
      ;(this.tokens as Token[])[this.position] = { ...token, value: token.value.slice(1), spaced: false }
      return this.node(numberNode(token.value[0] === '.' ? '0' : (token.value[0] as string)))
    }
    if (token.kind === 'number') {
      this.position++
      return this.node(numberNode(token.value))
    }
    if (oneDigit && token.kind === 'name' && token.value.length > 1) {
      ;(this.tokens as Token[])[this.position] = { ...token, value: token.value.slice(1), spaced: false }
      return this.piece(token.value[0] as string)
    }
    return this.nested(() => this.primary())
  }

  private fraction(): Node {
    const numerator = this.argument(true)
    const denominator = this.argument(true)
    return this.node({ kind: 'divide', numerator, denominator })
  }

  private binomial(): Node {
    const n = this.argument(true)
    const k = this.argument(true)
    return this.node({ kind: 'call', name: 'binomial', arguments: [n, k] })
  }

  private root(): Node {
    let degree: Node | undefined
    if (this.is('[')) {
      this.position++
      degree = this.sum()
      this.expect(']')
    }
    const of = this.argument()
    return this.node({ kind: 'call', name: 'root', arguments: [of, degree ?? integer(2)] })
  }

  private group(): Node {
    return this.nested(() => {
      const bars = this.bars
      this.bars = 0
      const inside = this.statements()
      const node = this.groupOperator(inside)
      this.bars = bars
      this.expect('}')
      return node.kind === 'list' && node.items.length > 1 ? { ...node, join: node.join } : node
    })
  }

  /** `{a \over b}` and `{n \choose k}`. */
  private groupOperator(left: Node): Node {
    if (this.isCommand('over')) {
      this.position++
      return this.node({ kind: 'divide', numerator: left, denominator: this.statements() })
    }
    if (this.isCommand('choose')) {
      this.position++
      return this.node({ kind: 'call', name: 'binomial', arguments: [left, this.statements()] })
    }
    return left
  }

  // Brackets

  private bracket(open: string): Node {
    return this.nested(() => {
      const bars = this.bars
      this.bars = 0
      const inside = this.is(')') || this.is(']') ? undefined : this.statements()
      this.bars = bars
      const close = this.take().value
      if (inside && open === '(' && close === ')' && isCondition(inside)) return inside
      return this.closed(open, close, inside ? itemsOf(inside) : [])
    })
  }

  private closed(open: string, close: string, items: Node[]): Node {
    if (open === '⟨' && close === '⟩')
      return items.length === 1 ? (items[0] as Node) : this.node({ kind: 'bracket', open: '(', close: ')', items })
    // `]a, b[` is the French open interval.
    if (open === ']' || close === '[') {
      if (items.length !== 2) throw new NotMathematics('a bracket')
      return this.node({ kind: 'bracket', open: open === ']' ? '(' : '[', close: close === '[' ? ')' : ']', items })
    }
    if ((close !== ')' && close !== ']') || open === '⟨') throw new NotMathematics('a bracket')
    if (items.length === 1 && (open === '(') === (close === ')')) return items[0] as Node
    if (items.length === 0) return this.node({ kind: 'set', items: [] })
    return this.node({ kind: 'bracket', open: open as '(' | '[', close, items })
  }

  private set(close: string): Node {
    return this.nested(() => {
      const bars = this.bars
      this.bars = -1
      if (this.skip(close)) return this.node({ kind: 'set', items: [] })
      const start = this.position
      const builder = this.builder(close)
      if (builder) return builder
      this.position = start
      const items = itemsOf(this.statements())
      this.bars = bars
      this.expect(close)
      return this.node({ kind: 'set', items })
    })
  }

  /** `{x | x > 2}`: nothing where no bar or colon follows the first expression. */
  private builder(close: string): Node | undefined {
    let depth = 0
    let bar = -1
    for (let i = this.position; i < this.tokens.length && bar < 0; i++) {
      const { kind, value } = this.tokens[i] as Token
      if (kind !== 'symbol') continue
      if (['(', '[', '\\{', '{'].includes(value)) depth++
      else if (depth === 0 && value === close) break
      else if ([')', ']', '\\}', '}'].includes(value)) depth--
      else if (depth === 0 && (value === '|' || value === ':')) bar = i
    }
    if (bar < 0 || bar === this.position) return undefined
    const separator = this.tokens[bar] as Token
    ;(this.tokens as Token[])[bar] = { ...separator, value: '⇒' }
    const element = this.commaList()
    if (!element || !this.skip('⇒')) {
      ;(this.tokens as Token[])[bar] = separator
      return undefined
    }
    this.bars = 0
    const conditions = itemsOf(this.statements())
    this.expect(close)
    return this.node({ kind: 'builder', element, conditions })
  }

  private bar(close: string, name: string): Node {
    this.bars++
    const inside = this.nested(() => this.relation())
    this.expect(close)
    this.bars--
    return this.node({ kind: 'call', name, arguments: [inside] })
  }

  private between(close: string, name: string): Node {
    const inside = this.nested(() => this.sum())
    this.expect(close)
    return this.node({ kind: 'call', name, arguments: [inside] })
  }

  // Functions

  private functionCall(name: string): Node {
    let exponent: Node | undefined
    let base: Node | undefined
    for (let i = 0; i < 2; i++) {
      if (this.is('^')) {
        this.position++
        exponent = this.nested(() => this.exponent())
      } else if (this.is('_')) {
        this.position++
        base = this.logarithmBase()
      }
    }
    const given = this.functionArguments(name)
    const inverse = exponent !== undefined && isMinusOne(exponent) ? inverses[name] : undefined
    const call = this.node(callOf(inverse ?? aliases[name] ?? name, given, base))
    return exponent !== undefined && inverse === undefined ? this.node({ kind: 'power', base: call, exponent }) : call
  }

  /** `\log_{10} x`, `\log_2 8`, and `\log_28`, whose base is one digit where nothing else follows. */
  private logarithmBase(): Node {
    const next = this.tokens[this.position + 1]
    const alone =
      next === undefined ||
      (next.kind === 'symbol' && !['(', '{', '|', '['].includes(next.value)) ||
      next.kind === 'end'
    return this.argument(alone)
  }

  private functionArguments(name: string): Node[] {
    if (this.is('(')) {
      this.position++
      const inside = this.bracket('(')
      return inside.kind === 'bracket' ? inside.items : [inside]
    }
    if (this.is('{') && ['sqrt', 'abs', 'exp', 'max', 'min', 'gcd', 'lcm'].includes(name)) {
      this.position++
      return itemsOf(this.group())
    }
    if (this.is('\\{') && ['max', 'min'].includes(name)) {
      this.position++
      const inside = this.set('\\}')
      return inside.kind === 'set' ? inside.items : [inside]
    }
    const factors = [this.signedFactor()]
    while (this.continuesArgument()) factors.push(this.factor())
    return [multiply(factors)]
  }

  /** What `\sin 2x` takes beyond its first factor: no parentheses, and no other function. */
  private continuesArgument(): boolean {
    const { kind, value } = this.peek()
    if (kind === 'number') return true
    if (kind === 'name') return this.startsFactor() && !functionNames.has(value) && value !== 'mod'
    return kind === 'command' && (greek.has(value) || value === 'pi' || value === 'sqrt' || value === 'frac')
  }

  // Larger forms

  private environment(): Node {
    const name = this.bracedName()
    const form = environments[name]
    if (!form) throw new UnsupportedError(`the environment ${name}`)
    if (name === 'array') this.skipColumns()
    const rows = this.rows(form)
    this.position++
    if (this.bracedName() !== name) throw new NotMathematics(`the end of ${name}`)
    if (name === 'array' && rows.length === 1 && rows[0]?.length === 1) return rows[0][0] as Node
    if (form === 'determinant') return this.node({ kind: 'call', name: 'det', arguments: [{ kind: 'matrix', rows }] })
    const holdsRelations = rows.every((row) => row.length === 1 && row[0]?.kind === 'relation')
    if (form === 'matrix' && !holdsRelations) return this.node({ kind: 'matrix', rows })
    if (rows.every((row) => row.length === 1)) {
      const items = rows.flat()
      return items.length === 1 ? (items[0] as Node) : this.node({ kind: 'list', items, join: 'and' })
    }
    return this.node({
      kind: 'call',
      name: 'piecewise',
      arguments: rows.map((items) => ({ kind: 'bracket', open: '(', close: ')', items })),
    })
  }

  private bracedName(): string {
    this.expect('{')
    let name = ''
    while (!this.is('}') && this.peek().kind !== 'end') name += this.take().value
    this.expect('}')
    return name
  }

  private skipColumns(): void {
    if (!this.is('{')) return
    while (!this.is('}') && this.peek().kind !== 'end') this.position++
    this.expect('}')
  }

  private rows(form: string): Node[][] {
    const rows: Node[][] = []
    let row: Node[] = []
    const finishRow = () => {
      if (row.length > 0) rows.push(row)
      row = []
    }
    while (!this.isCommand('end')) {
      if (this.peek().kind === 'end') throw new NotMathematics('an environment without an end')
      if (this.skip('\\\\')) finishRow()
      else if (!this.skip('&')) row.push(this.cell(form))
    }
    finishRow()
    if (rows.length === 0) throw new NotMathematics('an empty matrix')
    return rows
  }

  private cell(form: string): Node {
    if (this.isCommand('hline')) this.position++
    const node = this.nested(() =>
      form === 'matrix' || form === 'determinant' ? this.relation() : (this.commaList() as Node),
    )
    if (!node) throw new NotMathematics('an empty cell')
    // `x &= 1` in aligned lines: the rest of the relation.
    if (form === 'lines' && this.is('&')) {
      while (this.skip('&')) {}
      const operator = this.relationAt(0)
      if (operator) {
        this.position++
        return this.node({ kind: 'relation', operands: [node, this.sets()], operators: [operator] })
      }
    }
    return node
  }

  private series(name: 'sum' | 'product'): Node {
    let from: Node | undefined
    let to: Node | undefined
    for (let i = 0; i < 2; i++) {
      if (this.skip('_')) from = this.seriesBound()
      else if (this.skip('^')) to = this.seriesBound()
    }
    if (from?.kind !== 'relation' || from.operators[0] !== '=' || from.operators.length !== 1 || !to)
      throw new UnsupportedError(`\\${name}`)
    const [index, start] = from.operands as [Node, Node]
    const variable =
      index.kind === 'constant' && index.name === 'i' ? 'i' : index.kind === 'symbol' ? index.name : undefined
    if (variable === undefined) throw new UnsupportedError(`\\${name}`)
    const body = this.term()
    return this.node({ kind: 'series', name, index: variable, from: start, to, body })
  }

  private seriesBound(): Node {
    return this.skip('{')
      ? this.nested(() => {
          const node = this.relation()
          this.expect('}')
          return node
        })
      : this.primary()
  }
}

function joinLists(parts: Node[], join: 'and' | 'or' | ','): Node {
  // "1, 2 and 3" is one list; "x = 1, y = 2 or x = 3, y = 4" a list of two.
  const lists = parts.filter((part) => part.kind === 'list')
  const nested =
    lists.length === parts.length &&
    lists.every((list) => list.items.length === (lists[0] as { items: Node[] }).items.length)
  if (nested && lists.every((list) => list.items.every(({ kind }) => kind === 'relation')))
    return { kind: 'list', items: parts, join }
  if (nested && join === ',' && lists.every((list) => list.items.length > 1))
    return { kind: 'list', items: parts, join }
  return {
    kind: 'list',
    items: parts.flatMap((part) => (part.kind === 'list' && part.join === ',' ? part.items : [part])),
    join,
  }
}

/** `x > 1 and x < 5`: parentheses around it only group. */
const isCondition = (node: Node): boolean =>
  node.kind === 'list' && node.join !== ',' && node.items.every(({ kind }) => kind === 'relation')

/** The items of brackets: a list's, or the one expression. */
function itemsOf(node: Node): Node[] {
  return node.kind === 'list' ? node.items : [node]
}

function combine(operator: '∪' | '∩' | '∖', left: Node, right: Node): Node {
  const chains = left.kind === 'combine' && left.operator === operator && operator !== '∖'
  return { kind: 'combine', operator, parts: chains ? [...left.parts, right] : [left, right] }
}

/** A number, or so many millions. */
const isAmount = (node: Node): boolean =>
  isQuantity(node) || (node.kind === 'unit' && /^(?:hundred|thousand|million|billion)$/.test(node.unit))

const isSetLike = ({ kind }: Node): boolean => ['bracket', 'set', 'combine', 'builder', 'numbers'].includes(kind)

function isQuantity(node: Node): boolean {
  if (node.kind === 'number' || node.kind === 'constant') return true
  if (node.kind === 'divide') return isQuantity(node.numerator) && isQuantity(node.denominator)
  if (node.kind === 'call') return node.arguments.every(isQuantity)
  if (node.kind === 'power') return isQuantity(node.base) && isQuantity(node.exponent)
  if (node.kind === 'add') return node.terms.every(isQuantity)
  if (node.kind === 'multiply') return node.factors.every(isQuantity)
  return node.kind === 'negate' && isQuantity(node.of)
}

function isMinusOne(node: Node): boolean {
  return (
    node.kind === 'negate' &&
    node.of.kind === 'number' &&
    node.of.value.numerator === 1n &&
    node.of.value.denominator === 1n
  )
}

function callOf(name: string, given: Node[], base: Node | undefined): Node {
  if (name === 'sqrt') return { kind: 'call', name: 'root', arguments: [...given, integer(2)] }
  if (name === 'cbrt') return { kind: 'call', name: 'root', arguments: [...given, integer(3)] }
  if (name === 'exp' && given.length === 1)
    return { kind: 'power', base: { kind: 'constant', name: 'e' }, exponent: given[0] as Node }
  if (name === 'log' || name === 'lg') {
    if (base === undefined && name === 'lg') return { kind: 'call', name: 'log', arguments: [...given, integer(10)] }
    return { kind: 'call', name: 'log', arguments: base ? [...given, base] : given }
  }
  if (base !== undefined) throw new NotMathematics(`a subscript of ${name}`)
  if (name === 'cis') return cis(multiply(given))
  return { kind: 'call', name, arguments: given }
}

/** The conjugate of an expression without variables. */
const conjugate = (node: Node): Node =>
  node.kind === 'constant' && node.name === 'i' ? { kind: 'negate', of: node } : rebuild(node, conjugate)

/** cos θ + i sin θ. */
const cis = (angle: Node): Node => ({
  kind: 'add',
  terms: [
    { kind: 'call', name: 'cos', arguments: [angle] },
    {
      kind: 'multiply',
      factors: [
        { kind: 'constant', name: 'i' },
        { kind: 'call', name: 'sin', arguments: [angle] },
      ],
    },
  ],
})

function properFraction(numerator: string | undefined, denominator: string | undefined): Node | undefined {
  if (numerator === undefined || denominator === undefined) return undefined
  if (!/^\d+$/.test(numerator) || !/^\d+$/.test(denominator) || BigInt(numerator) >= BigInt(denominator))
    return undefined
  return { kind: 'number', value: rational(BigInt(numerator), BigInt(denominator)) }
}

const digitsOfWords: Readonly<Record<string, string>> = {
  two: '2',
  three: '3',
  four: '4',
  five: '5',
  six: '6',
  seven: '7',
  eight: '8',
  nine: '9',
  ten: '10',
  twelve: '12',
  sixteen: '16',
}
const numberOfBase = (text: string): string => digitsOfWords[text.trim().toLowerCase()] ?? text

/** The letters of a product of names, such as AB; undefined for anything else. */
function lettersOf(node: Node): string | undefined {
  if (node.kind === 'symbol') return node.name
  if (node.kind === 'constant' && node.name !== 'infinity') return node.name
  if (node.kind === 'text') return node.text
  if (node.kind !== 'multiply') return undefined
  const names = node.factors.map(lettersOf)
  return names.includes(undefined) ? undefined : names.join('')
}

const known = [...functionNames, ...Object.keys(wordConstants), ...greek]
  .filter((name) => name.length > 2 || ['ln', 'pi'].includes(name))
  .sort((a, b) => b.length - a.length)

/** A run of letters as names of functions and constants, and single letters. */
function segment(word: string): string[] {
  if (word.length > 40) throw new NotMathematics('a long word')
  const pieces: string[] = []
  let found = word.length <= 3
  for (let i = 0; i < word.length; ) {
    const name = known.find((candidate) => word.startsWith(candidate, i))
    if (name) found = true
    pieces.push(name ?? (word[i] as string))
    i += name?.length ?? 1
  }
  if (!found) throw new NotMathematics(`the word ${word}`)
  if (pieces.filter((piece) => functionNames.has(piece)).length > 1) throw new NotMathematics(`the word ${word}`)
  return pieces
}
