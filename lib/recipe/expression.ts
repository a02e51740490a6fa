import { BranchMergeError } from '../errors.js'
import { invalidArgument, nearestName } from '../validate.js'
import { type MethodName, methodFromName, methodSpellings, methods, parameterOf } from './methods.js'
import { type Gradient, isGradient, type Setting, settingProblem } from './setting.js'

/** A model, or the result of an earlier step. `at` is the position in the text, counted from 0. */
export interface NameExpression {
  kind: 'name'
  name: string
  at: number
}

/** A method and what it is applied to; `a & b` is fuse with the inputs a (Left) and b (Right). */
export interface CallExpression {
  kind: 'call'
  method: MethodName
  /** Undefined for a method without a base. */
  base: Expression | undefined
  inputs: Expression[]
  parameters: ExpressionParameter[]
  at: number
}

export interface ExpressionParameter {
  name: string
  value: Setting
  at: number
}

export type Expression = NameExpression | CallExpression

/** What is wrong with an expression, and where. */
export class ExpressionProblem extends Error {
  constructor(
    message: string,
    readonly at: number,
  ) {
    super(message)
  }
}

/** Far more than any merge needs; without a limit a crafted text could exhaust the stack. */
const maxDepth = 64
const maxLength = 16_384
const maxNameLength = 200
/** Bounds the work of a crafted recipe. */
const maxCalls = 1000

/**
 * Parses an expression of models and methods:
 *
 *     (math & science) & coding
 *     ties(base, math, science; density=0.5, weight=[0.5, 0.3])
 *     slerp(math, 'my model'; t=gradient(0, 0.5, 1))
 *
 * `&` fuses its left operand (Left) with its right one and groups from the left. A method that needs a base takes it as its
 * first argument; one that may have one takes `base=` among the parameters.
 *
 * @throws ERR_RECIPE naming the position, with the line and a caret below it
 */
export function parseExpression(text: string): Expression {
  if (typeof text !== 'string') throw invalidArgument('an expression', 'expression', text)
  try {
    return tryParseExpression(text)
  } catch (error) {
    if (!(error instanceof ExpressionProblem)) throw error
    const place = `character ${error.at + 1} of the expression`
    throw new BranchMergeError('ERR_RECIPE', `${error.message}, at ${place}:\n${excerpt(text, error.at)}`)
  }
}

/** @throws ExpressionProblem */
export function tryParseExpression(text: string): Expression {
  if (text.length > maxLength) {
    throw new ExpressionProblem(`Expected at most ${maxLength} characters but received ${text.length}`, maxLength)
  }
  return new Parser(text).parse()
}

/** The line around a position and a caret that points at it, both indented. */
export function excerpt(text: string, at: number): string {
  const width = 100
  const begin = at === 0 ? 0 : text.lastIndexOf('\n', at - 1) + 1
  const end = text.indexOf('\n', at)
  const line = text.slice(begin, end < 0 ? text.length : end)
  const first = Math.max(0, at - begin - width / 2)
  const shown = line.slice(first, first + width).replaceAll(/[\t\r]/g, ' ')
  return `    ${shown}\n    ${' '.repeat(at - begin - first)}^`
}

/** A name in the tokens of an expression: letters, digits, - _ and a dot, the first no dash or dot. */
const namePattern = /[A-Za-z0-9_][A-Za-z0-9_.-]*/y
const numberPattern = /[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![A-Za-z0-9_.-])/y
const quotedPattern = /'((?:[^']|'')*)'/y
const spacePattern = /[ \t\r\n]*/y

class Parser {
  private position = 0
  private nesting = 0
  private calls = 0
  private readonly depths = new WeakMap<Expression, number>()

  constructor(private readonly text: string) {}

  parse(): Expression {
    const expression = this.chain()
    if (this.position < this.text.length) this.fail('Expected "&" or the end')
    return expression
  }

  /** Operands joined by `&`. */
  private chain(): Expression {
    let left = this.operand()
    while (this.next() === '&') {
      const at = this.position++
      left = this.call({ method: 'fuse', base: undefined, inputs: [left, this.operand()], parameters: [], at })
    }
    return left
  }

  private operand(): Expression {
    if (this.next() === '(') return this.nested(() => this.parenthesized())
    const at = this.position
    const quoted = this.next() === "'"
    const name = this.name('a model, a method or "("')
    if (quoted || this.next() !== '(') return this.leaf({ kind: 'name', name, at })
    const method = methodFromName(name)
    if (!method) this.unknown('method', name, methodSpellings, at)
    return this.nested(() => this.application(method, at))
  }

  private parenthesized(): Expression {
    this.expect('(')
    const expression = this.chain()
    this.expect(')', 'Expected "&" or ")"')
    return expression
  }

  /** `(a, b; name=value)` behind the name of a method. */
  private application(method: MethodName, at: number): Expression {
    this.expect('(')
    const inputs = [this.chain()]
    while (this.accept(',')) inputs.push(this.chain())
    let base = methods[method].base === 'required' ? inputs.shift() : undefined
    const count = inputs.length
    const isWhole = [';', ')'].includes(this.next())
    const problem = isWhole ? inputCountProblem(method, count) : undefined
    if (problem) throw new ExpressionProblem(problem, at)
    const parameters: ExpressionParameter[] = []
    if (this.accept(';')) {
      do {
        const baseGiven = this.parameter(method, count, parameters, base !== undefined)
        base = baseGiven ?? base
      } while (this.accept(','))
    }
    this.expect(')', parameters.length > 0 ? 'Expected "," or ")"' : 'Expected "&", ",", ";" or ")"')
    return this.call({ method, base, inputs, parameters, at })
  }

  /** One `name=value`, added to `parameters`; or `base=expression`, returned. */
  private parameter(
    method: MethodName,
    inputs: number,
    parameters: ExpressionParameter[],
    hasBase: boolean,
  ): Expression | undefined {
    this.next()
    const at = this.position
    const name = this.name('the name of a parameter')
    const takesBase = methods[method].base === 'optional'
    const spec = parameterOf(method, name)
    if (!spec && !(takesBase && name === 'base')) {
      this.unknown(
        `parameter of ${method}`,
        name,
        [...Object.keys(methods[method].parameters), ...(takesBase ? ['base'] : [])],
        at,
      )
    }
    if ((name === 'base' && hasBase) || parameters.some((other) => other.name === name)) {
      throw new ExpressionProblem(`Expected ${name} once`, at)
    }
    this.expect('=')
    this.next()
    const valueAt = this.position
    if (!spec) return this.chain()
    const value = this.value()
    const problem = settingProblem(name, spec, value, inputs)
    if (problem) throw new ExpressionProblem(problem, valueAt)
    parameters.push({ name, value, at })
    return undefined
  }

  private value(): Setting {
    if (this.next() !== '[') return this.scalar()
    this.expect('[')
    const values: (number | Gradient)[] = []
    do {
      this.next()
      const at = this.position
      const value = this.scalar()
      if (typeof value !== 'number' && !isGradient(value)) {
        throw new ExpressionProblem('Expected a number or gradient(...)', at)
      }
      values.push(value)
    } while (this.accept(','))
    this.expect(']', 'Expected "," or "]"')
    return values
  }

  private scalar(): number | boolean | string | Gradient {
    const number = this.number()
    if (number !== undefined) return number
    const quoted = this.next() === "'"
    const word = this.name('a value')
    if (quoted) return word
    if (word === 'gradient' && this.next() === '(') return this.gradient()
    return word === 'true' ? true : word === 'false' ? false : word
  }

  private gradient(): Gradient {
    this.expect('(')
    const gradient: number[] = []
    do {
      const number = this.number()
      if (number === undefined) this.fail('Expected a number')
      gradient.push(number)
    } while (this.accept(','))
    this.expect(')', 'Expected "," or ")"')
    return { gradient }
  }

  private number(): number | undefined {
    this.next()
    const at = this.position
    const token = this.match(numberPattern)
    if (token === undefined) return undefined
    const value = Number(token[0])
    if (!Number.isFinite(value)) throw new ExpressionProblem(`Expected a finite number but found ${token[0]}`, at)
    return value === 0 ? 0 : value // no negative zero
  }

  private name(expected: string): string {
    const quoted = this.next() === "'"
    const at = this.position
    const token = this.match(quoted ? quotedPattern : namePattern)
    if (token === undefined) this.fail(quoted ? 'Expected a closing quote' : `Expected ${expected}`)
    const name = quoted ? (token[1] as string).replaceAll("''", "'") : token[0]
    const problem = nameProblem(name)
    if (problem) throw new ExpressionProblem(problem, at)
    return name
  }

  private leaf(expression: NameExpression): Expression {
    this.depths.set(expression, 0)
    return expression
  }

  private call(parts: Omit<CallExpression, 'kind'>): Expression {
    const expression: CallExpression = { kind: 'call', ...parts }
    const operands = parts.base ? [parts.base, ...parts.inputs] : parts.inputs
    const depth = 1 + Math.max(...operands.map((operand) => this.depths.get(operand) as number))
    if (depth > maxDepth) throw new ExpressionProblem(`Expected at most ${maxDepth} nested merges`, parts.at)
    if (++this.calls > maxCalls) throw new ExpressionProblem(`Expected at most ${maxCalls} merges`, parts.at)
    this.depths.set(expression, depth)
    return expression
  }

  private nested(parse: () => Expression): Expression {
    if (++this.nesting > maxDepth) this.fail(`Expected at most ${maxDepth} levels of parentheses`)
    const expression = parse()
    this.nesting--
    return expression
  }

  /** The next character that is no space, '' at the end. */
  private next(): string {
    this.match(spacePattern)
    return this.text[this.position] ?? ''
  }

  private accept(symbol: string): boolean {
    if (this.next() !== symbol) return false
    this.position++
    return true
  }

  private expect(symbol: string, expected = `Expected "${symbol}"`): void {
    if (!this.accept(symbol)) this.fail(expected)
  }

  private match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.position
    const match = pattern.exec(this.text)
    if (!match) return undefined
    this.position += match[0].length
    return match
  }

  private unknown(what: string, name: string, known: readonly string[], at: number): never {
    const near = nearestName(name, known)
    throw new ExpressionProblem(
      `Unknown ${what} "${name}": ${near ? `did you mean ${near}?` : `expected one of ${known.join(', ')}`}`,
      at,
    )
  }

  private fail(expected: string): never {
    this.next()
    const codePoint = this.text.codePointAt(this.position)
    const found = codePoint === undefined ? 'the end' : JSON.stringify(String.fromCodePoint(codePoint))
    throw new ExpressionProblem(`${expected} but found ${found}`, this.position)
  }
}

/** What is wrong with the name of a model or step, if anything. */
export function nameProblem(name: string): string | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  const printable = name !== '' && name.trim() === name && !/[\u0000-\u001f\u007f\u2028\u2029]/.test(name)
  if (printable && name.length <= maxNameLength) return undefined
  return invalidArgument(
    `a name of at most ${maxNameLength} characters, without control characters or spaces around it,`,
    'a model',
    name,
  ).message
}

/** What is wrong with the number of inputs (the base not counted), if anything. */
export function inputCountProblem(method: MethodName, count: number): string | undefined {
  const { inputs, base } = methods[method]
  const { least, most } = inputs
  if (count >= least && count <= most) return undefined
  const range = least === most ? `${least}` : `${least} to ${most}`
  const noun = most === 1 ? 'input' : 'inputs'
  const afterBase = base === 'required' ? ' after the base' : ''
  return `Expected ${range} ${noun}${afterBase} for ${method} but received ${count}`
}

/** The canonical text of an expression; parsing it gives the same expression. */
export function printExpression(expression: Expression): string {
  if (expression.kind === 'name') return printName(expression.name)
  const { method, base, inputs, parameters } = expression
  if (method === 'fuse' && parameters.length === 0) return inputs.map(printOperand).join(' & ')
  const optionalBase = base && methods[method].base === 'optional' ? [`base=${printExpression(base)}`] : []
  const operands = base && optionalBase.length === 0 ? [base, ...inputs] : inputs
  const settings = [...optionalBase, ...parameters.map(({ name, value }) => `${name}=${printSetting(value)}`)]
  const list = operands.map(printExpression).join(', ')
  return `${method}(${list}${settings.length > 0 ? `; ${settings.join(', ')}` : ''})`
}

function printOperand(expression: Expression): string {
  const text = printExpression(expression)
  return expression.kind === 'call' && expression.method === 'fuse' && expression.parameters.length === 0
    ? `(${text})`
    : text
}

/** A name as it stands in an expression: quoted unless it is one plain word. */
export function printName(name: string): string {
  return /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(name) ? name : quote(name)
}

const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`

function printSetting(value: Setting | null): string {
  if (Array.isArray(value)) return `[${value.map(printSetting).join(', ')}]`
  if (isGradient(value)) return `gradient(${value.gradient.join(', ')})`
  return typeof value === 'string' ? printName(value) : String(value)
}
