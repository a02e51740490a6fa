import {
  type Arguments,
  type BinaryOperator,
  type CompareOperator,
  type Expression,
  type FilterStep,
  JinjaError,
  type Parameter,
  type Statement,
  type Target,
} from './syntax.js'
import { type Token, tokenize } from './tokens.js'

/**
 * A template as a tree. What Jinja 3.1 has with loop controls, and `{% generation %}`; tags that read other files are refused.
 *
 * @throws JinjaError
 */
export function parse(template: string): Statement[] {
  return new Parser(tokenize(template)).template()
}

type Ends = readonly string[]

const noArguments = (): Arguments => ({ positional: [], named: [] })

class Parser {
  private position = 0
  private loops = 0

  constructor(private readonly tokens: Token[]) {}

  template(): Statement[] {
    const body = this.body([])
    if (this.current.type !== 'end') throw this.error('Unexpected end of a block')
    return body
  }

  private get current(): Token {
    return this.tokens[this.position] as Token
  }

  private take(): Token {
    return this.tokens[this.position++] as Token
  }

  private is(type: Token['type'], ...values: string[]): boolean {
    const { type: found, value } = this.current
    return found === type && (values.length === 0 || values.includes(value))
  }

  private skip(type: Token['type'], ...values: string[]): boolean {
    if (!this.is(type, ...values)) return false
    this.position++
    return true
  }

  private expect(type: Token['type'], value?: string): Token {
    if (value === undefined ? this.is(type) : this.is(type, value)) return this.take()
    throw this.error(`Expected ${value ?? type} but found ${this.current.value || this.current.type}`)
  }

  private error(message: string): JinjaError {
    return new JinjaError(`${message} (line ${this.current.line})`)
  }

  /** Statements up to a tag that is one of `ends`, whose name is next then. */
  private body(ends: Ends): Statement[] {
    const statements: Statement[] = []
    for (;;) {
      const { type, value } = this.current
      if (type === 'text') {
        statements.push({ kind: 'text', text: value })
        this.position++
      } else if (type === 'variableBegin') {
        this.position++
        statements.push({ kind: 'output', value: this.tuple() })
        this.expect('variableEnd')
      } else if (type === 'blockBegin') {
        this.position++
        if (ends.includes(this.current.value)) return statements
        statements.push(this.statement())
        this.expect('blockEnd')
      } else if (ends.length > 0) {
        throw this.error(`The template ends where {% ${ends.join(' %} or {% ')} %} was expected`)
      } else {
        return statements
      }
    }
  }

  /** A body that ends with one tag; the rest of the end tag is left to the caller. */
  private bodyUntil(...ends: string[]): { body: Statement[]; end: string } {
    this.expect('blockEnd')
    const body = this.body(ends)
    return { body, end: this.take().value }
  }

  private statement(): Statement {
    const { value } = this.expect('name')
    switch (value) {
      case 'if':
        return this.if()
      case 'for':
        return this.for()
      case 'set':
        return this.set()
      case 'with':
        return this.with()
      case 'macro':
        return this.macro()
      case 'call':
        return this.callBlock()
      case 'filter':
        return { kind: 'filterBlock', filters: this.filterSteps(), ...{ body: this.bodyUntil('endfilter').body } }
      case 'generation':
        return { kind: 'generation', body: this.bodyUntil('endgeneration').body }
      case 'break':
      case 'continue':
        if (this.loops === 0) throw this.error(`{% ${value} %} stands outside of a loop`)
        return { kind: value }
      default:
        throw this.error(`The tag {% ${value} %} is unknown here`)
    }
  }

  private if(): Statement {
    const branches: [Expression, Statement[]][] = []
    for (;;) {
      const test = this.tuple(false)
      const { body, end } = this.bodyUntil('elif', 'else', 'endif')
      branches.push([test, body])
      if (end === 'elif') continue
      return { kind: 'if', branches, otherwise: end === 'else' ? this.bodyUntil('endif').body : [] }
    }
  }

  private for(): Statement {
    const target = this.targets()
    this.expect('name', 'in')
    const iterable = this.tuple(false, ['recursive'])
    const test = this.skip('name', 'if') ? this.expression() : undefined
    const recursive = this.skip('name', 'recursive')
    this.loops++
    const { body, end } = this.bodyUntil('endfor', 'else')
    this.loops--
    const otherwise = end === 'else' ? this.bodyUntil('endfor').body : []
    return { kind: 'for', target, iterable, test, recursive, body, otherwise }
  }

  private set(): Statement {
    const target = this.targets()
    if (this.skip('operator', '=')) return { kind: 'set', target, value: this.tuple() }
    const filters = this.is('operator', '|') ? this.filterSteps(false) : []
    return { kind: 'setBlock', target, filters, body: this.bodyUntil('endset').body }
  }

  private with(): Statement {
    const assignments: [Target, Expression][] = []
    while (!this.is('blockEnd')) {
      if (assignments.length > 0) this.expect('operator', ',')
      const target = this.target()
      this.expect('operator', '=')
      assignments.push([target, this.expression()])
    }
    return { kind: 'with', assignments, body: this.bodyUntil('endwith').body }
  }

  private macro(): Statement {
    const { value: name } = this.expect('name')
    const parameters = this.parameters()
    return { kind: 'macro', name, parameters, body: this.separate('endmacro') }
  }

  private callBlock(): Statement {
    const parameters = this.is('operator', '(') ? this.parameters() : []
    const call = this.expression()
    if (call.kind !== 'call') throw this.error('Expected a call in {% call %}')
    return { kind: 'callBlock', call, parameters, body: this.separate('endcall') }
  }

  /** A body that loops around it cannot be left from. */
  private separate(end: string): Statement[] {
    const around = this.loops
    this.loops = 0
    const { body } = this.bodyUntil(end)
    this.loops = around
    return body
  }

  private parameters(): Parameter[] {
    const parameters: Parameter[] = []
    this.expect('operator', '(')
    while (!this.skip('operator', ')')) {
      if (parameters.length > 0) this.expect('operator', ',')
      const { value: name } = this.expect('name')
      const initial = this.skip('operator', '=') ? this.expression() : undefined
      if (!initial && parameters.at(-1)?.initial) throw this.error(`The parameter ${name} needs a default, too`)
      parameters.push({ name, initial })
    }
    return parameters
  }

  private targets(): Target {
    const items = [this.target()]
    while (this.skip('operator', ',')) {
      if (this.is('name', 'in') || this.is('operator', '=')) break
      items.push(this.target())
    }
    const isTuple = items.length > 1 || this.tokens[this.position - 1]?.value === ','
    return isTuple ? { kind: 'tuple', items } : (items[0] as Target)
  }

  private target(): Target {
    if (this.skip('operator', '(')) {
      const inner = this.targets()
      this.expect('operator', ')')
      return inner
    }
    const { value: name } = this.expect('name')
    if (['true', 'false', 'none', 'True', 'False', 'None'].includes(name)) throw this.error(`Cannot assign to ${name}`)
    if (!this.skip('operator', '.')) return { kind: 'name', name }
    return { kind: 'member', object: name, name: this.expect('name').value }
  }

  private filterSteps(startsWithName = true): FilterStep[] {
    const steps: FilterStep[] = []
    let isFirst = startsWithName
    while (isFirst || this.skip('operator', '|')) {
      isFirst = false
      steps.push(this.filterStep())
    }
    return steps
  }

  private filterStep(): FilterStep {
    let { value: name } = this.expect('name')
    while (this.skip('operator', '.')) name += `.${this.expect('name').value}`
    return { name, args: this.is('operator', '(') ? this.arguments() : noArguments() }
  }

  /** One expression, or several with commas between them. */
  private tuple(withCondition = true, ends: Ends = []): Expression {
    const items: Expression[] = []
    let isTuple = false
    for (;;) {
      if (items.length > 0 && !this.skip('operator', ',')) break
      if (items.length > 0) isTuple = true
      if (this.isTupleEnd(ends)) break
      items.push(withCondition ? this.expression() : this.or())
    }
    if (isTuple) return { kind: 'tuple', items }
    const [only] = items
    if (!only) throw this.error(`Expected an expression but found ${this.current.value || this.current.type}`)
    return only
  }

  private isTupleEnd(ends: Ends): boolean {
    return this.is('variableEnd') || this.is('blockEnd') || this.is('operator', ')') || this.is('name', ...ends, '')
  }

  private expression(): Expression {
    let value = this.or()
    while (this.skip('name', 'if')) {
      const test = this.or()
      const no = this.skip('name', 'else') ? this.expression() : undefined
      value = { kind: 'condition', test, yes: value, no }
    }
    return value
  }

  private or(): Expression {
    let left = this.and()
    while (this.skip('name', 'or')) left = { kind: 'or', left, right: this.and() }
    return left
  }

  private and(): Expression {
    let left = this.not()
    while (this.skip('name', 'and')) left = { kind: 'and', left, right: this.not() }
    return left
  }

  private not(): Expression {
    return this.skip('name', 'not') ? { kind: 'not', operand: this.not() } : this.compare()
  }

  private compare(): Expression {
    const first = this.sum()
    const rest: [CompareOperator, Expression][] = []
    for (let operator = this.comparison(); operator; operator = this.comparison()) rest.push([operator, this.sum()])
    return rest.length > 0 ? { kind: 'compare', first, rest } : first
  }

  private comparison(): CompareOperator | undefined {
    if (this.is('operator', '==', '!=', '<', '<=', '>', '>=')) return this.take().value as CompareOperator
    if (this.skip('name', 'in')) return 'in'
    const next = this.tokens[this.position + 1]
    if (!this.is('name', 'not') || next?.type !== 'name' || next.value !== 'in') return undefined
    this.position += 2
    return 'not in'
  }

  private sum(): Expression {
    return this.binary(['+', '-'], () => this.concat())
  }

  private concat(): Expression {
    const parts = [this.product()]
    while (this.skip('operator', '~')) parts.push(this.product())
    return parts.length > 1 ? { kind: 'concat', parts } : (parts[0] as Expression)
  }

  private product(): Expression {
    return this.binary(['*', '/', '//', '%'], () => this.power())
  }

  private power(): Expression {
    return this.binary(['**'], () => this.unary(true))
  }

  private binary(operators: BinaryOperator[], operand: () => Expression): Expression {
    let left = operand()
    while (this.is('operator', ...operators)) {
      const operator = this.take().value as BinaryOperator
      left = { kind: 'binary', operator, left, right: operand() }
    }
    return left
  }

  private unary(withFilter: boolean): Expression {
    let value: Expression
    if (this.skip('operator', '-')) value = { kind: 'minus', operand: this.unary(false) }
    else if (this.skip('operator', '+')) value = { kind: 'plus', operand: this.unary(false) }
    else value = this.postfix(this.primary())
    return withFilter ? this.filters(this.postfix(value)) : value
  }

  private primary(): Expression {
    const { type, value } = this.take()
    if (type === 'name') return nameOrConstant(value)
    if (type === 'string') return { kind: 'constant', value: this.adjacentStrings(value) }
    if (type === 'integer') return { kind: 'constant', value: parseInteger(value) }
    if (type === 'float') return { kind: 'constant', value: { float: Number(value.replaceAll('_', '')) } }
    if (type === 'operator' && value === '(') return this.parenthesized()
    if (type === 'operator' && value === '[') return { kind: 'list', items: this.listItems() }
    if (type === 'operator' && value === '{') return { kind: 'dict', entries: this.dictEntries() }
    this.position--
    throw this.error(`Unexpected ${value || type}`)
  }

  private adjacentStrings(first: string): string {
    let text = first
    while (this.is('string')) text += this.take().value
    return text
  }

  private parenthesized(): Expression {
    if (this.skip('operator', ')')) return { kind: 'tuple', items: [] }
    const inner = this.tuple()
    this.expect('operator', ')')
    return inner
  }

  private listItems(): Expression[] {
    const items: Expression[] = []
    while (!this.skip('operator', ']')) {
      if (items.length > 0) this.expect('operator', ',')
      if (this.skip('operator', ']')) break
      items.push(this.expression())
    }
    return items
  }

  private dictEntries(): [Expression, Expression][] {
    const entries: [Expression, Expression][] = []
    while (!this.skip('operator', '}')) {
      if (entries.length > 0) this.expect('operator', ',')
      if (this.skip('operator', '}')) break
      const key = this.expression()
      this.expect('operator', ':')
      entries.push([key, this.expression()])
    }
    return entries
  }

  private postfix(start: Expression): Expression {
    let value = start
    for (;;) {
      if (this.skip('operator', '.')) value = this.member(value)
      else if (this.skip('operator', '[')) value = this.subscript(value)
      else if (this.is('operator', '(')) value = { kind: 'call', callee: value, args: this.arguments() }
      else return value
    }
  }

  private filters(start: Expression): Expression {
    let value = start
    for (;;) {
      if (this.skip('operator', '|')) value = { kind: 'filter', input: value, ...this.filterStep() }
      else if (this.skip('name', 'is')) value = this.test(value)
      else if (this.is('operator', '(')) value = { kind: 'call', callee: value, args: this.arguments() }
      else return value
    }
  }

  private test(input: Expression): Expression {
    const isNegated = this.skip('name', 'not')
    let { value: name } = this.expect('name')
    while (this.skip('operator', '.')) name += `.${this.expect('name').value}`
    let args = noArguments()
    if (this.is('operator', '(')) args = this.arguments()
    else if (this.startsArgument()) args = { positional: [this.postfix(this.primary())], named: [] }
    const test: Expression = { kind: 'test', name, input, args }
    return isNegated ? { kind: 'not', operand: test } : test
  }

  /** A test's only argument may stand behind it without parentheses. */
  private startsArgument(): boolean {
    if (this.is('name', 'is')) throw this.error('Tests cannot be chained with is')
    if (this.is('name')) return !this.is('name', 'else', 'or', 'and', 'if')
    return ['string', 'integer', 'float'].includes(this.current.type) || this.is('operator', '[', '{')
  }

  private member(object: Expression): Expression {
    if (this.is('integer')) return { kind: 'item', object, index: this.primary() }
    return { kind: 'attribute', object, name: this.expect('name').value }
  }

  private subscript(object: Expression): Expression {
    const parts = [this.subscriptPart()]
    while (this.skip('operator', ',')) parts.push(this.subscriptPart())
    this.expect('operator', ']')
    const [only] = parts
    if (parts.length === 1 && only) {
      return 'index' in only ? { kind: 'item', object, index: only.index } : { kind: 'slice', object, ...only }
    }
    const items = parts.map((part) => {
      if ('index' in part) return part.index
      throw this.error('A slice cannot stand beside other indices')
    })
    return { kind: 'item', object, index: { kind: 'tuple', items } }
  }

  private subscriptPart(): { index: Expression } | { start?: Expression; stop?: Expression; step?: Expression } {
    const start = this.is('operator', ':') ? undefined : this.expression()
    if (start && !this.is('operator', ':')) return { index: start }
    this.expect('operator', ':')
    const bound = () => (this.is('operator', ']', ',', ':') ? undefined : this.expression())
    const stop = bound()
    const step = this.skip('operator', ':') ? bound() : undefined
    return { ...(start && { start }), ...(stop && { stop }), ...(step && { step }) }
  }

  private arguments(): Arguments {
    const args = noArguments()
    this.expect('operator', '(')
    let isFirst = true
    while (!this.skip('operator', ')')) {
      if (!isFirst) this.expect('operator', ',')
      isFirst = false
      if (this.skip('operator', ')')) break
      this.argument(args)
    }
    return args
  }

  private argument(args: Arguments): void {
    const next = this.tokens[this.position + 1]
    if (this.skip('operator', '*')) args.spread = this.expression()
    else if (this.skip('operator', '**')) args.spreadNamed = this.expression()
    else if (this.is('name') && next?.type === 'operator' && next.value === '=') {
      const { value: name } = this.take()
      this.position++
      args.named.push([name, this.expression()])
    } else {
      if (args.named.length > 0 || args.spreadNamed) throw this.error('A positional argument follows a named one')
      args.positional.push(this.expression())
    }
  }
}

function nameOrConstant(value: string): Expression {
  if (value === 'true' || value === 'True') return { kind: 'constant', value: true }
  if (value === 'false' || value === 'False') return { kind: 'constant', value: false }
  if (value === 'none' || value === 'None') return { kind: 'constant', value: null }
  return { kind: 'name', name: value }
}

function parseInteger(text: string): number | bigint {
  const value = BigInt(text.replaceAll('_', ''))
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value
}
