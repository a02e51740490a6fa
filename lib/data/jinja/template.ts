import { bind, required } from './arguments.js'
import { compileArguments, compileExpression, compileFilter, type Evaluate } from './expressions.js'
import { parse } from './parse.js'
import { type Rendering, Scope } from './scope.js'
import { type FilterStep, JinjaError, type Parameter, type Statement, type Target } from './syntax.js'
import {
  type Call,
  Callable,
  equal,
  found,
  index,
  isTrue,
  items,
  Namespace,
  text,
  tuple,
  typeName,
  Undefined,
  type Value,
} from './values.js'

/**
 * A chat template as transformers renders it: Jinja 3.1 in its sandbox, with `trim_blocks`, `lstrip_blocks`, loop controls,
 * `{% generation %}`, transformers' own `tojson`, and `raise_exception`.
 */
export class JinjaTemplate {
  private readonly body: Execute

  /** @throws JinjaError */
  constructor(source: string) {
    this.body = compileBody(parse(source))
  }

  /**
   * @param marks - written around what stands in `{% generation %}`; nothing without it
   * @throws JinjaError
   */
  render(variables: ReadonlyMap<string, Value>, marks: Rendering['marks'] = ['', '']): string {
    const out: Output = { text: '' }
    this.body(new Scope({ variables: withGlobals(variables), marks }), out)
    return out.text
  }
}

interface Output {
  text: string
}

/** What a statement ends with: the next one follows, or the loop is left or goes on. */
type Outcome = 'next' | 'break' | 'continue'
type Execute = (scope: Scope, out: Output) => Outcome

type Of<Kind extends Statement['kind']> = Extract<Statement, { kind: Kind }>

function compileBody(statements: readonly Statement[]): Execute {
  const steps = statements.map(compileStatement)
  return (scope, out) => {
    for (const step of steps) {
      const outcome = step(scope, out)
      if (outcome !== 'next') return outcome
    }
    return 'next'
  }
}

function compileStatement(statement: Statement): Execute {
  switch (statement.kind) {
    case 'text':
      return writes(() => statement.text)
    case 'output': {
      const value = compileExpression(statement.value)
      return writes((scope) => text(value(scope)))
    }
    case 'if':
      return compileIf(statement)
    case 'for':
      return compileFor(statement)
    case 'set': {
      const [assign, value] = [compileTarget(statement.target), compileExpression(statement.value)]
      return silent((scope) => assign(scope, value(scope)))
    }
    case 'break':
    case 'continue':
      return () => statement.kind
    default:
      return compileBlock(statement)
  }
}

function compileBlock(
  statement: Of<'setBlock' | 'with' | 'macro' | 'callBlock' | 'filterBlock' | 'generation'>,
): Execute {
  const { kind } = statement
  if (kind === 'macro') {
    const macro = compileMacro(statement)
    return silent((scope) => scope.set(statement.name, macro(scope)))
  }
  if (kind === 'callBlock') return compileCallBlock(statement)
  if (kind === 'with') return compileWith(statement)
  const body = compileBody(statement.body)
  if (kind === 'generation') return compileGeneration(body)
  const filtered = compileSteps(statement.filters, body)
  if (kind === 'filterBlock') return writes((scope) => text(filtered(scope)))
  const assign = compileTarget(statement.target)
  return silent((scope) => assign(scope, filtered(scope)))
}

const writes =
  (write: (scope: Scope) => string): Execute =>
  (scope, out) => {
    out.text += write(scope)
    return 'next'
  }

const silent =
  (run: (scope: Scope) => void): Execute =>
  (scope) => {
    run(scope)
    return 'next'
  }

/** What a body writes. */
function captured(body: Execute, scope: Scope): string {
  const out: Output = { text: '' }
  body(scope, out)
  return out.text
}

function compileGeneration(body: Execute): Execute {
  return (scope, out) => {
    const [begin, end] = scope.rendering.marks
    out.text += begin
    const outcome = body(scope.inner(), out)
    out.text += end
    return outcome
  }
}

/** The text of a body, through one filter after the other. */
function compileSteps(filters: readonly FilterStep[], body: Execute): Evaluate {
  const start: Evaluate = (scope) => captured(body, scope.inner())
  return filters.reduce((input, { name, args }) => compileFilter(name, input, args), start)
}

function compileIf({ branches, otherwise }: Of<'if'>): Execute {
  const compiled = branches.map(([test, body]) => [compileExpression(test), compileBody(body)] as const)
  const last = compileBody(otherwise)
  return (scope, out) => {
    for (const [test, body] of compiled) if (isTrue(test(scope))) return body(scope, out)
    return last(scope, out)
  }
}

type Assign = (scope: Scope, value: Value) => void

function compileTarget(target: Target): Assign {
  if (target.kind === 'name') return (scope, value) => scope.set(target.name, value)
  if (target.kind === 'member') {
    return (scope, value) => {
      const object = scope.get(target.object)
      if (!(object instanceof Namespace)) throw new JinjaError('cannot assign attribute on non-namespace object')
      object.values.set(target.name, value)
    }
  }
  const targets = target.items.map(compileTarget)
  return (scope, value) => {
    const parts = items(value)
    if (parts.length !== targets.length) {
      const problem = parts.length > targets.length ? 'too many values' : 'not enough values'
      throw new JinjaError(`${problem} to unpack (expected ${targets.length}, got ${parts.length})`)
    }
    for (const [i, assign] of targets.entries()) assign(scope, parts[i] as Value)
  }
}

function compileFor(statement: Of<'for'>): Execute {
  const [assign, iterable] = [compileTarget(statement.target), compileExpression(statement.iterable)]
  const test = statement.test && compileExpression(statement.test)
  const [body, otherwise] = [compileBody(statement.body), compileBody(statement.otherwise)]

  const run = (list: readonly Value[], scope: Scope, out: Output, depth: number): Outcome => {
    const rounds = test ? list.filter((value) => passes(test, assign, scope, value)) : list
    const recurse = (inner: Value): string => {
      const nested: Output = { text: '' }
      run(items(inner), scope, nested, depth + 1)
      return nested.text
    }
    const loop = new Loop(rounds, depth, statement.recursive ? recurse : undefined)
    const shown = loop.asValue()
    for (const value of rounds) {
      const round = scope.inner()
      round.set('loop', shown)
      assign(round, value)
      if (body(round, out) === 'break') return 'next'
      loop.at++
    }
    return rounds.length === 0 ? otherwise(scope, out) : 'next'
  }
  return (scope, out) => run(items(iterable(scope)), scope, out, 0)
}

function passes(test: Evaluate, assign: Assign, scope: Scope, value: Value): boolean {
  const inner = scope.inner()
  assign(inner, value)
  return isTrue(test(inner))
}

/** What `loop` says of the round that is under way. */
class Loop {
  at = 0
  private changing: Value[] | undefined

  constructor(
    private readonly list: readonly Value[],
    private readonly depth: number,
    private readonly recurse: ((list: Value) => string) | undefined,
  ) {}

  asValue(): Callable {
    const call = (given: Call): Value => {
      const [inner] = bind('loop', given, ['iterable'])
      if (!this.recurse) throw new JinjaError("The loop must have the 'recursive' marker to be called recursively.")
      return this.recurse(required('loop', inner))
    }
    return new Callable('loop', call, (name) => this.attribute(name))
  }

  private attribute(name: string): Value | undefined {
    const { at, list } = this
    switch (name) {
      case 'index':
        return at + 1
      case 'index0':
        return at
      case 'first':
        return at === 0
      case 'last':
        return at === list.length - 1
      case 'length':
        return list.length
      case 'revindex':
        return list.length - at
      case 'revindex0':
        return list.length - at - 1
      case 'previtem':
        return found(list[at - 1], 'there is no previous item')
      case 'nextitem':
        return found(list[at + 1], 'there is no next item')
      default:
        return this.rareAttribute(name)
    }
  }

  private rareAttribute(name: string): Value | undefined {
    if (name === 'depth') return this.depth + 1
    if (name === 'depth0') return this.depth
    if (name === 'cycle') {
      return new Callable('cycle', ({ args }) => {
        if (args.length === 0) throw new JinjaError('no items for cycling given')
        return args[this.at % args.length] as Value
      })
    }
    if (name !== 'changed') return undefined
    return new Callable('changed', ({ args }) => {
      const before = this.changing
      this.changing = args
      return before === undefined || !equal(before, args)
    })
  }
}

function compileWith({ assignments, body }: Of<'with'>): Execute {
  const compiled = assignments.map(([target, value]) => [compileTarget(target), compileExpression(value)] as const)
  const inner = compileBody(body)
  return (scope, out) => {
    const scoped = scope.inner()
    const values = compiled.map(([, value]) => value(scope))
    for (const [i, [assign]] of compiled.entries()) assign(scoped, values[i] as Value)
    return inner(scoped, out)
  }
}

/** A macro, or the body of `{% call %}`: what it writes when it is called, where it was defined. */
function compileMacro({ name, parameters, body }: { name: string; parameters: Parameter[]; body: Statement[] }) {
  const inner = compileBody(body)
  const bindParameters = compileParameters(parameters)
  const [usesMore, usesNamed, usesCaller] = ['varargs', 'kwargs', 'caller'].map((word) => mentions(body, word))
  return (scope: Scope): Callable =>
    new Callable(name, ({ args, named }) => {
      const scoped = scope.inner()
      const left = new Map(named)
      if (usesCaller) {
        scoped.set('caller', found(left.get('caller'), 'No caller defined'))
        left.delete('caller')
      }
      bindParameters(scoped, args, left)
      const [unknown] = left.keys()
      if (usesNamed) scoped.set('kwargs', new Map<Value, Value>(left))
      else if (unknown !== undefined) throw new JinjaError(`macro '${name}' takes no keyword argument '${unknown}'`)
      if (usesMore) scoped.set('varargs', tuple(args.slice(parameters.length)))
      else if (args.length > parameters.length) {
        throw new JinjaError(`macro '${name}' takes not more than ${parameters.length} argument(s)`)
      }
      return captured(inner, scoped)
    })
}

/** Gives parameters their values and takes those from `named` that are used. */
function compileParameters(parameters: readonly Parameter[]) {
  const compiled = parameters.map(({ name, initial }) => [name, initial && compileExpression(initial)] as const)
  return (scope: Scope, args: readonly Value[], named: Map<string, Value>): void => {
    for (const [i, [name, initial]] of compiled.entries()) {
      const given = args[i] !== undefined ? args[i] : named.get(name)
      if (args[i] === undefined) named.delete(name)
      const value = given !== undefined ? given : initial?.(scope)
      scope.set(name, found(value, `parameter '${name}' was not provided`))
    }
  }
}

/** Whether a name stands anywhere in a tree. */
function mentions(tree: unknown, name: string): boolean {
  if (typeof tree !== 'object' || tree === null) return false
  if ('kind' in tree && tree.kind === 'name' && 'name' in tree && tree.name === name) return true
  return Object.values(tree).some((part) => mentions(part, name))
}

function compileCallBlock({ call, parameters, body }: Of<'callBlock'>): Execute {
  const [callee, bound] = [compileExpression(call.callee), compileArguments(call.args)]
  const caller = compileMacro({ name: 'caller', parameters, body })
  return writes((scope) => {
    const called = callee(scope)
    if (called instanceof Undefined) called.fail()
    if (!(called instanceof Callable)) throw new JinjaError(`'${typeName(called)}' object is not callable`)
    const given = bound(scope)
    given.named.set('caller', caller(scope))
    return text(called.call(given))
  })
}

/** As many as the sandbox allows. */
const maxRange = 100_000

function range(call: Call): Value {
  const [first, second, third] = bind('range', call, ['start', 'stop', 'step'])
  const [start, stop] =
    second === undefined ? [0, index(required('range', first))] : [index(first as Value), index(second)]
  const step = index(third ?? 1)
  if (step === 0) throw new JinjaError('range() arg 3 must not be zero')
  const count = Math.max(0, Math.ceil((stop - start) / step))
  if (count > maxRange)
    throw new JinjaError(`Range too big. The sandbox blocks ranges larger than MAX_RANGE (${maxRange}).`)
  return tuple(Array.from({ length: count }, (_, i) => start + i * step))
}

function dict({ args, named }: Call): Map<Value, Value> {
  const [given] = args
  const entries =
    given === undefined
      ? []
      : given instanceof Map
        ? [...given]
        : items(given).map((pair) => items(pair) as [Value, Value])
  return new Map<Value, Value>([...entries, ...named])
}

function joiner(call: Call): Value {
  const separator = bind('joiner', call, ['sep'])[0] ?? ', '
  let isUsed = false
  return new Callable('joiner', () => {
    const given = isUsed ? separator : ''
    isUsed = true
    return given
  })
}

function cycler({ args }: Call): Value {
  if (args.length === 0) throw new JinjaError('at least one item has to be provided')
  let at = 0
  const step = new Callable('next', () => args[at++ % args.length] as Value)
  const reset = new Callable('reset', () => {
    at = 0
    return null
  })
  return new Callable('cycler', step.call, (name) =>
    name === 'next' ? step : name === 'reset' ? reset : name === 'current' ? args[at % args.length] : undefined,
  )
}

const globals: [string, (call: Call) => Value][] = [
  ['range', range],
  ['dict', dict],
  ['namespace', (call) => new Namespace(new Map([...dict(call)].map(([name, value]) => [text(name), value])))],
  ['joiner', joiner],
  ['cycler', cycler],
  [
    'raise_exception',
    (call) => {
      throw new JinjaError(text(required('raise_exception', bind('raise_exception', call, ['message'])[0])))
    },
  ],
  [
    'strftime_now',
    () => {
      throw new JinjaError('it asks for the date of the day (strftime_now), which would differ from day to day')
    },
  ],
]

const globalValues = new Map(globals.map(([name, call]) => [name, new Callable(name, call)] as const))

const withGlobals = (variables: ReadonlyMap<string, Value>): ReadonlyMap<string, Value> =>
  new Map<string, Value>([...globalValues, ...variables])
