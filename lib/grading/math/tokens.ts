import { maximumExpressionLength, UnsupportedError } from './budget.js'
import { toLatex } from './characters.js'

export interface Token {
  /** `name`: a run of letters; `text`: words that were marked as such; `symbol`: an operator, a bracket, a separator. */
  kind: 'number' | 'name' | 'command' | 'symbol' | 'text' | 'end'
  value: string
  /** White space stands before it. */
  spaced: boolean
}

/** How commas between digits read: `1,234` is a number or a list. */
export type CommaReading = 'thousands' | 'list' | 'decimal'

export const functionNames: ReadonlySet<string> = new Set(
  'sin cos tan cot sec csc cosec cosech sinh cosh tanh coth sech csch arcsin arccos arctan arccot arcsec arccsc asin acos atan acot arcsinh arccosh arctanh asinh acosh atanh ln log lg exp sqrt cbrt abs floor ceil gcd lcm max min det sgn sign Re Im re arg cis'.split(
    ' ',
  ),
)

export const greek: ReadonlySet<string> = new Set(
  'alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho varrho sigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell hbar aleph'.split(
    ' ',
  ),
)

/** Commands that change how something looks, or that hold places. */
const ignored = new Set(
  'left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr bigm displaystyle textstyle scriptstyle limits nolimits strut mathstrut mathbf mathit boldsymbol bm mathcal mathscr mathsf mathfrak mathtt underline ensuremath bf it rm mathop mathord mathrel mathbin mathopen mathclose therefore because checkmark square blacksquare Box qed nonumber notag large Large small normalsize bold displaylimits boxed fbox'.split(
    ' ',
  ),
)
const spacing = new Set(
  'enspace thinspace medspace thickspace negthinspace space nobreakspace newline hfill'.split(' '),
)
const textCommands = new Set('text textbf textit textrm textsf texttt textnormal mbox hbox textup emph'.split(' '))
/** Functions whose names are no words or units where they stand as text. */
const uprightFunctions = new Set('sin cos tan cot csc ln log arcsin arccos arctan exp cis'.split(' '))
const uprightCommands = new Set(['mathrm', 'operatorname', 'operatorname*', 'textmd'])
const withIgnoredArgument = new Set('hspace vspace phantom hphantom vphantom color label tag kern hskip'.split(' '))

const symbolCommands: Readonly<Record<string, string>> = {
  times: '*',
  cdot: '*',
  ast: '*',
  cdotp: '*',
  star: '*',
  bullet: '*',
  div: '÷',
  le: '≤',
  leq: '≤',
  leqslant: '≤',
  leqq: '≤',
  ge: '≥',
  geq: '≥',
  geqslant: '≥',
  geqq: '≥',
  ne: '≠',
  neq: '≠',
  lt: '<',
  gt: '>',
  in: '∈',
  notin: '∉',
  cup: '∪',
  bigcup: '∪',
  cap: '∩',
  bigcap: '∩',
  setminus: '∖',
  backslash: '∖',
  smallsetminus: '∖',
  pm: '±',
  mp: '∓',
  infty: '∞',
  approx: '≈',
  simeq: '≈',
  approxeq: '≈',
  cong: '≡',
  sim: '~',
  equiv: '≡',
  to: '→',
  rightarrow: '→',
  longrightarrow: '→',
  mapsto: '→',
  Rightarrow: '⇒',
  implies: '⇒',
  iff: '⇒',
  Leftrightarrow: '⇒',
  Longrightarrow: '⇒',
  circ: '°',
  degree: '°',
  colon: ':',
  mid: '|',
  vert: '|',
  lvert: '|',
  rvert: '|',
  Vert: '‖',
  lVert: '‖',
  rVert: '‖',
  prime: "'",
  ldots: '…',
  dots: '…',
  cdots: '…',
  dotsc: '…',
  dotsb: '…',
  emptyset: '∅',
  varnothing: '∅',
  land: 'and',
  wedge: 'and',
  lor: 'or',
  vee: 'or',
  lbrace: '\\{',
  rbrace: '\\}',
  lbrack: '[',
  rbrack: ']',
  langle: '⟨',
  rangle: '⟩',
  lfloor: '⌊',
  rfloor: '⌋',
  lceil: '⌈',
  rceil: '⌉',
  subset: '⊂',
  subseteq: '⊂',
  divides: '|',
  lparen: '(',
  rparen: ')',
  textdollar: '$',
  pounds: '€',
  euro: '€',
  yen: '€',
  rupee: '€',
  textdegree: '°',
  slash: '/',
}

const namedCommands: Readonly<Record<string, string>> = {
  tfrac: 'frac',
  dfrac: 'frac',
  cfrac: 'frac',
  nicefrac: 'frac',
  sfrac: 'frac',
  flatfrac: 'frac',
  dbinom: 'binom',
  tbinom: 'binom',
  surd: 'sqrt',
  varepsilon: 'epsilon',
  vartheta: 'theta',
  varphi: 'phi',
  varrho: 'rho',
  pmb: 'mathbf',
  overbar: 'overline',
  bar: 'overline',
  overrightarrow: 'vec',
  widehat: 'hat',
  arsinh: 'arcsinh',
  arcosh: 'arccosh',
  artanh: 'arctanh',
  cosec: 'csc',
  cosech: 'csch',
  tg: 'tan',
  ctg: 'cot',
  arctg: 'arctan',
}

const unicodeOfSet: Readonly<Record<string, string>> = { R: 'ℝ', Z: 'ℤ', Q: 'ℚ', N: 'ℕ', C: 'ℂ' }
const number = /(?:\d+(?:\.\d+)?|\.\d+)/y
const scientific = /[eE][+-]?\d{1,5}(?![\d.A-Za-z^])/y
const letters = /[A-Za-z]+|[^\0-\x7f]+/y
const bracedComma = /\{[ ]?,[ ]?\}/y
const commandName = /\\([A-Za-z]+\*?)/y
const pairs = ['<=', '>=', '!=', '==', '**', '->', '=>', ':=', '...', '||', '<>'] as const
const pairMeanings: Readonly<Record<string, string>> = {
  '<=': '≤',
  '>=': '≥',
  '!=': '≠',
  '==': '=',
  '**': '^',
  '->': '→',
  '=>': '⇒',
  ':=': '=',
  '...': '…',
  '||': '‖',
  '<>': '≠',
}
const openings = new Set(['(', '[', '\\{', '⟨'])
const closings = new Set([')', ']', '\\}', '⟩'])

/**
 * The tokens of an answer in LaTeX or plain text, with what only looks different made the same.
 *
 * @throws UnsupportedError where it is longer than maximumExpressionLength
 */
export function tokenize(text: string, commas: CommaReading = 'thousands'): Token[] {
  if (text.length > maximumExpressionLength) throw new UnsupportedError('an answer too long')
  return joinDigits(new Lexer(toLatex(text)).all(), commas)
}

class Lexer {
  private readonly tokens: Token[] = []
  private position = 0
  private spaced = false
  /** Where the brackets of `\left` stand among the tokens. */
  private readonly opened: number[] = []

  constructor(
    private readonly source: string,
    private readonly depth = 0,
  ) {}

  all(): Token[] {
    while (this.position < this.source.length) this.next()
    this.push('end', '')
    return this.tokens
  }

  private push(kind: Token['kind'], value: string): void {
    this.tokens.push({ kind, value, spaced: this.spaced })
    this.spaced = false
  }

  private take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.position
    const found = pattern.exec(this.source)
    if (!found) return undefined
    this.position += found[0].length
    return found[0]
  }

  private next(): void {
    const character = this.source[this.position] as string
    if (character === '\\') this.command()
    else if (/[\s~$]/.test(character)) this.space()
    else if (/[\d.]/.test(character)) this.number()
    else if (/[A-Za-z]|[^\0-\x7f]/.test(character)) this.push('name', this.take(letters) as string)
    else if (character === '{' && this.take(bracedComma) !== undefined) this.bracedComma()
    else if (character === '{' && this.source.startsWith('{:}', this.position)) this.bracedColon()
    else this.operator(character)
  }

  private bracedColon(): void {
    this.position += 3
    this.push('symbol', ':')
  }

  private space(): void {
    this.position++
    this.spaced = true
  }

  private number(): void {
    const dotted = /\d*\.\((\d+)\)/y
    dotted.lastIndex = this.position
    const recurring = dotted.exec(this.source)
    if (recurring) {
      this.position += recurring[0].length
      this.push('number', `${recurring[0].split('(')[0]}`)
      this.push('command', 'recurring')
      this.push('number', recurring[1] as string)
      return
    }
    const open = this.take(/\d+\.(?=\\(?:overline|dot|bar|overbar)(?![a-z]))/y)
    if (open !== undefined) return void this.push('number', open)
    const digits = this.source.startsWith('...', this.position) ? undefined : this.take(number)
    if (digits === undefined) this.operator('.')
    else {
      this.push('number', digits + (this.take(scientific) ?? ''))
      // A full stop, or a point without decimals.
      this.take(/\.(?=\s*(?:$|[}),;\]]))/y)
    }
  }

  private operator(character: string): void {
    const pair = pairs.find((text) => this.source.startsWith(text, this.position))
    this.position += pair?.length ?? 1
    this.push('symbol', pair ? (pairMeanings[pair] as string) : character)
  }

  /** `1{,}234`: a comma without the space of a list, in thousands or before decimals. */
  private bracedComma(): void {
    const last = this.tokens.at(-1)
    const digits = last?.kind === 'number' && !last.value.includes('.') ? this.take(/\d+/y) : undefined
    if (!last || digits === undefined) this.push('symbol', ',')
    else last.value += digits.length === 3 ? digits : `.${digits}`
  }

  private command(): void {
    const name = this.take(commandName)?.slice(1)
    if (name === undefined) this.escape()
    else this.named(name)
  }

  private named(name: string): void {
    const joined = /^q?quad(?=[A-Za-z])/.exec(name)?.[0]
    if (joined !== undefined) {
      this.position -= name.length - joined.length
      this.wideSpace()
      return
    }
    if (name === 'left' || name === 'right') this.delimiter(name)
    if (ignored.has(name)) this.spaced ||= false
    else if (spacing.has(name)) this.spaced = true
    else if (name === 'quad' || name === 'qquad') this.wideSpace()
    else if (withIgnoredArgument.has(name)) this.group()
    else if (name === 'textcolor') this.group()
    else if (textCommands.has(name)) this.text(this.group() ?? '')
    else if (uprightCommands.has(name)) this.upright()
    else if (name === 'mathbb' || name === 'Bbb') this.blackboard()
    else if (name === 'not') this.negated()
    else this.push(...this.meaningOf(name))
  }

  /** A bracket that closes with `\right.` only holds lines together: it is left out. */
  private delimiter(name: 'left' | 'right'): void {
    const invisible = this.take(/\s*\.(?!\d)/y) !== undefined
    if (name === 'left') this.opened.push(invisible ? -1 : this.tokens.length)
    else {
      const at = this.opened.pop()
      const token = at === undefined ? undefined : this.tokens[at]
      if (invisible && token?.kind === 'symbol' && token.value === '\\{') token.value = 'quad'
    }
  }

  private meaningOf(name: string): [Token['kind'], string] {
    const symbol = symbolCommands[name]
    return symbol === undefined ? ['command', namedCommands[name] ?? name] : ['symbol', symbol]
  }

  /** A backslash before something else than letters. */
  private escape(): void {
    const next = this.source[this.position + 1] ?? ''
    this.position += 2
    if (next === '\\') this.push('symbol', '\\\\')
    else if (next === '{' || next === '}') this.push('symbol', `\\${next}`)
    else if (next === '|') this.push('symbol', '‖')
    else if (next === '!') this.negativeSpace()
    else if (/[\s,;:>]/.test(next)) this.spaced = true
    else if (/[()[\]]/.test(next)) this.spaced = true
    else this.push('symbol', next)
  }

  /** `\!` takes back the white space around it, as in `11,\! 111`. */
  private negativeSpace(): void {
    this.take(/\s+/y)
    this.spaced = false
  }

  /** A wide space parts the items of a list where nothing else does. */
  private wideSpace(): void {
    this.push('symbol', 'quad')
  }

  /** What stands between the braces that follow, by their matching; undefined where none do. */
  private group(): string | undefined {
    this.take(/\s+/y)
    if (this.source[this.position] !== '{') return undefined
    let level = 0
    for (let i = this.position; i < this.source.length; i++) {
      const character = this.source[i]
      if (character === '\\') i++
      else if (character === '{') level++
      else if (character === '}' && --level === 0) {
        const inside = this.source.slice(this.position + 1, i)
        this.position = i + 1
        return inside
      }
    }
    const rest = this.source.slice(this.position + 1)
    this.position = this.source.length
    return rest
  }

  /** Words are words; a number, a letter or a formula in `\text` is what it would be outside. */
  private text(content: string): void {
    const words = spacedWords(content)
    if (/^(?:[\s,;.]*(?:and|or)[\s,;]*)$/i.test(content))
      this.push('symbol', words.toLowerCase().includes('and') ? 'and' : 'or')
    else if (/^\s*$/.test(content)) this.spaced = true
    else if (uprightFunctions.has(words)) this.push('command', words)
    else if (/^[,;:]$/.test(words)) this.push('symbol', words)
    else if (words === 'to' && this.tokens.at(-1)?.kind === 'number') this.push('symbol', ':')
    else if (joinsNumbers(words)) this.inline(content)
    else if (this.counted(words)) return
    else if (/[A-Za-z]{2}|^[^\0-\x7f]+$/.test(words) && !/[\\$^=]/.test(words)) this.push('text', words)
    else if (this.isLetterUnit(words, content)) this.push('text', words)
    else this.inline(content)
  }

  /** `\text{7 people}`: a number and what it counts. */
  private counted(words: string): boolean {
    const [, digits, unit] =
      /^(-?\d[\d,]{0,20}(?:\.\d{1,20})?)\s+((?!or\b|and\b|to\b|if\b)[A-Za-z][A-Za-z ]*)$/.exec(words) ?? []
    if (digits === undefined || unit === undefined) return false
    this.inline(digits)
    this.push('text', unit)
    return true
  }

  /** `5\text{ m}`: a letter marked as text after a quantity measures it. */
  private isLetterUnit(words: string, content: string): boolean {
    const last = this.tokens.at(-1)
    const before = this.tokens.at(-2)
    const afterUnit =
      last?.kind === 'text' ||
      (last?.kind === 'symbol' && ['/', '*', '{'].includes(last.value) && before?.kind === 'text') ||
      (last?.value === '{' &&
        (before?.value === 'frac' || (before?.value === '}' && this.tokens.at(-3)?.kind === 'text')))
    const afterQuantity =
      afterUnit || last?.kind === 'number' || (last?.kind === 'symbol' && ['}', ')', '$'].includes(last.value))
    const letter = this.spaced || content !== words ? /^[mgshLlNJWVKtCAF]/ : /^[mgshLlNJWVKt]/
    return afterQuantity && letter.test(words) && /^[A-Za-z](?:\s*\/\s*[a-z]{1,3})?(?:\^?[23])?$/.test(words)
  }

  private inline(content: string): void {
    if (this.depth > 4) throw new UnsupportedError('texts too deep')
    const inside = new Lexer(content, this.depth + 1).all()
    for (const { kind, value, spaced } of inside.slice(0, -1)) {
      if (spaced) this.spaced = true
      this.push(kind, value)
    }
  }

  private upright(): void {
    const start = this.position
    const content = this.group()
    const words = spacedWords(content ?? '')
    const measures = /^(?:min|sec)$/.test(words) && this.tokens.at(-1)?.kind === 'number'
    if (content !== undefined && functionNames.has(words) && !measures)
      this.push('command', namedCommands[words] ?? words)
    else if (content !== undefined && (/^[A-Za-z]{2,}[A-Za-z .]*$/.test(words) || this.isLetterUnit(words, content)))
      this.text(content)
    else this.position = start
  }

  private blackboard(): void {
    const content = this.group() ?? this.take(/\s*[A-Z]/y) ?? ''
    this.push('name', unicodeOfSet[content.trim()] ?? content)
  }

  private negated(): void {
    const operator = this.take(/\s*(?:=|\\in(?![A-Za-z])|\\equiv(?![A-Za-z]))/y)
    if (operator === undefined) this.push('command', 'not')
    else this.push('symbol', operator.includes('in') ? '∉' : '≠')
  }
}

/** What a text says between its spaces of any kind. */
const spacedWords = (content: string): string => content.replace(/~|\\[,;: ]/g, ' ').trim()

/** `\text{2 and 3}` is a list of numbers. */
const joinsNumbers = (words: string): boolean =>
  /\d/.test(words) && !/[A-Za-z]/.test(words.replace(/\b(?:and|or)\b/g, ''))

const separates = new Set([',', ';', 'and', 'or', '\\\\', 'quad', '⇒'])

/** Commas and spaces between digits, as part of a number where they read as such; wide spaces as commas where they part. */
function joinDigits(tokens: readonly Token[], commas: CommaReading): Token[] {
  const loose = looseBrackets(tokens)
  const joined: Token[] = []
  const brackets: boolean[] = []
  let grouped: Token | undefined
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i] as Token
    const next = tokens[i + 1]
    if (token.kind === 'symbol' && openings.has(token.value)) brackets.push(loose.has(i))
    if (token.kind === 'symbol' && closings.has(token.value)) brackets.pop()
    if (token.kind === 'symbol' && token.value === 'quad') {
      placeWideSpace(joined, token, next)
      continue
    }
    const reading = brackets.length === 0 ? commas : brackets.at(-1) ? 'thousands' : 'list'
    const last = joined.at(-1)
    const digits = last && next && continuation(last, last === grouped, token, next, reading)
    if (digits) {
      last.value += digits.text
      grouped = last
      i += digits.tokens - 1
    } else joined.push({ ...token })
  }
  return joined
}

function placeWideSpace(joined: Token[], token: Token, next: Token | undefined): void {
  if (parts(joined.at(-1), next)) joined.push({ ...token, value: ',' })
  else if (next) next.spaced = true
}

function parts(before: Token | undefined, after: Token | undefined): boolean {
  if (!before || !after || after.kind === 'end') return false
  if (after.kind === 'symbol' && (separates.has(after.value) || closings.has(after.value))) return false
  if (after.kind === 'command' && after.value === 'end') return false
  if (after.kind === 'text' || (after.kind === 'symbol' && after.value === '('))
    return before.kind !== 'symbol' && after.kind !== 'text'
  return !(before.kind === 'symbol' && (separates.has(before.value) || openings.has(before.value)))
}

/** The digits that a comma or a space joins to the number before it, and how many tokens that takes. */
function continuation(
  last: Token,
  grouped: boolean,
  token: Token,
  next: Token,
  reading: CommaReading,
): { text: string; tokens: number } | undefined {
  if (last.kind !== 'number' || last.value.includes('.')) return undefined
  const groups = grouped || /^[1-9]\d{0,2}$/.test(last.value)
  if (token.kind === 'number' && token.spaced && reading !== 'list') {
    return groups && /^\d{3}(?:\.\d+)?$/.test(token.value) && next.value !== '/'
      ? { text: token.value, tokens: 1 }
      : undefined
  }
  if (token.value !== ',' || token.spaced || next.kind !== 'number' || next.spaced) return undefined
  if (reading === 'thousands' && groups && /^\d{3}(?:\.\d+)?$/.test(next.value)) {
    return { text: next.value, tokens: 2 }
  }
  const decimal = reading === 'decimal' && /^\d+$/.test(next.value)
  return decimal ? { text: `.${next.value}`, tokens: 2 } : undefined
}

/** The brackets in which some commas are followed by a space or semicolons part: there, a comma without one groups digits. */
function looseBrackets(tokens: readonly Token[]): Set<number> {
  const loose = new Set<number>()
  const open: number[] = []
  for (const [i, { kind, value }] of tokens.entries()) {
    if (kind !== 'symbol') continue
    if (openings.has(value)) open.push(i)
    else if (closings.has(value)) open.pop()
    else if ((value === ',' && tokens[i + 1]?.spaced) || value === ';') {
      const bracket = open.at(-1)
      if (bracket !== undefined) loose.add(bracket)
    }
  }
  return loose
}
